"""Train the network whose features measure pictures, and put it where the package finds it.

python scripts/train_picture_features.py
"""

import json

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from triform.base.checksum import file_sha256
from triform.base.files import atomic_write
from triform.base.seeding import seed_everything
from triform.datasets.pictures.load import load_pictures
from triform.pretrained.picture_features import NAME, FeatureNet, as_seen
from triform.pretrained.weights import CHECKSUMS, FOLDER

EPOCHS, BATCH, RATE, SEED = 3, 128, 0.01, 0


def main() -> None:
    torch.set_num_threads(1)  # sums in one order: the same weights again
    seed_everything(SEED)
    table = load_pictures("fashion-mnist")
    images = torch.from_numpy(table.images).permute(0, 3, 1, 2)
    labels = torch.from_numpy(table.labels).long()
    train, test = (torch.from_numpy(table.rows(split)) for split in ("train", "test"))
    network = FeatureNet()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = EPOCHS * (len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        network.train()
        order = train[torch.randperm(len(train))]
        for rows in order[: len(order) // BATCH * BATCH].split(BATCH):
            loss = F.cross_entropy(network(as_seen(images[rows])), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            said = torch.cat([network(as_seen(images[rows])).argmax(1) for rows in test.split(500)])
        print(f"epoch {epoch + 1}: {(said == labels[test]).float().mean():.4f} of test are right")
    target = FOLDER / f"{NAME}.safetensors"
    state = {name: value.contiguous() for name, value in network.state_dict().items()
             if value.is_floating_point()}  # fmt: skip
    save_file(state, target, {"system": NAME})
    table_file = FOLDER / CHECKSUMS
    known = json.loads(table_file.read_text("utf-8")) | {NAME: file_sha256(target)}
    with atomic_write(table_file, "w") as file:
        file.write(json.dumps(known, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

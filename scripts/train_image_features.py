"""Train the feature network of the image metrics, into the folder of shipped weights.

python scripts/train_image_features.py
"""

import json

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from triform.base.checksum import file_sha256
from triform.base.files import atomic_write
from triform.base.seeding import seed_everything
from triform.datasets.images.load import load_images
from triform.pretrained.image_features import WEIGHTS, FeatureNet, preprocess
from triform.pretrained.shipped_weights import CHECKSUMS, FOLDER

EPOCHS, BATCH_SIZE, MAX_LR, SEED = 3, 128, 0.01, 0


def main() -> None:
    torch.set_num_threads(1)  # sums in one order: the same weights again
    seed_everything(SEED)
    table = load_images("fashion-mnist")
    images = torch.from_numpy(table.images).permute(0, 3, 1, 2)
    labels = torch.from_numpy(table.labels).long()
    train, test = (torch.from_numpy(table.rows(split)) for split in ("train", "test"))
    network = FeatureNet()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = EPOCHS * (len(train) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, total_steps=steps)
    for epoch in range(EPOCHS):
        network.train()
        order = train[torch.randperm(len(train))]
        for rows in order[: len(order) // BATCH_SIZE * BATCH_SIZE].split(BATCH_SIZE):
            loss = F.cross_entropy(network(preprocess(images[rows])), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            parts = [network(preprocess(images[rows])).argmax(1) for rows in test.split(500)]
        accuracy = (torch.cat(parts) == labels[test]).float().mean()
        print(f"epoch {epoch + 1}: test accuracy {accuracy:.4f}")
    target = FOLDER / f"{WEIGHTS}.safetensors"
    state = {
        name: value.contiguous()
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }
    save_file(state, target, {"system": WEIGHTS})
    table_file = FOLDER / CHECKSUMS
    known = json.loads(table_file.read_text("utf-8")) | {WEIGHTS: file_sha256(target)}
    with atomic_write(table_file, "w") as file:
        file.write(json.dumps(known, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

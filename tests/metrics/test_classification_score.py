"""Real images teach a classifier, shuffled labels teach nothing."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from triform.base.seeding import generator
from triform.metrics import classification_score as scored
from triform.metrics.classification_score import classification_score


def test_real_images_score_high_and_wrong_labels_low():
    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(digits.target).long()
    few, real = slice(0, 600), slice(1200, 1600)
    state = torch.get_rng_state()
    good = classification_score(images[few], labels[few], images[real], labels[real], epochs=15)
    assert torch.equal(state, torch.get_rng_state())  # draws from nobody else's numbers
    mixed = labels[few][torch.randperm(600, generator=torch.Generator().manual_seed(0))]
    bad = classification_score(images[few], mixed, images[real], labels[real], epochs=15)
    assert good > 0.8 and bad < 0.35


class Linear(torch.nn.Module):
    """A small network in the place of the real one, which remembers how it was used."""

    made: list["Linear"] = []  # noqa: RUF012

    def __init__(self, count: int):
        super().__init__()
        self.layer, self.count = torch.nn.Linear(4, count), count
        self.modes: list[bool] = []
        Linear.made.append(self)

    def forward(self, images):
        self.modes.append(self.training)
        return self.layer(images.flatten(1))


def test_training_is_as_written_out(monkeypatch):
    """AdamW with decay 0.01, one cycle to 0.01 and back, batches of 64 in the order of the seed."""
    monkeypatch.setattr(scored, "FeatureNet", Linear)
    monkeypatch.setattr(scored, "preprocess", lambda images: images.float() / 255)
    random = torch.Generator().manual_seed(1)
    generated = torch.randint(256, (150, 1, 2, 2), generator=random).byte()
    labels = torch.randint(3, (150,), generator=random)
    real = torch.randint(256, (1100, 1, 2, 2), generator=random).byte()
    real_labels = torch.randint(4, (1100,), generator=random)  # a class that nobody made
    real_labels[0] = 3
    score = classification_score(generated, labels, real, real_labels)
    (network,) = Linear.made
    Linear.made.clear()
    assert network.count == 4 and network.modes == [True] * 24 + [False] * 3
    torch.manual_seed(0)
    plain = Linear(4)
    Linear.made.clear()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=24)
    dice = generator("classification score")
    for _ in range(8):
        order = torch.randperm(150, generator=dice)
        for start in (0, 64, 128):
            rows = order[start : start + 64]
            optimizer.zero_grad()
            F.cross_entropy(plain(generated[rows].float() / 255), labels[rows]).backward()
            optimizer.step()
            cycle.step()
    for name, weights in plain.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], weights)
    predictions = plain(real.float() / 255).argmax(1)
    assert score == np.float32((predictions == real_labels).sum().item() / 1100)

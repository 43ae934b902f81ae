"""Real pictures teach a classifier, shuffled labels teach nothing."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from triform.metrics.classification_score import classification_score


def test_real_pictures_score_high_and_wrong_labels_low():
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

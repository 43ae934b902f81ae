"""The small image encoder: shapes, sizes, what it begins as, and that it learns."""

import pytest
import torch

from triform.systems.retrieval.encoders.image_encoder import ResidualBlock, SmallImageEncoder


@pytest.mark.parametrize("size", [16, 48, 64, 97])
def test_features_of_any_size(size):
    network = SmallImageEncoder(16).eval()
    assert network(torch.rand(3, 3, size, size)).shape == (3, network.dim)


def test_parameters_as_published():
    network = SmallImageEncoder(48)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(0.9e6, rel=0.2)


def test_a_block_begins_as_its_shortcut():
    block = ResidualBlock(8, 8, 1).eval()
    x = torch.rand(2, 8, 5, 5)
    torch.testing.assert_close(block(x), x)


def test_where_things_are_matters():
    torch.manual_seed(0)
    network = SmallImageEncoder(16).eval()
    image = torch.ones(1, 3, 64, 64)
    image[..., :20, :20] = 0
    moved = image.flip(-1)
    assert (network(image) - network(moved)).abs().max() > 1e-3


def test_learns_to_tell_two_colours_apart():
    torch.manual_seed(0)
    network = SmallImageEncoder(8)
    head = torch.nn.Linear(network.dim, 1)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=3e-3)
    labels = torch.arange(16) % 2
    images = torch.rand(16, 3, 16, 16) * 0.3
    images[labels == 1, 0] += 0.6
    for _ in range(25):
        logits = head(network(images))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1

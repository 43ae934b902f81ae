"""The small image encoder and the head of experts."""

import pytest
import torch
import torch.nn.functional as F

from triform.systems.retrieval.model import (
    MoEImgHead,
    ResidualBlock,
    SmallImageEncoder,
)


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


@pytest.fixture
def head():
    torch.manual_seed(0)
    return MoEImgHead(6, 4, 8)


def test_equals_the_sum_over_experts(head):
    features = torch.randn(5, 6)
    weights = head.gate(features).softmax(-1)
    expected = sum(weights[:, e, None] * expert(features) for e, expert in enumerate(head.experts))
    torch.testing.assert_close(head(features, normalize=False), expected)
    torch.testing.assert_close(head(features), F.normalize(expected, dim=-1))


def test_size_is_the_documented_one():
    assert sum(p.numel() for p in MoEImgHead(1024, 1280, 8).parameters()) == 10_506_248


def test_only_the_best_experts_answer(head):
    head.top_k = 2
    features = torch.randn(5, 6)
    logits = head.gate(features)
    values, selected = logits.topk(2)
    weights = values.softmax(-1)
    expected = torch.stack(
        [
            sum(w * head.experts[e](x) for w, e in zip(ws, es, strict=True))
            for x, ws, es in zip(features, weights, selected.tolist(), strict=True)
        ]
    )
    torch.testing.assert_close(head(features, normalize=False), expected)
    head.top_k = 8
    dense = head(features)
    head.top_k = 0
    torch.testing.assert_close(head(features), dense)


def test_balance_is_one_where_all_work_alike_and_large_where_one_does(head):
    features = torch.randn(64, 6)
    with torch.no_grad():
        head.gate[1].weight.zero_()
        head.gate[1].bias.zero_()
        assert float(head.with_balance(features)[1]) == pytest.approx(1)
        head.gate[1].bias[3] = 50
        assert float(head.with_balance(features)[1]) == pytest.approx(8)


def test_balance_loss_evens_the_experts_out(head):
    features = torch.randn(64, 6)
    head.top_k = 1
    with torch.no_grad():
        head.gate[1].bias[3] = 3
    optimizer = torch.optim.Adam(head.gate.parameters(), lr=0.05)
    before = float(head.with_balance(features)[1].detach())
    for _ in range(60):
        loss = head.with_balance(features)[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before > 2 and float(head.with_balance(features)[1].detach()) < 1.3


def test_too_many_experts_cannot_be_asked_for():
    with pytest.raises(ValueError, match="top_k 9 of 8"):
        MoEImgHead(6, 4, 8, 9)

"""The transformer over cells: the order of tokens, and what it listens to."""

from __future__ import annotations

from dataclasses import replace

import torch

from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.config import ModelConfig
from triform.systems.shape_flow.flow import CellFlow, from_tokens, to_tokens

MODEL = ModelConfig(
    latent_channels=3,
    flow_width=16,
    flow_blocks=2,
    flow_heads=2,
    condition_dim=12,
    attribute_dim=4,
    max_tokens=5,
)
SIZES, TEXT_DIM = (3, 4), 6


def condition(count: int = 2) -> Condition:
    mask = torch.zeros(count, 5, dtype=torch.bool)
    mask[:, :3] = True
    return Condition(
        torch.tensor([[1, 2]]).repeat(count, 1),
        torch.randn(count, 5, TEXT_DIM),
        mask,
        torch.nn.functional.normalize(torch.randn(count, TEXT_DIM), dim=1),
    )


def awake() -> CellFlow:
    """A flow without the zeros that its gates start with."""
    torch.manual_seed(0)
    flow = CellFlow(MODEL, 4, SIZES, TEXT_DIM).eval()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return flow


def test_tokens_and_cells() -> None:
    x = torch.randn(2, 3, 4, 4, 4)
    tokens = to_tokens(x)
    assert tokens.shape == (2, 8, 24)
    torch.testing.assert_close(from_tokens(tokens, 4), x, rtol=0, atol=0)
    # Token (1, 0, 1) holds the cells 2, 3 of x, 0, 1 of y and 2, 3 of z.
    expected = x[0, :, 2:4, 0:2, 2:4].flatten()
    torch.testing.assert_close(tokens[0, 5], expected, rtol=0, atol=0)


def test_it_starts_as_a_function_of_each_token_alone() -> None:
    """All gates are zero: what happens in one token changes no other."""
    torch.manual_seed(0)
    flow = CellFlow(MODEL, 4, SIZES, TEXT_DIM).eval()
    x, layout, t = torch.randn(2, 3, 4, 4, 4), torch.randn(2, 3, 4, 4, 4), torch.rand(2)
    changed = x.clone()
    changed[:, :, :2, :2, :2] += 1
    given = condition()
    a, b = flow(x, t, layout, given), flow(changed, t, layout, given)
    torch.testing.assert_close(a[:, :, 2:], b[:, :, 2:], rtol=0, atol=0)
    assert not torch.equal(a[:, :, :2], b[:, :, :2])


def test_words_and_attributes_are_heard_and_padding_is_not() -> None:
    flow, given = awake(), condition()
    x, layout, t = torch.randn(2, 3, 4, 4, 4), torch.randn(2, 3, 4, 4, 4), torch.rand(2)
    reference = flow(x, t, layout, given)
    words = given.words.clone()
    words[:, 3:] += 1
    torch.testing.assert_close(flow(x, t, layout, replace(given, words=words)), reference)
    words[:, 0] += 1
    for other in (
        replace(given, words=words),
        replace(given, attributes=given.attributes.clone().fill_(2)),
        replace(given, sentence=-given.sentence),
    ):
        assert not torch.allclose(flow(x, t, layout, other), reference)
    assert not torch.allclose(flow(x, t, layout + 1, given), reference)


def test_nothing_known_is_no_division_by_zero() -> None:
    given = condition().unknown()
    assert not given.word_mask.any() and not given.attributes.any() and not given.sentence.any()
    x, t = torch.randn(2, 3, 4, 4, 4), torch.rand(2)
    assert torch.isfinite(awake()(x, t, x, given)).all()

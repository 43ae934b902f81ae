"""Attention against that of torch, and what its norms do."""

from __future__ import annotations

import torch

from triform.layers.attention import Attention


def test_attention_is_that_of_torch() -> None:
    """Without norms of queries and keys it equals nn.MultiheadAttention with the same weights."""
    torch.manual_seed(0)
    ours, theirs = Attention(8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    ours.norm = torch.nn.Identity()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
    x, context = torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    mask = torch.rand(3, 6) < 0.7
    mask[:, 0] = True
    expected = theirs(x, context, context, key_padding_mask=~mask, need_weights=False)[0]
    torch.testing.assert_close(ours(x, context, mask), expected)


def test_scale_of_queries_and_keys_does_not_matter() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2)
    x, context = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    expected = attention(x, context)
    with torch.no_grad():
        attention.query.weight *= 7
        attention.query.bias *= 7
        attention.key_value.weight[:8] *= 3
        attention.key_value.bias[:8] *= 3
    torch.testing.assert_close(attention(x, context), expected, rtol=1e-4, atol=1e-5)

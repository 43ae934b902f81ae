"""Weights in eight bits: what is lost, and what must not be touched."""

import pytest
import torch
from torch import Tensor

from triform.engine.checkpoints.quantization import SCALE, dequantize_int8, quantize_int8


def test_numbers_come_back_to_half_a_step():
    torch.manual_seed(0)
    spread = torch.logspace(-4, 2, 64)[:, None, None, None]  # channels of very different sizes
    weights = {"conv": spread * torch.randn(64, 8, 3, 3), "embed": torch.randn(40, 30)}
    small = quantize_int8(weights)
    back = dequantize_int8(small)
    assert back.keys() == weights.keys()
    for name, tensor in weights.items():
        assert small[name].dtype == torch.int8 and small[name].shape == tensor.shape
        step = tensor.flatten(1).abs().amax(1) / 127
        off = (back[name] - tensor).flatten(1).abs().amax(1)
        # A half of a step, and what float32 rounds (2^-24 of 127 steps).
        assert (off <= step * 0.5001).all()


def test_a_quarter_of_the_size():
    weight = torch.randn(256, 512)
    size = sum(tensor.nbytes for tensor in quantize_int8({"w": weight}).values())
    assert size <= weight.nbytes / 4 + 4 * 256


def test_what_stays():
    weights = {
        "bias": torch.randn(4096),
        "few": torch.randn(8, 8),
        "words": torch.arange(5000, dtype=torch.uint8).view(50, 100),
    }
    small = quantize_int8(weights)
    assert small.keys() == weights.keys() and torch.equal(small["words"], weights["words"])
    assert small["bias"].dtype == small["few"].dtype == torch.float16
    assert all(torch.equal(dequantize_int8(small)[name], small[name]) for name in small)


def test_rows_of_zeros_and_twice():
    weight = torch.randn(40, 40)
    weight[3] = 0
    once = dequantize_int8(quantize_int8({"w": weight}))
    assert torch.equal(once["w"][3], torch.zeros(40)) and once["w"].isfinite().all()
    twice = dequantize_int8(quantize_int8(once))
    assert torch.allclose(once["w"], twice["w"], rtol=1e-6, atol=0)


def test_scales_are_beside_their_tensors():
    assert quantize_int8({"w": torch.ones(32, 32)})["w" + SCALE].shape == (32,)


@pytest.mark.parametrize(
    "scale", [torch.ones(300), torch.ones(2), torch.ones(()), torch.ones(1, 1)]
)
def test_a_scale_of_another_length_is_refused(scale: Tensor) -> None:
    """(1, 300) by 300 scales would be (300, 300)."""
    weights = {"a": torch.zeros(1, 300, dtype=torch.int8), "a@scale": scale}
    with pytest.raises(ValueError, match="a@scale: not one scale for each output"):
        dequantize_int8(weights)

"""Check that this machine computes correct bf16 gradients.

Some processors with bf16 instructions return wrong values for one shape of layer: the weight
gradient of a 3x3x3 convolution on a 2x2x2 map. Training then ends in nan, or, worse, does not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

MAX_ERROR = 0.05
"""bf16 has 8 bits: correct gradients are off by 0.3 % to 3 %, wrong ones by a factor."""
MAP_SIZES = (2, 4)
CASES = ((16, 1), (16, 8), (64, 1), (64, 8))
"""Channels and batch sizes; only some show the fault."""


@dataclass(frozen=True)
class GradientCheck:
    """Error of bf16 gradients against float32.

    Attributes:
        map_size: Length of the map's side.
        error: Largest relative error of all cases; nan or inf where a gradient was not finite.
    """

    map_size: int
    error: float

    @property
    def is_correct(self) -> bool:
        """Whether the gradients are correct; nan is not."""
        return self.error < MAX_ERROR


def check_gradients(
    device: torch.device, sizes: tuple[int, ...] = MAP_SIZES
) -> list[GradientCheck]:
    """Compare gradients of 3x3x3 convolutions in bf16 with float32, one check per map size."""
    checks = []
    for size in sizes:
        errors = torch.tensor([gradient_error(device, size, *case) for case in CASES])
        # torch's maximum, unlike Python's, does not lose a nan.
        checks.append(GradientCheck(size, float(errors.max())))
    return checks


def gradient_error(device: torch.device, size: int, channels: int, batch: int) -> float:
    """Relative error of one layer's weight and input gradients in bf16, the larger of the two."""
    random = torch.Generator().manual_seed(0)
    layer = nn.Conv3d(channels, channels, 3, padding=1)
    for parameter in layer.parameters():
        parameter.data.normal_(0, (27 * channels) ** -0.5, generator=random)
    layer.to(device)
    inputs = torch.randn(batch, channels, size, size, size, generator=random).to(device)

    def gradients(bf16: bool) -> tuple[Tensor, ...]:
        leaf = inputs.clone().requires_grad_()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = layer(leaf)
        return torch.autograd.grad(outputs.float().square().mean(), [layer.weight, leaf])

    exact, rough = gradients(False), gradients(True)
    errors = [(b.float() - a).norm() / a.norm() for a, b in zip(exact, rough, strict=True)]
    return float(torch.stack(errors).max())

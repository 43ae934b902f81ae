"""What a network of pictures must remember besides its weights: their size and their classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class PictureFacts(nn.Module):
    """Travels with the weights, as buffers.

    Args:
        channels: of the pictures.
        size: pixels along each side.
        classes: names of the classes that a network can be told; empty where it knows none.
    """

    shape: Tensor
    names: Tensor

    def __init__(self, channels: int, size: int, classes: Sequence[str] = ()):
        super().__init__()
        text = "\n".join(name.replace("\n", " ") for name in classes).encode()
        # On the processor also where a network is built without memory (`torch.device("meta")`):
        # its layers are of this shape.
        self.register_buffer("shape", torch.tensor([channels, size], device="cpu"))
        self.register_buffer("names", torch.tensor(list(text), dtype=torch.uint8, device="cpu"))


def read_facts(weights: Mapping[str, Tensor], prefix: str = "facts.") -> PictureFacts:
    """The facts in the weights of a network that has them.

    Raises:
        KeyError: There are none.
        ValueError: They are damaged.
    """
    channels, size = (int(number) for number in weights[f"{prefix}shape"])
    text = bytes(weights[f"{prefix}names"].to(torch.uint8).tolist()).decode()
    if channels not in (1, 3) or not 4 <= size <= 4096:
        raise ValueError(f"pictures of {channels} x {size} x {size}")
    return PictureFacts(channels, size, text.split("\n") if text else ())


def class_names(facts: PictureFacts) -> tuple[str, ...]:
    """Names of the classes."""
    text = bytes(facts.names.tolist()).decode()
    return tuple(text.split("\n")) if text else ()


def picture_shape(facts: PictureFacts) -> tuple[int, int]:
    """Channels, and pixels along each side."""
    channels, size = facts.shape.tolist()
    return channels, size


def halvings(size: int) -> tuple[int, int]:
    """How often a size is halved until 4 to 7 are left, and what is left, rounded up.

    28 is 7, 14, 28; 32 is 4, 8, 16, 32; 31 begins at 8 and is cut off.
    """
    count = max(1, int(math.log2(size / 4)))
    return count, math.ceil(size / 2**count)

"""Flush denormal numbers to zero, which a CPU computes slowly."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

DENORMAL = 1e-40


def are_flushed() -> bool:
    """Whether denormal float32 results become zero."""
    return float(torch.tensor(DENORMAL) * torch.tensor(1.0)) == 0


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Flush denormal results to zero for a block of code.

    Adam's second moments of weights without gradients decay into denormal numbers, with which a
    processor computes many times slower. The setting holds for the whole thread, so it is
    restored.
    """
    previous = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(previous)

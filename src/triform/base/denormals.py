"""Numbers too small for a processor's fast path."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

DENORMAL = 1e-40


def are_flushed() -> bool:
    """Whether results too small for a normal float32 become zero."""
    return float(torch.tensor(DENORMAL) * torch.tensor(1.0)) == 0


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Let denormal results become zero for a while.

    Adam's second moments of weights that have fallen silent decay into denormal numbers, with
    which a processor computes many times slower. The setting holds for all that a thread
    computes, so it is put back.
    """
    before = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)

"""Reproducible random numbers.

One seed for the process, and separate generators for everything whose numbers must not depend on
other draws (`generator("shuffle", seed, epoch)`).
"""

import hashlib
import random
from typing import Any

import numpy as np
import torch

SEED_RANGE = 2**63


def hash_seed(*keys: str | int | float) -> int:
    """A seed in [0, 2^63) that depends on all keys and their order, and on nothing else."""
    text = "\x1f".join(f"{type(key).__name__}:{key!r}" for key in keys)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % SEED_RANGE


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator(*keys: str | int | float, device: str | torch.device = "cpu") -> torch.Generator:
    """Torch generator whose numbers depend on the keys alone.

    Example:
        `torch.randn(4, generator=generator("prior", seed))`.
    """
    return torch.Generator(device=device).manual_seed(hash_seed(*keys))


def random_state() -> dict[str, Any]:
    """State of Python's, numpy's and torch's generators: tensors and plain numbers only.

    Unlike the states that `random` and numpy hand out it can be saved by `torch.save` and read
    with `weights_only=True`.
    """
    version, words, gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    assert isinstance(numpy_state, dict)  # legacy=False, says numpy's documentation
    return {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": [
            torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            int(numpy_state["state"]["pos"]),
            int(numpy_state["has_gauss"]),
            float(numpy_state["gauss"]),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore a state that `random_state` returned.

    Args:
        state: As returned; a state from a machine with more GPUs sets those that are here.
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    key, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", key.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        for index, device_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(device_state.cpu(), index)

"""Seeded random sampler of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


class Sampler:
    """Seeded random sampler; the same key gives the same values on every machine."""

    def __init__(self, *key: int) -> None:
        self.rng = np.random.default_rng(key)

    def uniform(self, low: float, high: float) -> float:
        """A float from the interval [low, high)."""
        return float(self.rng.uniform(low, high))

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self.rng.random() < probability)

    def choice(self, options: Sequence[Choice]) -> Choice:
        """One of the options, all equally probable."""
        return options[int(self.rng.integers(len(options)))]

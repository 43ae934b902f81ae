"""Random numbers that come out the same again."""

import io
import random
from typing import Any

import numpy as np
import torch

from triform.base.seeding import (
    generator,
    hash_seed,
    random_state,
    seed_everything,
    set_random_state,
)


def draw() -> list[Any]:
    """Numbers from every generator; an odd count of normal ones leaves numpy and Python a spare."""
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.normal()),
        np.random.randint(1000),
        torch.randn(3).tolist(),
    ]


def test_the_same_seed_gives_the_same_numbers() -> None:
    """Another seed gives others."""
    draws = []
    for seed in (5, 5, 6):
        seed_everything(seed)
        draws.append(draw())
    assert draws[0] == draws[1] != draws[2]
    seed_everything(2**63 - 1)  # numpy takes 32 bits only


def test_a_state_survives_a_safe_file() -> None:
    """Saved, read with weights_only=True, put back: the same numbers follow."""
    seed_everything(1)
    draw()
    file = io.BytesIO()
    torch.save(random_state(), file)
    expected = [draw() for _ in range(3)]
    file.seek(0)
    set_random_state(torch.load(file, weights_only=True))
    assert [draw() for _ in range(3)] == expected


def test_generators_depend_on_all_keys_and_on_nothing_else() -> None:
    """Order, type and boundaries of the keys count; the global state does not."""
    keys = [("a", 1), ("a", 2), (1, "a"), ("a1",), ("a", "1"), ("a", 1.0), ()]
    seeds = [hash_seed(*key) for key in keys]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)
    before = torch.randn(2, generator=generator("x", 3))
    torch.manual_seed(99)
    assert torch.equal(before, torch.randn(2, generator=generator("x", 3)))


def test_hashes_never_change() -> None:
    """Splits and orders of old runs depend on them."""
    assert hash_seed("order", 42, 0) == 8577506140864778064

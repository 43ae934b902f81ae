"""Which of several shapes is kept."""

from __future__ import annotations

import numpy as np
import pytest

from triform.systems.shape_flow.candidates import (
    Field,
    best_candidate,
    field_color,
    num_matching,
    soundness,
)
from triform.tasks.shape_generation.attributes import Attributes

R = 64
RED, BLUE = (196, 40, 38), (52, 92, 184)
Block = tuple[slice, slice, slice]


def distances(*blocks: Block, size: int = R) -> np.ndarray:
    """-1 in the blocks, 1 elsewhere."""
    distance = np.ones((size, size, size), np.float32)
    for block in blocks:
        distance[block] = -1
    return distance


def table(num_legs: int, color: tuple[int, int, int] = RED) -> Field:
    """A square top on 0 to 4 legs at its corners."""
    near, far = slice(8, 12), slice(52, 56)
    corners = [(near, near), (far, far), (near, far), (far, near)][:num_legs]
    legs = [(x, slice(0, 40), z) for x, z in corners]
    distance = distances((slice(4, 60), slice(40, 44), slice(4, 60)), *legs)
    colors = np.broadcast_to(np.array(color).reshape(3, 1, 1, 1) / 127.5 - 1, (3, *[R // 2] * 3))
    return distance, colors


def test_what_the_prompt_counts_decides() -> None:
    fields = [table(count) for count in (2, 4, 3)]
    kept = best_candidate(fields, "a square table with three legs")
    assert kept is fields[2]
    assert best_candidate(fields, "a square table with four legs") is fields[1]
    assert best_candidate(fields[:1], "a square table with four legs") is fields[0]


def test_color_counts_as_much_as_a_part() -> None:
    fields = [table(3, RED), table(3, BLUE), table(4, RED)]
    assert best_candidate(fields, "a blue table with three legs") is fields[1]
    assert best_candidate(fields, "a red table with four legs") is fields[2]


def test_of_equal_ones_the_soundest_is_kept() -> None:
    whole, floating = table(4), table(4)
    floating[0][:, 46:48, 30:32] = -1
    for fields in ([whole, floating], [floating, whole]):
        assert best_candidate(fields, "a table") is whole


def test_number_of_matches() -> None:
    assert num_matching(table(4), Attributes()) == 0
    expected = Attributes(kind="table", legs=4, form="square", color="red")
    assert num_matching(table(4), expected) == 3
    assert num_matching(table(3), expected) == 2
    assert num_matching((distances(), table(4)[1]), expected) == -1
    # The form of a mirror is not that of a top.
    assert num_matching(table(4), Attributes(kind="mirror", form="square")) == 0


def test_color_is_that_of_most_blocks_at_the_surface() -> None:
    """Red blocks within the solid and far from it do not count."""
    distance = distances((slice(2, 11), slice(2, 11), slice(2, 11)), size=16)
    colors = np.empty((3, 8, 8, 8))
    colors[:] = np.array(RED).reshape(3, 1, 1, 1) / 127.5 - 1
    at_surface = (slice(None), slice(1, 6), slice(1, 6), slice(5, 6))
    colors[at_surface] = np.array(BLUE).reshape(3, 1, 1, 1) / 127.5 - 1
    # 98 of the 5^3 blocks are at the surface, and 25 of them in the plane that is blue.
    assert field_color(distance, colors) == "red"
    blue = colors[:, 1, 1, 5].reshape(3, 1, 1)
    colors[:, 5], colors[:, :, 5] = blue, blue
    assert field_color(distance, colors) == "blue"  # 61 of 98
    assert field_color(np.ones((16, 16, 16)), colors) == ""


def test_soundness_prefers_one_piece_that_stands() -> None:
    leg, top = slice(6, 8), slice(8, 10)
    plate = (slice(2, 14), top, slice(2, 14))
    standing = distances((leg, slice(0, 8), leg), plate, size=16)
    floating = distances((leg, slice(0, 3), leg), plate, size=16)
    empty = distances(size=16)
    assert soundness(standing) == pytest.approx(1.1)
    assert soundness(standing) > soundness(floating) > soundness(empty)
    assert soundness(empty) == 0

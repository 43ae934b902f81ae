"""Which of several shapes is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from triform.systems.shape_flow.candidates import (
    Field,
    best_candidate,
    field_color,
    group_probabilities,
    num_matching,
    soundness,
)
from triform.tasks.shape_generation.attributes import Attributes
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.voxel_classifier import VoxelClassifier

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


class VolumeClassifier(VoxelClassifier):
    """Takes shapes of more than so many voxels of 32^3 for tables, and others for chairs."""

    def __init__(self, num_voxels: int):
        super().__init__()
        self.num_voxels = num_voxels

    def forward(self, voxels: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(voxels), len(GROUPS))
        is_table = voxels.flatten(1).sum(1) > self.num_voxels
        logits[:, list(GROUPS).index("tables and desks")] = is_table * np.log(27.0)
        logits[:, list(GROUPS).index("chairs")] = ~is_table * np.log(27.0)
        return logits


ALL_TABLES = VolumeClassifier(0)


def test_what_the_prompt_counts_decides() -> None:
    fields = [table(count) for count in (2, 4, 3)]
    kept = best_candidate(fields, "a square table with three legs", ALL_TABLES)
    assert kept is fields[2]
    assert best_candidate(fields, "a square table with four legs", ALL_TABLES) is fields[1]


def test_color_counts_as_much_as_a_part() -> None:
    fields = [table(3, RED), table(3, BLUE), table(4, RED)]
    assert best_candidate(fields, "a blue table with three legs", ALL_TABLES) is fields[1]
    assert best_candidate(fields, "a red table with four legs", ALL_TABLES) is fields[2]


def test_of_equal_ones_the_soundest_is_kept() -> None:
    whole, floating = table(4), table(4)
    floating[0][:, 46:48, 30:32] = -1
    for fields in ([whole, floating], [floating, whole]):
        assert best_candidate(fields, "a table", ALL_TABLES) is whole


def test_kind_decides_between_shapes_with_the_same_counts() -> None:
    """A top has 28 x 2 x 28 voxels of 32^3, a leg 2 x 20 x 2."""
    fields = [table(3), table(4)]
    by_volume = VolumeClassifier(28 * 2 * 28 + 3 * 80)
    assert best_candidate(fields, "a table", by_volume) is fields[1]
    assert best_candidate(fields, "a stool", by_volume) is fields[0]
    # A count weighs more than the probability of the group.
    assert best_candidate(fields, "a table with three legs", by_volume) is fields[0]


def test_probability_of_a_group() -> None:
    """e^log(27) = 27 against 9 other groups of e^0 = 1: 27/36 and 1/36."""
    fields = [table(3), table(4)]
    classifier = VolumeClassifier(28 * 2 * 28 + 3 * 80)
    assert group_probabilities(fields, "tables and desks", classifier) == [0.03, 0.75]
    assert group_probabilities(fields, "chairs", classifier) == [0.75, 0.03]
    assert group_probabilities(fields, "toys", classifier) == [0.0, 0.0]


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

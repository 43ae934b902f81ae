"""Colours as a field that is defined everywhere."""

from __future__ import annotations

import numpy as np
import torch

from triform.systems.shape_flow.colors import color_input, fill_unknown
from triform.systems.shape_flow.data import NUM_SYMMETRIES, turn


def test_colors_have_a_mask() -> None:
    colors = np.zeros((1, 1, 1, 1, 3), dtype=np.uint8)
    colors[0, 0, 0, 0] = (255, 1, 128)
    values = color_input(colors)[0, :, 0, 0, 0]
    torch.testing.assert_close(values, torch.tensor([1.0, 1 / 127.5 - 1, 128 / 127.5 - 1, 1.0]))


def test_one_color_is_one_color_everywhere() -> None:
    colors = np.zeros((1, 8, 8, 8, 3), dtype=np.uint8)
    colors[0, 2, 3, 5] = colors[0, 7, 0, 0] = (255, 1, 128)
    field = color_input(colors)[0]
    expected = torch.tensor([1.0, 1 / 127.5 - 1, 128 / 127.5 - 1]).reshape(3, 1, 1, 1)
    torch.testing.assert_close(field[:3], expected.expand(3, 8, 8, 8))
    assert field[3].sum() == 2


def test_a_shape_without_colors_is_zero() -> None:
    assert not color_input(np.zeros((1, 4, 4, 4, 3), dtype=np.uint8)).any()


def test_the_nearest_blocks_fill_first() -> None:
    values, known = torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4)
    for place, value in (((0, 0, 0), 1.0), ((0, 0, 1), 3.0), ((3, 3, 3), 8.0)):
        values[(0, 0, *place)] = value
        known[(0, 0, *place)] = 1
    filled = fill_unknown(values, known)[0, 0]
    # Known values stay. Blocks of 2^3: the mean 2 at one corner, 8 at the other, and their mean 5
    # in the six between; trilinear interpolation with half of the samples outside: at the corner
    # (0, 1, 0) the coarse coordinates are (0, 1/4, 0).
    assert filled[0, 0, 0] == 1 and filled[0, 0, 1] == 3 and filled[3, 3, 3] == 8
    torch.testing.assert_close(filled[0, 1, 0], torch.tensor(0.75 * 2 + 0.25 * 5))
    torch.testing.assert_close(filled[3, 3, 2], torch.tensor(0.75 * 8 + 0.25 * 5))
    torch.testing.assert_close(filled[0, 3, 0], torch.tensor(5.0))


def test_odd_sides_are_filled_by_the_mean() -> None:
    values, known = torch.zeros(1, 1, 3, 3, 3), torch.zeros(1, 1, 3, 3, 3)
    values[0, 0, 0, 0, 0], values[0, 0, 2, 2, 2] = 1.0, 4.0
    known[0, 0, 0, 0, 0] = known[0, 0, 2, 2, 2] = 1
    filled = fill_unknown(values, known)[0, 0]
    assert filled[0, 0, 0] == 1 and filled[2, 2, 2] == 4
    assert filled[1, 1, 1] == 2.5 and filled.sum() == 5 + 25 * 2.5


def test_filling_commutes_with_the_symmetries_of_the_cube() -> None:
    random = torch.Generator().manual_seed(0)
    known = (torch.rand(1, 1, 8, 8, 8, generator=random) < 0.1).float()
    values = torch.randn(1, 2, 8, 8, 8, generator=random) * known
    filled = fill_unknown(values, known)[0]
    for symmetry in range(NUM_SYMMETRIES):
        turned = fill_unknown(turn(values[0], symmetry)[None], turn(known[0], symmetry)[None])[0]
        torch.testing.assert_close(turned, turn(filled, symmetry), rtol=1e-5, atol=1e-6)

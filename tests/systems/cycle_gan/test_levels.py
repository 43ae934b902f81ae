"""The baseline of translations against levels worked out by hand."""

import pytest
import torch

from triform.systems.cycle_gan.levels import match_levels


def pixels(*levels: int) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8).view(1, 1, 1, -1)


def test_each_level_becomes_the_one_at_the_same_share():
    # 0 holds the lower half (middle 1/4), 100 the upper (middle 3/4); of 10, 20, 30, 40, 50 those
    # shares are 20 and 40
    of, to = pixels(0, 0, 100, 100), pixels(10, 20, 30, 40, 50)
    assert match_levels(pixels(100, 0), of, to).flatten().tolist() == [40, 20]
    assert match_levels(pixels(100, 0), of, to, falling=True).flatten().tolist() == [20, 40]


def test_levels_never_met_lie_between_their_neighbours():
    of, to = pixels(0, 0, 100, 100), pixels(10, 20, 30, 40, 50)
    assert match_levels(pixels(50, 255), of, to).flatten().tolist() == [30, 50]


def test_channels_are_matched_apart():
    of = torch.cat([pixels(0, 200), pixels(0, 200)], 1)
    to = torch.cat([pixels(1, 1), pixels(9, 9)], 1)
    changed = match_levels(of, of, to)
    assert changed.shape == of.shape and changed.dtype == torch.uint8
    assert changed[0, 0].unique().tolist() == [1] and changed[0, 1].unique().tolist() == [9]


@pytest.mark.parametrize("falling", [False, True])
def test_an_inversion_is_undone_by_one_direction_alone(falling):
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    found = match_levels(images, images, 255 - images, falling=falling)
    assert (found.int() - (255 - images.int())).abs().max() <= (1 if falling else 255)
    assert torch.equal(found, 255 - images) is falling or falling

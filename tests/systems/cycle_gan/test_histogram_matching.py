"""The baseline of translations against levels worked out by hand."""

import pytest
import torch

from triform.systems.cycle_gan.histogram_matching import match_histograms


def pixels(*levels: int) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8).view(1, 1, 1, -1)


def test_each_level_becomes_the_one_at_the_same_share():
    # 0 holds the lower half (middle 1/4), 100 the upper (middle 3/4); of 10, 20, 30, 40, 50 those
    # shares are 20 and 40
    source, reference = pixels(0, 0, 100, 100), pixels(10, 20, 30, 40, 50)
    assert match_histograms(pixels(100, 0), source, reference).flatten().tolist() == [40, 20]
    assert match_histograms(pixels(100, 0), source, reference, invert=True).flatten().tolist() == [
        20,
        40,
    ]


def test_levels_never_met_lie_between_their_neighbours():
    source, reference = pixels(0, 0, 100, 100), pixels(10, 20, 30, 40, 50)
    assert match_histograms(pixels(50, 255), source, reference).flatten().tolist() == [30, 50]


def test_channels_are_matched_apart():
    source = torch.cat([pixels(0, 200), pixels(0, 200)], 1)
    reference = torch.cat([pixels(1, 1), pixels(9, 9)], 1)
    changed = match_histograms(source, source, reference)
    assert changed.shape == source.shape and changed.dtype == torch.uint8
    assert changed[0, 0].unique().tolist() == [1] and changed[0, 1].unique().tolist() == [9]


@pytest.mark.parametrize("invert", [False, True])
def test_an_inversion_is_undone_by_one_direction_alone(invert):
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    found = match_histograms(images, images, 255 - images, invert=invert)
    assert (found.int() - (255 - images.int())).abs().max() <= (1 if invert else 255)
    assert torch.equal(found, 255 - images) is invert or invert

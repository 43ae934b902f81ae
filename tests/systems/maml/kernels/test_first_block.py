"""The first block of learners of tasks: values, first and second derivatives are torch's."""

import pytest
import torch
from second_order import derivatives
from torch.nn import functional as F

from triform.systems.maml.kernels.first_block import extract_patches, first_block

GROUPS, WIDTH, EPS = 4, 8, 1e-5


def glyphs(tasks: int, count: int, channels: int, rows: int, columns: int) -> torch.Tensor:
    """Images as they are given to the block: mostly constant, with a few strokes."""
    generator = torch.Generator().manual_seed(0)
    strokes = torch.rand(tasks, count, channels, rows, columns, generator=generator).double()
    return torch.where(strokes > 0.8, 10 * strokes - 9, -1.0)


def weights(tasks: int, channels: int) -> list[torch.Tensor]:
    """Of the convolution and the norm, of which some are negative."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((tasks, WIDTH, channels, 3, 3), (tasks, WIDTH), (tasks, WIDTH))
    return [torch.randn(shape, generator=generator).double() for shape in shapes]


def plain(images: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
    """The usual layers, one task after the other."""

    def one(own, conv, weight, bias):
        normed = F.group_norm(F.conv2d(own, conv, padding=1), GROUPS, weight, bias, EPS)
        return F.max_pool2d(F.relu(normed), 2)

    return torch.cat([one(*task) for task in zip(images, *given, strict=True)], 1)


@pytest.mark.parametrize(("channels", "rows", "columns"), [(1, 8, 8), (3, 7, 5)])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_block_is_the_usual_layers(channels, rows, columns, threads):
    images, inputs = glyphs(2, 3, channels, rows, columns), weights(2, channels)
    actual = extract_patches(images)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = derivatives(lambda *own: first_block(actual, *own, GROUPS, EPS), *inputs)
    finally:
        torch.set_num_threads(before)
    theirs = derivatives(lambda *own: plain(images, *own), *inputs)
    assert len(ours) == 7
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_constant_areas_cost_no_digits():
    """In float32, on images of which most is the same value."""
    images, inputs = glyphs(2, 3, 1, 28, 28), weights(2, 1)
    exact = derivatives(lambda *own: plain(images, *own), *inputs)
    actual = extract_patches(images.float())
    lower = [tensor.float() for tensor in inputs]
    ours = derivatives(lambda *own: first_block(actual, *own, GROUPS, EPS), *lower)
    for a, b in zip(ours, exact, strict=True):
        assert (a - b).norm() < 1e-5 * b.norm()

"""The layers of learning to learn: values, first and second derivatives are torch's."""

import pytest
import torch
from second_order import derivatives
from torch.nn import functional as F

from triform.systems.maml.kernels.episode_conv import Precision, episode_conv
from triform.systems.maml.kernels.norm_pool import norm_pool


@pytest.mark.parametrize(("rows", "columns", "groups"), [(6, 4, 4), (7, 5, 8), (2, 3, 1)])
@pytest.mark.parametrize("threads", [1, 2])
def test_norm_pool_is_norm_relu_and_maximum(rows, columns, groups, threads):
    """Negative weights of the norm included, for which the largest was the smallest before."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(5, 8, rows, columns, generator=generator).double() + 3
    weight, bias = torch.randn(2, 8, generator=generator).double()

    def plain(x, w, b):
        return F.max_pool2d(F.relu(F.group_norm(x, groups, w, b, 1e-3)), 2)

    def fused(x, w, b):
        return norm_pool(x, w, b, groups, 1e-3)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = derivatives(fused, maps, weight, bias)
    finally:
        torch.set_num_threads(before)
    theirs = derivatives(plain, maps, weight, bias)
    assert len(ours) == 7
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_norm_pool_keeps_its_digits_far_from_zero():
    """Statistics of a large map whose mean is many times its spread."""
    maps = torch.randn(2, 8, 64, 64, generator=torch.Generator().manual_seed(0)) + 100
    one, zero = torch.ones(8), torch.zeros(8)
    exact = F.max_pool2d(F.relu(F.group_norm(maps.double(), 8)), 2)
    ours = norm_pool(maps, one, zero, 8, 1e-5)
    assert (ours - exact).norm() < 3e-5 * exact.norm()


@pytest.mark.parametrize("channels", [1, 4])
def test_task_conv_is_a_convolution_of_each_task(channels):
    tasks = 3
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, tasks * channels, 5, 6, generator=generator).double()
    weight = torch.randn(tasks * 4, channels, 3, 3, generator=generator).double()

    def one_by_one(x, w):
        pairs = zip(x.chunk(tasks, 1), w.chunk(tasks), strict=True)
        return torch.cat([F.conv2d(part, own, padding=1) for part, own in pairs], 1)

    ours = derivatives(lambda x, w: episode_conv(x, w, tasks), maps, weight)
    theirs = derivatives(one_by_one, maps, weight)
    assert len(ours) == 6
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    inputs = maps.float(), weight.float()
    plain = derivatives(one_by_one, *inputs)
    # First derivatives are differentiated again here, and stay exact.
    for precision, exact in (
        (Precision(True, True), (1, 2)),
        (Precision(outer_bf16=True), (0, 1, 2)),
    ):
        low = derivatives(lambda x, w, p=precision: episode_conv(x, w, tasks, p), *inputs)
        for number, (a, b) in enumerate(zip(low, plain, strict=True)):
            assert a.dtype == torch.float32
            if number in exact:
                torch.testing.assert_close(a, b)
            else:
                assert 0 < (a - b).norm() < 0.02 * b.norm()

"""Denormal numbers are flushed where it is asked for, and nowhere else."""

import pytest
import torch

from triform.base.denormals import are_flushed, flushed_denormals

pytestmark = pytest.mark.skipif(
    not torch.set_flush_denormal(False), reason="hardware: this processor cannot flush denormals"
)


def test_flushed_inside_and_put_back():
    assert not are_flushed()
    with flushed_denormals():
        assert are_flushed()
        with flushed_denormals():
            assert are_flushed()
        assert are_flushed()
    assert not are_flushed()
    with pytest.raises(ValueError), flushed_denormals():
        raise ValueError
    assert not are_flushed()

"""The loss of a rectified flow by hand."""

import pytest
import torch

from triform.losses.rectified_flow import flow_loss


def test_the_true_velocity_has_no_loss():
    noise, data = torch.randn(4, 6), torch.randn(4, 6)
    assert flow_loss(data - noise, data, noise) == 0
    torch.testing.assert_close(
        flow_loss(torch.zeros(4, 6), data, noise), (data - noise).square().mean()
    )


def test_a_velocity_that_is_two_off_in_half_of_its_numbers():
    data, noise = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, 1.0]])
    assert float(flow_loss(torch.tensor([[0.5, 0.0]]), data, noise)) == pytest.approx(2.0)

"""Volume rendering of a box of constant density, whose integral is known."""

import math

import torch

from triform.systems.shap_e.config import TransmitterConfig
from triform.systems.shap_e.transmitter.decoder import FieldValues
from triform.systems.shap_e.transmitter.volume_rendering import (
    box_range,
    important,
    render_rays,
    stratified,
)


class Fog:
    """Density 0.7 of one colour everywhere in the box."""

    config = TransmitterConfig(coarse_samples=16, fine_samples=16)
    color = (0.2, 0.5, 0.9)

    def query(self, weights, positions, directions=None):
        shape = positions.shape[:2]
        colors = torch.tensor(self.color).expand(*shape, 2, 3)
        density = torch.full((*shape, 2), 0.7)
        return FieldValues(torch.zeros(shape), colors[:, :, 0], density, colors)


RAYS = torch.tensor([[[0.0, 0, 4], [0.5, 0.5, 4], [3.0, 0, 4]]])
DOWN = torch.tensor([[[0.0, 0, -1]]]).expand(1, 3, 3)


def test_rays_enter_and_leave_the_box():
    start, end, meets = box_range(RAYS, DOWN)
    assert meets.tolist() == [[True, True, False]]
    torch.testing.assert_close(start[0, :2], torch.tensor([3.0, 3.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(end[0, :2], torch.tensor([5.0, 5.0]), atol=1e-4, rtol=0)


def test_fog_dims_by_the_exponential_of_its_depth():
    random = torch.Generator().manual_seed(0)
    colors, transmittance = render_rays(Fog(), [], RAYS, DOWN, random)
    expected = math.exp(-0.7 * 2)
    torch.testing.assert_close(
        transmittance, torch.tensor([[expected, expected, 1.0]]), atol=1e-4, rtol=0
    )
    fog = (1 - expected) * torch.tensor(Fog.color) + expected  # on white
    torch.testing.assert_close(colors[0], torch.stack([fog, fog, torch.ones(3)]), atol=1e-4, rtol=0)


def test_samples_lie_in_their_intervals_and_where_the_weight_is():
    random = torch.Generator().manual_seed(0)
    start, end = torch.zeros(1, 2), torch.ones(1, 2)
    distance = stratified(start, end, 10, random)
    assert (distance.diff(dim=-1) > 0).all() and distance.min() >= 0 and distance.max() <= 1
    weight = torch.zeros(1, 2, 10)
    weight[0, 0, 2], weight[0, 1, 7] = 1.0, 1.0
    fine = important(distance, weight, start, end, 50, random)
    for ray, index in ((0, 2), (1, 7)):
        low = (distance[0, ray, index - 1] + distance[0, ray, index]) / 2
        high = (distance[0, ray, index] + distance[0, ray, index + 1]) / 2
        assert ((fine[0, ray] >= low) & (fine[0, ray] <= high)).float().mean() > 0.9

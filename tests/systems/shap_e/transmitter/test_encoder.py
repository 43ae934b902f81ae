"""The encoder with all of its inputs: gradients, batches, and what it refuses."""

import pytest
import torch

from triform.base.errors import UserError
from triform.systems.shap_e.config import TransmitterConfig
from triform.systems.shap_e.transmitter.point_conv import farthest_points, neighbours, take
from triform.systems.shap_e.transmitter.transmitter import Transmitter, saturation
from triform.systems.shap_e.transmitter.views import Views, pixel_positions, pixel_rays

CONFIG = TransmitterConfig(
    encoder_width=16,
    encoder_layers=3,
    encoder_heads=2,
    data_tokens=6,
    inner_points=10,
    inner_views=2,
    unrolls=2,
    position_encoding=True,
    use_point_conv=True,
    point_conv_hidden=(8, 16),
    point_conv_samples=4,
    point_conv_patch=2,
    view_size=8,
    view_patch=4,
    latent_width=8,
    hidden=6,
    hidden_layers=5,
)


def inputs(batch: int = 2, views: int = 3) -> tuple[torch.Tensor, Views]:
    random = torch.Generator().manual_seed(0)
    points = torch.rand(batch, 12, 6, generator=random) * 2 - 1
    size = CONFIG.view_size
    shape = (batch, views, 1, size, size)
    axes = torch.diag(torch.tensor([1.0, -1.0, -1.0])).expand(batch, views, 3, 3)
    return points, Views(
        torch.rand(batch, views, 3, size, size, generator=random) * 2 - 1,
        torch.rand(shape, generator=random) > 0.3,
        3.5 + torch.rand(shape, generator=random),
        torch.tensor([0.0, 0.0, 4.0]).expand(batch, views, 3),
        axes,
        torch.full((batch, views), 0.7),
    )


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    transmitter = Transmitter(CONFIG)
    points, views = inputs()
    positions = torch.rand(2, 20, 3) * 2 - 1
    unbounded, latents, field, colors = transmitter(points, generators(2), positions, 0.1, views)
    assert torch.equal(latents, torch.tanh(unbounded))
    weights = transmitter.decoder.weights(latents)
    rays = torch.nn.functional.normalize(positions, dim=-1)
    values = transmitter.decoder.query(weights, positions, rays)
    total = field.sum() + colors.sum() + values.density.sum() + values.nerf_colors.sum()
    total.backward()
    missing = [
        name
        for name, parameter in transmitter.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not missing


def test_frequencies_of_positions_are_those_of_the_settings():
    """Of a point 6 channels and their sines and cosines of 2 frequencies: 30 numbers."""
    transmitter = Transmitter(CONFIG.model_copy(update={"position_degrees": 2}))
    assert transmitter.encoder.input_proj.weight.shape == (16, 30)
    point = torch.tensor([[[0.5, -0.25, 0.0, 1.0, 0.0, 0.0]]])
    encoder_input = torch.cat(
        [point, point.sin(), (2 * point).sin(), point.cos(), (2 * point).cos()], -1
    )
    projection = transmitter.encoder.input_proj
    expected = torch.nn.functional.linear(encoder_input, projection.weight, projection.bias)
    torch.testing.assert_close(projection(point), expected)
    # Of a decoded position 3 (1 + 2 * 2) numbers.
    latents = torch.zeros(1, transmitter.config.latent_vectors, 8)
    assert transmitter.decoder.weights(latents)[0].shape == (1, 6, 15)
    assert transmitter.decoder(latents, point[..., :3])[0].shape == (1, 1)


@torch.no_grad()
def test_a_latent_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    transmitter = Transmitter(CONFIG).eval()
    points, views = inputs()
    both = transmitter.encode(points, views, generators(2))
    second = Views(*(getattr(views, name)[1:] for name in Views.__dataclass_fields__))
    alone = transmitter.encode(points[1:], second, generators(2)[1:])
    torch.testing.assert_close(both[1:], alone, rtol=1e-5, atol=1e-6)
    again = transmitter.encode(points, views, generators(2))
    assert torch.equal(both, again)
    other = transmitter.encode(points, views, [torch.Generator().manual_seed(9)] * 2)
    assert not torch.equal(both, other)
    assert both.abs().max() <= 1 and saturation(torch.tensor([0.0, -1.0, 0.9995, 0.99])) == 0.5


def test_too_few_points_or_views_are_one_line():
    transmitter = Transmitter(CONFIG)
    points, views = inputs(views=1)
    with pytest.raises(UserError, match="point clouds of 9 points, the encoder needs 10"):
        transmitter.encode(points[:, :9], views, generators(2))
    for given in (views, None):
        with pytest.raises(UserError, match=r"views with depth and camera, the encoder needs 2"):
            transmitter.encode(points, given, generators(2))


def test_farthest_points_and_neighbours_on_a_line():
    points = torch.zeros(1, 5, 3)
    points[0, :, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0])
    selected = farthest_points(points, 3)
    assert selected.tolist() == [[0, 4, 3]]
    centers = take(points, selected)
    found = neighbours(points, centers, 1.5, 3)
    # The first within the radius, filled up by the first of them.
    assert found.tolist() == [[[0, 1, 0], [4, 4, 4], [2, 3, 2]]]


def test_pixels_are_where_the_camera_sees_them():
    """A camera at z = 4 that looks down the axis, with the corners of its image at 0.35 rad."""
    _, views = inputs(batch=1, views=1)
    rays = pixel_rays(views)[0, 0]
    torch.testing.assert_close(rays.norm(dim=0), torch.ones(8, 8))
    edge = float(torch.tan(torch.tensor(0.35)))
    corner = rays[:, 0, 0] / -rays[2, 0, 0]
    torch.testing.assert_close(corner, torch.tensor([-edge, edge, -1.0]))
    positions = pixel_positions(views)[0, 0]
    torch.testing.assert_close(4 - positions[2], views.depth[0, 0, 0])

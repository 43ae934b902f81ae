"""The linear code of whole shapes: principal components, scales, and the order of numbers."""

from __future__ import annotations

import numpy as np
import torch

from triform.layers.rectified_flow import integrate
from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.config import ModelConfig
from triform.systems.shape_flow.layout import Layout, LayoutFlow

CELLS = 2


def latents(count: int) -> torch.Tensor:
    """Latents on a 5-dimensional subspace with its own scale and centre for each channel."""
    random = torch.Generator().manual_seed(0)
    basis = torch.randn(5, 3 * CELLS**3, generator=random)
    weights = torch.randn(count, 5, generator=random) * torch.tensor([5.0, 4, 3, 2, 1])
    scale = torch.tensor([1.0, 3.0, 0.2]).reshape(3, 1, 1, 1)
    return (weights @ basis).reshape(count, 3, CELLS, CELLS, CELLS) * scale + 2 * scale


def test_as_many_components_as_the_data_has_lose_nothing() -> None:
    z = latents(40)
    layout = Layout(ModelConfig(latent_channels=3, layout_dim=5), CELLS)
    layout.fit(z)
    code, reconstruction = layout(layout.normalize(z))
    torch.testing.assert_close(layout.denormalize(reconstruction), z, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(layout.decode(code), reconstruction, atol=1e-4, rtol=1e-4)


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    z = latents(40)
    layout = Layout(ModelConfig(latent_channels=3, layout_dim=3), CELLS)
    layout.fit(z)
    x = layout.normalize(z).flatten(1).numpy()
    centered = x - x.mean(0)
    _, _, directions = np.linalg.svd(centered, full_matrices=False)
    best = centered @ directions[:3].T @ directions[:3] + x.mean(0)
    np.testing.assert_allclose(
        layout(layout.normalize(z))[1].flatten(1).numpy(force=True), best, atol=1e-3
    )


def test_channels_are_normalized_and_codes_scaled() -> None:
    z = latents(60)
    layout = Layout(ModelConfig(latent_channels=3, layout_dim=4), CELLS)
    layout.fit(z)
    x = layout.normalize(z)
    torch.testing.assert_close(x.mean((0, 2, 3, 4)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.square().mean((0, 2, 3, 4)), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(layout.denormalize(x), z, atol=1e-5, rtol=1e-5)
    deviations = layout(x)[0].std(0, correction=0)
    expected = (layout.code_std / layout.code_std.max()).sqrt()
    torch.testing.assert_close(deviations, expected, atol=1e-4, rtol=1e-4)


def test_more_numbers_than_components_are_not_used() -> None:
    z = latents(4)
    layout = Layout(ModelConfig(latent_channels=3, layout_dim=16), CELLS)
    layout.fit(z)
    code, reconstruction = layout(layout.normalize(z))
    torch.testing.assert_close(layout.denormalize(reconstruction), z, atol=1e-3, rtol=1e-3)
    assert (code[:, 4:] == 0).all() and torch.isfinite(code).all()


def unknown_condition(count: int) -> Condition:
    return Condition(
        torch.zeros(count, 2, dtype=torch.long),
        torch.zeros(count, 1, 8),
        torch.zeros(count, 1, dtype=torch.bool),
        torch.zeros(count, 8),
    )


def test_preconditioning_alone_carries_noise_to_numbers_of_the_known_deviations() -> None:
    """x_t = sqrt((1 - t)^2 + t^2 s^2) noise is the path of the flow between Gaussians."""
    model = ModelConfig(layout_dim=4, layout_width=16, layout_blocks=1, condition_dim=16)
    flow = LayoutFlow(model, (3, 2), text_dim=8)
    torch.nn.init.zeros_(flow.proj_out.weight)
    torch.nn.init.zeros_(flow.proj_out.bias)
    flow.std.copy_(torch.tensor([1.0, 0.5, 0.1, 0.02]))
    noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    nothing = unknown_condition(6)
    with torch.no_grad():
        code = integrate(lambda x, t: flow(x, t, nothing), noise, 400)
    torch.testing.assert_close(code, flow.std * noise, atol=2e-3, rtol=0)


def test_normalized_deviations() -> None:
    layout = Layout(ModelConfig(latent_channels=3, layout_dim=4), CELLS)
    z = latents(60)
    layout.fit(z)
    code = layout(layout.normalize(z))[0]
    torch.testing.assert_close(
        code.std(0, correction=0), layout.normalized_std, atol=1e-4, rtol=1e-4
    )


def test_outputs_are_scaled_to_what_is_left_to_predict() -> None:
    """By the deviation of the data at noise, and by 1 at data."""
    model = ModelConfig(layout_dim=2, layout_width=16, layout_blocks=1, condition_dim=16)
    flow = LayoutFlow(model, (3, 2), text_dim=8)
    torch.nn.init.zeros_(flow.proj_out.weight)
    flow.std.copy_(torch.tensor([0.5, 0.1]))
    x_t, t = torch.randn(3, 2), torch.tensor([0.0, 0.5, 1.0])
    velocities = []
    for bias in (0.0, 1.0):
        torch.nn.init.constant_(flow.proj_out.bias, bias)
        velocities.append(flow(x_t, t, unknown_condition(3)))
    middle = [0.5 / (0.25 + 0.0625) ** 0.5, 0.1 / (0.25 + 0.0025) ** 0.5]
    expected = torch.tensor([[0.5, 0.1], middle, [1.0, 1.0]])
    torch.testing.assert_close(velocities[1] - velocities[0], expected, rtol=1e-5, atol=1e-5)

"""The linear code of whole shapes: principal components, scales, and the order of numbers."""

from __future__ import annotations

import numpy as np
import torch

from triform.systems.shape_flow.config import ModelConfig
from triform.systems.shape_flow.layout import Layout

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


def test_normalized_deviations() -> None:
    layout = Layout(ModelConfig(latent_channels=3, layout_dim=4), CELLS)
    z = latents(60)
    layout.fit(z)
    code = layout(layout.normalize(z))[0]
    torch.testing.assert_close(
        code.std(0, correction=0), layout.normalized_std, atol=1e-4, rtol=1e-4
    )

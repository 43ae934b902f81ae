"""The autoencoder: sizes, order of patches, and that a cell sees its neighbourhood only."""

from __future__ import annotations

import pytest
import torch

from triform.geometry.voxels.signed_distance import TRUNCATION
from triform.systems.shape_flow.autoencoder import Autoencoder, pack_patches, unpack_patches
from triform.systems.shape_flow.config import ModelConfig

SMALL = ModelConfig(
    latent_channels=3, encoder_widths=(4, 6), decoder_widths=(4, 6), decoder_blocks=(1, 1)
)


@pytest.fixture
def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(SMALL).eval()


def test_sizes(autoencoder: Autoencoder) -> None:
    distance, colors = torch.randn(2, 1, 32, 32, 32), torch.randn(2, 4, 16, 16, 16)
    noise = torch.zeros(2, *autoencoder.latent_shape(32))
    decoded, decoded_colors, mean, logvar = autoencoder(distance, colors, noise)
    assert decoded.shape == distance.shape and decoded_colors.shape == (2, 3, 16, 16, 16)
    assert mean.shape == logvar.shape == (2, 3, 4, 4, 4) == noise.shape


def test_noise_moves_the_latent_by_the_posteriors_deviation(autoencoder: Autoencoder) -> None:
    distance, colors = torch.randn(1, 1, 16, 16, 16), torch.randn(1, 4, 8, 8, 8)
    noise = torch.randn(1, 3, 2, 2, 2)
    decoded, _, mean, logvar = autoencoder(distance, colors, noise)
    expected = autoencoder.decoder(mean + noise * (logvar / 2).exp())[0]
    torch.testing.assert_close(decoded, expected)


def test_patches_lie_where_their_channels_say() -> None:
    """Channel c size^3 + (i size + j) size + k of a patch is its sample (i, j, k)."""
    x = torch.zeros(1, 2 * 8, 2, 3, 4)
    x[0, 8 + 4 * 1 + 2 * 0 + 1, 1, 2, 3] = 7
    places = unpack_patches(x, 2)
    assert places.shape == (1, 2, 4, 6, 8)
    assert places[0, 1, 2 * 1 + 1, 2 * 2 + 0, 2 * 3 + 1] == 7 and places.count_nonzero() == 1


def test_packing_is_the_inverse_of_unpacking() -> None:
    x = torch.randn(2, 3 * 8, 2, 3, 4)
    torch.testing.assert_close(pack_patches(unpack_patches(x, 2), 2), x, rtol=0, atol=0)


def test_the_refinement_starts_as_the_identity_and_then_corrects(autoencoder: Autoencoder) -> None:
    refined = Autoencoder(SMALL.model_copy(update={"refine_width": 4})).eval()
    missing, unexpected = refined.load_state_dict(autoencoder.state_dict(), strict=False)
    assert {name.split(".")[1] for name in missing} == {"refine"} and not unexpected
    z = torch.randn(1, 3, 3, 3, 3)
    before, after = autoencoder.decoder(z), refined.decoder(z)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert refined.decoder.refine is not None
    with torch.no_grad():  # one number of the residual: samples (1, 0, 1) of all patches of 2^3
        refined.decoder.refine.out.bias[0b101] = 2.0
    moved = refined.decoder(z)[0] - before[0]
    expected = torch.zeros_like(moved)
    expected[..., 1::2, 0::2, 1::2] = 2.0 * TRUNCATION
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_every_parameter_of_the_refinement_learns() -> None:
    torch.manual_seed(0)
    refinement = Autoencoder(SMALL.model_copy(update={"refine_width": 4})).decoder.refine
    assert refinement is not None
    torch.nn.init.normal_(refinement.out.weight)
    fields = refinement(
        torch.randn(1, 4, 2, 2, 2), torch.randn(1, 1, 8, 8, 8), torch.randn(1, 3, 4, 4, 4)
    )
    sum(field.square().sum() for field in fields).backward()
    for name, parameter in refinement.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_far_samples_do_not_change_a_latent_cell(autoencoder: Autoencoder) -> None:
    colors = torch.zeros(1, 4, 48, 16, 16)
    first = torch.randn(1, 1, 96, 32, 32)
    second = first.clone()
    second[:, :, 64:] += 1
    a, b = (autoencoder.encoder(field, colors)[0] for field in (first, second))
    torch.testing.assert_close(a[:, :, :4], b[:, :, :4], rtol=0, atol=0)
    assert not torch.equal(a[:, :, 8:], b[:, :, 8:])


def test_far_cells_do_not_change_a_sample(autoencoder: Autoencoder) -> None:
    first = torch.randn(1, 3, 12, 4, 4)
    second = first.clone()
    second[:, :, 10:] += 1
    a, b = (autoencoder.decoder(z)[0] for z in (first, second))
    # Three convolutions of cells and three of half cells reach less than five cells.
    torch.testing.assert_close(a[:, :, : 8 * 5], b[:, :, : 8 * 5], rtol=0, atol=0)
    assert not torch.equal(a[:, :, 8 * 10 :], b[:, :, 8 * 10 :])


def test_decoding_moves_with_the_cells(autoencoder: Autoencoder) -> None:
    """Weights are shared over places: away from the border, a moved latent gives a moved field."""
    z = torch.randn(1, 3, 14, 4, 4)
    field, moved = autoencoder.decoder(z)[0], autoencoder.decoder(z.roll(1, dims=2))[0]
    torch.testing.assert_close(
        moved[:, :, 8 * 6 : 8 * 9], field[:, :, 8 * 5 : 8 * 8], rtol=1e-4, atol=1e-5
    )

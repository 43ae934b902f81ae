import pytest
import torch

from triform.systems.voxel_gan.config import ModelConfig
from triform.systems.voxel_gan.convolutional import Discriminator
from triform.systems.voxel_gan.loss import vae_loss
from triform.systems.voxel_gan.model import build_cvae, build_discriminator, width_scaled


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_documented_networks_have_the_original_sizes() -> None:
    cvae = build_cvae(ModelConfig(), voxel_size=64)
    assert count(cvae.encoder) == 6_949_600
    assert count(cvae.decoder) == 13_256_929
    assert count(cvae) == 20_206_529
    assert count(build_discriminator(ModelConfig(), voxel_size=64)) == 2_771_425


def test_weight_names_are_the_original_ones() -> None:
    cvae = build_cvae(ModelConfig(use_batch_norm=True), voxel_size=32)
    names = {name.rsplit(".", 1)[0] for name, _ in cvae.named_parameters()}
    layers = range(1, 5)
    assert names == {
        *(f"encoder.conv{i}" for i in layers),
        *(f"encoder.bn{i}" for i in layers),
        *("encoder.fc_mu", "encoder.fc_logvar", "decoder.fc"),
        *(f"decoder.deconv{i}" for i in layers),
        *(f"decoder.bn_deconv{i}" for i in range(1, 4)),
    }
    plain = Discriminator(ModelConfig(), 32)
    assert {name for name, _ in plain.named_parameters() if name.endswith("weight")} == {
        *(f"conv.{i}.weight" for i in (0, 2, 4, 6)),
        "fc.weight",
    }


@pytest.mark.parametrize("use_batch_norm", [False, True])
@pytest.mark.parametrize("dropout_rate", [0.0, 0.2])
@pytest.mark.parametrize("num_layers", [2, 3])
def test_every_parameter_of_every_variant_gets_a_gradient(
    use_batch_norm: bool, dropout_rate: float, num_layers: int
) -> None:
    torch.manual_seed(0)
    model = ModelConfig(
        latent_dim=6,
        cond_dim=5,
        hidden_channels=8,
        use_batch_norm=use_batch_norm,
        dropout_rate=dropout_rate,
        num_encoder_layers=num_layers,
        num_decoder_layers=num_layers,
        disc_hidden_channels=8,
        disc_num_layers=num_layers,
    )
    cvae, discriminator = build_cvae(model, 16), build_discriminator(model, 16)
    voxels = (torch.rand(3, 1, 16, 16, 16) < 0.2).float()
    logits, mu, logvar, z = cvae(voxels, torch.randn(3, 5), torch.randn(3, 6))
    assert logits.shape == voxels.shape
    assert mu.shape == logvar.shape == z.shape == (3, 6)
    realness = discriminator(torch.sigmoid(logits))
    assert realness.shape == (3, 1)
    (realness.sum() + logits.square().mean()).backward()
    for network in (cvae, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_every_parameter_has_a_learning_rate_that_fits_its_inputs() -> None:
    cvae = build_cvae(ModelConfig(), voxel_size=64)
    groups = width_scaled(cvae, 5e-3)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates)
    assert rates.keys() == {id(parameter) for parameter in cvae.parameters()}
    expected = {
        "encoder.conv1.weight": 5e-3,  # 64 inputs
        "encoder.conv2.weight": 5e-3 * 64 / (32 * 4**3),
        "encoder.fc_mu.weight": 5e-3 * 64 / 16384,
        "encoder.fc_mu.bias": 5e-3,
        "decoder.fc.weight": 5e-3 * 64 / 640,
        "decoder.deconv1.weight": 5e-3 * 64 / (256 * 2**3),
    }
    named = dict(cvae.named_parameters())
    assert {name: rates[id(named[name])] for name in expected} == pytest.approx(expected)


def test_at_the_documented_learning_rate_the_latent_stays_in_reach() -> None:
    """Plain Adam at 5e-3 throws the KL to 10^12 nats within fifty steps."""
    torch.manual_seed(0)
    model = ModelConfig(cond_dim=4)
    cvae = build_cvae(model, 32)
    optimizer = torch.optim.Adam(width_scaled(cvae, 5e-3), lr=5e-3)
    voxels = torch.zeros(4, 1, 32, 32, 32)
    for number in range(4):
        voxels[number, :, 4 : 12 + 4 * number, 4:20, 8:24] = 1
    losses = []
    for _ in range(25):
        logits, mu, logvar, _ = cvae(voxels, torch.zeros(4, 4), torch.randn(4, 128))
        loss = vae_loss(logits, voxels, mu, logvar, kl_weight=1.0, dice_weight=0.5)
        optimizer.zero_grad()
        loss["vae"].backward()
        optimizer.step()
        losses.append(loss["vae"].item())
        assert loss["kl"] < 1e4
    assert losses[-1] < 0.6 * losses[0]

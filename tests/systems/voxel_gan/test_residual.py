from itertools import pairwise

import pytest
import torch

from triform.systems.voxel_gan.config import ModelConfig
from triform.systems.voxel_gan.model import build_cvae
from triform.systems.voxel_gan.residual import PATCH_SIZE, level_sizes, unpatchify


def test_join_patches_puts_every_voxel_in_its_place() -> None:
    size = 3
    grid = torch.arange((PATCH_SIZE * size) ** 3).view(1, 1, *[PATCH_SIZE * size] * 3)
    cut = grid.view(1, size, PATCH_SIZE, size, PATCH_SIZE, size, PATCH_SIZE).permute(
        0, 2, 4, 6, 1, 3, 5
    )
    assert torch.equal(unpatchify(cut.reshape(1, PATCH_SIZE**3, size, size, size)), grid)


@pytest.mark.parametrize("voxel_size", [16, 24, 32, 48, 64, 128])
def test_no_level_is_smaller_than_three_voxels(voxel_size: int) -> None:
    # 3x3x3 convolutions on 2^3 maps have wrong bf16 gradients on some processors.
    sizes = level_sizes(voxel_size)
    assert sizes[0] == voxel_size // PATCH_SIZE
    assert min(sizes) >= 3 and all(a == 2 * b for a, b in pairwise(sizes))


@pytest.mark.parametrize("condition_decoder", [True, False])
def test_shapes_and_gradients(condition_decoder: bool) -> None:
    torch.manual_seed(0)
    model = ModelConfig(
        architecture="residual",
        latent_dim=6,
        cond_dim=5,
        hidden_channels=8,
        condition_decoder=condition_decoder,
    )
    cvae = build_cvae(model, 32)
    for name, parameter in cvae.named_parameters():
        if "conv2" in name:  # starts at zero, which hides what is below it
            torch.nn.init.normal_(parameter, std=0.1)
    voxels = (torch.rand(2, 1, 32, 32, 32) < 0.2).float()
    cond = torch.randn(2, 5 if condition_decoder else 0)
    logits, mu, logvar, _ = cvae(voxels, cond, torch.randn(2, 6))
    assert logits.shape == voxels.shape and mu.shape == logvar.shape == (2, 6)
    (logits * torch.randn_like(logits)).sum().backward()
    for name, parameter in cvae.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name

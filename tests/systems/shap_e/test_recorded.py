"""Our networks against outputs of the original program that `benchmarks/shap_e_parity.py` recorded.

The same weights and inputs are made here again by their names; the original is not needed.
"""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from triform.systems.shap_e.config import DiffusionConfig, ModelConfig
from triform.systems.shap_e.conversion.weight_names import (
    prior_from_original,
    prior_to_original,
    transmitter_from_original,
    transmitter_to_original,
)
from triform.systems.shap_e.loss import diffusion_loss
from triform.systems.shap_e.model import Prior
from triform.systems.shap_e.noise_schedule import NoiseSchedule
from triform.systems.shap_e.samplers import Denoiser, karras_sigmas, sample_heun
from triform.systems.shap_e.transmitter.transmitter import Transmitter
from triform.systems.shap_e.transmitter.views import Views
from triform.systems.shap_e.transmitter.volume_rendering import render_rays

ROOT = Path(__file__).parents[3]
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def parity() -> ModuleType:
    """The inputs of the benchmark: its sizes, weights and conditions."""
    path = ROOT / "benchmarks" / "shap_e_inputs.py"
    spec = importlib.util.spec_from_file_location("shap_e_inputs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "recorded.json").read_text())


def assert_close(tensor: torch.Tensor, digest: dict[str, Any]) -> None:
    """The picked values of a recorded tensor, its mean and its standard deviation."""
    flat = tensor.detach().double().flatten()
    assert len(flat) == torch.tensor(digest["shape"]).prod()
    picked = flat[torch.linspace(0, len(flat) - 1, 16).long()]
    scale = max(map(abs, digest["values"]))
    assert (picked - torch.tensor(digest["values"])).abs().max() < TOLERANCE * scale
    assert abs(float(flat.mean()) - digest["mean"]) < TOLERANCE * scale
    assert abs(float(flat.std()) - digest["std"]) < TOLERANCE * scale


@pytest.mark.parametrize("kind", ["text300M", "image300M"])
@torch.no_grad()
def test_prior_losses_and_sampler(parity, recorded, kind):
    sizes, expected = parity.TINY_PRIOR, recorded[kind]
    width, vectors, channels = sizes["width"], sizes["vectors"], sizes["channels"]
    heads = sizes["heads"] // (1 + (kind == "image300M"))
    model = ModelConfig(
        model_type=kind, prior_width=width, prior_layers=sizes["layers"], prior_heads=heads
    )
    prior = Prior(model, vectors, channels, sizes["cond"]).eval()
    names = prior_to_original(prior.transformer.state_dict(), heads)
    original = {
        name: parity.weight_of(name, tuple(tensor.shape), 0.5 / width**0.5)
        for name, tensor in names.items()
    }
    prior.transformer.load_state_dict(prior_from_original(original, heads))
    x0, noise, t, cond = parity.prior_inputs(kind, sizes)
    schedule = NoiseSchedule(DiffusionConfig())
    x_t = schedule.add_noise(x0, t, noise)
    output = prior(x_t, t, cond)
    flat = torch.cat([part.flatten(1) for part in output.chunk(2, -1)], 1)
    assert_close(flat, expected["output"])
    losses = diffusion_loss(schedule, output, x0, x_t, t, noise)
    for name in ("mse", "vb"):
        assert losses[name].tolist() == pytest.approx(expected[name], rel=TOLERANCE), name
    assert expected["vb"][0] == 0  # no likelihood at the first step
    torch.manual_seed(7)
    start = torch.randn(2, vectors * channels) * 160.0
    assert_close(start, expected["start"])
    denoiser = Denoiser(prior, schedule, cond, 3.0)
    sigmas = karras_sigmas(sizes["steps"], 1e-3, 160.0)
    *_, sampled = sample_heun(denoiser, start.view(2, vectors, channels), sigmas)
    assert_close(sampled, expected["sample"])


@torch.no_grad()
def test_encoder_decoder_and_rays(parity, recorded):
    config, expected = parity.TINY_TRANSMITTER, recorded["transmitter"]
    transmitter = Transmitter(config).eval()
    names = transmitter_to_original(transmitter.state_dict(), {})
    scale = 0.5 / config.encoder_width**0.5
    original = {
        name: parity.weight_of(name, tuple(tensor.shape), scale) for name, tensor in names.items()
    }
    converted, rest = transmitter_from_original(original)
    assert not rest
    transmitter.load_state_dict(converted)
    points, views, *_ = parity.transmitter_inputs(config)
    one = Views(**{name: getattr(views, name)[:1] for name in Views.__dataclass_fields__})
    latent = transmitter.encode(points[:1], one, [torch.Generator().manual_seed(11)])
    assert_close(latent, expected["latent"])
    positions, directions, origins, aims = parity.query_inputs()
    weights = transmitter.decoder.weights(latent)
    values = transmitter.decoder.query(weights, positions, directions)
    assert_close(values.field, expected["field"])
    assert_close(values.nerf_colors[:, :, 1], expected["channels"])
    random = torch.Generator().manual_seed(13)
    rendered, _ = render_rays(transmitter.decoder, weights, origins, aims, random)
    assert_close(255 * rendered, expected["rendered"])

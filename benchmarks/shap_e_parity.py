"""Compare our Shap-E with the original program, run beside it with the same random weights.

    git clone https://github.com/openai/shap-e && git -C shap-e checkout 50131012
    python benchmarks/shap_e_parity.py shap-e [--full] [--record FILE]

Nothing of the original is part of this project. Its packages `clip` and `blobfile`, which it
imports and this comparison does not need, are replaced by empty modules. `--full` compares at the
width of the released networks, with fewer layers. `--record` writes the original's outputs at tiny
width: numbers only, for `tests/systems/shap_e/test_recorded.py`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shap_e_inputs import (
    FULL_DECODER,
    FULL_ENCODER,
    FULL_PRIOR,
    TINY_PRIOR,
    TINY_TRANSMITTER,
    digest,
    prior_inputs,
    query_inputs,
    transmitter_inputs,
    weight_of,
)
from torch import Tensor

from triform.systems.shap_e.config import DiffusionConfig, ModelConfig, TransmitterConfig
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

TOLERANCE = 1e-4
CPU = torch.device("cpu")


def fill(module: torch.nn.Module, scale: float) -> None:
    """Weights that depend on the names and shapes alone, none of them zero."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            tensor.copy_(weight_of(name, tuple(tensor.shape), scale))


def import_original(folder: Path) -> None:
    """Make the original importable without packages that are not needed here."""
    sys.path.insert(0, str(folder))
    for name in ("blobfile", "clip", "fire", "humanize", "requests"):
        if name not in sys.modules:
            try:
                __import__(name)
            except ModuleNotFoundError:
                sys.modules[name] = types.ModuleType(name)


class FakeCLIP:
    """Stands where the original loads CLIP: embeddings are given."""

    def __init__(self, width: int, grid: int):
        self.feature_dim = self.grid_feature_dim = width
        self.grid_size = grid

    def __call__(self, batch_size: int, embeddings: Any = None, **_: Any) -> Tensor:
        return embeddings


def compare_prior(kind: str, sizes: dict[str, int], record: dict[str, Any]) -> dict[str, float]:
    """Output, losses, and a sample with guidance of a prior."""
    from shap_e.diffusion.gaussian_diffusion import diffusion_from_config
    from shap_e.diffusion.k_diffusion import karras_sample
    from shap_e.models.generation import transformer

    width, layers, heads = sizes["width"], sizes["layers"], sizes["heads"]
    vectors, channels, cond_dim, grid = (sizes[k] for k in ("vectors", "channels", "cond", "grid"))
    transformer.FrozenImageCLIP = lambda device: FakeCLIP(cond_dim, grid)
    from shap_e.models.configs import model_from_config

    is_image = kind == "image300M"
    name = (
        "CLIPImageGridPointDiffusionTransformer"
        if is_image
        else ("CLIPImagePointDiffusionTransformer")
    )
    inner = {
        "name": name,
        "layers": layers,
        "width": width,
        "heads": heads,
        "time_token_cond": True,
        "use_pos_emb": True,
        "cond_drop_prob": 0.1,
        **({} if is_image else {"token_cond": True}),
    }
    original = model_from_config(
        {
            "name": "SplitVectorDiffusion",
            "inner": inner,
            "d_latent": vectors * channels,
            "latent_ctx": vectors,
        },
        CPU,
    ).eval()
    fill(original, 0.5 / width**0.5)
    ours = Prior(
        ModelConfig(model_type=kind, prior_width=width, prior_layers=layers, prior_heads=heads),
        vectors,
        channels,
        cond_dim,
    ).eval()
    state = original.state_dict()
    converted = prior_from_original(state, heads)
    ours.transformer.load_state_dict(converted)
    back = prior_to_original(ours.transformer.state_dict(), heads)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state), "conversion is not bit-equal"

    x0, noise, t, cond = prior_inputs(kind, sizes)
    batch = len(x0)
    given = cond.transpose(1, 2) if is_image else cond
    # In two steps over the whole range rounding errors grow by a factor of 80,000.
    low, high = (1e-3, 160.0) if sizes["steps"] > 2 else (0.5, 5.0)
    schedule = NoiseSchedule(DiffusionConfig())
    diffusion = diffusion_from_config(
        {"schedule": "exp", "timesteps": 1024, "mean_type": "x_start"}
    )
    flat = x0.flatten(1), noise.flatten(1)
    with torch.no_grad():
        x_t = schedule.add_noise(x0, t, noise)
        assert torch.equal(x_t.flatten(1), diffusion.q_sample(flat[0], t, flat[1]))
        expected = original(x_t.flatten(1), t, embeddings=given)
        output = ours(x_t, t, cond)
        reordered = torch.cat([part.flatten(1) for part in output.chunk(2, -1)], 1)
        true_losses = diffusion.training_losses(
            original, flat[0], t, {"embeddings": given}, noise=flat[1]
        )
        losses = diffusion_loss(schedule, output, x0, x_t, t, noise)

        steps, sigmas = sizes["steps"], karras_sigmas(sizes["steps"], low, high)
        torch.manual_seed(7)
        start = torch.randn(batch, vectors * channels) * high
        torch.manual_seed(7)
        sampled = karras_sample(
            diffusion,
            original,
            (batch, vectors * channels),
            steps,
            clip_denoised=True,
            model_kwargs={"embeddings": torch.cat([given, torch.zeros_like(given)])},
            device=CPU,
            sigma_min=low,
            sigma_max=high,
            guidance_scale=3.0,
        )
        denoiser = Denoiser(ours, schedule, cond, 3.0)
        *_, last = sample_heun(denoiser, start.view(batch, vectors, channels), sigmas)
    record[kind] = {
        "output": digest(expected),
        "mse": true_losses["mse"].tolist(),
        "vb": true_losses["vb"].tolist(),
        "sample": digest(sampled),
        "start": digest(start),
    }
    return {
        "output": relative(reordered, expected),
        "mse": relative(losses["mse"], true_losses["mse"]),
        "vb": relative(losses["vb"], true_losses["vb"]),
        "sample": relative(last.flatten(1), sampled),
    }


def original_transmitter(config: TransmitterConfig) -> Any:
    """The original's encoder and renderer with these settings."""
    from shap_e.models.configs import model_from_config

    views = config.encoder_input == "points_and_views"
    return model_from_config(
        {
            "name": "Transmitter",
            "renderer": {
                "name": "NeRSTFRenderer",
                "nerstf": {
                    "name": "MLPNeRSTFModel",
                    "d_hidden": config.hidden,
                    "n_hidden_layers": config.hidden_layers,
                    "activation": "swish",
                    "density_activation": config.density_activation,
                    "posenc_version": "nerf",
                    "insert_direction_at": config.direction_layer,
                    "meta_parameters": True,
                    "meta_bias": False,
                    "n_meta_layers": config.generated_layers,
                    "separate_nerf_channels": True,
                    "separate_coarse_channels": True,
                },
                "void": {"name": "VoidNeRFModel", "background": [255.0, 255.0, 255.0]},
                "volume": {
                    "name": "BoundingBoxVolume",
                    "bbox_min": [-1.0, -1.0, -1.0],
                    "bbox_max": [1.0, 1.0, 1.0],
                },
                "grid_size": config.grid_size,
                "n_coarse_samples": config.coarse_samples,
                "n_fine_samples": config.fine_samples,
            },
            "encoder": {
                "name": "PointCloudPerceiverChannelsEncoder",
                "cross_attention_dataset": "pcl_and_multiview_pcl" if views else "pcl",
                "params_proj": {
                    "name": "channels",
                    "use_ln": True,
                    "learned_scale": config.projection_scale,
                },
                "latent_bottleneck": {"name": "clamp_noise", "noise_scale": 0.0},
                "d_latent": config.latent_width,
                "min_unrolls": config.unrolls,
                "max_unrolls": config.unrolls,
                "width": config.encoder_width,
                "layers": config.encoder_layers,
                "xattn_layers": config.cross_layers,
                "heads": config.encoder_heads,
                "inner_batch_size": [config.inner_points, config.inner_views][: 1 + views],
                "data_ctx": config.data_tokens,
                "fps_method": config.fps_method,
                "pos_emb": "nerf" if config.position_encoding else None,
                "image_size": config.view_size,
                "patch_size": config.view_patch,
                "use_depth": True,
                "max_depth": config.max_depth,
                "use_pointconv": config.use_point_conv,
                "pointconv_radius": config.point_conv_radius,
                "pointconv_samples": config.point_conv_samples,
                "pointconv_hidden": list(config.point_conv_hidden) or None,
                "pointconv_patch_size": config.point_conv_patch,
                "pointconv_stride": config.point_conv_stride,
            },
        },
        CPU,
    ).eval()


def compare_transmitter(config: TransmitterConfig, record: dict[str, Any]) -> dict[str, float]:
    """Latents, fields, colours and rendered rays; encoding of one shape and of a batch."""
    from shap_e.models.query import Query
    from shap_e.rendering.view_data import ProjectiveCamera
    from shap_e.util.collections import AttrDict

    original = original_transmitter(config)
    fill(original, 0.5 / config.encoder_width**0.5)
    with torch.no_grad():
        original.renderer.void.background.fill_(1.0)
    ours = Transmitter(config).eval()
    converted, rest = transmitter_from_original(original.state_dict())
    ours.load_state_dict(converted)
    back = transmitter_to_original(ours.state_dict(), rest)
    state = original.state_dict()
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state), "conversion is not bit-equal"

    points, views, alpha, poses = transmitter_inputs(config)
    size, colors, depth = config.view_size, views.colors, views.depth
    results, latents = {}, None
    with torch.no_grad():
        for index in range(2):
            cameras = [
                ProjectiveCamera(*(axis.astype(np.float32) for axis in pose), size, size, 0.7, 0.7)
                for pose in poses
            ]
            one = slice(index, index + 1)
            batch = AttrDict(points=points[one].transpose(1, 2))
            batch.views, batch.depths, batch.view_alphas = colors[one], depth[one], alpha[one]
            batch["cameras"] = [cameras]
            random.randrange = lambda *_: 0  # the first of the farthest points
            torch.manual_seed(11)
            expected = original.encoder.encode_to_bottleneck(batch)
            own = [torch.Generator().manual_seed(11)]
            part = Views(**{name: getattr(views, name)[one] for name in Views.__dataclass_fields__})
            latent = ours.encode(points[one], part, own)
            results[f"latent {index}"] = relative(latent.flatten(1), expected)
            if index == 0:
                record["transmitter"] = {"latent": digest(expected)}
                latents = latent
        generators = [torch.Generator().manual_seed(11) for _ in range(2)]
        both = ours.encode(points, views, generators)
        results["batch of two"] = relative(both[:1], latents)

        positions, directions, origins, aims = query_inputs()
        params = original.encoder.bottleneck_to_params(latents.flatten(1))
        nerstf = {key.removeprefix("nerstf."): value for key, value in params.items()}
        options = AttrDict(rendering_mode="stf", nerf_level="fine")
        true_values = original.renderer.nerstf(Query(position=positions), nerstf, options)
        weights = ours.decoder.weights(latents)
        values = ours.decoder.query(weights, positions)
        results["field"] = relative(values.field, true_values.signed_distance[..., 0])
        results["stf colours"] = relative(values.stf_colors, true_values.channels)
        results["density"] = relative(values.density[..., 1], true_values.density[..., 0])
        options = AttrDict(rendering_mode="nerf", nerf_level="fine")
        true_values = original.renderer.nerstf(
            Query(position=positions, direction=directions), nerstf, options
        )
        values = ours.decoder.query(weights, positions, directions)
        results["nerf colours"] = relative(values.nerf_colors[:, :, 1], true_values.channels)

        torch.manual_seed(13)
        rendered = original.renderer.render_rays(
            AttrDict(rays=torch.stack([origins, aims], 2)),
            params=params,
            options=AttrDict(render_with_direction=False),
        )
        colors_, transmittance = render_rays(
            ours.decoder, weights, origins, aims, torch.Generator().manual_seed(13)
        )
        results["rendered rays"] = relative(255 * colors_, rendered.channels)
        results["transmittance"] = relative(transmittance, rendered.transmittance[..., 0])
    record["transmitter"] |= {
        "field": digest(true_values.signed_distance[..., 0]),
        "channels": digest(true_values.channels),
        "rendered": digest(rendered.channels),
    }
    return results


def relative(ours: Tensor, original: Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    assert ours.shape == original.shape, (ours.shape, original.shape)
    return float((ours - original).abs().max() / original.abs().max().clamp(min=1e-12))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("original", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--only", help="One part: text300M, image300M, transmitter or decoder.")
    arguments = parser.parse_args()
    import_original(arguments.original)
    torch.manual_seed(0)
    record: dict[str, Any] = {}
    worst = 0.0
    sizes = FULL_PRIOR if arguments.full else TINY_PRIOR
    transmitter = FULL_ENCODER if arguments.full else TINY_TRANSMITTER
    jobs: list[tuple[str, Any]] = [
        ("text300M", lambda: compare_prior("text300M", sizes, record)),
        (
            "image300M",
            lambda: compare_prior("image300M", {**sizes, "heads": sizes["heads"] // 2}, record),
        ),
        ("transmitter", lambda: compare_transmitter(transmitter, record)),
    ]
    if arguments.full:
        jobs.append(("decoder", lambda: compare_transmitter(FULL_DECODER, {})))
    else:
        conv = transmitter.model_copy(
            update={
                "use_point_conv": True,
                "point_conv_hidden": (24, 32),
                "point_conv_patch": 4,
                "point_conv_stride": 4,
                "position_encoding": True,
            }
        )
        jobs.append(("with point conv", lambda: compare_transmitter(conv, {})))
    for name, job in jobs:
        if arguments.only not in (None, name):
            continue
        for what, difference in job().items():
            print(f"{name:16} {what:16} {difference:.2e}", flush=True)
            worst = max(worst, difference)
    print(f"largest difference {worst:.2e}, allowed {TOLERANCE:.0e}")
    if arguments.record:
        arguments.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(not worst < TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())

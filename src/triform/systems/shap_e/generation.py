"""The verb `generate`: conditions, latents, meshes, files and previews."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.geometry.format_units import mesh_for_format
from triform.images.animation import save_animation
from triform.images.grid import save_png
from triform.images.read import read_image
from triform.pretrained.named_models import select_model
from triform.pretrained.text_encoder import TextEncoder, load_text_encoder
from triform.systems.shap_e.conditions import (
    image_conditions,
    load_patch_encoder,
    text_conditions,
)
from triform.systems.shap_e.output.mesh import ColoredMesh, decode_mesh, render_latent
from triform.systems.shap_e.output.mesh_files import SUFFIXES, save_colored_mesh
from triform.systems.shap_e.output.sample_images import draw_mesh
from triform.systems.shap_e.trained import Trained
from triform.systems.shap_e.verb_config import EvaluateConfig, GenerateConfig, SamplingConfig

logger = get_logger(__name__)

FRAMES, FRAME_RATE = 20, 10.0
"""Of a GIF: as many views as Shap-E's."""


@dataclass(frozen=True)
class Request:
    """A prompt or image, the row of its condition, and the seed of its noise."""

    label: str
    row: int
    seed: int


def encode_prompts(trained: Trained, settings: SamplingConfig, prompts: list[str]) -> Tensor:
    """Conditions (N, 1, D) of texts; empty ones need no encoder.

    Raises:
        UserError: The text encoder cannot be had, or gives other numbers than that of the training.
    """
    vectors, dim = trained.cond_shape
    if not any(prompt.strip() for prompt in prompts):
        return torch.zeros(len(prompts), vectors, dim)
    return text_conditions(load_prompt_encoder(trained, settings), prompts)


def load_prompt_encoder(trained: Trained, settings: SamplingConfig) -> TextEncoder:
    """Load the text encoder of the weights, or the one that the user names.

    Raises:
        UserError: It cannot be had, or gives other numbers than that of the training.
    """
    dim = trained.cond_shape[1]
    name = select_model(
        settings.text_encoder,
        trained.config.model.text_encoder,
        "text encoder",
        source=trained.source,
    )
    encoder = load_text_encoder(name)
    if encoder.dim != dim:
        raise UserError(
            f"--text_encoder {name}: vectors of {encoder.dim} numbers, the weights want {dim}"
        )
    return encoder


def encode_images(trained: Trained, settings: SamplingConfig, images: list[Image.Image]) -> Tensor:
    """Conditions (N, P, D) of images.

    Raises:
        UserError: The encoder cannot be had, or gives other patches than that of the training.
    """
    name = select_model(
        settings.image_encoder,
        trained.config.model.image_encoder,
        "image encoder",
        source=trained.source,
    )
    cond = image_conditions(load_patch_encoder(name), images)
    if tuple(cond.shape[1:]) != trained.cond_shape:
        raise UserError(
            f"--image_encoder {name}: {cond.shape[1]} patches of {cond.shape[2]} numbers, the "
            f"weights want {trained.cond_shape[0]} of {trained.cond_shape[1]}"
        )
    return cond


def sample_all(trained: Trained, settings: EvaluateConfig, cond: Tensor) -> Tensor:
    """A latent (B, V, W) for each condition, in batches; seeds count up."""
    parts = []
    for start in range(0, len(cond), settings.batch_size):
        part = cond[start : start + settings.batch_size]
        parts.append(
            trained.sample(
                part,
                [settings.seed + start + offset for offset in range(len(part))],
                guidance_scale=settings.guidance_scale,
                steps=settings.karras_steps,
                sigma_min=settings.sigma_min,
                sigma_max=settings.sigma_max,
            )
        )
    return torch.cat(parts)


def generate(settings: GenerateConfig) -> list[dict[str, Any]]:
    """Generate coloured meshes and save them with previews.

    Returns:
        A row per shape: its numbers and files.

    Raises:
        UsageError: Prompts for weights that want images, or the other way round; another suffix.
        UserError: No such weights or encoder; an image cannot be read.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    transmitter = trained.decoder(settings.transmitter)
    is_image = trained.config.model.model_type == "image300M"
    if settings.prompt and is_image:
        raise UsageError(f"--prompt: {trained.source} wants images (image300M); give --image")
    if settings.image and not is_image:
        raise UsageError(f"--image: {trained.source} wants prompts (text300M); give --prompt")
    labels = [path.stem for path in settings.image] if is_image else list(settings.prompt)
    if labels and is_image:
        cond = encode_images(trained, settings, [open_image(path) for path in settings.image])
    elif labels:
        cond = encode_prompts(trained, settings, labels)
    else:
        labels, cond = [""], torch.zeros(1, *trained.cond_shape)
    requests = [
        Request(label, row, settings.seed + index)
        for row, label in enumerate(labels)
        for index in range(settings.num_samples)
    ]
    files = output_files(settings, requests)
    size = settings.grid_size or transmitter.config.grid_size
    rows: list[dict[str, Any]] = []
    for start in range(0, len(requests), settings.batch_size):
        batch = requests[start : start + settings.batch_size]
        begun = time.perf_counter()
        latents = trained.sample(
            cond[[request.row for request in batch]],
            [request.seed for request in batch],
            guidance_scale=settings.guidance_scale,
            steps=settings.karras_steps,
            sigma_min=settings.sigma_min,
            sigma_max=settings.sigma_max,
        )
        seconds = (time.perf_counter() - begun) / len(batch)
        for number, (request, latent) in enumerate(zip(batch, latents, strict=True), start):
            decoded = decode_mesh(transmitter.decoder, latent, size)
            if decoded is None:
                logger.warning("%r, seed %d: the shape is empty", request.label, request.seed)
            written = write_files(settings, decoded, files[number])
            written += write_preview(
                settings, transmitter.decoder, latent, decoded, files[number][0]
            )
            rows.append(
                {
                    "prompt": request.label,
                    "seed": request.seed,
                    "vertices": 0 if decoded is None else len(decoded.mesh.vertices),
                    "faces": 0 if decoded is None else len(decoded.mesh.faces),
                    "seconds": round(seconds, 2),
                    "files": [str(path) for path in written],
                }
            )
    return rows


def open_image(path: Path) -> Image.Image:
    """An image whose background is removed where it has alpha: that becomes white.

    Raises:
        UserError: It cannot be read.
    """
    return read_image(path)


def output_files(settings: GenerateConfig, requests: list[Request]) -> list[list[Path]]:
    """Files of each shape: `output` itself for one, numbered names for several.

    Raises:
        UsageError: Another suffix.
    """
    output = Path(settings.output)
    suffix = output.suffix.lower()
    is_folder = output.is_dir() or settings.output.endswith("/") or not suffix
    if not is_folder and suffix not in SUFFIXES:
        raise UsageError(f"--output {output}: {suffix} is none of {' '.join(SUFFIXES)}")
    suffixes = [f".{name}" for name in settings.format] or [".glb" if is_folder else suffix]
    if is_folder:
        stems = [output / f"shape_{number:03d}" for number in range(1, len(requests) + 1)]
    elif len(requests) == 1:
        stems = [output.with_suffix("")]
    else:
        stem = output.with_suffix("")
        stems = [stem.with_name(f"{stem.name}_{n:03d}") for n in range(1, len(requests) + 1)]
    return [[stem.with_name(stem.name + end) for end in dict.fromkeys(suffixes)] for stem in stems]


def write_files(
    settings: GenerateConfig, decoded: ColoredMesh | None, files: list[Path]
) -> list[Path]:
    """Write a mesh in each format; nothing for an empty one."""
    if decoded is None:
        return []
    for file in files:
        mesh = mesh_for_format(
            decoded.mesh,
            file.suffix,
            size_mm=settings.size_mm,
            up=settings.up,
            on_floor=settings.on_floor,
        )
        save_colored_mesh(mesh, decoded.colors, file)
    return files


def write_preview(
    settings: GenerateConfig,
    decoder: Any,
    latent: Tensor,
    decoded: ColoredMesh | None,
    file: Path,
) -> list[Path]:
    """Write an image or a turning GIF beside the first file of a shape."""
    if settings.preview == "none":
        return []
    path = file.with_suffix(f".{settings.preview}")
    size = settings.preview_size

    def frame(azimuth: float) -> np.ndarray:
        if settings.render == "nerf":
            return render_latent(decoder, latent, size, azimuth)
        return draw_mesh(None if decoded is None else decoded.mesh, size, azimuth)

    if settings.preview == "png":
        save_png(Image.fromarray(frame(0.6)), path)
    else:
        angles = [2 * math.pi * step / FRAMES for step in range(FRAMES)]
        save_animation([frame(angle) for angle in angles], path, FRAME_RATE)
    return [path]

"""The verbs `generate` and `interpolate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UsageError
from triform.images.grid import check_png, save_images
from triform.systems.text_to_image.config import GenerateConfig, InterpolateConfig
from triform.systems.text_to_image.trained import Trained


def generate(settings: GenerateConfig) -> dict[str, Any]:
    """Generate images of prompts.

    Raises:
        UsageError: Stages are shown, but the output is no PNG.
        UserError: No such weights.
    """
    is_sheet = settings.output.suffix.lower() == ".png"
    if settings.show_stages and not is_sheet:
        raise UsageError(f"show_stages: needs an output .png, seen {settings.output}")
    model = Trained.from_settings(settings)
    text = model.embed(settings.prompt).repeat_interleave(settings.num_images, 0)
    base, refined = model.generate(text, settings)
    columns = settings.num_images
    if settings.show_stages:
        rows = zip(base.split(columns), refined.split(columns), strict=True)
        pixels = torch.cat([torch.cat(pair) for pair in rows])
    else:
        pixels = refined
    files = save_images(_for_file(pixels, settings.output), settings.output, columns)
    return {
        "checkpoint": str(model.source),
        "prompts": list(settings.prompt),
        "images": len(refined),
        "seed": settings.seed,
        "output": str(settings.output),
        "files": [str(file) for file in files],
        "base": base.numpy(),
        "pixels": refined.numpy(),
    }


def interpolate(settings: InterpolateConfig) -> dict[str, Any]:
    """Interpolate on the sphere of embeddings from one prompt to another.

    Raises:
        UsageError: The output is no PNG.
        UserError: No such weights.
    """
    check_png(settings.output)
    model = Trained.from_settings(settings)
    first, last = model.embed(settings.prompt)
    weights = torch.linspace(0, 1, settings.columns, device=first.device)
    path = torch.stack([slerp(first, last, float(weight)) for weight in weights])
    seeds = [row for row in range(settings.num_images) for _ in range(settings.columns)]
    _, refined = model.generate(path.repeat(settings.num_images, 1), settings, noise_seeds=seeds)
    save_images(_for_file(refined, settings.output), settings.output, settings.columns)
    return {
        "checkpoint": str(model.source),
        "prompts": list(settings.prompt),
        "output": str(settings.output),
        "pixels": refined.numpy(),
    }


def slerp(first: Tensor, last: Tensor, weight: float) -> Tensor:
    """Spherical interpolation of two vectors (D,) of length 1."""
    angle = torch.acos((first @ last).clamp(-1, 1))
    if angle < 1e-4:
        return first
    mixed = torch.sin((1 - weight) * angle) * first + torch.sin(weight * angle) * last
    output: Tensor = mixed / torch.sin(angle)
    return output


def _for_file(pixels: Tensor, output: Path) -> Any:
    """Pixels for a sheet (on white) or for single files (with transparency)."""
    if output.suffix.lower() == ".png" and pixels.shape[1] == 4:
        alpha = pixels[:, 3:].float() / 255
        white = 255 * (1 - alpha)
        pixels = (pixels[:, :3].float() * alpha + white).round().byte()
    return pixels.numpy()

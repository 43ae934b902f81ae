"""The verbs `generate` and `interpolate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.images.grid import check_png, save_images
from triform.systems.text_to_image.condition import TextCondition, concatenate
from triform.systems.text_to_image.config import GenerateConfig, InterpolateConfig
from triform.systems.text_to_image.noise import image_noise
from triform.systems.text_to_image.stage_files import save_stages
from triform.systems.text_to_image.trained import Trained


def generate(settings: GenerateConfig) -> dict[str, Any]:
    """Generate images of prompts.

    Raises:
        UserError: No such weights.
    """
    model = Trained.from_settings(settings)
    prompts = model.embed(settings.prompt)
    columns = settings.num_images
    text = prompts.repeat_interleave(columns)
    numbers = image_numbers(settings.like, len(text))
    shape, seed = model.prior.shape, settings.seed
    noise = torch.stack([image_noise(shape, seed, each, settings.variation) for each in numbers])
    stages = model.stages(text, noise, settings)
    is_sheet = settings.output.suffix.lower() == ".png"
    pixels = stages.refined
    if settings.show_stages and is_sheet:
        rows = zip(stages.decoded.split(columns), stages.refined.split(columns), strict=True)
        pixels = torch.cat([torch.cat(pair) for pair in rows])
    files = save_images(_for_file(pixels, settings.output), settings.output, columns)
    answer = {
        "checkpoint": str(model.source),
        "prompts": list(settings.prompt),
        "images": len(stages.refined),
        "seed": settings.seed,
        "output": str(settings.output),
        "files": [str(file) for file in files],
        "base": stages.decoded.numpy(),
        "pixels": stages.refined.numpy(),
    }
    if settings.show_stages and not is_sheet:
        saved = save_stages(settings.output, prompts.sentence, stages, files)
        answer["stages"] = [
            {"prompt": settings.prompt[index // columns], "number": "/".join(map(str, each)), **row}
            for index, (each, row) in enumerate(zip(numbers, saved, strict=True))
        ]
    return answer


def image_numbers(like: str, count: int) -> list[tuple[int, ...]]:
    """Numbers of images for `image_noise`: of independent ones, or of variations of `like`."""
    base = tuple(int(part) for part in like.split("/")) if like else ()
    return [(*base, index) for index in range(count)]


def interpolate(settings: InterpolateConfig) -> dict[str, Any]:
    """Interpolate from one prompt to another: embeddings on their sphere, words linearly.

    Raises:
        UsageError: The output is no PNG.
        UserError: No such weights.
    """
    check_png(settings.output)
    model = Trained.from_settings(settings)
    prompts = model.embed(settings.prompt)
    path = concatenate(
        [interpolated(prompts, float(weight)) for weight in torch.linspace(0, 1, settings.columns)]
    )
    seeds = [row for row in range(settings.num_images) for _ in range(settings.columns)]
    _, refined = model.generate(
        concatenate([path] * settings.num_images), settings, noise_seeds=seeds
    )
    save_images(_for_file(refined, settings.output), settings.output, settings.columns)
    return {
        "checkpoint": str(model.source),
        "prompts": list(settings.prompt),
        "output": str(settings.output),
        "pixels": refined.numpy(),
    }


def interpolated(prompts: TextCondition, weight: float) -> TextCondition:
    """A condition (one row) between two prompts; the states of words at one place are mixed."""
    first, last = prompts.sentence
    words = prompts.words[0].lerp(prompts.words[1], weight)
    if weight in (0, 1):
        return prompts[[round(weight)]]
    mask = prompts.word_mask.any(0)
    return TextCondition(slerp(first, last, weight)[None], words[None], mask[None])


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

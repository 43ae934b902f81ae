"""Trained generators of both directions, and the verb `translate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.base.progress import progress_bar
from triform.images.find import find_images
from triform.images.grid import save_images, save_png, save_row_groups, to_pil
from triform.images.image_files import ImageFiles
from triform.images.read import on_background, read_image
from triform.layers.image_spec import ImageSpec
from triform.systems.cycle_gan.config import Config, Direction, TranslateConfig
from triform.systems.cycle_gan.data import is_constant
from triform.systems.cycle_gan.model import Generator, min_image_size
from triform.tasks.image_generation.generation import TrainedImageModel, generate_images
from triform.tasks.image_generation.image_splits import to_float

logger = get_logger(__name__)

SHEET_IMAGES = 24
"""Images on the sheet of `translate`, at most."""
COLUMNS = 12


def translate_images(network: nn.Module, images: Tensor, batch_size: int = 100) -> Tensor:
    """Images (N, C, H, W) uint8 of one domain, translated to the other."""
    device = next(network.parameters()).device
    return generate_images(
        lambda batch: network(to_float(batch).to(device) * 2 - 1), images, batch_size
    )


def save_cycles(a2b: nn.Module, b2a: nn.Module, a: Tensor, b: Tensor, path: Path) -> None:
    """Save six rows: A, its translation, its reconstruction; the same of B."""
    count = min(len(a), len(b), COLUMNS)
    rows = []
    for images, forward, backward in ((a[:count], a2b, b2a), (b[:count], b2a, a2b)):
        translated = translate_images(forward, images)
        rows += [images, translated, translate_images(backward, translated)]
    save_images(torch.cat(rows).numpy(), path, count)


class Trained(TrainedImageModel[Config]):
    """Trained generators of both directions; any size of images can be translated."""

    system = "cycle_gan"
    config_class = Config

    def build_networks(self, spec: ImageSpec) -> Mapping[str, nn.Module]:
        return {name: Generator(self.config.model, spec) for name in ("a2b", "b2a")}

    def translate(self, images: Tensor, direction: Direction, batch_size: int = 100) -> Tensor:
        """Images (N, C, H, W) uint8 of any one size, translated."""
        return translate_images(self.networks[direction], images, batch_size)


def translate(settings: TranslateConfig) -> dict[str, Any]:
    """Translate images, each at its own size, and show them below their originals.

    Images that cannot be read, or are too small, are left out with one warning.

    Raises:
        UsageError: No images at the given paths, or an output that is a file.
        UserError: No such weights, or no image that can be translated.
    """
    if settings.output.exists() and not settings.output.is_dir():
        raise UsageError(f"output: {settings.output} is a file; give a folder")
    paths = find_images(settings.images)
    model = Trained.choose(settings.checkpoint, settings.device)
    used_names = {"sheet"}
    problems: list[UserError] = []
    pairs: list[tuple[Tensor, Tensor]] = []
    files: list[Path] = []
    for path in progress_bar(paths, desc="images"):
        try:
            image = _read_image(path, settings.largest_side, model)
        except UserError as error:
            problems.append(error)
            continue
        settings.output.mkdir(parents=True, exist_ok=True)
        translated = model.translate(image, settings.direction)
        name = _unique_name(path.stem, used_names)
        files.append(settings.output / f"{name}.png")
        save_png(to_pil(translated[0].numpy()), files[-1])
        if len(pairs) < SHEET_IMAGES:
            pairs.append((image[0], translated[0]))
    if problems and not files:
        raise problems[0]
    if problems:
        logger.warning(
            "%d of %d images are left out; the first: %s", len(problems), len(paths), problems[0]
        )
    sheet = settings.output / "sheet.png"
    _save_pairs(pairs, model.spec.size, sheet)
    return {
        "checkpoint": str(model.source),
        "direction": settings.direction,
        "images": len(files),
        "output": str(settings.output),
        "sheet": str(sheet),
        "files": [str(file) for file in files],
        "pixels": ImageFiles(tuple(files)),
    }


def _read_image(path: Path, largest_side: int, model: Trained) -> Tensor:
    """(1, C, H, W) uint8."""
    image = on_background(read_image(path, longest=largest_side))
    if model.spec.channels == 1:
        image = image.convert("L")
    if max(image.size) > largest_side:
        image.thumbnail((largest_side, largest_side), Image.Resampling.BICUBIC)
    min_size = min_image_size(model.config.model)
    if min(image.size) < min_size:
        raise UserError(
            f"{path}: {image.width} x {image.height} pixels are too few; at least {min_size}"
        )
    pixels = torch.from_numpy(np.array(image))
    tensor = pixels.reshape(1, image.height, image.width, -1).permute(0, 3, 1, 2)
    if bool(is_constant(tensor)):
        logger.warning("%s: nearly constant; its translation means little", path)
    return tensor


def _unique_name(stem: str, used: set[str]) -> str:
    """A file name that no other image of this call has."""
    name, number = stem, 2
    while name.lower() in used:
        name, number = f"{stem}-{number}", number + 1
    used.add(name.lower())
    return name


def _save_pairs(pairs: list[tuple[Tensor, Tensor]], size: int, path: Path) -> None:
    """Save rows of originals, each above its translations, resized to the training size."""
    sides = zip(*pairs, strict=True)
    rows = [np.stack([_resize(image, size) for image in side]) for side in sides]
    save_row_groups(rows, path, min(len(pairs), COLUMNS))


def _resize(image: Tensor, size: int) -> np.ndarray:
    """(C, H, W) to (C, size, size)."""
    if image.shape[1:] == (size, size):
        return image.numpy()
    resized = to_pil(image.numpy()).resize((size, size), Image.Resampling.BICUBIC)
    output: np.ndarray = np.array(resized).reshape(size, size, -1).transpose(2, 0, 1)
    return output

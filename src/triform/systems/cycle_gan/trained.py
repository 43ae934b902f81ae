"""Trained generators of both ways, and what the verbs do with them."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.datasets.picture_batches import as_floats, as_pixels
from triform.engine.checkpoint import StateDicts
from triform.engine.trained import TrainedModel
from triform.images.grid import save_pictures, save_sheet
from triform.images.read import IMAGE_SUFFIXES, on_background, read_image
from triform.layers.picture_facts import PictureFacts, picture_shape, read_facts
from triform.metrics.intervals import mean_and_interval, share_interval
from triform.metrics.kernel_distance import kernel_distance
from triform.pretrained.picture_features import picture_classes, picture_features
from triform.systems.cycle_gan.config import Config, Direction, EvaluateConfig, TranslateConfig
from triform.systems.cycle_gan.data import Domains, is_flat, load_domains
from triform.systems.cycle_gan.levels import match_levels
from triform.systems.cycle_gan.model import Generator, smallest_size

logger = get_logger(__name__)

SHEET = 24
"""Pictures on the sheet of `translate`, at most."""
COLUMNS = 12
FEWEST = 100
LEVEL_PICTURES = 2000
"""Pictures of each kind that a kernel distance is measured with, at least."""


@torch.no_grad()
def translated(network: nn.Module, images: Tensor, batch_size: int = 100) -> Tensor:
    """Pictures (N, C, H, W) uint8 of one kind as such of the other."""
    device = next(network.parameters()).device
    parts = (as_floats(part).to(device) * 2 - 1 for part in images.split(batch_size))
    return torch.cat([as_pixels((network(part) + 1) / 2) for part in parts])


def save_rounds(a2b: nn.Module, b2a: nn.Module, a: Tensor, b: Tensor, path: Path) -> None:
    """A sheet of six rows: A, as B, back again; B, as A, back again."""
    count = min(len(a), len(b), COLUMNS)
    rows = []
    for images, there, back in ((a, a2b, b2a), (b, b2a, a2b)):
        made = translated(there, images[:count])
        rows += [images[:count], made, translated(back, made)]
    save_pictures(torch.cat(rows).numpy(), path, count)


class Trained(TrainedModel[Config]):
    """Trained generators in evaluation mode.

    Attributes:
        shape: Channels and size of the pictures they learned from; any size can be translated.
    """

    system = "cycle_gan"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.shape = picture_shape(read_facts(tensors["a2b"]))
        return {way: Generator(self.config.model, PictureFacts(*self.shape))
                for way in ("a2b", "b2a")}  # fmt: skip

    def network(self, direction: Direction) -> nn.Module:
        """The generator of one way."""
        return self.networks[direction]

    def translate(self, images: Tensor, direction: Direction, batch_size: int = 100) -> Tensor:
        """Pictures (N, C, H, W) uint8 of any one size, translated."""
        return translated(self.networks[direction], images, batch_size)


def translate(settings: TranslateConfig) -> dict[str, Any]:
    """Translate pictures, each at its own size, and show them below their originals.

    Raises:
        UsageError: No pictures where they should be, or an output that is a file.
        UserError: No such weights, or a picture that cannot be read or is too small.
    """
    if settings.output.exists() and not settings.output.is_dir():
        raise UsageError(f"output: {settings.output} is a file; give a folder")
    files = _files(settings.pictures)
    trained = Trained.choose(settings.checkpoint, settings.device)
    channels, size = trained.shape
    taken = {"sheet"}
    shown: list[tuple[Tensor, Tensor]] = []
    settings.output.mkdir(parents=True, exist_ok=True)
    for path in tqdm(files, "pictures", disable=None, leave=False):
        image = _read(path, channels, settings.largest_side, trained)
        made = trained.translate(image, settings.direction)
        save_sheet(_as_image(made[0]), settings.output / f"{_free(path.stem, taken)}.png")
        if len(shown) < SHEET:
            shown.append((image, made))
    sheet = settings.output / "sheet.png"
    _save_sheet(shown, size, sheet)
    return {
        "checkpoint": str(trained.source), "direction": settings.direction,
        "pictures": len(files), "output": str(settings.output), "sheet": str(sheet),
    }  # fmt: skip


def _files(given: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for word in given:
        some = list(_matches(word))
        if not some:
            raise UsageError(f"--pictures {word}: no pictures there")
        found += some
    return list(dict.fromkeys(found))


def _matches(word: str) -> Iterator[Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        inside = sorted(path.rglob("*"))
        yield from (one for one in inside if one.suffix.lower() in IMAGE_SUFFIXES)
    elif path.exists():
        yield path
    else:
        yield from (Path(one) for one in sorted(glob.glob(str(path), recursive=True)))


def _read(path: Path, channels: int, largest_side: int, trained: Trained) -> Tensor:
    """(1, C, H, W) uint8."""
    picture = on_background(read_image(path, longest=largest_side))
    if channels == 1:
        picture = picture.convert("L")
    if max(picture.size) > largest_side:
        picture.thumbnail((largest_side, largest_side), Image.Resampling.BICUBIC)
    least = smallest_size(trained.config.model)
    if min(picture.size) < least:
        raise UserError(
            f"{path}: {picture.width} x {picture.height} pixels are too few; at least {least}"
        )
    pixels = torch.from_numpy(np.array(picture)).reshape(1, picture.height, picture.width, channels)
    image = pixels.permute(0, 3, 1, 2)
    if bool(is_flat(image)):
        logger.warning("%s: nearly constant; its translation means little", path)
    return image


def _free(stem: str, taken: set[str]) -> str:
    """A name that no other picture of this call has."""
    name, number = stem, 2
    while name.lower() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return name


def _save_sheet(shown: list[tuple[Tensor, Tensor]], size: int, path: Path) -> None:
    """Rows of originals, each above its translations; of one size, that of the training."""
    pairs = [[_resized(image[0], size) for image in pair] for pair in shown]
    lines = []
    for start in range(0, len(pairs), COLUMNS):
        row = pairs[start : start + COLUMNS]
        blank = [np.full_like(pairs[0][0], 255)] * (min(len(pairs), COLUMNS) - len(row))
        for kind in (0, 1):
            lines += [pair[kind] for pair in row] + blank
    save_pictures(np.stack(lines), path, min(len(pairs), COLUMNS))


def _resized(image: Tensor, size: int) -> np.ndarray:
    """(C, H, W) to (C, size, size)."""
    if image.shape[1:] == (size, size):
        return image.numpy()
    small = _as_image(image).resize((size, size), Image.Resampling.BICUBIC)
    return np.array(small).reshape(size, size, -1).transpose(2, 0, 1)


def _as_image(image: Tensor) -> Image.Image:
    pixels = image.numpy()
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0).copy())


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure translations of test pictures, beside leaving them as they are.

    Raises:
        UsageError: No such folder.
        UserError: No such weights, or the pictures cannot be brought or are of another size.
    """
    trained = Trained.choose(settings.checkpoint, settings.device)
    given: dict[str, Any] = {"download_path": settings.download_path}
    if settings.domain_a:
        given |= {"domain_a": settings.domain_a, "domain_b": settings.domain_b,
                  "channels": trained.shape[0], "image_size": trained.shape[1]}  # fmt: skip
    domains = load_domains(trained.config.data.model_copy(update=given), trained.config.seed)
    if domains.shape != trained.shape:
        raise UserError(
            f"{domains.name}: {domains.shape[0]} channels of {domains.shape[1]} pixels, but these "
            f"weights learned from {trained.shape[0]} of {trained.shape[1]}"
        )
    count = settings.num_pictures
    a, b = domains.a.part("test", count), domains.b.part("test", count)
    as_b = trained.translate(a, "a2b", settings.batch_size)
    as_a = trained.translate(b, "b2a", settings.batch_size)
    if settings.output is not None:
        save_rounds(trained.network("a2b"), trained.network("b2a"), a, b,
                    settings.output.with_suffix(".png"))  # fmt: skip
    return {
        "checkpoint": str(trained.source), "data": domains.name, "pictures_a": len(a),
        "pictures_b": len(b),
        "cycle_a": difference(trained.translate(as_b, "b2a", settings.batch_size), a),
        "cycle_b": difference(trained.translate(as_a, "a2b", settings.batch_size), b),
        **(_against_truth(a, b, as_a, as_b) if domains.paired else {}),
        **_against_kind(a, b, as_a, as_b),
        **(_by_levels(domains, a, b) if domains.paired else {}),
    }  # fmt: skip


def _by_levels(domains: Domains, a: Tensor, b: Tensor) -> dict[str, Any]:
    """The baseline of `levels.py`, in the better of its two directions."""
    known_a, known_b = (side.part("train", LEVEL_PICTURES) for side in (domains.a, domains.b))
    found = []
    for falling in (False, True):
        as_b = match_levels(a, known_a, known_b, falling=falling)
        as_a = match_levels(b, known_b, known_a, falling=falling)
        numbers = {"l1_a2b": difference(as_b, b), "l1_b2a": difference(as_a, a),
                   "agreement": _against_truth(a, b, as_a, as_b)["agreement"]}  # fmt: skip
        row: dict[str, Any] = {"levels": "falling" if falling else "rising"}
        found.append(row | {f"levels_{name}": value for name, value in numbers.items()})
    return min(found, key=lambda row: row["levels_l1_a2b"] + row["levels_l1_b2a"])


def difference(some: Tensor, others: Tensor) -> float:
    """Mean absolute difference of uint8 pictures of one size, in [0, 1]."""
    parts = zip(some.split(1000), others.split(1000), strict=True)
    total = sum(
        float((as_floats(x) - as_floats(y)).abs().sum(dtype=torch.double)) for x, y in parts
    )
    return total / some.numel()


def _against_truth(a: Tensor, b: Tensor, as_a: Tensor, as_b: Tensor) -> dict[str, float]:
    """Distance to the other form of the same picture, and whether it is the same thing still."""
    truth = picture_classes(a).argmax(1)
    same = {name: (picture_classes(some).argmax(1) == truth).double().mean().item()
            for name, some in (("agreement", as_a), ("agreement_untranslated", b))}  # fmt: skip
    pairs = {"l1_a2b": (as_b, b), "l1_b2a": (as_a, a)}
    each = {name: torch.tensor([difference(x, y) for x, y in zip(*pair, strict=True)])
            for name, pair in pairs.items()}  # fmt: skip
    sure = {f"{name}_interval95": mean_and_interval(some)[1] for name, some in each.items()}
    low, high = share_interval(round(same["agreement"] * len(b)), len(b))
    return {"l1_a2b": difference(as_b, b), "l1_b2a": difference(as_a, a),
            "l1_untranslated": difference(a, b), **same, **sure,
            "agreement_low": low, "agreement_high": high}  # fmt: skip


def _against_kind(a: Tensor, b: Tensor, as_a: Tensor, as_b: Tensor) -> dict[str, float]:
    """Distance of a whole set of translations to real pictures of the kind (grey, 28 x 28)."""
    if min(len(a), len(b)) < FEWEST:
        return {}
    of_a, of_b, of_as_a, of_as_b = (picture_features(each) for each in (a, b, as_a, as_b))
    return {
        "kernel_distance_a2b": kernel_distance(of_as_b, of_b)[0],
        "kernel_distance_b2a": kernel_distance(of_as_a, of_a)[0],
        "kernel_distance_untranslated": kernel_distance(of_a, of_b)[0],
    }

"""The user's own captioned images: a folder, and a CSV `image,caption`.

All problems of the table are reported at once with row numbers, before training begins. Images are
split by image, never by row, so that no image is in two splits; the split is written beside the
table and read again.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.base.printable import shorten
from triform.base.progress import progress_bar
from triform.base.seeding import generator
from triform.datasets.captioned.table import CaptionTable, FileImages, make_table
from triform.images.read import read_image
from triform.text.vocabulary import tokenize

HEADER = ["image", "caption"]
MAX_PROBLEMS = 3  # what fits into the line of an error
# Official splits of Flickr8k, used if they lie beside the table.
OFFICIAL_SPLITS = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}


def load_csv(
    images_dir: str | Path,
    caption_file: str | Path,
    *,
    val_split: float,
    seed: int,
    alpha: bool = False,
) -> CaptionTable:
    """Read, check and split a table of captions.

    Args:
        images_dir: Folder of the images.
        caption_file: CSV in UTF-8 with the header `image,caption`; a row per caption.
        val_split: Share of the images for validation.
        seed: Of the split.
        alpha: Keep transparency.

    Raises:
        UsageError: No such folder or file.
        UserError: Rows that cannot be used, in one list.
    """
    folder, path = Path(images_dir).expanduser(), Path(caption_file).expanduser()
    if not folder.is_dir():
        raise UsageError(f"images_dir: {str(images_dir)!r} is not there, expected a folder")
    if not path.is_file():
        raise UsageError(f"caption_file: {str(caption_file)!r} is not there, expected a CSV file")
    captions, problems = _read(path)
    problems += _bad_images(folder, captions)
    if problems:
        problems.sort()
        lines = [f"row {row}: {text}" for row, text in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"and {len(problems) - MAX_PROBLEMS} more")
        raise UserError(f"{path}: {len(problems)} rows cannot be used: " + "; ".join(lines))
    if not captions:
        raise UserError(f"{path}: holds no captions; expected rows of image,caption")
    names = list(captions)
    splits = _make_splits(path, names, val_split, seed)
    return make_table(
        path.stem, FileImages(folder, names, alpha), [captions[name][1] for name in names], splits
    )


def _read(path: Path) -> tuple[dict[str, tuple[int, list[str]]], list[tuple[int, str]]]:
    """Captions by image, with the first row of each; and the problems by row."""
    captions: dict[str, tuple[int, list[str]]] = {}
    problems: list[tuple[int, str]] = []
    for row, cells in _rows(path):
        if len(cells) != 2:
            problems.append((row, f"{len(cells)} cells, expected 2 (quote captions with commas)"))
            continue
        name, caption = cells[0].strip(), cells[1].strip()
        image_captions = captions.setdefault(name, (row, []))[1] if name else []
        if not name:
            problems.append((row, "no image"))
        elif (
            PurePosixPath(name).is_absolute()
            or PureWindowsPath(name).drive
            or ".." in (PurePosixPath(name.replace("\\", "/")).parts)
        ):
            problems.append((row, f"{shorten(name)!r} leaves images_dir"))
            captions.pop(name, None)
        elif not name.isprintable():
            problems.append((row, f"{shorten(repr(name))} cannot be the name of an image"))
            captions.pop(name, None)
        elif not tokenize(caption):
            problems.append((row, f"{shorten(name)!r} has an empty caption"))
        elif caption in image_captions:
            problems.append((row, f"{shorten(name)!r} has the same caption twice"))
        else:
            image_captions.append(caption)
    return captions, problems


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [cell.strip().lower() for cell in next(reader, [])]
            if header != HEADER:
                raise UserError(
                    f"{path}: its first row is {shorten(','.join(header))!r}, "
                    f"expected {','.join(HEADER)}"
                )
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: no CSV in UTF-8 ({error})") from None


def _bad_images(folder: Path, captions: dict[str, tuple[int, list[str]]]) -> list[tuple[int, str]]:
    """Images that are missing or damaged; images checked before are not opened again."""
    cache_file = cache_dir() / "images" / f"whole-{_digest(str(folder.resolve()))[:16]}.json"
    cached = _read_json(cache_file)

    def check(name: str) -> tuple[str, str, str]:
        path = folder / name
        try:
            stat = path.stat()
            stamp = f"{stat.st_size}-{stat.st_mtime_ns}"
            if cached.get(name) != stamp:
                read_image(path, shorten(name))
        except OSError:
            return name, "", f"{shorten(name)!r} is not in {folder}"
        except UserError as error:
            return name, "", str(error)
        return name, stamp, ""

    problems, stamps = [], dict(cached)
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(check, captions)
        bar = progress_bar(results, desc="checking images", total=len(captions))
        for name, stamp, problem in bar:
            if problem:
                problems.append((captions[name][0], problem))
            else:
                stamps[name] = stamp
    if stamps != cached:
        with atomic_write(cache_file, "w") as stream:
            json.dump(stamps, stream)
    return problems


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is none to read."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _make_splits(
    path: Path, names: Sequence[str], val_split: float, seed: int
) -> dict[str, np.ndarray]:
    official = {key: path.parent / name for key, name in OFFICIAL_SPLITS.items()}
    if all(file.is_file() for file in official.values()):
        row_of = {name: row for row, name in enumerate(names)}
        return {
            key: np.array(
                [row_of[name] for name in file.read_text("utf-8").split() if name in row_of], int
            )
            for key, file in official.items()
        }
    digest = _digest(json.dumps([sorted(names), val_split, seed]))
    split_file = path.with_suffix(".split.json")
    saved = _read_json(split_file)
    if saved.get("digest") == digest and isinstance(saved.get("val"), list):
        val_names = set(saved["val"])
        is_val = np.array([name in val_names for name in names])
    else:
        is_val = _random_split(names, val_split, seed)
        content = {
            "digest": digest,
            "val_split": val_split,
            "seed": seed,
            "val": [name for name, in_val in zip(names, is_val, strict=True) if in_val],
        }
        try:
            with atomic_write(split_file, "w") as stream:
                json.dump(content, stream, ensure_ascii=False, indent=1)
        except OSError:  # a read-only folder: the split is the same next time
            pass
    return {"train": np.flatnonzero(~is_val), "val": np.flatnonzero(is_val)}


def _random_split(names: Sequence[str], val_split: float, seed: int) -> np.ndarray:
    """Which images are for validation, (N,) bool; the order of the rows does not matter."""
    import torch

    order = np.argsort(np.array(names))
    shuffled = order[torch.randperm(len(names), generator=generator("split", seed)).numpy()]
    count = min(max(1, round(val_split * len(names))), len(names) - 1)
    if len(names) < 2:
        raise UserError("caption_file: one image cannot be divided; at least 2 are needed")
    is_val = np.zeros(len(names), bool)
    is_val[shuffled[:count]] = True
    return is_val


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

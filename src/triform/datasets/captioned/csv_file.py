"""The documented form of captioned pictures: a folder, and a CSV `image,caption`.

Everything is checked before anything is learned: all that is wrong comes in one list with row
numbers. Pictures are divided by picture, never by row, so that no picture is on both sides; the
division is written beside the table and read again.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from tqdm import tqdm

from triform.base.complaints import shorten
from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.base.seeding import generator
from triform.datasets.captioned.table import CaptionTable, FilePictures, make_table
from triform.images.read import read_image
from triform.text.vocabulary import words_of

HEADER = ["image", "caption"]
SHOWN = 20
# Official lists of Flickr8k, honoured where they lie beside the table.
OFFICIAL = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}


def load_csv(
    images_dir: str | Path, caption_file: str | Path, *, val_split: float, seed: int
) -> CaptionTable:
    """Reads, checks and divides a table of captions.

    Args:
        images_dir: folder of the pictures.
        caption_file: CSV in UTF-8 with the header `image,caption`; a row per caption.
        val_split: share of the pictures that is kept for validation.
        seed: of the division.

    Raises:
        UsageError: no such folder or file.
        UserError: anything wrong in them; one list with row numbers.
    """
    folder, path = Path(images_dir).expanduser(), Path(caption_file).expanduser()
    if not folder.is_dir():
        raise UsageError(f"images_dir: {str(images_dir)!r} is not there, expected a folder")
    if not path.is_file():
        raise UsageError(f"caption_file: {str(caption_file)!r} is not there, expected a CSV file")
    captions, problems = _read(path)
    problems += _bad_pictures(folder, captions)
    if problems:
        problems.sort()
        shown = [f"row {row}: {text}" for row, text in problems[:SHOWN]]
        more = len(problems) - len(shown)
        shown += [f"and {more} more"] if more else []
        raise UserError(f"{path}: {len(problems)} rows cannot be used: " + "; ".join(shown))
    if not captions:
        raise UserError(f"{path}: holds no captions; expected rows of image,caption")
    names = list(captions)
    splits = _splits(path, names, val_split, seed)
    return make_table(
        path.stem, FilePictures(folder, names), [captions[name][1] for name in names], splits
    )


def _read(path: Path) -> tuple[dict[str, tuple[int, list[str]]], list[tuple[int, str]]]:
    """Captions by picture, with the row that names it first; and what is wrong with rows."""
    captions: dict[str, tuple[int, list[str]]] = {}
    problems: list[tuple[int, str]] = []
    for row, cells in _rows(path):
        if len(cells) != 2:
            problems.append((row, f"{len(cells)} cells, expected 2 (quote captions with commas)"))
            continue
        name, caption = cells[0].strip(), cells[1].strip()
        own = captions.setdefault(name, (row, []))[1] if name else []
        if not name:
            problems.append((row, "no picture"))
        elif (
            PurePosixPath(name).is_absolute()
            or PureWindowsPath(name).drive
            or ".." in (PurePosixPath(name.replace("\\", "/")).parts)
        ):
            problems.append((row, f"{shorten(name)!r} leaves images_dir"))
            captions.pop(name, None)
        elif not name.isprintable():
            problems.append((row, f"{shorten(repr(name))} cannot be the name of a picture"))
            captions.pop(name, None)
        elif not words_of(caption):
            problems.append((row, f"{shorten(name)!r} has an empty caption"))
        elif caption in own:
            problems.append((row, f"{shorten(name)!r} has the same caption twice"))
        else:
            own.append(caption)
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


def _bad_pictures(
    folder: Path, captions: dict[str, tuple[int, list[str]]]
) -> list[tuple[int, str]]:
    """Pictures that are missing or damaged; those once found whole are not opened again."""
    known_file = cache_dir() / "pictures" / f"whole-{_digest(str(folder.resolve()))[:16]}.json"
    known = _known(known_file)

    def check(name: str) -> tuple[str, str, str]:
        path = folder / name
        try:
            stat = path.stat()
            stamp = f"{stat.st_size}-{stat.st_mtime_ns}"
            if known.get(name) != stamp:
                read_image(path, shorten(name))
        except OSError:
            return name, "", f"{shorten(name)!r} is not in {folder}"
        except UserError as error:
            return name, "", str(error)
        return name, stamp, ""

    problems, whole = [], dict(known)
    with ThreadPoolExecutor(4) as pool:
        checked = pool.map(check, captions)
        bar = tqdm(checked, "checking pictures", len(captions), disable=None, leave=False)
        for name, stamp, problem in bar:
            if problem:
                problems.append((captions[name][0], problem))
            else:
                whole[name] = stamp
    if whole != known:
        known_file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(known_file, "w") as stream:
            json.dump(whole, stream)
    return problems


def _known(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _splits(path: Path, names: Sequence[str], val_split: float, seed: int) -> dict[str, np.ndarray]:
    official = {key: path.parent / name for key, name in OFFICIAL.items()}
    if all(file.is_file() for file in official.values()):
        number = {name: row for row, name in enumerate(names)}
        return {
            key: np.array(
                [number[name] for name in file.read_text("utf-8").split() if name in number], int
            )
            for key, file in official.items()
        }
    digest = _digest(json.dumps([sorted(names), val_split, seed]))
    kept = path.with_suffix(".split.json")
    known = _known(kept)
    if known.get("digest") == digest and isinstance(known.get("val"), list):
        chosen = set(known["val"])
        is_val = np.array([name in chosen for name in names])
    else:
        is_val = _draw(names, val_split, seed)
        content = {
            "digest": digest, "val_split": val_split, "seed": seed,
            "val": [name for name, mine in zip(names, is_val, strict=True) if mine],
        }  # fmt: skip
        try:
            with atomic_write(kept, "w") as stream:
                json.dump(content, stream, ensure_ascii=False, indent=1)
        except OSError:  # a folder that may only be read: the division is the same next time
            pass
    return {"train": np.nonzero(~is_val)[0], "val": np.nonzero(is_val)[0]}


def _draw(names: Sequence[str], val_split: float, seed: int) -> np.ndarray:
    """Which pictures are for validation; whatever the order of the rows."""
    import torch

    order = np.argsort(np.array(names))
    shuffled = order[torch.randperm(len(names), generator=generator("split", seed)).numpy()]
    count = min(max(1, round(val_split * len(names))), len(names) - 1)
    if len(names) < 2:
        raise UserError("caption_file: one picture cannot be divided; at least 2 are needed")
    is_val = np.zeros(len(names), bool)
    is_val[shuffled[:count]] = True
    return is_val


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

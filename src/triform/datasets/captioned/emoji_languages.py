"""Emoji with names and keywords in several languages.

Names come from the package emojibase-data, which has them from Unicode's CLDR. Drawings, makers
and their splits are those of the emoji data set: one maker's drawings are for tests alone. Of the
other makers' drawings, two kinds of emoji are held out of the training as well:

- `test_combinations`: one of the two genders of half of all professions and activities, such as
  "man astronaut" where "woman astronaut" is in the training;
- `test_unseen`: 15 % of all other emoji.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from triform.base.errors import UsageError, UserError
from triform.base.files import read_regular
from triform.datasets import npm
from triform.datasets.captioned.table import ArrayImages, CaptionTable, make_table
from triform.datasets.images import emoji
from triform.datasets.images.emoji_drawings import key
from triform.datasets.images.load import fetch_images, load_images
from triform.datasets.managed_folder import make_folder
from triform.datasets.shape import read_marker

PACKAGE = npm.Package(
    "emojibase-data",
    "17.0.0",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)
LICENCE = "names: Unicode CLDR (Unicode-3.0) by emojibase-data (MIT)"
NAME = "emojibase"
LANGUAGES = (
    "bn",
    "da",
    "de",
    "en",
    "es",
    "et",
    "fi",
    "fr",
    "hi",
    "hu",
    "it",
    "ja",
    "ko",
    "lt",
    "ms",
    "nb",
    "nl",
    "pl",
    "pt",
    "ru",
    "sv",
    "th",
    "uk",
    "vi",
    "zh",
)
SIDES = (64, 96)
"""Pixels along each side at which drawings are rasterised."""
MAX_TAGS = 2
"""Captions of the form "name, keyword" in each language, at most."""
UNSEEN_SHARE, VAL_SHARE = 0.15, 0.05
_MAX_BYTES = 16 * 2**20
_GENDERED = re.compile(r"(man|woman) (.+)")


def load_emoji_languages(
    languages: Sequence[str], download_path: str, *, size: int = 0, alpha: bool = False
) -> CaptionTable:
    """Load emoji with captions in some languages.

    Training rows have for each language the name, the name with a keyword, and the keywords; rows
    of other splits have the names alone. `contents` are the English names.

    Args:
        languages: Codes such as "en" and "ru".
        download_path: Download folder.
        size: Pixels that are needed; drawings have the next of `SIDES`, or the largest.
        alpha: Keep transparency, which is white otherwise.

    Raises:
        UsageError: Names in a language are not there.
        UserError: Drawings or names cannot be downloaded or read.
    """
    for language in languages:
        if language not in LANGUAGES:
            raise UsageError(
                f"dataset: emoji have no names in {language!r}; languages: {', '.join(LANGUAGES)}"
            )
    channels = 4 if alpha else 3
    side = next((side for side in SIDES if side >= size), SIDES[-1])
    table = load_images("emoji", size=side, channels=channels, download_path=download_path)
    names = emoji.emoji_names(fetch_images("emoji", download_path))
    hexcode_of = {name: hexcode for hexcode, name in names.items()}
    annotations = [read_annotations(language, download_path) for language in languages]
    has_names = [all(hexcode_of[name] in known for known in annotations) for name in table.classes]
    rows = np.flatnonzero(np.array(has_names)[table.labels])
    labels, makers = table.labels[rows], table.makers[rows]
    file_names = [
        f"{table.classes[label]} ({table.maker_names[maker]})"
        for label, maker in zip(labels, makers, strict=True)
    ]
    splits = _splits(table.classes, labels, makers == table.maker(emoji.UNSEEN_MAKER), file_names)
    is_train = np.zeros(len(rows), bool)
    is_train[splits["train"]] = True
    captions = []
    for label, in_training in zip(labels, is_train, strict=True):
        hexcode = hexcode_of[table.classes[label]]
        entries = [known[hexcode] for known in annotations]
        captions.append(
            [
                text
                for name, tags in entries
                for text in _captions(name, tags if in_training else ())
            ]
        )
    return make_table(
        f"emoji:{','.join(languages)}",
        ArrayImages(table.images[rows], file_names),
        captions,
        splits,
        licence=f"{table.licence}; {LICENCE}",
        contents=[table.classes[label] for label in labels],
    )


def read_annotations(language: str, download_path: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name and keywords of each emoji by code points.

    Raises:
        UserError: They cannot be downloaded or read.
    """
    path = _fetch(Path(download_path)) / "package" / language / "data.json"
    try:
        entries = json.loads(read_regular(path, _MAX_BYTES))
        return {
            key(entry["hexcode"]): (str(entry["label"]), tuple(map(str, entry.get("tags", ()))))
            for entry in entries
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); remove the folder {path.parents[2]}") from None


def _fetch(download_path: Path) -> Path:
    """Folder of the package; downloaded if needed."""
    target = download_path / NAME
    download_path.mkdir(parents=True, exist_ok=True)
    with FileLock(download_path / f".{NAME}.lock"):
        if read_marker(target).get("name") != NAME:
            make_folder(
                NAME, target, lambda folder: npm.fetch(PACKAGE, folder), {"licence": LICENCE}
            )
    return target


def _captions(name: str, tags: Sequence[str]) -> list[str]:
    """The name; with keywords also "name, keyword" and all keywords."""
    others = [tag for tag in tags if tag.lower() != name.lower()]
    captions = [name, *(f"{name}, {tag}" for tag in others[:MAX_TAGS])]
    if len(others) > 1:
        captions.append(", ".join(others))
    return list(dict.fromkeys(captions))


def _splits(
    classes: Sequence[str], labels: np.ndarray, is_test_maker: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Rows of the splits; see the module."""
    combinations = _held_out_combinations(classes)
    is_combination = np.array([name in combinations for name in classes])
    is_unseen = np.array([_share(f"unseen {name}") < UNSEEN_SHARE for name in classes])
    is_unseen &= ~np.array([bool(_GENDERED.fullmatch(name)) for name in classes])
    is_trained = ~is_combination & ~is_unseen
    is_val = np.array([_share(name) < VAL_SHARE for name in names])
    is_train = ~is_test_maker & ~is_val & is_trained[labels]
    in_training = np.isin(labels, labels[is_train])
    return {
        "train": np.flatnonzero(is_train),
        "val": np.flatnonzero(~is_test_maker & is_val & in_training),
        "test": np.flatnonzero(is_test_maker & in_training),
        "test_combinations": np.flatnonzero(is_test_maker & is_combination[labels]),
        "test_unseen": np.flatnonzero(is_test_maker & is_unseen[labels]),
    }


def _held_out_combinations(classes: Sequence[str]) -> set[str]:
    """One gender of half of the activities that both genders are drawn with."""
    genders: dict[str, list[str]] = {}
    for name in classes:
        if match := _GENDERED.fullmatch(name):
            genders.setdefault(match[2], []).append(match[1])
    held_out = set()
    for activity, of_activity in genders.items():
        share = _share(f"combination {activity}")
        if len(of_activity) == 2 and share < 0.5:
            held_out.add(f"{'man' if share < 0.25 else 'woman'} {activity}")
    return held_out


def _share(text: str) -> float:
    """A number in [0, 1) that depends on a text alone."""
    return zlib.crc32(text.encode()) / 2**32

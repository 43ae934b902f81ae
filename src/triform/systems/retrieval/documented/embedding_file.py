"""The file of image embeddings (.npz), written whole and checked when read.

| key | holds |
|---|---|
| `embeddings` | (N, D) float32: features of a frozen image encoder, not normalised |
| `filenames` | (N,) text: `0525_0.png` or `ID_view1.png`: object and view |
| `model`, `weights`, `transform` | the encoder: name, hash of weights, hash of transform |
| `digests` | (N,) text: sha256 of each image's file, 16 hex digits |

The first two are the documented file; one without the others is read with a warning.
"""

from __future__ import annotations

import re
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger

logger = get_logger(__name__)

NAME = re.compile(r"(?P<object>.+)_(?:view)?(?P<view>\d{1,6})")
"""Stem of an image's file: object and number of the view."""
HINT = "run `triform retrieval embed` again"
_MAX_RATIO = 1000
_SMALL = 2**20
_READ_ERRORS = (
    *(OSError, ValueError, EOFError, RuntimeError, SyntaxError, TypeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """What a file of image embeddings holds.

    Attributes:
        path: The file.
        embeddings: (N, D) float32, not normalised.
        filenames: Names of the N images.
        model: Name of the encoder; "" where the file names none.
        weights: Hash of its weights.
        transform: Hash of its transform.
        digests: Hash of each image's file; empty where the file has none.
    """

    path: str
    embeddings: NDArray[np.float32]
    filenames: tuple[str, ...]
    model: str = ""
    weights: str = ""
    transform: str = ""
    digests: tuple[str, ...] = ()

    def by_object(self, views: int | None = None) -> dict[str, NDArray[np.float32]]:
        """Object id -> its images' embeddings (V, D), by the number of the view.

        Args:
            views: How many each object must have; any number where not given.

        Raises:
            UserError: A view is missing or duplicate, or a name has no object and view.
        """
        rows = views_of(self.filenames, self.path)
        check_views(rows, views or 0, self.path)
        return {
            name: self.embeddings[[row for _, row in sorted(numbers.items())]]
            for name, numbers in rows.items()
        }


def views_of(filenames: tuple[str, ...] | list[str], source: str) -> dict[str, dict[int, int]]:
    """Object id -> view number -> row.

    Raises:
        UserError: A name without object and view, or a duplicate image.
    """
    rows: dict[str, dict[int, int]] = {}
    for row, filename in enumerate(filenames):
        match = NAME.fullmatch(filename.rpartition(".")[0])
        if match is None:
            raise UserError(
                f"{source}: {filename!r} names no object and view; expected 0525_0.png or "
                "ID_view1.png"
            )
        numbers = rows.setdefault(match["object"], {})
        if int(match["view"]) in numbers:
            raise UserError(
                f"{source}: view {match['view']} of {match['object']} stands twice: "
                f"{filenames[numbers[int(match['view'])]]} and {filename}"
            )
        numbers[int(match["view"])] = row
    return rows


def check_views(rows: dict[str, dict[int, int]], views: int, source: str) -> None:
    """Refuse objects that lack a view.

    Raises:
        UserError: A gap in the numbers, or (where `views` is not 0) another number of images.
    """
    for name, numbers in rows.items():
        first, last = min(numbers), max(numbers)
        gap = next((n for n in range(first, last + 1) if n not in numbers), None)
        if gap is None and views and len(numbers) < views:
            gap = last + 1
        if gap is not None:
            needed = f" of {views}" if views else ""
            raise UserError(
                f"{source}: {name} has {len(numbers)}{needed} images, view {gap} is missing; "
                "add it or leave the object out"
            )
        if views and len(numbers) > views:
            raise UserError(f"{source}: {name} has {len(numbers)} images, expected {views}")


def write_embeddings(path: Path, found: ImageEmbeddings) -> None:
    """Write the file, whole or not at all."""
    with atomic_write(path) as file:
        np.savez(
            file,
            embeddings=found.embeddings,
            filenames=np.array(found.filenames, dtype=np.str_),
            digests=np.array(found.digests, dtype=np.str_),
            model=np.array(found.model),
            weights=np.array(found.weights),
            transform=np.array(found.transform),
        )


def read_embeddings(
    path: str | Path,
    *,
    model: str | None = None,
    weights: str | None = None,
    transform_hash: str | None = None,
) -> ImageEmbeddings:
    """Read a file of image embeddings.

    Args:
        path: The file.
        model: The encoder that must have made it; None for any.
        weights: The hash that its weights must have.
        transform_hash: The hash that its transform must have.

    Raises:
        UserError: No such file, damaged, or made in another way.
    """
    name = str(path)
    arrays = _read_arrays(Path(path), name)
    embeddings, filenames = arrays.get("embeddings"), arrays.get("filenames")
    if embeddings is None or filenames is None:
        raise UserError(
            f"{name}: holds {', '.join(sorted(arrays)) or 'nothing'}, expected embeddings and "
            f"filenames; {HINT}"
        )
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f" or filenames.dtype.kind != "U":
        raise UserError(
            f"{name}: embeddings {embeddings.dtype} {embeddings.shape} and filenames "
            f"{filenames.dtype}; expected numbers (N, D) and text; {HINT}"
        )
    if filenames.shape != (len(embeddings),):
        raise UserError(
            f"{name}: {len(embeddings)} embeddings and {filenames.size} filenames; {HINT}"
        )
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise UserError(
            f"{name}: the embedding of {filenames[bad[0]]} holds NaN or infinity; remove the file "
            f"and {HINT}"
        )
    encoder = {key: str(arrays[key]) if key in arrays else "" for key in _ENCODER_KEYS}
    digests = arrays.get("digests")
    whole = digests is not None and digests.shape == filenames.shape
    found = ImageEmbeddings(
        name,
        embeddings.astype(np.float32, copy=False),
        tuple(filenames.tolist()),
        **encoder,
        digests=tuple(map(str, digests.tolist())) if whole and digests is not None else (),
    )
    check_encoder(found, {"model": model, "weights": weights, "transform": transform_hash})
    return found


MAX_CODE_POINT = 0x10FFFF
_ENCODER_KEYS = ("model", "weights", "transform")


def check_encoder(found: ImageEmbeddings, expected: Mapping[str, str | None]) -> None:
    """Refuse embeddings of another encoder, other weights or another transform.

    Raises:
        UserError: They are of another.
    """
    if not found.model:
        if any(expected.values()):
            logger.warning("%s: does not say which encoder made it; taken as it is", found.path)
        return
    for key in _ENCODER_KEYS:
        stored, required = getattr(found, key), (expected[key] or "").removeprefix("timm:")
        if required and stored != required:
            raise UserError(
                f"{found.path}: stale: made with the {key} {stored}, now it is {required}; "
                f"{HINT} (--overwrite) or name that encoder"
            )


def _read_arrays(path: Path, name: str) -> dict[str, NDArray[np.generic]]:
    """The arrays of an npz file; anything but plain arrays is refused, nothing is unpickled."""
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not there"
        raise UserError(f"{name}: {kind}, expected the .npz of `triform retrieval embed`")
    try:
        with zipfile.ZipFile(path) as archive:
            keys = ("embeddings", "filenames", "digests", *_ENCODER_KEYS)
            there = set(archive.namelist())
            return {
                key: _read_member(archive, f"{key}.npy") for key in keys if f"{key}.npy" in there
            }
    except UserError as error:
        raise UserError(f"{name}: {error}; {HINT}") from None
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{name}: damaged or no .npz ({reason}); remove it and {HINT}") from None


def _read_member(archive: zipfile.ZipFile, member: str) -> NDArray[np.generic]:
    """One array, after its header is compared with its size."""
    info = archive.getinfo(member)
    if info.file_size > _MAX_RATIO * info.compress_size + _SMALL:
        raise UserError(f"{member} would unpack to {info.file_size} bytes")
    with archive.open(member) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise UserError(f"{member} holds Python objects, which are not read")
        expected_bytes = dtype.itemsize
        for side in shape:
            expected_bytes *= side
        if expected_bytes != info.file_size - file.tell():
            raise UserError(f"damaged: {member} is of another size than its header says")
    with archive.open(member) as file:
        array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
        file.read()  # to the end: only there the checksum is compared
    if array.dtype.kind == "U":
        code_points = array.reshape(-1).view(
            np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)
        )
        if (code_points > MAX_CODE_POINT).any():  # numpy finds out when the text is used
            raise UserError(f"damaged: {member} holds what is no text")
    return array

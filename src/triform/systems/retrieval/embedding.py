"""The verb `embed`: every picture of a library through a frozen image encoder, once.

Work that is done stays done: finished parts lie in `OUTPUT.parts` until the file is complete, and
a file that is there lends every row whose picture has not changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.datasets.library.layout import METADATA
from triform.engine.device import pick_device
from triform.images.read import HELD_SIDE, IMAGE_SUFFIXES, image_content, read_image
from triform.pretrained.image_encoder import ImageEncoder, load_image_encoder
from triform.systems.retrieval.config import DataConfig
from triform.systems.retrieval.embedding_file import (
    ImageEmbeddings,
    check_maker,
    check_views,
    read_embeddings,
    views_of,
    write_embeddings,
)
from triform.systems.retrieval.library import find_library
from triform.systems.retrieval.verbs import EmbedConfig

__all__ = ["ImageEmbeddings", "embed", "read_embeddings"]

logger = get_logger(__name__)

PART = 2048
"""Pictures between two moments at which finished work is kept."""


@dataclass(frozen=True)
class Picture:
    """A picture that is to be embedded.

    Attributes:
        filename: Its name, `ID_VIEW.png`.
        place: Where it lies, for messages.
        read: Gives its content.
    """

    filename: str
    place: str
    read: Callable[[], bytes]


def embed(settings: EmbedConfig) -> dict[str, Any]:
    """Write the embeddings of all pictures.

    Raises:
        UserError: No pictures, one of them cannot be read, a view is missing, the encoder cannot
            be had, or the output is somebody else's.
    """
    started = time.perf_counter()
    output = settings.output
    if output.suffix != ".npz":
        raise UsageError(f"--output {output}: must end in .npz")
    device = pick_device(settings.device)
    pictures = list_pictures(settings.library, settings.download_path)
    rows = views_of([picture.filename for picture in pictures], settings.library)
    check_views(rows, settings.views, settings.library)
    encoder = load_image_encoder(settings.image_encoder, device, settings.image_weights)
    digests, known = _what_is_known(settings, encoder, pictures)
    missing = [n for n, digest in enumerate(digests) if (pictures[n].filename, digest) not in known]
    folder = output.with_name(f"{output.name}.parts")
    with tqdm(
        total=len(pictures), initial=len(pictures) - len(missing), desc="pictures", unit="",
        leave=False, disable=None,
    ) as bar:  # fmt: skip
        for start in range(0, len(missing), PART):
            part = missing[start : start + PART]
            names = [(pictures[n].filename, digests[n]) for n in part]
            path = folder / f"{_key(encoder, names)}.npz"
            found = _finished(path, encoder, names)
            if found is None:
                found = _compute(encoder, [pictures[n] for n in part], settings, bar)
                write_embeddings(path, _embeddings(path, encoder, names, found))
            else:
                bar.update(len(part))
            known.update(zip(names, found, strict=True))
    names = [(p.filename, digest) for p, digest in zip(pictures, digests, strict=True)]
    table = np.stack([known[name] for name in names])
    if missing or not output.is_file():
        write_embeddings(output, _embeddings(output, encoder, names, table))
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "file": str(output), "objects": len(rows), "pictures": len(pictures),
        "computed": len(missing), "dim": encoder.dim, "model": encoder.name,
        "transform": encoder.transform_hash, "weights": encoder.fingerprint,
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip


def list_pictures(source: str, download_path: str = "datasets") -> list[Picture]:
    """The pictures of a shape library, of a known data set, or of a plain folder.

    Raises:
        UserError: There are none.
    """
    folder = Path(source)
    if folder.is_dir() and not (folder / METADATA).is_file():
        return _pictures_of_folder(folder)
    library = find_library(DataConfig(library=source, download_path=download_path))
    pictures = [
        Picture(path.rpartition("/")[2], f"{library.root}/{path}",
                lambda path=path: library.read_bytes(path))  # type: ignore[misc]
        for item in library.objects
        for path in item.images
    ]  # fmt: skip
    if not pictures:
        raise UserError(
            f"{source}: a library without pictures; `triform shapes prepare --views 24` makes them"
        )
    return pictures


def _pictures_of_folder(folder: Path) -> list[Picture]:
    """Pictures in a folder or in its folder `images`, sorted by name."""
    inside = folder / "images" if (folder / "images").is_dir() else folder
    files = sorted(
        path for path in inside.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.stem.endswith(".depth")
        and not path.name.startswith(".")
    )  # fmt: skip
    if not files:
        raise UserError(f"{inside}: no pictures in it; expected files like 0525_0.png")
    return [
        Picture(path.name, str(path), partial(image_content, path, str(path))) for path in files
    ]


def _what_is_known(
    settings: EmbedConfig, encoder: ImageEncoder, pictures: Sequence[Picture]
) -> tuple[list[str], dict[tuple[str, str], NDArray[np.float32]]]:
    """A digest of each picture, and the rows of the output that is there already."""
    with ThreadPoolExecutor(8) as pool:
        bar = tqdm(total=len(pictures), desc="reading", unit="", leave=False, disable=None)
        digests = []
        for digest in pool.map(_digest, pictures):
            digests.append(digest)
            bar.update()
        bar.close()
    if settings.overwrite or not settings.output.exists():
        return digests, {}
    try:
        old = read_embeddings(settings.output)
        if not old.model or not old.digests:
            raise UserError(f"{settings.output}: does not say which encoder made it")
        check_maker(old, _maker(encoder))
    except UserError as error:
        raise UserError(
            f"{error}; give another --output, or --overwrite to write this one anew"
        ) from None
    return digests, dict(zip(zip(old.filenames, old.digests, strict=True), old.embeddings,
                             strict=True))  # fmt: skip


def _digest(picture: Picture) -> str:
    """16 hex digits of a picture's content.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return hashlib.sha256(picture.read()).hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{picture.place}: cannot be read ({error.strerror})") from None


def _compute(
    encoder: ImageEncoder, pictures: Sequence[Picture], settings: EmbedConfig, bar: Any
) -> NDArray[np.float32]:
    """Features of pictures; the next batch is read while the network works on this one."""
    rows = []
    for images in _batches(encoder, pictures, settings.image_batch_size):
        features = encoder.forward(images).cpu().numpy()
        rows.append(features)
        bar.update(len(features))
    return np.concatenate(rows)


def _batches(
    encoder: ImageEncoder, pictures: Sequence[Picture], size: int
) -> Iterator[torch.Tensor]:
    def ready(picture: Picture) -> torch.Tensor:
        return encoder.transform(read_image(picture.read(), picture.place, longest=HELD_SIDE))

    with ThreadPoolExecutor() as pool:
        batches = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        ahead = [[pool.submit(ready, picture) for picture in batches[0]]]
        for following in [*batches[1:], []]:
            ahead.append([pool.submit(ready, picture) for picture in following])
            yield torch.stack([future.result() for future in ahead.pop(0)])


def _maker(encoder: ImageEncoder) -> dict[str, str | None]:
    return {
        "model": encoder.name, "weights": encoder.fingerprint, "transform": encoder.transform_hash
    }  # fmt: skip


def _embeddings(
    path: Path, encoder: ImageEncoder, names: Sequence[tuple[str, str]], table: NDArray[np.float32]
) -> ImageEmbeddings:
    """Rows with their names and their maker."""
    return ImageEmbeddings(
        str(path), table, tuple(name for name, _ in names), encoder.name, encoder.fingerprint,
        encoder.transform_hash, tuple(digest for _, digest in names),
    )  # fmt: skip


def _key(encoder: ImageEncoder, names: Sequence[tuple[str, str]]) -> str:
    """The name of a part: changes with the encoder, the transform and any picture in it."""
    facts = repr((encoder.fingerprint, encoder.transform_hash, list(names)))
    return hashlib.sha256(facts.encode()).hexdigest()[:24]


def _finished(
    path: Path, encoder: ImageEncoder, names: Sequence[tuple[str, str]]
) -> NDArray[np.float32] | None:
    """The rows of a part that an interrupted run has kept."""
    with contextlib.suppress(UserError):
        found = read_embeddings(path)
        if list(zip(found.filenames, found.digests, strict=True)) == list(names):
            logger.info("%s: %d pictures of an interrupted run", path, len(names))
            return found.embeddings
    return None

"""The verb `embed`: every image of a library through a frozen image encoder, once.

Finished parts lie in `OUTPUT.parts` until the file is complete, and an existing file lends every
row whose image has not changed.
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

from triform.base.errors import UsageError, UserError
from triform.base.folder_listing import list_files
from triform.base.logging import get_logger
from triform.base.progress import progress_bar
from triform.datasets.library.layout import METADATA
from triform.engine.device import pick_device
from triform.images.read import HELD_SIDE, IMAGE_SUFFIXES, image_content, read_image
from triform.pretrained.image_encoder import ImageEncoder, load_image_encoder
from triform.systems.retrieval.config import DataConfig
from triform.systems.retrieval.dataset import open_library
from triform.systems.retrieval.documented.embedding_file import (
    ImageEmbeddings,
    check_encoder,
    check_views,
    read_embeddings,
    views_of,
    write_embeddings,
)
from triform.systems.retrieval.verb_config import EmbedConfig

__all__ = ["ImageEmbeddings", "embed", "read_embeddings"]

logger = get_logger(__name__)

PART = 2048
"""Images after which finished work is saved."""


@dataclass(frozen=True)
class ImageFile:
    """An image file to embed.

    Attributes:
        filename: Its name, `ID_VIEW.png`.
        location: Its path, for messages.
        read: Returns its content.
    """

    filename: str
    location: str
    read: Callable[[], bytes]


def embed(settings: EmbedConfig) -> dict[str, Any]:
    """Write the embeddings of all images.

    Raises:
        UserError: No images, one of them cannot be read, a view is missing, the encoder cannot
            be loaded, or the output was made by another.
    """
    started = time.perf_counter()
    output = settings.output
    if output.suffix != ".npz":
        raise UsageError(f"--output {output}: must end in .npz")
    device = pick_device(settings.device)
    images = list_images(settings.library, settings.download_path)
    rows = views_of([image.filename for image in images], settings.library)
    check_views(rows, settings.views, settings.library)
    encoder = load_image_encoder(settings.image_encoder, device, settings.image_weights)
    digests, stored = _reusable_rows(settings, encoder, images)
    missing = [n for n, digest in enumerate(digests) if (images[n].filename, digest) not in stored]
    folder = output.with_name(f"{output.name}.parts")
    done = len(images) - len(missing)
    with progress_bar(desc="images", total=len(images), initial=done) as bar:
        for start in range(0, len(missing), PART):
            part = missing[start : start + PART]
            names = [(images[n].filename, digests[n]) for n in part]
            path = folder / f"{_key(encoder, names)}.npz"
            found = _saved_part(path, encoder, names)
            if found is None:
                found = _compute(encoder, [images[n] for n in part], settings, bar)
                write_embeddings(path, _embeddings(path, encoder, names, found))
            else:
                bar.update(len(part))
            stored.update(zip(names, found, strict=True))
    names = [(p.filename, digest) for p, digest in zip(images, digests, strict=True)]
    table = np.stack([stored[name] for name in names])
    if missing or not output.is_file():
        write_embeddings(output, _embeddings(output, encoder, names, table))
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "file": str(output),
        "objects": len(rows),
        "images": len(images),
        "computed": len(missing),
        "dim": encoder.dim,
        **_encoder_fields(encoder),
        "seconds": round(time.perf_counter() - started, 2),
    }


def list_images(source: str, download_path: str = "datasets") -> list[ImageFile]:
    """List the images of a shape library, of a known data set, or of a plain folder.

    Raises:
        UserError: There are none.
    """
    folder = Path(source)
    if folder.is_dir() and not (folder / METADATA).is_file():
        return _images_of_folder(folder)
    library = open_library(DataConfig(library=source, download_path=download_path))
    images = [
        ImageFile(
            path.rpartition("/")[2], f"{library.root}/{path}", partial(library.read_bytes, path)
        )
        for entry in library.objects
        for path in entry.images
    ]
    if not images:
        raise UserError(
            f"{source}: a library without images; `triform shapes prepare --views 24` makes them"
        )
    return images


def _images_of_folder(folder: Path) -> list[ImageFile]:
    """Images in a folder or in its folder `images`, sorted by name."""
    inside = folder / "images" if (folder / "images").is_dir() else folder
    files = [
        path
        for path in list_files(inside, IMAGE_SUFFIXES, recursive=False)
        if not path.stem.endswith(".depth")
    ]
    if not files:
        raise UserError(f"{inside}: no images in it; expected files like 0525_0.png")
    return [
        ImageFile(path.name, str(path), partial(image_content, path, str(path))) for path in files
    ]


def _reusable_rows(
    settings: EmbedConfig, encoder: ImageEncoder, images: Sequence[ImageFile]
) -> tuple[list[str], dict[tuple[str, str], NDArray[np.float32]]]:
    """A digest of each image, and the rows that the existing output has."""
    with ThreadPoolExecutor(8) as pool:
        hashed = pool.map(_digest, images)
        digests = list(progress_bar(hashed, desc="reading", total=len(images)))
    if settings.overwrite or not settings.output.exists():
        return digests, {}
    try:
        old = read_embeddings(settings.output)
        if not old.model or not old.digests:
            raise UserError(f"{settings.output}: does not say which encoder made it")
        check_encoder(old, _encoder_fields(encoder))
    except UserError as error:
        raise UserError(
            f"{error}; give another --output, or --overwrite to write this one anew"
        ) from None
    names = zip(old.filenames, old.digests, strict=True)
    return digests, dict(zip(names, old.embeddings, strict=True))


def _digest(image: ImageFile) -> str:
    """16 hex digits of an image's content.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return hashlib.sha256(image.read()).hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{image.location}: cannot be read ({error.strerror})") from None


def _compute(
    encoder: ImageEncoder, images: Sequence[ImageFile], settings: EmbedConfig, bar: Any
) -> NDArray[np.float32]:
    """Features of images; the next batch is read while the network works on this one."""
    rows = []
    for batch in _batches(encoder, images, settings.image_batch_size):
        features = encoder.forward(batch).cpu().numpy()
        rows.append(features)
        bar.update(len(features))
    return np.concatenate(rows)


def _batches(
    encoder: ImageEncoder, images: Sequence[ImageFile], size: int
) -> Iterator[torch.Tensor]:
    def load(image: ImageFile) -> torch.Tensor:
        return encoder.transform(read_image(image.read(), image.location, longest=HELD_SIDE))

    with ThreadPoolExecutor() as pool:
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        pending = [[pool.submit(load, image) for image in batches[0]]]
        for next_batch in [*batches[1:], []]:
            pending.append([pool.submit(load, image) for image in next_batch])
            yield torch.stack([future.result() for future in pending.pop(0)])


def _encoder_fields(encoder: ImageEncoder) -> dict[str, str]:
    return {
        "model": encoder.name,
        "weights": encoder.fingerprint,
        "transform": encoder.transform_hash,
    }


def _embeddings(
    path: Path, encoder: ImageEncoder, names: Sequence[tuple[str, str]], table: NDArray[np.float32]
) -> ImageEmbeddings:
    """Rows with their names and their encoder."""
    filenames, digests = zip(*names, strict=True)
    return ImageEmbeddings(str(path), table, filenames, **_encoder_fields(encoder), digests=digests)


def _key(encoder: ImageEncoder, names: Sequence[tuple[str, str]]) -> str:
    """The name of a part: changes with the encoder, the transform and any image in it."""
    description = repr((encoder.fingerprint, encoder.transform_hash, list(names)))
    return hashlib.sha256(description.encode()).hexdigest()[:24]


def _saved_part(
    path: Path, encoder: ImageEncoder, names: Sequence[tuple[str, str]]
) -> NDArray[np.float32] | None:
    """The rows of a part that an interrupted run has saved."""
    with contextlib.suppress(UserError):
        found = read_embeddings(path)
        if list(zip(found.filenames, found.digests, strict=True)) == list(names):
            logger.info("%s: %d images of an interrupted run", path, len(names))
            return found.embeddings
    return None

"""Embeds photos: threads read the next batches while the encoder works on one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.datasets.images.photos.read import Photo, readable
from triform.datasets.images.photos.scan import PhotoFile
from triform.pretrained.image_text import ImageTextModel
from triform.search.base_gallery import Record, Vectors
from triform.systems.clip.gallery.index_file import folder_prefix, stored_path
from triform.systems.clip.gallery.journal import Entry

SHORTEST_SIDE = 224
"""Pixels of the shorter side of photos, for perceptual hashes, where an encoder looks at fewer."""
BATCHES_AHEAD = 2
NO_VECTORS = np.zeros((0, 0), np.float32)


def shortest_side(model: ImageTextModel) -> int:
    """Pixels of the shorter side with which photos are read for a model."""
    return max(model.image_size, SHORTEST_SIDE)


def batches(files: Sequence[PhotoFile], size: int) -> list[Sequence[PhotoFile]]:
    """Files in batches; a batch is read, embedded and saved as one."""
    return [files[start : start + size] for start in range(0, len(files), size)]


def embed_files(
    files: Sequence[PhotoFile],
    model: ImageTextModel,
    *,
    batch_size: int,
    frames: int,
    threads: int,
) -> Iterator[list[Entry]]:
    """Read and embed files.

    Args:
        files: What to read.
        model: The encoder.
        batch_size: Files at once, and images at once.
        frames: Of a video, at most.
        threads: That read files.

    Yields:
        The entries of a batch, in the order of its files.
    """

    shortest = shortest_side(model)

    def read(file: PhotoFile) -> Photo | UserError:
        return readable(file, frames=frames, shortest=shortest)

    waiting = deque(batches(files, batch_size))
    pending: deque[list[tuple[PhotoFile, Future[Photo | UserError]]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        while waiting or pending:
            while waiting and len(pending) <= BATCHES_AHEAD:
                pending.append([(file, pool.submit(read, file)) for file in waiting.popleft()])
            batch = [(file, future.result()) for file, future in pending.popleft()]
            yield embed_photos(batch, model, batch_size)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def embed_photos(
    batch: Sequence[tuple[PhotoFile, Photo | UserError]], model: ImageTextModel, batch_size: int
) -> list[Entry]:
    """Entries of files that were read, in their order."""
    images = [image for _, photo in batch if isinstance(photo, Photo) for image in photo.images]
    vectors = encode(images, model, batch_size)
    entries, start = [], 0
    for file, photo in batch:
        path = stored_path(file.path)
        if isinstance(photo, Photo):
            rows = vectors[start : start + len(photo.images)]
            start += len(rows)
            records = photo_records(file, photo)
            entries.append(Entry(path, file.size, file.modified, records, rows))
        else:
            reason = str(photo).removeprefix(f"{file.path}: ")
            entries.append(Entry(path, file.size, file.modified, (), NO_VECTORS, reason))
    return entries


def encode(images: Sequence[Image.Image], model: ImageTextModel, batch_size: int) -> Vectors:
    """Images to (N, D) float32 of length 1."""
    if not images:
        return NO_VECTORS
    parts = [
        model.encode_images(images[start : start + batch_size]).numpy()
        for start in range(0, len(images), batch_size)
    ]
    return np.asarray(np.concatenate(parts), np.float32)


def photo_records(file: PhotoFile, photo: Photo) -> list[Record]:
    """Records of a file, one for each of its images; the fields are in `index_file`."""
    record: Record = {
        "path": stored_path(file.path),
        "folder": folder_prefix(os.path.dirname(file.path)),
        "kind": file.kind,
        "format": photo.format,
        "bytes": file.size,
        "modified": file.modified,
        "digest": photo.digest,
        "width": photo.width,
        "height": photo.height,
        "taken": photo.taken,
        "dated_by": photo.dated_by,
    }
    if file.kind == "video":
        record["duration"] = photo.duration
    return [
        {
            **record,
            "hash": photo.hashes[index].to_text(),
            **({"second": photo.seconds[index]} if photo.seconds else {}),
        }
        for index in range(len(photo.images))
    ]

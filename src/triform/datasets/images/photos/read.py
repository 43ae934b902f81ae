"""Reads a photo, a RAW photo or frames of a video, with what is known about it."""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from triform.base.errors import UserError
from triform.datasets.images.photos.changes import file_digest
from triform.datasets.images.photos.scan import PhotoFile
from triform.images.perceptual_hash import PerceptualHash, perceptual_hash
from triform.images.raw import read_raw
from triform.images.read import image_content, on_background, read_photo_image
from triform.images.video import read_video


@dataclass(frozen=True)
class Photo:
    """What is in a file.

    Attributes:
        images: RGB; the frames of a video, else one.
        hashes: Of the images.
        seconds: Where the frames are; empty for photos.
        format: Such as JPEG; of RAW photos and videos their suffix.
        width: Pixels.
        height: Pixels.
        duration: Of a video, in seconds.
        taken: YYYY-MM-DDTHH:MM:SS.
        dated_by: Whether that is what the camera wrote, or the time of the file.
        digest: As `file_digest`.
    """

    images: tuple[Image.Image, ...]
    hashes: tuple[PerceptualHash, ...]
    seconds: tuple[float, ...]
    format: str
    width: int
    height: int
    duration: float
    taken: str
    dated_by: Literal["camera", "file"]
    digest: str


SHORTEST_SIDE = 512
LONGEST_OF_SHORTEST = 2
"""Sides of frames and RAW photos, which are reduced to the pixels of their longest side."""


def read_photo(file: PhotoFile, *, frames: int, shortest: int = SHORTEST_SIDE) -> Photo:
    """Read a file.

    Args:
        file: What to read.
        frames: Of a video, at most.
        shortest: Pixels of the shorter side of its images that are enough; what is larger is
            reduced where that is cheap.

    Raises:
        UserError: It cannot be read, or a package is missing.
    """
    suffix = os.path.splitext(file.path)[1][1:].upper()
    longest = LONGEST_OF_SHORTEST * shortest
    if file.kind == "video":
        video = read_video(file.path, frames, longest=longest)
        return _photo(
            file,
            video.frames,
            video.seconds,
            suffix,
            (video.width, video.height),
            video.taken,
            file_digest(file),
            video.duration,
        )
    data = image_content(file.path, file.path)
    digest = hashlib.sha256(data).hexdigest()
    if file.kind == "raw":
        raw = read_raw(data, file.path, longest=longest)
        size = (raw.width, raw.height)
        return _photo(file, (raw.image,), (), suffix, size, raw.taken, digest)
    image, about = read_photo_image(data, file.path, shortest=shortest)
    size = (about.width, about.height)
    return _photo(file, (on_background(image),), (), about.kind, size, about.taken, digest)


def _photo(
    file: PhotoFile,
    images: tuple[Image.Image, ...],
    seconds: tuple[float, ...],
    form: str,
    size: tuple[int, int],
    taken: str,
    digest: str,
    duration: float = 0.0,
) -> Photo:
    hashes = tuple(perceptual_hash(image) for image in images)
    return Photo(
        images,
        hashes,
        seconds,
        form,
        *size,
        duration,
        taken or _file_time(file),
        "camera" if taken else "file",
        digest,
    )


def _file_time(file: PhotoFile) -> str:
    """Local time of the last change, as cameras write theirs."""
    try:
        return datetime.datetime.fromtimestamp(file.modified // 10**9).isoformat()
    except (OSError, OverflowError, ValueError):
        return ""


def readable(file: PhotoFile, *, frames: int, shortest: int = SHORTEST_SIDE) -> Photo | UserError:
    """As `read_photo`, but an error is returned, so that the next file can be read."""
    try:
        return read_photo(file, frames=frames, shortest=shortest)
    except UserError as error:
        return error
    except MemoryError:
        return UserError(f"{file.path}: there is not enough memory for it")

"""Frames of videos, by the ffmpeg of the package `imageio-ffmpeg` (extra `video`)."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from PIL import Image

from triform.base.errors import UserError
from triform.images.read import HELD_SIDE, read_image

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".ogv", ".ts", ".webm", ".wmv"),
)
PACKAGE, EXTRA = "imageio_ffmpeg", "video"
# A playlist may name files elsewhere and addresses: no format that does, and files alone.
_INPUT = (
    *("-protocol_whitelist", "file"),
    *("-format_whitelist", "asf,avi,flv,matroska,mov,mpeg,mpegts,mpegvideo,m4v,ogg"),
)
_DURATION = re.compile(rb"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_SIZE = re.compile(rb"Video: .*?, (\d+)x(\d+)")
_TAKEN = re.compile(rb"creation_time *: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
SECONDS_PER_CALL = 60.0
"""A file that takes ffmpeg longer is given up."""


@dataclass(frozen=True)
class Video:
    """Frames of a video.

    Attributes:
        frames: Of its parts of equal length the middle ones, RGB.
        seconds: Where each is.
        duration: Seconds.
        width: Pixels, as recorded.
        height: Likewise.
        taken: When it was recorded, as YYYY-MM-DDTHH:MM:SS, usually in UTC; "" if unknown.
    """

    frames: tuple[Image.Image, ...]
    seconds: tuple[float, ...]
    duration: float
    width: int
    height: int
    taken: str


def read_video(path: str | os.PathLike[str], count: int, *, longest: int = HELD_SIDE) -> Video:
    """Read frames that are spread evenly over a video.

    Args:
        path: The file.
        count: Number of frames; of a video shorter than that many seconds one for each second.
        longest: Pixels of the longest side of a frame.

    Raises:
        UserError: The package is not installed, or the file cannot be read.
    """
    name = str(path)
    # The prefix keeps names such as "concat:a" from being taken for more than a file.
    source = b"file:" + os.fsencode(os.path.abspath(path))
    if not os.path.isfile(path):
        raise UserError(f"{name}: not there, or not a file; expected a video")
    about = _ffmpeg(name, [*_INPUT, "-i", source]).stderr
    size, length = _SIZE.search(about), _DURATION.search(about)
    if size is None:
        raise UserError(f"{name}: damaged, or no video that ffmpeg reads")
    duration = 0.0
    if length is not None:
        hours, minutes, seconds = map(float, length.groups())
        duration = 3600 * hours + 60 * minutes + seconds
    count = max(1, min(count, int(duration)))
    middles = [(index + 0.5) * duration / count for index in range(count)]
    frames, times = [], []
    for second in middles:
        frame = _frame(name, source, second, longest)
        if frame is not None:
            frames.append(frame)
            times.append(round(second, 2))
    if (
        not frames
        and middles != [0.0]
        and (frame := _frame(name, source, 0.0, longest)) is not None
    ):
        frames, times = [frame], [0.0]
    if not frames:
        raise UserError(f"{name}: no frame of it can be decoded")
    taken = _TAKEN.search(about)
    return Video(
        tuple(frames),
        tuple(times),
        duration,
        int(size[1]),
        int(size[2]),
        "" if taken is None else taken[1].decode(),
    )


def read_frame(path: str | os.PathLike[str], second: float, *, longest: int) -> Image.Image:
    """Read the frame at a time.

    Raises:
        UserError: The package is not installed, or there is no such frame.
    """
    source = b"file:" + os.fsencode(os.path.abspath(path))
    frame = _frame(str(path), source, second, longest)
    if frame is None:
        raise UserError(f"{path}: no frame at {second:g} seconds")
    return frame


def _frame(name: str, source: bytes, second: float, longest: int) -> Image.Image | None:
    """The frame at a time; None where there is none."""
    scale = f"scale='min({longest},iw)':'min({longest},ih)':force_original_aspect_ratio=decrease"
    arguments: list[str | bytes] = [
        *_INPUT,
        *("-ss", f"{second:.3f}", "-i", source, "-an", "-sn", "-dn", "-frames:v", "1"),
        *("-vf", scale, "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"),
    ]
    data = _ffmpeg(name, arguments).stdout
    if not data:
        return None
    try:
        return read_image(data, name, longest=longest, kinds=("PPM",))
    except UserError:
        return None


def _ffmpeg(name: str, arguments: list[str | bytes]) -> subprocess.CompletedProcess[bytes]:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise UserError(f"{name}: videos are read with `pip install triform[{EXTRA}]`") from None
    command = [get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-threads", "1", *arguments]
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_PER_CALL
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{name}: ffmpeg took more than {SECONDS_PER_CALL:g} seconds") from None
    except (OSError, RuntimeError) as error:
        raise UserError(f"{name}: ffmpeg cannot be run ({error})") from None

"""Moving pictures: GIF with what is always there, MP4 where `imageio-ffmpeg` is installed."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.files import atomic_write

SUFFIXES = (".gif", ".mp4")
GIF_TICKS = 100  # a GIF counts time in hundredths of a second


def check_suffix(path: Path) -> None:
    """Say early what `save_animation` would say at the end.

    Raises:
        UserError: Another suffix, or MP4 without the package that writes it.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--output {path}: must end in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ModuleNotFoundError as error:
            raise UserError(
                f"--output {path}: MP4 needs `pip install imageio-ffmpeg`; or name a .gif"
            ) from error


def thin_out(frames: Sequence[np.ndarray], frame_rate: float, wanted: float) -> tuple[int, float]:
    """Every how-manieth frame to keep so that about `wanted` remain per second.

    Returns:
        The stride, and the frame rate that comes of it.
    """
    stride = max(1, round(frame_rate / wanted)) if frames else 1
    return stride, frame_rate / stride


def save_animation(
    frames: Sequence[np.ndarray], path: Path, frame_rate: float, *, width: int = 0
) -> None:
    """Write frames as a film that plays for ever (GIF) or once (MP4).

    Args:
        frames: One or more (H, W, 3) uint8, all of one size.
        path: `.gif` or `.mp4`.
        frame_rate: Frames per second.
        width: Width to scale down to; 0, or one that is larger, leaves the size.

    Raises:
        UserError: Another suffix, or MP4 without the package that writes it.
    """
    check_suffix(path)
    pictures = [Image.fromarray(frame) for frame in frames]
    if 0 < width < pictures[0].width:
        height = max(1, round(pictures[0].height * width / pictures[0].width))
        pictures = [p.resize((width, height), Image.Resampling.LANCZOS) for p in pictures]
    if path.suffix.lower() == ".gif":
        _save_gif(pictures, path, frame_rate)
    else:
        _save_mp4(pictures, path, frame_rate)


def _save_gif(pictures: list[Image.Image], path: Path, frame_rate: float) -> None:
    """All frames in one palette, made of a few of them: no flicker, small files."""
    some = pictures[:: max(1, len(pictures) // 8)]
    width, height = pictures[0].size
    mosaic = Image.new("RGB", (width, height * len(some)))
    for number, picture in enumerate(some):
        mosaic.paste(picture, (0, number * height))
    palette = mosaic.quantize(128, dither=Image.Dither.NONE)
    drawn = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    ticks = max(2, round(GIF_TICKS / frame_rate))  # players take less than 2 for "as you like"
    memory = io.BytesIO()
    drawn[0].save(
        memory, "GIF", save_all=True, append_images=drawn[1:], loop=0,
        duration=ticks * 1000 // GIF_TICKS, optimize=False,
    )  # fmt: skip
    with atomic_write(path) as file:
        file.write(memory.getvalue())


def _save_mp4(pictures: list[Image.Image], path: Path, frame_rate: float) -> None:
    """H.264, in sizes that every player takes: even numbers of pixels."""
    import imageio_ffmpeg

    width, height = (pixels // 2 * 2 for pixels in pictures[0].size)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "film.mp4"
        try:
            writer = imageio_ffmpeg.write_frames(
                whole,
                (width, height),
                fps=frame_rate,
                macro_block_size=2,
                ffmpeg_log_level="error",
            )
            writer.send(None)
            for picture in pictures:
                writer.send(np.ascontiguousarray(np.asarray(picture)[:height, :width]))
            writer.close()
        except OSError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--output {path}: ffmpeg failed: {reason}") from error
        with atomic_write(path) as file:
            file.write(whole.read_bytes())

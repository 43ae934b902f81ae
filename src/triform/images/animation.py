"""Animations: GIF by Pillow, MP4 if `imageio-ffmpeg` is installed."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.base.files import atomic_write

SUFFIXES = (".gif", ".mp4")
GIF_TICKS = 100  # the unit of time of a GIF is a hundredth of a second


def check_suffix(path: Path) -> None:
    """Refuse early a path that `save_animation` cannot write.

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


def frame_stride(
    frames: Sequence[np.ndarray], frame_rate: float, target_rate: float
) -> tuple[int, float]:
    """Stride between frames that leaves about `target_rate` per second.

    Returns:
        The stride, and the resulting frame rate.
    """
    stride = max(1, round(frame_rate / target_rate)) if frames else 1
    return stride, frame_rate / stride


def save_animation(
    frames: Sequence[np.ndarray], path: Path, frame_rate: float, *, width: int = 0
) -> None:
    """Write frames as an animation that loops (GIF) or plays once (MP4).

    Args:
        frames: One or more (H, W, 3) uint8, all of one size.
        path: `.gif` or `.mp4`.
        frame_rate: Frames per second.
        width: Width to scale down to; 0, or one that is larger, leaves the size.

    Raises:
        UserError: Another suffix, or MP4 without the package that writes it.
    """
    check_suffix(path)
    images = [Image.fromarray(frame) for frame in frames]
    if 0 < width < images[0].width:
        height = max(1, round(images[0].height * width / images[0].width))
        images = [p.resize((width, height), Image.Resampling.LANCZOS) for p in images]
    if path.suffix.lower() == ".gif":
        _save_gif(images, path, frame_rate)
    else:
        _save_mp4(images, path, frame_rate)


def _save_gif(images: list[Image.Image], path: Path, frame_rate: float) -> None:
    """One palette for all frames, computed from a few of them: no flicker, small files."""
    samples = images[:: max(1, len(images) // 8)]
    width, height = images[0].size
    mosaic = Image.new("RGB", (width, height * len(samples)))
    for index, image in enumerate(samples):
        mosaic.paste(image, (0, index * height))
    palette = mosaic.quantize(128, dither=Image.Dither.NONE)
    quantized = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in images]
    ticks = max(2, round(GIF_TICKS / frame_rate))  # players ignore delays of less than 2
    memory = io.BytesIO()
    quantized[0].save(
        memory,
        "GIF",
        save_all=True,
        append_images=quantized[1:],
        loop=0,
        duration=ticks * 1000 // GIF_TICKS,
        optimize=False,
    )
    with atomic_write(path) as file:
        file.write(memory.getvalue())


def _save_mp4(images: list[Image.Image], path: Path, frame_rate: float) -> None:
    """H.264 with even width and height, which every player can decode."""
    import imageio_ffmpeg

    width, height = (pixels // 2 * 2 for pixels in images[0].size)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        try:
            writer = imageio_ffmpeg.write_frames(
                video, (width, height), fps=frame_rate, macro_block_size=2, ffmpeg_log_level="error"
            )
            writer.send(None)
            for image in images:
                writer.send(np.ascontiguousarray(np.asarray(image)[:height, :width]))
            writer.close()
        except OSError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--output {path}: ffmpeg failed: {reason}") from error
        with atomic_write(path) as file:
            file.write(video.read_bytes())

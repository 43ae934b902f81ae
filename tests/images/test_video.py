"""Frames of videos that ffmpeg wrote; names and contents that would lead it elsewhere."""

import subprocess

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UserError
from triform.images.video import read_frame, read_video

ffmpeg = pytest.importorskip("imageio_ffmpeg")


def write_video(path, colors, *, seconds=1, size=(64, 48)):
    """A video that shows each colour for some seconds."""
    frames = b"".join(Image.new("RGB", size, color).tobytes() for color in colors)
    command = [
        *(ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"),
        *("-s", f"{size[0]}x{size[1]}", "-r", f"1/{seconds}", "-i", "-", "-r", "10"),
        *("-metadata", "creation_time=2024-05-06T07:08:09Z", "-pix_fmt", "yuv420p"),
        f"file:{path}",
    ]
    subprocess.run(command, input=frames, check=True, timeout=120)
    return path


COLORS = [(200, 30, 30), (30, 180, 40), (40, 60, 200), (230, 230, 60)]


def test_frames_are_the_middles_of_equal_parts(tmp_path):
    path = write_video(tmp_path / "-a:concat.mp4", COLORS)
    video = read_video(path, 4)
    assert video.duration == pytest.approx(4, abs=0.11)
    expected = [(index + 0.5) * video.duration / 4 for index in range(4)]
    assert video.seconds == pytest.approx(expected, abs=0.01)
    assert (video.width, video.height) == (64, 48)
    assert video.taken == "2024-05-06T07:08:09"
    for frame, color in zip(video.frames, COLORS, strict=True):
        assert frame.size == (64, 48)
        np.testing.assert_allclose(np.asarray(frame, float).mean((0, 1)), color, atol=8)
    np.testing.assert_array_equal(read_frame(path, video.seconds[2], longest=999), video.frames[2])


def test_not_more_frames_than_seconds_and_reduced_to_the_longest_side(tmp_path):
    path = write_video(tmp_path / "a.mkv", COLORS[:2])
    video = read_video(path, 50, longest=32)
    assert len(video.frames) == 2 and video.frames[0].size == (32, 24)


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x18ftypmp42" + b"\0" * 99])
def test_damage_is_one_line(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.mp4: damaged, or no video that ffmpeg reads$"):
        read_video(path, 2)


def test_playlists_are_not_followed(tmp_path):
    video = write_video(tmp_path / "a.mp4", COLORS[:2])
    for name, text in (
        ("b.mp4", f"#EXTM3U\n#EXTINF:1,\nfile:{video}\n"),
        ("c.mp4", f"ffconcat version 1.0\nfile '{video}'\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match="damaged, or no video"):
            read_video(tmp_path / name, 2)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="not there"):
        read_video(tmp_path / "a.mp4", 1)

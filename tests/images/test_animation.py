"""Films that other programs read back."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence

from triform.base.errors import UserError
from triform.images.animation import frame_stride, save_animation
from triform.tasks.agents.score_chart import draw_scores, rolling_mean


def moving_square(count=10, height=40, width=61):
    frames = []
    for number in range(count):
        frame = np.full((height, width, 3), 255, np.uint8)
        frame[10:20, 4 * number : 4 * number + 10] = (200, 30, 30)
        frames.append(frame)
    return frames


def test_gif_reads_back(tmp_path):
    frames = moving_square()
    save_animation(frames, tmp_path / "a.gif", 20)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 10 and film.info["loop"] == 0 and film.info["duration"] == 50
        for frame, image in zip(frames, ImageSequence.Iterator(film), strict=True):
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frame).max() < 16
    first = (tmp_path / "a.gif").read_bytes()
    save_animation(frames, tmp_path / "a.gif", 20)
    assert (tmp_path / "a.gif").read_bytes() == first
    save_animation(frames, tmp_path / "b.gif", 20, width=30)
    with Image.open(tmp_path / "b.gif") as film:
        assert film.size == (30, 20)


def test_mp4_reads_back(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = moving_square()
    save_animation(frames, tmp_path / "a.mp4", 10)
    reader = ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    about = next(reader)
    actual = [np.frombuffer(frame, np.uint8).reshape(40, 60, 3) for frame in reader]
    assert about["size"] == (60, 40) and about["fps"] == 10 and len(actual) == 10
    for frame, image in zip(frames, actual, strict=True):
        assert np.abs(image.astype(int) - frame[:, :60]).mean() < 6
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_wrong_files_are_told_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"must end in \.gif or \.mp4"):
        save_animation(moving_square(), tmp_path / "a.avi", 10)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match="pip install imageio-ffmpeg"):
        save_animation(moving_square(), tmp_path / "a.mp4", 10)


def test_thinning_keeps_the_speed():
    frames = moving_square(100)
    assert frame_stride(frames, 50, 25) == (2, 25) and frame_stride(frames, 30, 60) == (1, 30)


def test_rolling_mean_is_the_plain_one(tmp_path):
    scores = np.random.default_rng(0).normal(size=250)
    expected = [scores[max(0, i - 99) : i + 1].mean() for i in range(250)]
    assert rolling_mean(scores) == pytest.approx(expected)
    assert len(rolling_mean([])) == 0
    draw_scores([], tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size

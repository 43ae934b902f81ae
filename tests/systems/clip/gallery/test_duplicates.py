"""The verb `duplicates`: copies, similar photos, videos; nothing is deleted."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from photo_folder import scene
from PIL import Image

from triform.systems.clip.gallery.duplicates import similar_groups


def groups(rows):
    found = {}
    for row in rows:
        found.setdefault(row["group"], []).append(os.path.basename(row["file"]))
    return list(found.values())


def test_same_and_similar_are_two_lists(photos, run):
    image = scene(3)
    image.resize((300, 240)).save(photos / "large.png")
    image.save(photos / "bad.jpg", quality=25)
    shutil.copy(photos / "beach/IMG_004.png", photos / "copy.png")
    run("index", photos)
    before = sorted(photos.rglob("*"))
    answer = run("duplicates", "--output", "found.csv", "--similarity", 0.5, model=False)
    # The largest copy comes first.
    assert groups(answer["same"]) == [
        ["large.png", "IMG_003.png", "bad.jpg"],
        ["IMG_004.png", "copy.png"],
    ]
    similar = [name for group in groups(answer["similar"]) for name in group]
    assert len(similar) == len(set(similar))
    assert not {"IMG_003.png", "bad.jpg", "copy.png"} & set(similar)
    for row in answer["similar"]:
        assert row["similarity"] >= 0.5
    rows = list(csv.DictReader(Path("found.csv").read_text().splitlines()))
    assert [row["file"] for row in rows if row["list"] == "same"] == [
        row["file"] for row in answer["same"]
    ]
    assert len(rows) == len(answer["same"]) + len(answer["similar"])
    assert sorted(photos.rglob("*")) == before
    alone = run("duplicates", "--folder", photos / "beach", model=False)
    assert alone["same"] == []
    text = run("duplicates", "--similarity", 1, model=False, json_answer=False)
    assert "large.png" in text


def test_groups_have_leaders_and_are_no_chains():
    angles = np.radians([0, 20, 40, 60, 200, 205])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = similar_groups(vectors, float(np.cos(np.radians(25))))
    assert found == [[0, 1], [2, 3], [4, 5]]
    assert similar_groups(vectors, 1.0) == []
    random = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    for leader, *members in similar_groups(random, 0.9):
        assert (random[members] @ random[leader] >= 0.9).all()


def test_videos_of_one_length_with_the_same_frames(photos, run):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    black = "color=black:size=64x48:rate=5:duration=2[a];"
    for name, graph in (
        ("one.mp4", "testsrc=duration=4:size=96x64:rate=5"),
        ("copy.mkv", "testsrc=duration=4:size=96x64:rate=5,scale=64:48"),
        ("longer.mp4", "testsrc=duration=6:size=96x64:rate=5"),
        # Both begin in black, as many films do.
        ("film.mp4", black + "testsrc=size=64x48:rate=5:duration=2[b];[a][b]concat"),
        ("other.mp4", black + "mandelbrot=size=64x48:rate=5,trim=duration=2[b];[a][b]concat"),
    ):
        command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", graph, str(photos / name)]
        subprocess.run(command, check=True, timeout=120)
    run("index", photos, "--frames", 4)
    same = groups(run("duplicates", "--similarity", 1, model=False)["same"])
    assert same == [["one.mp4", "copy.mkv"]]


def test_an_image_in_other_orientation_is_another(photos, run):
    scene(3).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos / "mirrored.png")
    run("index", photos)
    assert run("duplicates", "--similarity", 1, model=False) == {"same": [], "similar": []}

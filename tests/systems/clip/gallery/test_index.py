"""The verb `index` from the command line: changes of a collection, failures, odd names."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from photo_folder import make_photos, scene

from triform.datasets.images.photos import scan as scan_module
from triform.search import gallery
from triform.search.gallery import open_gallery
from triform.systems.clip.gallery import embed, index_file
from triform.systems.clip.gallery.index_file import original_path, path_words, stored_path


def contents():
    """Path -> record and vectors, of the index here."""
    opened = open_gallery("photos.gallery")
    records = opened.records()
    vectors = opened.vectors(list(records))
    return {
        name: (record, vector)
        for (name, record), vector in zip(records.items(), vectors, strict=True)
    }


def counts(answer):
    names = ("new", "changed", "moved", "removed", "unchanged", "unreadable", "embedded")
    return {name: answer[name] for name in names if answer[name]}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, (record, vector) in first.items():
        assert record == second[name][0]
        np.testing.assert_array_equal(vector, second[name][1])


def test_all_changes_of_a_collection(photos, run):
    answer = run("index", photos)
    assert counts(answer) == {"new": 12, "embedded": 12} and answer["files"] == 12
    assert counts(run("index", photos)) == {"unchanged": 12}
    before = contents()
    status = os.stat("photos.gallery")
    assert counts(run("index", photos)) == {"unchanged": 12}
    assert os.stat("photos.gallery") == status
    (photos / "beach/IMG_000.png").rename(photos / "city/moved.png")
    (photos / "beach/IMG_002.png").unlink()
    scene(100).save(photos / "beach/IMG_004.png")
    os.utime(photos / "beach/IMG_006.png")
    shutil.copy(photos / "beach/IMG_008.png", photos / "copy.png")
    answer = run("index", photos)
    expected = {"new": 1, "changed": 1, "moved": 1, "removed": 1, "unchanged": 9, "embedded": 2}
    assert counts(answer) == expected and answer["files"] == 12
    after = contents()

    def of(found, name):
        return found[f"{photos / name}#0"]

    record, vector = of(before, "beach/IMG_000.png")
    moved, same_vector = of(after, "city/moved.png")
    changed = {"path": str(photos / "city/moved.png"), "folder": str(photos / "city") + os.sep}
    assert moved == {**record, **changed, "modified": moved["modified"]}
    np.testing.assert_array_equal(vector, same_vector)
    touched = of(after, "beach/IMG_006.png")[0]
    assert touched["modified"] == (photos / "beach/IMG_006.png").stat().st_mtime_ns
    # What grew step by step is what a new index has.
    answer = run("index", photos, "--rebuild")
    assert answer["new"] == 12
    rebuilt = contents()
    assert rebuilt.keys() == after.keys()
    for name, (record, vector) in rebuilt.items():
        np.testing.assert_allclose(vector, after[name][1], atol=1e-5)
        if "moved" not in name and "006" not in name:
            assert record == after[name][0]


def test_records(photos, run):
    run("index", photos)
    record, vector = contents()[f"{photos / 'city/night/IMG_003.png'}#0"]
    path = photos / "city/night/IMG_003.png"
    assert record["bytes"] == path.stat().st_size and record["format"] == "PNG"
    assert (record["width"], record["height"], record["dated_by"]) == (90, 70, "file")
    assert record["folder"] == str(path.parent) + os.sep
    np.testing.assert_allclose(np.linalg.norm(vector), 1, atol=1e-5)


def test_several_folders_and_one_alone(photos, run, tmp_path):
    make_photos(tmp_path / "more", 3, first=50)
    run("index", photos)
    assert counts(run("index", tmp_path / "more")) == {"new": 3, "embedded": 3}
    assert run("index", photos, tmp_path / "more")["unchanged"] == 15
    shutil.rmtree(photos / "beach")
    assert run("index", tmp_path / "more")["files"] == 15  # the other folder was not looked at
    assert counts(run("index", photos)) == {"removed": 6, "unchanged": 6}


def test_an_empty_folder_is_taken_for_a_disk_that_is_away(photos, run):
    run("index", photos)
    away = photos.with_name("away")
    photos.rename(away)
    status, err = run("index", photos)
    assert status == 1 and "not there, expected a folder of photos" in err
    photos.mkdir()
    answer = run("index", photos)
    assert answer["removed"] == 0 and answer["files"] == 12
    assert "its 12 files stay in the index" in run.err
    photos.rmdir()
    away.rename(photos)
    assert counts(run("index", photos)) == {"unchanged": 12}
    shutil.rmtree(photos)
    make_photos(photos, 1, first=3)
    (photos / "city/night/IMG_003.png").unlink()
    status, err = run("index", photos, "--allow_empty")
    assert status == 1 and "no photos in it" in err


def test_unreadable_files_are_listed_and_not_tried_again(photos, run, monkeypatch):
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff cut")
    (photos / "empty.png").touch()
    (photos / "text\n.png").write_text("no image")
    answer = run("index", photos)
    assert counts(answer) == {"new": 12, "unreadable": 3, "embedded": 15}
    assert "3 files cannot be read, photos.failed.csv says why; the first: " in run.err
    rows = list(csv.DictReader(Path("photos.failed.csv").read_text().splitlines()))
    assert [os.path.basename(row["file"]) for row in rows] == [
        "bad.jpg",
        "empty.png",
        "text\\n.png",
    ]
    assert "the file is empty" in rows[1]["reason"]
    assert counts(run("index", photos)) == {"unchanged": 12, "unreadable": 3} and not run.err
    assert counts(run("index", photos, "--retry_failed"))["embedded"] == 3
    scene(7).save(photos / "empty.png")
    (photos / "bad.jpg").unlink()
    assert counts(run("index", photos)) == {
        "new": 1,
        "unchanged": 12,
        "unreadable": 1,
        "embedded": 1,
    }
    (photos / "text\n.png").unlink()
    run("index", photos)
    assert not Path("photos.failed.csv").exists()


def test_nothing_that_can_be_read_leaves_nothing_behind(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    status, err = run("index", "photos")
    assert status == 1 and "no photos in it" in err
    (tmp_path / "photos/a.png").write_text("no image")
    status, err = run("index", "photos")
    assert status == 1 and "none of 1 files can be read; the first: " in err
    assert not Path("photos.gallery").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes")
def test_names_of_all_kinds(photos, run):
    names = [b"caf\xe9.png", b"new\nline.png", b"\x1b[2J.png", "Ёлка 猫 \u202e.png".encode()]
    for name in names:
        shutil.copy(photos / "beach/IMG_000.png", os.path.join(os.fsencode(photos), name))
    assert run("index", photos)["new"] == 16
    assert counts(run("index", photos)) == {"unchanged": 16}
    found = {os.fsencode(original_path(str(record["path"]))) for record, _ in contents().values()}
    assert {os.path.join(os.fsencode(photos), name) for name in names} < found
    text = run("search", str(photos / "beach/IMG_000.png"), "--top_k", 20, json_answer=False)
    assert "\x1b" not in text and "\u202e" not in text
    assert "caf\\udce9.png" in text and "new\\nline.png" in text and "\\x1b[2J.png" in text
    rows = run("search", str(photos / "beach/IMG_000.png"), "--top_k", 20)
    assert {os.path.join(os.fsencode(photos), name) for name in names} < {
        os.fsencode(row["file"]) for row in rows
    }


def test_suffix_is_that_of_galleries():
    assert index_file.SUFFIX == gallery.SUFFIX


def test_stored_paths_are_text_and_go_back():
    for path in ("/a/b.png", "/a/caf\udce9.png", "/ё/猫"):
        stored = stored_path(path)
        stored.encode()
        assert original_path(stored) == path
    assert stored_path("/a/ё") == "/a/ё"
    assert path_words("/home/me/photos/2024 Rome/IMG_1.jpg", ("/home/me/photos", "/x")) == (
        "2024 Rome IMG_1"
    )


def test_a_file_that_is_gone_before_it_is_read(photos, run, monkeypatch):
    real = embed.readable

    def remove_and_read(file, **options):
        if file.path.endswith("IMG_004.png"):
            os.unlink(file.path)
        return real(file, **options)

    monkeypatch.setattr(embed, "readable", remove_and_read)
    answer = run("index", photos)
    assert answer["new"] == 11 and answer["unreadable"] == 0 and not run.err
    assert not Path("photos.failed.csv").exists()


def test_exclude_links_and_packages(photos, run, monkeypatch):
    shutil.copytree(photos / "beach", photos / "@eaDir")
    (photos / "loop").symlink_to(photos)
    (photos / "a.nef").write_bytes(b"raw")
    monkeypatch.setattr(scan_module.importlib.util, "find_spec", lambda name: None)
    assert run("index", photos, "--exclude", "city", "*_002*", "--follow_links")["files"] == 5
    assert "1 file needs `pip install triform[raw]` and is left out" in run.err


def test_videos_have_a_vector_for_each_frame(photos, run):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    command = [
        *(ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i"),
        *("testsrc=duration=4:size=64x48:rate=5", str(photos / "trip.mp4")),
    ]
    subprocess.run(command, check=True, timeout=120)
    (photos / "damaged.mov").write_bytes(b"no video")
    answer = run("index", photos, "--frames", 3)
    assert answer["files"] == 13 and answer["unreadable"] == 1
    frames = [record for name, (record, _) in contents().items() if "trip.mp4" in name]
    assert [frame["second"] for frame in frames] == [0.67, 2.0, 3.33]
    hit = run("search", "trip", "--top_k", 1)[0]
    assert hit["file"].endswith("trip.mp4") and hit["second"] in (0.67, 2.0, 3.33)


def test_another_model_is_refused(photos, run, weights, tmp_path):
    run("index", photos)
    before = Path("photos.gallery").read_bytes()
    other = tmp_path / "other.safetensors"
    data = weights.read_bytes()
    other.write_bytes(data[:-4] + b"\0\0\0\0")
    for words in (("index", photos), ("search", "a dog")):
        status, err = run(*words, "--checkpoint", other, "--device", "cpu", model=False)
        assert status == 1 and err.count("\n") == 1
        assert "photos.gallery: made with weights " in err and "--rebuild" in err
    assert Path("photos.gallery").read_bytes() == before
    assert run("index", photos, "--rebuild", "--checkpoint", other, model=False)["new"] == 12


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["index"], 2, "folders"),
        (["index", "missing"], 1, "missing: not there, expected a folder of photos"),
        (["index", "{photos}/beach/IMG_000.png"], 1, "a file, expected a folder"),
        (["index", "{photos}", "--index_file", "a.db"], 2, "must end in .gallery"),
        (["index", "{photos}", "--checkpoint", "missing.pth"], 1, "missing.pth: not there"),
        (["index", "{photos}", "--cluster", "127.0.0.1:1"], 1, "no Ray cluster answers there"),
        (["search", "dog"], 1, "photos.gallery: not there; make it by `triform clip index"),
        (["duplicates"], 1, "photos.gallery: not there; make it by `triform clip index"),
    ],
)
def test_wrong_input_is_one_line(photos, run, words, status, message):
    words = [word.format(photos=photos) for word in words]
    has_model = words[0] == "duplicates" or "--checkpoint" in words
    found, err = run(*words, model=not has_model)
    assert found == status and message in err and err.count("\n") == 1
    assert [name for name in os.listdir() if not name.endswith(".lock")] == []


def test_an_index_that_is_none(photos, run):
    Path("photos.gallery").write_text("text")
    status, err = run("index", photos)
    assert status == 1 and err.count("\n") == 1 and "--rebuild does" in err
    assert Path("photos.gallery").read_text() == "text"
    assert run("index", photos, "--rebuild")["new"] == 12


def test_nothing_changed_needs_no_torch(photos, run, weights):
    """The second run is another program, which tells what it imported."""
    run("index", photos)
    code = (
        "import sys; from triform.cli import main; "
        f"status = main(['clip', 'index', {str(photos)!r}, '--checkpoint', {str(weights)!r}, "
        "'--json']); assert not {'torch', 'numba'} & set(sys.modules); sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["unchanged"] == 12

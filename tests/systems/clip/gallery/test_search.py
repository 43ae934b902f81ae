"""The verb `search` from the command line, on an index of known vectors."""

import os
from pathlib import Path

import numpy as np
import pytest
from photo_folder import scene
from PIL import Image

from triform.search import exclusion
from triform.search.gallery import open_gallery


def names(rows):
    return [os.path.basename(row["file"]) for row in rows]


@pytest.fixture
def indexed(photos, run):
    run("index", photos)
    return photos


def test_similar_to_an_image(indexed, run, tmp_path):
    """The same pixels elsewhere are the best hit; ranks, percentiles, dates by hand."""
    scene(5).save(tmp_path / "query.png")
    rows = run("search", tmp_path / "query.png", "--top_k", 12, "--no_words")
    assert rows[0]["file"].endswith("IMG_005.png")
    assert rows[0]["similarity"] == pytest.approx(1, abs=1e-4)
    assert [row["rank"] for row in rows] == list(range(1, 13))
    similarities = [row["similarity"] for row in rows]
    assert similarities == sorted(similarities, reverse=True)
    assert rows[0]["percentile"] == pytest.approx(100 * 11 / 12, abs=0.01)
    assert rows[-1]["percentile"] == 0
    assert rows[0]["dated_by"] == "file" and rows[0]["taken"].startswith("2020-09-1")
    gallery = open_gallery("photos.gallery")
    ids = list(gallery.records())
    vectors = gallery.vectors(ids)
    query = vectors[ids.index(f"{indexed / 'city/night/IMG_005.png'}#0")]
    order = np.argsort(-(vectors @ query), kind="stable")
    assert [row["file"] for row in rows] == [ids[each].rpartition("#")[0] for each in order]


def test_a_photo_of_the_index_does_not_find_itself(indexed, run):
    rows = run("search", indexed / "beach/IMG_004.png", "--top_k", 20, "--no_words")
    assert len(rows) == 11 and "IMG_004.png" not in names(rows)


def test_words_of_names_and_folders_are_found(indexed, run):
    scene(40).save(indexed / "beach/our_Wedding-2.png")
    run("index", indexed)
    rows = run("search", "wedding", "--top_k", 3)
    assert names(rows)[0] == "our_Wedding-2.png" and rows[0]["words"]
    rows = run("search", "night", "--top_k", 6)
    assert all("city/night" in row["file"] and row["words"] for row in rows)
    assert not any(row["words"] for row in run("search", "night", "--no_words"))
    # A name that says what must not be there.
    rows = run("search", "night -IMG_007", "--top_k", 20)
    assert len(rows) == 12 and "IMG_007.png" not in names(rows)


def test_what_is_excluded_is_orthogonal(indexed, run):
    other = indexed / "beach/IMG_002.png"
    plain = {row["file"]: row["similarity"] for row in run("search", "a dog", "--top_k", 12)}
    rows = run("search", "a dog", "--without", other, "--top_k", 12, "--no_words")
    assert str(other) not in [row["file"] for row in rows] and len(rows) == 11
    assert {row["file"]: row["similarity"] for row in rows} != plain


def test_nothing_is_left_without_what_is_excluded(indexed, run, monkeypatch):
    monkeypatch.setattr(exclusion, "MIN_SAMPLE", 2)
    monkeypatch.setattr(exclusion, "is_excluded", lambda vectors, *_: np.ones(len(vectors), bool))
    status, err = run("search", "a dog -a cat")
    assert status == 1 and "photos.gallery: no photo fits without a cat; exclude less" in err
    monkeypatch.setattr(exclusion, "is_excluded", lambda vectors, *_: np.arange(len(vectors)) < 9)
    every = run("search", "a dog", "--top_k", 12, "--no_words")
    assert len(run("search", "a dog -a cat", "--top_k", 12, "--no_words")) == 3
    assert len(every) == 12


def test_filters(indexed, run, tmp_path):
    exif = Image.Exif()
    exif[306] = "2001:02:03 04:05:06"
    Image.new("RGB", (300, 200), (200, 10, 10)).save(indexed / "old.jpg", exif=exif)
    run("index", indexed)
    every = [*("--top_k", 50)]
    rows = run("search", "a dog", "--format", "jpg", *every)
    assert names(rows) == ["old.jpg"] and rows[0]["dated_by"] == "camera"
    assert names(run("search", "a dog", "--taken_to", "2001-02-03", *every)) == ["old.jpg"]
    assert len(run("search", "a dog", "--taken_from", "2001-02-04", *every)) == 12
    assert names(run("search", "a dog", "--min_width", 91, *every)) == ["old.jpg"]
    assert len(run("search", "a dog", "--folder", indexed / "beach", *every)) == 6
    assert len(run("search", "a dog", "--folder", indexed, "--max_bytes", 10**9, *every)) == 13
    status, err = run("search", "a dog", "--folder", tmp_path / "beach")
    assert status == 1 and "no photo in it has what the filters ask for" in err


def test_order_by_date_and_cut(indexed, run):
    rows = run("search", "a dog", "--top_k", 5, "--sort", "oldest", "--no_words")
    dates = [row["taken"] for row in rows]
    assert dates == sorted(dates) and {row["rank"] for row in rows} == {1, 2, 3, 4, 5}
    rows = run("search", "a dog", "--top_k", 5, "--sort", "newest", "--no_words")
    assert [row["taken"] for row in rows] == dates[::-1]
    rows = run("search", "a dog", "--top_k", 12, "--no_words")
    delta = rows[0]["similarity"] - rows[4]["similarity"] + 1e-4
    cut = run("search", "a dog", "--top_k", 12, "--no_words", "--cutoff", f"{delta:.5f}")
    assert cut == rows[: len(cut)] and 5 <= len(cut) < 12


def test_sheet(indexed, run):
    Path(indexed / "beach/IMG_000.png").unlink()  # grey where a file is gone
    run("search", "a dog", "--sheet", "sheet.png", "--top_k", 12)
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 400


def test_words_alone_need_a_query(indexed, run):
    for words, message in (
        ([], "query"),
        (["--query", "-a cat"], "only what must not be there"),
        (["dog", "--taken_from", "yesterday"], "expected a year, month or day"),
        (["dog", "--format", "doc"], "--format doc: not known"),
        (["./missing.png"], "not there; expected an image"),
    ):
        status, err = run("search", *words)
        assert status == 2 and message in err and err.count("\n") == 1


def test_a_run_that_was_stopped_is_told(indexed, run):
    Path("photos.gallery.journal").write_bytes(b"")
    run("search", "a dog")
    assert "an index run is under way or was stopped" in run.err

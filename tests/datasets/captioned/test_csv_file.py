"""The documented table: read as written, everything wrong in one list, divided by image."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.datasets.captioned.csv_file import OFFICIAL_SPLITS, load_csv

NAMES = [f"{number}.png" for number in range(10)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        color = (number * 20, 100, 255 - number * 20)
        Image.new("RGB", (20 + number, 16), color).save(tmp_path / "images" / name)
    return tmp_path


def write(folder: Path, rows: list[list[str]], header: str = "image,caption") -> Path:
    path = folder / "captions.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        stream.write(header + "\n")
        csv.writer(stream).writerows(rows)
    return path


def load(folder: Path, val_split: float = 0.2, seed: int = 0):
    return load_csv(folder / "images", folder / "captions.csv", val_split=val_split, seed=seed)


def test_captions_with_commas_and_quotes_come_back(folder):
    caption = 'A man, who says "hello", waves .'
    write(folder, [[name, text] for name in NAMES for text in (caption, f"number {name}")])
    table = load(folder)
    assert len(table) == 10 and table.captions[3] == (caption, "number 3.png")
    assert table.images.image(3).shape == (16, 23, 3) and table.images.name(3) == "3.png"
    assert (table.images.image(3) == (60, 100, 195)).all()


def test_division_is_by_image_kept_and_the_same_in_any_order(folder):
    rows = [[name, f"{word} thing"] for name in NAMES for word in ("a", "the", "one")]
    write(folder, rows)
    table = load(folder, 0.3)
    val = {table.images.name(row) for row in table.rows("val")}
    train = {table.images.name(row) for row in table.rows("train")}
    assert len(val) == 3 and not val & train and len(val | train) == 10
    assert (folder / "captions.split.json").is_file()
    write(folder, rows[::-1])
    repeated = load(folder, 0.3)
    assert {repeated.images.name(row) for row in repeated.rows("val")} == val
    (folder / "captions.split.json").unlink()
    third = load(folder, 0.3)
    assert {third.images.name(row) for row in third.rows("val")} == val
    other = load(folder, 0.3, seed=1)
    assert {other.images.name(row) for row in other.rows("val")} != val


def test_official_lists_are_honoured(folder):
    write(folder, [[name, "a thing"] for name in NAMES])
    parts = {"train": NAMES[:6], "val": NAMES[6:8], "test": NAMES[8:]}
    for split, names in parts.items():
        (folder / OFFICIAL_SPLITS[split]).write_text("\n".join(names) + "\nnot_here.jpg\n")
    table = load(folder)
    for split, names in parts.items():
        assert [table.images.name(row) for row in table.rows(split)] == names


def test_all_that_is_wrong_is_one_list_with_rows(folder):
    (folder / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (folder / "images" / "empty.png").write_bytes(b"")
    write(
        folder,
        [
            ["0.png", "fine"],
            ["missing.png", "a thing"],
            ["1.png", " "],
            ["1.png", "..."],
            ["0.png", "fine"],
            ["broken.png", "b"],
            ["empty.png", "e"],
            ["../up.png", "x"],
            ["/etc/passwd", "x"],
            ["2.png", "too", "many"],
            ["", "no image"],
            ["sub", "folder"],
        ],
    )
    with pytest.raises(UserError) as caught:
        load(folder)
    message = str(caught.value)
    assert "11 rows cannot be used" in message and "\n" not in message
    for row, word in ((3, "missing.png"), (4, "empty caption"), (5, "empty caption")):
        assert f"row {row}: " in message and word in message
    assert message.endswith("and 8 more")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (["broken.png", "b"], "broken.png"),
        (["empty.png", "e"], "empty"),
        (["../up.png", "x"], "leaves images_dir"),
        (["/etc/passwd", "x"], "leaves images_dir"),
        (["2.png", "too", "many"], "expected 2"),
        (["", "no image"], "no image"),
        (["sub", "folder"], "not a file"),
        (["0.png", "fine"], "same caption twice"),
    ],
)
def test_a_row_that_cannot_be_used(folder, row, problem):
    (folder / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (folder / "images" / "empty.png").write_bytes(b"")
    write(folder, [["0.png", "fine"], row])
    with pytest.raises(UserError, match=f"1 rows cannot be used: row 3: .*{problem}"):
        load(folder)


def test_long_lists_are_cut(folder):
    write(folder, [[f"missing{number}.png", "a thing"] for number in range(50)])
    with pytest.raises(UserError, match="and 47 more"):
        load(folder)


@pytest.mark.parametrize("header", ["image,text", "image", "", "image;caption", "caption,image"])
def test_another_header_is_refused(folder, header):
    write(folder, [["0.png", "a thing"]], header)
    with pytest.raises(UserError, match="expected image,caption"):
        load(folder)


def test_what_is_no_table_is_one_line(folder):
    with pytest.raises(UsageError, match="caption_file"):
        load(folder)
    (folder / "captions.csv").write_bytes(b"image,caption\n\xff\xfe\x00,x\n")
    with pytest.raises(UserError, match="UTF-8"):
        load(folder)
    write(folder, [])
    with pytest.raises(UserError, match="no captions"):
        load(folder)
    write(folder, [["0.png", "one"]])
    with pytest.raises(UserError, match="at least 2"):
        load(folder)
    with pytest.raises(UsageError, match="images_dir"):
        load_csv(folder / "nowhere", folder / "captions.csv", val_split=0.2, seed=0)


def test_images_once_found_whole_are_not_opened_again(folder, monkeypatch):
    write(folder, [[name, "a thing"] for name in NAMES])
    load(folder)
    opened = []
    monkeypatch.setattr(
        "triform.datasets.captioned.csv_file.read_image", lambda *words: opened.append(words)
    )
    load(folder)
    assert not opened
    Image.new("RGB", (5, 5)).save(folder / "images" / "4.png")
    load(folder)
    assert [Path(path).name for path, _ in opened] == ["4.png"]


def test_transparent_images_are_on_white(folder):
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(folder / "images" / "0.png")
    write(folder, [[name, "a thing"] for name in NAMES])
    assert (load(folder).images.image(0) == 255).all()

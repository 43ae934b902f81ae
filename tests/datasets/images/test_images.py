"""Every source of images, and what is common to them."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.datasets import npm
from triform.datasets.images import emoji, folder, glyphs
from triform.datasets.images.load import IMAGE_DATASETS, fetch_images, list_images, load_images
from triform.datasets.images.table import with_channels


def save(path: Path, value: int | tuple[int, ...], size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = {int: "L"}.get(type(value)) or {3: "RGB", 4: "RGBA"}[len(value)]
    Image.new(mode, size, value).save(path)


def test_digits_are_those_of_scikit_learn():
    table = load_images("digits")
    assert table.images.shape == (1797, 8, 8, 1) and table.images.max() == 255
    together = np.concatenate([table.rows("train"), table.rows("test")])
    assert np.array_equal(np.sort(together), np.arange(1797))
    with pytest.raises(UsageError, match="no split 'val'; it has: train, test"):
        table.rows("val")


def test_glyphs_are_apart_by_script_and_by_pixels():
    table = load_images("glyphs", size=28)
    assert len(table.classes) > 1900 and table.images.shape[1:] == (28, 28, 1)
    classes = [set(table.class_splits[name].tolist()) for name in ("train", "val", "test")]
    assert sum(map(len, classes)) == len(table.classes) == len(set().union(*classes))
    names = {name: {table.classes[i] for i in rows} for name, rows in table.class_splits.items()}
    assert {"A", "Ж", "ß"} <= names["train"] and {"Ω", "Ը", "∑"} <= names["test"]
    # Alpha looks like A and is no class of its own
    assert "Α" not in table.classes and "А" not in table.classes
    # the same typeface never draws two classes alike
    for face in range(len(glyphs.FACES)):
        drawn = table.images[table.makers == face].reshape(-1, 28 * 28)
        assert len(np.unique(drawn, axis=0)) == len(drawn)
    assert np.bincount(table.labels).min() >= glyphs.MIN_FACES
    assert np.array_equal(load_images("glyphs").images, table.images)


class TestChannels:
    def test_grey_of_colour_is_that_of_pillow(self):
        colors = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
        ours = with_channels(colors, 1)[..., 0].astype(int)
        theirs = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colors])
        assert np.abs(ours - theirs.astype(int)).max() <= 1  # Pillow cuts where we round

    def test_alpha_over_white(self):
        image = np.array([[[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]]], np.uint8)
        expected = [[255, 0, 0], [255, 255, 255], [204, 204, 204]]
        assert with_channels(image, 3)[0, 0].tolist() == expected

    def test_there_and_back(self):
        grey = np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1)
        for channels in (3, 4):
            assert np.array_equal(with_channels(with_channels(grey, channels), 1), grey)
        with pytest.raises(UsageError, match="channels: 2 is not possible"):
            with_channels(grey, 2)


class TestFolder:
    def test_classes_and_splits(self, tmp_path):
        for split in ("train", "test"):
            for value, name in enumerate(("ant", "bee")):
                save(tmp_path / split / name / "0.png", value)
        table = load_images(tmp_path)
        assert table.classes == ("ant", "bee") and table.images.shape == (4, 8, 8, 1)
        assert np.array_equal(table.images[:, 0, 0, 0], table.labels)
        assert table.labels[table.rows("test")].tolist() == [0, 1] and not table.class_splits

    def test_omniglot_keeps_alphabets_apart(self, tmp_path):
        save(tmp_path / "images_background" / "Greek" / "character01" / "1.png", 1)
        save(tmp_path / "images_evaluation" / "Tengwar" / "character01" / "1.png", 2)
        table = load_images(tmp_path)
        assert table.classes == ("Greek/character01", "Tengwar/character01")
        assert {k: v.tolist() for k, v in table.class_splits.items()} == {"train": [0], "test": [1]}

    def test_sizes_that_differ_are_not_resized_silently(self, tmp_path):
        save(tmp_path / "a.png", 3)
        save(tmp_path / "b.png", 3, (9, 5))
        with pytest.raises(UserError, match=r"b\.png: 9 x 5 pixels, but a\.png has 8 x 8"):
            load_images(tmp_path)
        assert load_images(tmp_path, size=6).images.shape == (2, 6, 6, 1)

    def test_colour_decides_where_nobody_says(self, tmp_path):
        save(tmp_path / "a.png", 3)
        save(tmp_path / "b.png", (1, 2, 3))
        assert load_images(tmp_path).images.shape[3] == 3
        assert load_images(tmp_path, channels=1).images.shape[3] == 1

    def test_wrong_input_is_one_line(self, tmp_path, monkeypatch):
        with pytest.raises(UserError, match="no images in it"):
            load_images(tmp_path)
        (tmp_path / "a.png").write_bytes(b"no image")
        with pytest.raises(UserError, match=r"a\.png: .*remove or repair it") as caught:
            load_images(tmp_path)
        assert "\n" not in str(caught.value)
        save(tmp_path / "a.png", 3)
        monkeypatch.setattr(folder, "LARGEST_TABLE", 10)
        with pytest.raises(UserError, match="choose a smaller size"):
            load_images(tmp_path)


def test_unknown_names_and_sizes():
    with pytest.raises(UsageError, match="perhaps you meant digits"):
        load_images("digit")
    with pytest.raises(UsageError, match="size: 2 is not possible"):
        load_images("digits", size=2)
    assert load_images("Digits", size=16, channels=3).images.shape == (1797, 16, 16, 3)


def test_the_list_names_all():
    assert [row["name"] for row in list_images("nowhere")] == list(IMAGE_DATASETS)


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2">'
    '<path fill="{}" d="M0 0h2v2H0z"/></svg>'
)
HEADER = "emoji,hexcode,group,subgroups,annotation,tags,openmoji_tags,skintone\n"


@pytest.fixture
def drawings(tmp_path) -> Path:
    """Packages of two things, in the layouts of the real ones."""
    position = tmp_path / "emoji"
    data = position / "openmoji" / "package"
    for code, color in (("2B50", "gold"), ("1F3C6-FE0F", "red"), ("1F44B-1F3FB", "red")):
        path = data / "color" / "svg" / f"{code}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SVG.format(color))
    (data / "data").mkdir()
    rows = (
        'x,2B50,travel,sky,star,"sky, star",shape,\nx,1F3C6-FE0F,activities,award,trophy cup,,,\n'
    )
    rows += "x,1F44B-1F3FB,people,hand,waving hand,,,1\n"
    (data / "data" / "openmoji.csv").write_text(HEADER + rows)
    body = '<path fill="#00f" d="M0 0h2v2H0z"/>'
    for name in emoji.SOURCES:
        if name == "openmoji":
            continue
        icons = {"width": 2, "height": 2, "icons": {"star": {"body": body}}}
        package = position / name / "package"
        package.mkdir(parents=True)
        if name == "fxemoji":
            icons["icons"]["trophycup"] = {"body": body}
        elif name not in emoji.FLAGS:
            (package / "chars.json").write_text('{"2b50": "star"}')
        (package / "icons.json").write_text(json.dumps(icons))
    return position


class TestEmoji:
    def test_makers_draw_the_same_things(self, drawings):
        table = emoji.load(drawings, size=4)
        assert table.classes == ("star", "trophy cup")
        drawn = {
            (table.maker_names[maker], table.classes[label])
            for maker, label in zip(table.makers, table.labels, strict=True)
        }
        makers = len(emoji.SOURCES) - len(emoji.FLAGS)
        assert len(drawn) == len(table) == makers + 2 and ("fxemoji", "trophy cup") in drawn
        assert table.captions == (("star", "sky", "shape"), ("trophy cup",))
        first = table.images[(table.makers == 0) & (table.labels == 1)][0]
        assert (first == [255, 0, 0, 255]).all()
        unseen = table.maker_names.index(emoji.UNSEEN_MAKER)
        assert set(table.makers[table.rows("test")]) == {unseen}
        assert unseen not in set(table.makers[table.rows("train")])
        assert np.array_equal(emoji.load(drawings, size=4).images, table.images)

    def test_incomplete_is_one_line(self, drawings):
        (drawings / "noto" / "package" / "icons.json").write_text("{")
        with pytest.raises(UserError, match="incomplete or damaged"):
            emoji.load(drawings, size=4)


class TestNpm:
    package = npm.Package("drawings", "1.0.0", "0" * 64)

    @pytest.fixture
    def tool(self, tmp_path, monkeypatch) -> Path:
        path = tmp_path / "bin" / "npm"
        path.parent.mkdir()
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
        return path

    def write(self, tool: Path, body: str) -> None:
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(0o755)

    def test_checked_and_unpacked(self, tool, tmp_path):
        import hashlib

        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "a.svg").write_text("<svg/>")
        archive = tmp_path / "d.tgz"
        subprocess.run(["tar", "czf", archive, "-C", tmp_path, "package"], check=True)
        self.write(tool, f"cp {archive} .")
        with pytest.raises(UserError, match=r"drawings@1\.0\.0: its sha256 is"):
            npm.fetch(self.package, tmp_path / "made")
        assert not (tmp_path / "made").exists()
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        right = npm.Package("drawings", "1.0.0", digest)
        assert (npm.fetch(right, tmp_path / "made") / "package" / "a.svg").is_file()

    def test_no_npm_and_no_connection(self, tool, tmp_path, monkeypatch):
        self.write(tool, 'echo "no network" >&2; exit 1')
        with pytest.raises(UserError, match="npm pack failed: no network"):
            npm.fetch(self.package, tmp_path / "made")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UserError, match="npm is not installed here"):
            npm.fetch(self.package, tmp_path / "made")


def test_a_set_appears_when_it_is_complete(tmp_path, monkeypatch):
    from triform.datasets.images import load

    def broken(place: Path) -> None:
        (place / "half").write_text("")
        raise UserError("no connection")

    monkeypatch.setitem(
        load.IMAGE_DATASETS, "emoji", load.ImageDatasetInfo("", 1, "", emoji.load, broken)
    )
    with pytest.raises(UserError, match="no connection"):
        fetch_images("emoji", tmp_path)
    assert not (tmp_path / "emoji").exists()
    (tmp_path / "emoji").mkdir()
    (tmp_path / "emoji" / "mine").write_text("")
    with pytest.raises(UserError, match="in the way"):
        fetch_images("emoji", tmp_path)

"""Images of strangers: no program is started, nothing is swallowed whole, pixels are right."""

import base64
import io
import os
import stat
import struct
import zlib
from pathlib import Path

import image_roads
import numpy as np
import pytest
from image_roads import IMAGE_ROADS, TEXTURE_ROADS, lone
from odd_images import chunk, encoded, flat_png, odd_images, raw_png
from PIL import Image
from reading_cost import MEGABYTES, SECONDS, measured

from triform.base.errors import UserError
from triform.datasets.images.load import load_images
from triform.images import read

EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    b"%%BeginPreview: 1 1 1 1\n%%EndPreview\n0 0 9 9 rectfill\nshowpage\n%%EOF\n"
)
ODD = odd_images()
ROADS = (*IMAGE_ROADS, *TEXTURE_ROADS)


def names_of(roads):
    return [road.__name__ for road in roads]


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a Ghostscript of our own leaves when it is started."""
    folder, marker = tmp_path / "bin", tmp_path / "ghostscript was started"
    folder.mkdir()
    program = folder / "gs"
    program.write_text(f"#!/bin/sh\necho 9.99\n: > '{marker}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(OSError):  # it draws nothing: what counts is that Pillow starts it
        Image.open(io.BytesIO(EPS)).load()
    assert marker.exists()
    marker.unlink()
    return marker


@pytest.mark.parametrize(
    "road",
    [*ROADS, image_roads.library, image_roads.obj_mask],
    ids=names_of([*ROADS, image_roads.library, image_roads.obj_mask]),
)
@pytest.mark.parametrize("name", ["texture.png"])
def test_an_eps_by_another_name_starts_no_ghostscript(road, name, tmp_path, ghostscript):
    path = lone(tmp_path / "images" / "a", name, EPS)
    with pytest.raises(UserError, match=r"damaged or no image|no texture") as caught:
        road(path)
    assert "\n" not in str(caught.value)
    assert not ghostscript.exists()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("captioner caption --images FOLDER", 1),
        ("cycle_gan translate --images FOLDER --output out", 1),
        ("dcgan train --config tiny --dataset FOLDER", 1),
        ("protonet classify --examples FOLDER/.. --images FOLDER", 1),
        ("retrieval search --gallery boxes --image FOLDER/texture.png", 1),
    ],
)
def test_commands_refuse_an_eps_in_a_line(words, status, place, boxes, refused, ghostscript):
    folder = lone(place / "eps" / "a", "texture.png", EPS).parent
    lone(place / "eps" / "b", "good.png", encoded(np.zeros((8, 8), np.uint8), "PNG"))
    words = words.replace("FOLDER", str(folder)).split()
    refused(*words, status=status, names="texture.png: damaged or no image", may_change=("out",))
    assert not ghostscript.exists()


@pytest.mark.parametrize("name", [name for name in ODD])
def test_odd_images_are_the_same_on_every_road(name, tmp_path):
    data, shown, tolerance = ODD[name]
    for road in ROADS:
        if name.endswith(".tga") and road is image_roads.glb:
            continue  # it has no name there, and nothing else tells what it is
        has_alpha = "clear" in name or "alpha" in name or "half" in name
        if has_alpha and road is image_roads.dae:
            continue  # COLLADA says elsewhere whether a texture's alpha counts
        path = lone(tmp_path / road.__name__ / "a", name, data)
        pixels = road(path)
        assert pixels.shape == np.shape(shown), road.__name__
        apart = np.abs(pixels.astype(int) - np.asarray(shown)).max()
        # A road may lay a colour on white before or after rounding.
        assert apart <= tolerance + 1, (road.__name__, apart)


@pytest.mark.parametrize("name", [name for name in ODD if name.endswith(".png")])
def test_odd_images_are_the_same_in_a_library(name, tmp_path):
    """There every image is a square of 6 with transparent edges."""
    data, shown, tolerance = ODD[name]
    height, width = np.shape(shown)[:2]
    top, left = (6 - height) // 2, (6 - width) // 2
    square = np.full((6, 6, 3), 255)
    square[top : top + height, left : left + width] = shown
    pixels = image_roads.library(lone(tmp_path / "a", name, data))
    assert np.abs(pixels.astype(int) - square).max() <= tolerance + 1


def test_an_image_that_is_cut_off_is_refused_on_every_road(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for kind, name in (
        ("PNG", "a.png"),
        ("JPEG", "a.jpg"),
        ("GIF", "a.gif"),
        ("BMP", "a.bmp"),
        ("TIFF", "a.tif"),
        ("WEBP", "a.webp"),
        ("AVIF", "a.avif"),
    ):
        data = encoded(noise, kind)
        for road in ROADS:
            path = lone(tmp_path / kind / road.__name__ / "a", name, data[: len(data) * 6 // 10])
            with pytest.raises(UserError, match=r"damaged or no image|no texture"):
                road(path)


def tags(count, size):
    """A table of so many tags, which all name the same bytes."""
    rows = b"".join(struct.pack("<HHII", 1000 + n, 7, size, 8) for n in range(count))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", count) + rows + bytes(4)


def jpeg_with(*segments):
    """A JPEG with segments of (marker, content)."""
    data = encoded(np.zeros((16, 16, 3), np.uint8), "JPEG")
    added = [b"\xff" + bytes([m]) + struct.pack(">H", len(s) + 2) + s for m, s in segments]
    return data[:2] + b"".join(added) + data[2:]


def bombs():
    """Name -> (content, part of the refusal)."""
    black = np.zeros((16, 16), np.uint8)
    gif = encoded(black, "GIF")
    blocks = b"!\xfe" + (b"\xff" + bytes(255)) * 40_000 + b"\0"
    start = gif.index(b",", 13 + 3 * 2 ** ((gif[10] & 7) + 1))
    webp = encoded(black, "WEBP")
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + b"\xff" * 6
    # One strip of a TIFF with a tile of 2^32 pixels.
    numbers = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: 2**20, 323: 2**12, 324: 8}
    tile = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in numbers.items())
    tile = b"II*\0" + struct.pack("<IH", 8, len(numbers)) + tile + bytes(4)
    zeros = zlib.compress(bytes(10**8), 9)
    return {
        "strip.png": (flat_png(30_000, 1), "30000 x 1 pixels, more than 100 times"),
        "tower.png": (flat_png(1, 30_000), "1 x 30000 pixels, more than 100 times"),
        "hundred.png": (flat_png(10_000, 10_000), "10000 x 10000 pixels are too many"),
        "promise.png": (raw_png(2**31 - 1, 2**31 - 1, 2, 8, b""), "too many pixels"),
        "side.png": (flat_png(40_000, 1000), "40000 x 1000 pixels are too many"),
        "text.png": (
            raw_png(1, 1, 0, 8, zlib.compress(b"\0\0"), chunk(b"zTXt", b"a\0\0" + zeros)),
            "damaged or no image",
        ),
        "texts.png": (
            raw_png(
                1,
                1,
                0,
                8,
                zlib.compress(b"\0\0"),
                *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))] * 80,
            ),
            "damaged or no image",
        ),
        "profile.png": (
            raw_png(1, 1, 0, 8, zlib.compress(b"\0\0"), chunk(b"iCCP", b"a\0\0" + zeros)),
            "damaged or no image",
        ),
        "chunks.png": (
            raw_png(1, 1, 0, 8, zlib.compress(b"\0\0"), *[chunk(b"tEXt", b"")] * 500_000),
            "too many chunks",
        ),
        "tags.tif": (tags(3000, 30_000), "its tags promise"),
        "tile.tif": (tile, "are too large"),
        "exif.jpg": (jpeg_with((0xE1, b"Exif\0\0" + tags(4000, 40_000))), "its tags promise"),
        "exifs.jpg": (
            jpeg_with(*[(0xE1, b"Exif\0\0" + bytes(65_000))] * 500),
            "EXIF block is too large",
        ),
        "frames.jpg": (jpeg_with((0xE2, b"MPF\0" + tags(4000, 40_000))), "its tags promise"),
        "segments.jpg": (jpeg_with(*[(0xFE, b"")] * 500_000), "too much besides its pixels"),
        "comment.gif": (gif[:start] + blocks + gif[start:], "its comments are too large"),
        "screen.gif": (gif[:6] + b"\xff" * 4 + gif[10:], "too many pixels"),
        "canvas.webp": (
            b"RIFF" + struct.pack("<I", len(webp) + 10) + b"WEBP" + canvas + webp[12:],
            "16777216 x 16777216 pixels are too many",
        ),
        "plain.ppm": (b"P3\n4000 4000\n255\n" + b"1 " * 10**7, "decimal numbers"),
    }


def test_bombs_are_refused_at_once(tmp_path):
    given = bombs()
    for name, (data, _) in given.items():
        (tmp_path / name).write_bytes(data)
    for name, (said, memory, seconds) in measured(tmp_path, list(given)).items():
        assert given[name][1] in said and name in said, (name, said)
        assert memory < MEGABYTES and seconds < SECONDS, (name, memory, seconds)


def test_a_jpeg_of_a_hundred_megapixels_is_decoded_small(tmp_path):
    Image.new("L", (10_000, 10_000), 77).save(tmp_path / "large.jpg")
    for longest, side in ((1024, 1024), (300, 300)):
        image = read.read_image(tmp_path / "large.jpg", longest=longest)
        assert image.size == (side, side) and image.getpixel((5, 5)) == (77, 77, 77)
    ((said, memory, _),) = measured(tmp_path, ["large.jpg"]).values()
    assert said == "read" and memory < MEGABYTES


def test_a_folder_is_shrunk_while_it_is_read(tmp_path, monkeypatch):
    folder = lone(tmp_path / "a", "0.png", flat_png(3000, 2500)).parent
    for number in range(1, 6):
        (folder / f"{number}.png").write_bytes((folder / "0.png").read_bytes())
    held = []
    real = load_images.__globals__["folder"].read_pixels

    def noted(path, size=None):
        held.append(real(path, size))
        return held[-1]

    monkeypatch.setattr("triform.datasets.images.folder.read_pixels", noted)
    assert load_images(tmp_path, size=32).images.shape == (6, 32, 32, 1)
    assert [each.base.nbytes if each.base is not None else each.nbytes for each in held] == (
        [1024] * 6
    )
    # Whole ones are counted from the first on, not when memory is full.
    monkeypatch.setattr("triform.datasets.images.folder.LARGEST_TABLE", 40 * 10**6)
    held.clear()
    with pytest.raises(UserError, match="need more than 0 GB in memory"):
        load_images(tmp_path)
    assert len(held) == 1


def test_a_pipe_is_not_waited_for(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    os.mkfifo(folder / "a.png")
    for road in (*IMAGE_ROADS, image_roads.obj, image_roads.dae):
        with pytest.raises(UserError):
            road(folder / "a.png")


def test_a_folder_counts_images_of_every_suffix(tmp_path):
    """`.jfif` and `.avif` beside `.jpg` were left out without a word."""
    pixels = np.full((16, 16, 3), 128, np.uint8)
    kinds = {
        "a.JPG": "JPEG",
        "b.jfif": "JPEG",
        "c.avif": "AVIF",
        "d.WebP": "WEBP",
        "e.bmp": "BMP",
        "f.tif": "TIFF",
        "g.Png": "PNG",
    }
    (tmp_path / "class").mkdir()
    for name, kind in kinds.items():
        (tmp_path / "class" / name).write_bytes(encoded(pixels, kind))
    table = load_images(tmp_path)
    assert len(table) == 7 and table.classes == ("class",)
    assert np.abs(table.images.astype(int) - 128).max() <= 3
    assert len(image_roads.find_images([str(tmp_path)])) == 7
    assert len(image_roads.embed_images._images_of_folder(tmp_path / "class")) == 7
    assert len(image_roads.list_entries([str(tmp_path)], "")) == 7


def test_a_tile_of_a_gallery_is_no_larger_than_tiles_are():
    from triform.systems.retrieval.gallery.entries import TILE, decode_tile

    text = base64.b64encode(flat_png(4000, 4000)).decode()
    assert decode_tile(text).size == (TILE, TILE)

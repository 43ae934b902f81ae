"""Images of every common format, and what is none."""

import base64
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from odd_images import COLORS, GREY, chunk, deep_png, encoded, grey_tiff, odd_images
from PIL import Image

from triform.base.errors import UserError
from triform.images import read
from triform.images.read import IMAGE_SUFFIXES, on_background, read_image, read_photo_image

SOURCES = Path(read.__file__).parents[1]


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats(format, tmp_path):
    path = tmp_path / "a.image"
    path.write_bytes(
        encoded(Image.fromarray(COLORS), format, **{"lossless": True} if format == "WEBP" else {})
    )
    image = read_image(path)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), COLORS)
    np.testing.assert_array_equal(np.asarray(read_image(path.read_bytes())), COLORS)


def test_modes():
    grey = Image.fromarray(COLORS[..., 0])
    assert read_image(encoded(grey, "PNG")).mode == "RGB"
    deep = Image.fromarray((COLORS[..., 0].astype(np.uint16) << 8) + 7)
    np.testing.assert_array_equal(
        np.asarray(read_image(encoded(deep, "PNG")))[..., 0], COLORS[..., 0]
    )
    clear = Image.fromarray(np.dstack([COLORS, np.full((6, 4), 9, np.uint8)]))
    assert read_image(encoded(clear, "PNG")).mode == "RGBA"
    palette = Image.new("P", (5, 5))
    assert read_image(encoded(palette, "GIF", transparency=0)).mode == "RGBA"


def test_turned_as_the_camera_said():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    data = encoded(Image.fromarray(COLORS), "PNG", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(data)), np.rot90(COLORS, -1))


def test_background_shows_where_it_is_transparent():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0], rgba[1, 1] = (10, 20, 30, 255), (0, 0, 0, 128)
    result = np.asarray(on_background(Image.fromarray(rgba), (255, 255, 255)))
    assert result[0, 0].tolist() == [10, 20, 30] and result[0, 1].tolist() == [255, 255, 255]
    assert abs(int(result[1, 1, 0]) - 127) <= 1


def test_what_is_no_image_is_one_line(tmp_path, monkeypatch):
    whole = encoded(Image.fromarray(COLORS), "PNG")
    cases = {
        "empty.png": (b"", "empty"),
        "text.png": (b"I am a chair", "damaged or no image; expected PNG"),
        "half.png": (whole[: len(whole) // 2], "damaged or no image"),
        "vector.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    for path in (tmp_path / "none.png", tmp_path, "bad\0name"):
        with pytest.raises(UserError, match=r"not there|not a file|cannot be read|null"):
            read_image(path)
    monkeypatch.setattr(read, "LARGEST_PIXELS", 20)
    with pytest.raises(UserError, match="4 x 6 pixels are too many"):
        read_image(whole)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_a_tiff_of_a_kind_that_is_not_read_is_not_called_damaged(dtype):
    data = grey_tiff((GREY / 255).astype(dtype), sample_format=3)
    with pytest.raises(
        UserError, match=r"^a\.tif: a TIFF of a kind that is not read .*8 or 16 bits"
    ):
        read_image(data, "a.tif")
    with pytest.raises(UserError, match="damaged or no image"):
        read_image(data[:60], "a.tif")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match="not a file"):
        read_image(tmp_path / "pipe.png")


ODD = odd_images()


@pytest.mark.parametrize("name", [name for name in ODD])
def test_odd_images(name):
    data, shown, tolerance = ODD[name]
    image = read_image(data, name)
    assert type(image) is Image.Image and image.mode in ("RGB", "RGBA")
    pixels = np.asarray(on_background(image)).astype(int)
    assert pixels.shape == np.shape(shown)
    assert np.abs(pixels - np.asarray(shown)).max() <= tolerance
    small = read_image(data, name, longest=3)
    assert max(small.size) == 3
    assert small.height / small.width == pytest.approx(pixels.shape[0] / pixels.shape[1], rel=0.4)


def test_grey_stays_grey_where_it_is_asked_for():
    modes = {
        name: read_image(ODD[name][0], name, keep_grey=True).mode
        for name in (
            "grey.png",
            "one_bit.png",
            "grey16.png",
            "fractions.tif",
            "palette.png",
            "grey_alpha.png",
            "exif6.jpg",
            "clear16.png",
        )
    }
    assert modes == {
        "grey.png": "L",
        "one_bit.png": "L",
        "grey16.png": "L",
        "fractions.tif": "L",
        "palette.png": "RGB",
        "grey_alpha.png": "RGBA",
        "exif6.jpg": "RGB",
        "clear16.png": "RGBA",
    }


@pytest.mark.parametrize("name", ["film.png", "film.gif", "film.webp", "pages.tif"])
def test_further_frames_are_said(name, caplog):
    read_image(ODD[name][0], name)
    assert [record.getMessage() for record in caplog.records] == [
        f"{name}: has several frames or pages; the first one is used"
    ]
    caplog.clear()
    for single in ("grey.png", "palette_clear.gif", "lossless.webp", "grey32_of_8.tif"):
        read_image(ODD[single][0], single)
    assert not caplog.records


def test_xmp_turns_where_exif_does_not():
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    head = b"XML:com.adobe.xmp\0\0\0\0\0"
    png = deep_png(COLORS.astype(np.uint16) << 8, 2, chunk(b"iTXt", head + packet))
    np.testing.assert_array_equal(np.asarray(read_image(png)), np.rot90(COLORS, -1))
    jpeg = encoded(COLORS, "JPEG", quality=100, subsampling=0)
    segment = b"http://ns.adobe.com/xap/1.0/\0" + packet
    part = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    assert read_image(jpeg[:2] + part + jpeg[2:]).size == (6, 4)


def test_heic_with_its_extra(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    large = np.kron(COLORS, np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = heif.from_pillow(Image.fromarray(large))
    stored.save(file, quality=100, chroma=444, exif=exif.tobytes())
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(file.getvalue())
    upright = np.rot90(large, -1)
    pixels = np.asarray(read_image(path))
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 6
    monkeypatch.setattr(read, "LARGEST_PIXELS", 20)
    with pytest.raises(UserError, match=r"(96 x 64|64 x 96) pixels are too many"):
        read_image(path)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match=r"IMG_1\.HEIC: HEIC is read with `pip install triform"):
        read_image(path)


def test_heic_is_not_imported_for_other_images():
    program = "import sys\nfrom triform.images.read import read_image\n"
    program += "import base64\nread_image(base64.b64decode(sys.argv[1]))\n"
    program += "assert 'pillow_heif' not in sys.modules"
    data = base64.b64encode(encoded(COLORS, "PNG")).decode()
    subprocess.run([sys.executable, "-c", program, data], check=True)


def test_a_tga_is_one_by_its_name_only():
    data = encoded(COLORS, "TGA")
    np.testing.assert_array_equal(np.asarray(read_image(data, "a.TGA")), COLORS)
    with pytest.raises(UserError, match="damaged or no image"):
        read_image(data, "a.png")


def test_depth_maps_keep_their_numbers():
    deep = np.arange(24, dtype=np.uint16).reshape(6, 4) * 2000
    np.testing.assert_array_equal(read.read_depth_map(encoded(deep, "PNG"), "d.png"), deep)
    with pytest.raises(UserError, match=r"d\.png: .*expected 16-bit grey"):
        read.read_depth_map(encoded(GREY, "PNG"), "d.png")
    with pytest.raises(UserError, match=r"d\.png: damaged or no image; expected PNG$"):
        read.read_depth_map(encoded(GREY, "TIFF"), "d.png")


def test_a_large_jpeg_keeps_its_colors_and_its_turn(tmp_path):
    large = Image.fromarray(np.kron(COLORS, np.ones((400, 400, 1), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(large, "JPEG", quality=95, exif=exif)
    image = read_image(data, longest=300)
    assert image.size == (300, 200)
    centres = np.asarray(image)[25::50, 25::50].astype(int)
    assert np.abs(centres - np.rot90(COLORS, -1)).max() < 8


def test_the_suffixes_of_every_listing():
    assert {".jfif", ".avif", ".webp", ".bmp", ".tif", ".heic"} < set(IMAGE_SUFFIXES)
    assert all(suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)


def test_images_are_opened_here_and_nowhere_else():
    """Every other place that decodes has made the bytes itself, and names the format."""
    opened = {}
    for path in sorted(SOURCES.rglob("*.py")):
        for line in path.read_text("utf-8").splitlines():
            if "Image.open(" in line:
                opened.setdefault(path.relative_to(SOURCES).as_posix(), []).append(line)
    assert set(opened) == {
        "datasets/images/emoji.py",
        "images/read.py",
        "systems/retrieval/evaluation/hard_queries.py",
        "web/outcome.py",
    }
    assert all("formats=" in line for lines in opened.values() for line in lines)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xabKTX 20\xbb\r\n\x1a\n", "a KTX texture"),
        (b"DDS |\0\0\0", "a DDS texture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"\0\0\1\0\1\0" + bytes(100), "an ICO icon"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<!DOCTYPE html><p>404", "a web page in place of an image"),
    ],
)
def test_other_kinds_are_named_and_not_called_damaged(data, kind):
    with pytest.raises(UserError, match=f"^a.png: {kind}, which is not read; save it as PNG or"):
        read_image(data, "a.png")


def with_exif(kind: str, tags: dict, exif_ifd: dict | None = None) -> bytes:
    exif = Image.Exif()
    exif.update(tags)
    if exif_ifd:
        exif.get_ifd(34665).update(exif_ifd)
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, kind, exif=exif)
    return stream.getvalue()


def properties_of(data, name="a"):
    return read_photo_image(data, name, shortest=224)[1]


def test_a_photo_is_decoded_at_the_fraction_that_is_enough():
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
    stream = io.BytesIO()
    small.resize((1603, 1202), Image.Resampling.BICUBIC).save(stream, "JPEG")
    image, about = read_photo_image(stream.getvalue(), "a", shortest=300)
    with Image.open(io.BytesIO(stream.getvalue())) as expected:
        expected.draft(None, (400, 300))
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
    assert image.size == (401, 301) and (about.width, about.height) == (1603, 1202)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((900, 450), (450, 225)), ((890, 446), (890, 446)), ((9, 5), (9, 5)), ((2560, 99), (896, 35))],
)
def test_of_other_formats_the_shorter_side_is_halved_while_it_is_enough(size, expected):
    stream = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(stream, "PNG")
    image, about = read_photo_image(stream.getvalue(), "a", shortest=224)
    assert image.size == expected and (about.width, about.height) == size
    assert image.getpixel((1, 1)) == (1, 2, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_properties_have_the_upright_size_and_the_date_of_the_shutter(kind):
    dates = {306: "2021:01:01 00:00:00"}, {36867: "2020:02:03 04:05:06"}
    data = with_exif(kind, {**dates[0], 274: 6}, dates[1])
    found = properties_of(data, f"a.{kind}")
    # Pillow writes no second table of tags into a TIFF.
    taken = "2021-01-01T00:00:00" if kind == "TIFF" else "2020-02-03T04:05:06"
    assert (found.kind, found.taken) == (kind, taken)
    assert (found.width, found.height) == read_image(data, "a").size == (30, 40)
    later = properties_of(with_exif(kind, dates[0]))
    assert later.taken == "2021-01-01T00:00:00" and later.width == 40


@pytest.mark.parametrize(
    "date", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2020:13:01 00:00:00"]
)
def test_no_date_is_no_date(date):
    assert properties_of(with_exif("JPEG", {306: date})).taken == ""

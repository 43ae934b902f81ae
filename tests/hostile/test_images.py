"""Images of strangers: no program is started, nothing is swallowed whole, pixels are right."""

import base64
import io
import json
import os
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import image_roads
import numpy as np
import pytest
from image_roads import IMAGE_ROADS, NUMBERS, SQUARE, TEXTURE_ROADS, gltf_tree, lone, packed_glb
from odd_images import chunk, encoded, odd_images, raw_png
from PIL import Image

from triform.base.errors import UserError
from triform.datasets.pictures.load import load_pictures
from triform.images import read

EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    b"%%BeginPreview: 1 1 1 1\n%%EndPreview\n0 0 9 9 rectfill\nshowpage\n%%EOF\n"
)
ODD = odd_images()
MEGABYTES = 200
SECONDS = 10  # a guard against bombs on a busy machine; alone each takes far less than one
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
    "road", [*ROADS, image_roads.library, image_roads.obj_mask, image_roads.three_mf],
    ids=names_of([*ROADS, image_roads.library, image_roads.obj_mask, image_roads.three_mf]),
)  # fmt: skip
@pytest.mark.parametrize("name", ["texture.png"])
def test_an_eps_by_another_name_starts_no_ghostscript(road, name, tmp_path, ghostscript):
    path = lone(tmp_path / "images" / "a", name, EPS)
    with pytest.raises(UserError, match=r"damaged or no picture|no texture") as caught:
        road(path)
    assert "\n" not in str(caught.value)
    assert not ghostscript.exists()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("captioner caption --pictures FOLDER", 1),
        ("cycle_gan translate --pictures FOLDER --output out", 1),
        ("dcgan train --config tiny --dataset FOLDER", 1),
        ("protonet classify --examples FOLDER/.. --pictures FOLDER", 1),
        ("retrieval search --gallery boxes --picture FOLDER/texture.png", 1),
    ],
)
def test_commands_refuse_an_eps_in_a_line(words, status, place, boxes, refused, ghostscript):
    folder = lone(place / "eps" / "a", "texture.png", EPS).parent
    lone(place / "eps" / "b", "good.png", encoded(np.zeros((8, 8), np.uint8), "PNG"))
    words = words.replace("FOLDER", str(folder)).split()
    refused(*words, status=status, names="texture.png: damaged or no picture",
            may_change=("out",))  # fmt: skip
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
    for kind, name in (("PNG", "a.png"), ("JPEG", "a.jpg"), ("GIF", "a.gif"), ("BMP", "a.bmp"),
                       ("TIFF", "a.tif"), ("WEBP", "a.webp"), ("AVIF", "a.avif")):  # fmt: skip
        data = encoded(noise, kind)
        for road in ROADS:
            path = lone(tmp_path / kind / road.__name__ / "a", name, data[: len(data) * 6 // 10])
            with pytest.raises(UserError, match=r"damaged or no picture|no texture"):
                road(path)


MEASURE = """
import json, sys, time
from triform.base.errors import UserError
from triform.geometry.load import load_mesh
from triform.images.read import read_image
import triform.geometry.scene

def memory(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024

for name in sys.argv[1:]:
    open("/proc/self/clear_refs", "w").write("5")
    before, started = memory("VmRSS"), time.perf_counter()
    try:
        if name.endswith((".obj", ".glb", ".gltf", ".dae", ".wrl")):
            result = load_mesh(name, appearance=True)
        else:
            result = read_image(name)
        said = "read"
    except UserError as error:
        said = str(error)
    seconds = time.perf_counter() - started
    print(json.dumps([name, said, memory("VmHWM") - before, seconds]))
    result = None
"""


def measured(folder: Path, names: list[str]) -> dict[str, tuple[str, float, float]]:
    """What was said of files, with the megabytes above the start and the seconds."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peak memory is measured by /proc of Linux")
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, *names], cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    return {name: (said, memory, seconds) for name, said, memory, seconds in rows}


def flat_png(width, height, color=0, bits=8):
    """A PNG of zeros, packed without ever being whole."""
    row = bytes(1 + width * {0: 1, 2: 3, 6: 4}[color] * bits // 8)
    packer = zlib.compressobj(1)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return raw_png(width, height, color, bits, body)


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
            "damaged or no picture",
        ),
        "texts.png": (
            raw_png(1, 1, 0, 8, zlib.compress(b"\0\0"),
                    *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))] * 80),
            "damaged or no picture",
        ),
        "profile.png": (
            raw_png(1, 1, 0, 8, zlib.compress(b"\0\0"), chunk(b"iCCP", b"a\0\0" + zeros)),
            "damaged or no picture",
        ),
        "chunks.png": (
            raw_png(1, 1, 0, 8, zlib.compress(b"\0\0"), *[chunk(b"tEXt", b"")] * 500_000),
            "too many chunks",
        ),
        "tags.tif": (tags(3000, 30_000), "its tags promise"),
        "tile.tif": (tile, "are too large"),
        "exif.jpg": (jpeg_with((0xE1, b"Exif\0\0" + tags(4000, 40_000))), "its tags promise"),
        "exifs.jpg": (
            jpeg_with(*[(0xE1, b"Exif\0\0" + bytes(65_000))] * 500), "EXIF block is too large",
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
    }  # fmt: skip


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
    real = load_pictures.__globals__["folder"].read_pixels

    def noted(path, size=None):
        held.append(real(path, size))
        return held[-1]

    monkeypatch.setattr("triform.datasets.pictures.folder.read_pixels", noted)
    assert load_pictures(tmp_path, size=32).images.shape == (6, 32, 32, 1)
    assert [each.base.nbytes if each.base is not None else each.nbytes for each in held] == (
        [1024] * 6
    )
    # Whole ones are counted from the first on, not when memory is full.
    monkeypatch.setattr("triform.datasets.pictures.folder.LARGEST_TABLE", 40 * 10**6)
    held.clear()
    with pytest.raises(UserError, match="need more than 0 GB in memory"):
        load_pictures(tmp_path)
    assert len(held) == 1


def write_obj(folder: Path, materials: list[str], libraries: str = "mtllib m.mtl\n") -> None:
    """A model whose every material has one triangle."""
    rows = [f"newmtl m{n}\n{text}\n" for n, text in enumerate(materials)]
    (folder / "m.mtl").write_text("".join(rows))
    faces = [f"usemtl m{n}\nf 1/1 2/2 3/3\n" for n in range(len(materials))]
    (folder / "m.obj").write_text(libraries + SQUARE + "".join(faces))


def test_one_texture_of_many_materials_is_kept_once(tmp_path):
    from triform.geometry.load import load_mesh
    from triform.geometry.paint import paint_of

    pixels = np.zeros((1024, 1024), np.uint8)
    pixels[:8] = 9
    kinds = ("names", "spellings", "copies", "masks", "tints")
    for kind in kinds:
        folder = tmp_path / kind
        (folder / "x").mkdir(parents=True)
        (folder / "t.png").write_bytes(encoded(pixels, "PNG"))
        materials = []
        for number in range(300):
            name = "t.png"
            if kind == "spellings":
                name = "./" * number + "x/../" * (number % 3) + "t.png"
            elif kind == "copies":
                name = f"{number}.png"
                os.link(folder / "t.png", folder / name)
            line = f"map_Kd {name}"
            if kind == "tints":
                line = f"Kd 0 0 {number / 300}\nmap_d {name}"
            materials.append(line + (f"\nmap_d {name}" if kind == "masks" else ""))
        write_obj(folder, materials)
    found = measured(tmp_path, [f"{kind}/m.obj" for kind in kinds])
    for kind, (said, memory, seconds) in zip(kinds, found.values(), strict=True):
        assert said == "read" and memory < MEGABYTES and seconds < SECONDS, (kind, memory, seconds)
        mesh = load_mesh(tmp_path / kind / "m.obj", appearance=True)
        shown = [each.texture for each in mesh.appearance.materials if each.texture is not None]
        assert len(shown) == 300 and len({id(each) for each in shown}) == 1, kind
        assert len(paint_of(mesh).atlas.counts) == 1, kind


def test_many_materials_of_a_glb_share_one_texture(tmp_path):
    from triform.geometry.load import load_mesh

    data = encoded(np.full((512, 512, 4), 99, np.uint8), "PNG")
    tree = gltf_tree({"bufferView": 2}, len(data))
    (material,) = tree["materials"]
    (primitive,) = tree["meshes"][0]["primitives"]
    modes = ("OPAQUE", "BLEND")
    tree["materials"] = [{**material, "alphaMode": modes[n % 2]} for n in range(40)]
    tree["meshes"][0]["primitives"] = [{**primitive, "material": n} for n in range(40)]
    (tmp_path / "m.glb").write_bytes(packed_glb(tree, NUMBERS + data))
    mesh = load_mesh(tmp_path / "m.glb", appearance=True)
    used = {id(each.texture): each.texture.shape for each in mesh.appearance.materials}
    assert sorted(used.values()) == [(512, 512, 3), (512, 512, 4)]


def test_one_library_named_twenty_thousand_times_is_read_once(tmp_path):
    from triform.geometry.obj import read_obj

    asked = []
    texts = {"m.mtl": b"newmtl m0\nKd 1 0 0\n" + b"Ks 0 0 0\n" * 10_000}

    def find(name):
        asked.append(name)
        return texts.get(name)

    text = "mtllib m.mtl\n" * 20_000 + SQUARE + "usemtl m0\nf 1/1 2/2 3/3\n"
    assert read_obj(text.encode(), find).face_colors.tolist() == [[255, 0, 0]]
    assert asked == ["m.mtl"]
    spellings = "".join(f"mtllib {'./' * n}m.mtl\n" for n in range(1500))
    write_obj(tmp_path, ["Kd 1 0 0"], spellings)
    said, memory, seconds = measured(tmp_path, ["m.obj"])["m.obj"]
    assert "material libraries are more than 1000" in said and "m.obj" in said
    assert memory < MEGABYTES and seconds < SECONDS


def test_the_last_of_two_libraries_counts():
    from triform.geometry.obj import read_obj

    texts = {"a": b"newmtl m\nKd 1 0 0\n", "b": b"newmtl m\nKd 0 1 0\n"}
    for order, color in (("ab", [0, 255, 0]), ("ba", [255, 0, 0]), ("aba", [255, 0, 0])):
        text = "".join(f"mtllib {name}\n" for name in order) + SQUARE + "usemtl m\nf 1 2 3\n"
        assert read_obj(text.encode(), texts.get).face_colors.tolist() == [color]


def test_a_glb_of_bombs_is_refused_before_one_is_decoded(tmp_path):
    images = [flat_png(7000, 7000), flat_png(7000, 6999)]
    images += [flat_png(7000, 7000 - n) for n in range(2, 6)]
    data, views, start = b"".join(images), [], 60
    for image in images:
        views.append({"buffer": 0, "byteOffset": start, "byteLength": len(image)})
        start += len(image)
    tree = gltf_tree({}, len(data))
    count = len(images)
    tree["bufferViews"] = tree["bufferViews"][:2] + views
    tree["images"] = [{"bufferView": 2 + n} for n in range(count)]
    tree["textures"] = [{"source": n} for n in range(count)]
    tree["materials"] = [
        {"pbrMetallicRoughness": {"baseColorTexture": {"index": n}}} for n in range(count)
    ]
    (primitive,) = tree["meshes"][0]["primitives"]
    tree["meshes"][0]["primitives"] = [{**primitive, "material": n} for n in range(count)]
    (tmp_path / "m.glb").write_bytes(packed_glb(tree, NUMBERS + data))
    said, memory, seconds = measured(tmp_path, ["m.glb"])["m.glb"]
    assert "m.glb: its textures have more than" in said, said
    assert memory < MEGABYTES and seconds < SECONDS


@pytest.mark.parametrize("road", TEXTURE_ROADS, ids=names_of(TEXTURE_ROADS))
def test_a_texture_that_is_a_bomb_is_left_out(road, tmp_path):
    path = lone(tmp_path / "a", "t.png", raw_png(60_000, 60_000, 2, 8, b""))
    with pytest.raises(UserError, match="no texture"):
        road(path)


def test_textures_may_be_strips(tmp_path):
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(2, 1)
    path = lone(tmp_path / "a", "t.png", encoded(ramp, "PNG"))
    assert image_roads.obj(path).shape == (1, 512, 3)
    with pytest.raises(UserError, match="512 x 1 pixels, more than 100 times"):
        read.read_image(path)


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
    kinds = {"a.JPG": "JPEG", "b.jfif": "JPEG", "c.avif": "AVIF", "d.WebP": "WEBP", "e.bmp": "BMP",
             "f.tif": "TIFF", "g.Png": "PNG"}  # fmt: skip
    (tmp_path / "class").mkdir()
    for name, kind in kinds.items():
        (tmp_path / "class" / name).write_bytes(encoded(pixels, kind))
    table = load_pictures(tmp_path)
    assert len(table) == 7 and table.classes == ("class",)
    assert np.abs(table.images.astype(int) - 128).max() <= 3
    for files in (image_roads.captioner._files, image_roads.cycle_gan._files):
        assert len(files([str(tmp_path)])) == 7
    assert len(image_roads.embedding._pictures_of_folder(tmp_path / "class")) == 7
    assert len(image_roads._only_pictures(tmp_path)) == len(image_roads._find([tmp_path])) == 7


def test_a_texture_of_16_bits_colors_its_faces(tmp_path):
    from triform.geometry.load import load_mesh

    deep = np.full((4, 4), 200 * 257, np.uint16)
    path = lone(tmp_path / "a", "wood.png", encoded(deep, "PNG"))
    image_roads.obj(path)
    assert load_mesh(path.parent / "m.obj").face_colors.tolist() == [[200] * 3]


@pytest.mark.parametrize(
    "image",
    [{"bufferView": 99}, {"bufferView": "two"}, {"bufferView": -1}, {"uri": "none.png"}, {},
     {"uri": "data:image/png;base64,!"}, {"uri": "../../../etc/passwd"}, 7],
)  # fmt: skip
def test_images_that_a_glb_does_not_have_leave_it_without(image, tmp_path):
    from triform.geometry.load import load_mesh

    (tmp_path / "m.glb").write_bytes(packed_glb(gltf_tree(image, 0), NUMBERS))
    mesh = load_mesh(tmp_path / "m.glb", appearance=True)
    assert len(mesh.faces) == 1
    assert [each.texture for each in mesh.appearance.materials] == [None]


def test_many_images_that_share_bytes_are_refused(tmp_path):
    size = 3 * 10**6
    tree = gltf_tree({}, size)
    count = 300
    tree["images"] = [{"bufferView": 2}] * count
    tree["textures"] = [{"source": n} for n in range(count)]
    tree["materials"] = [
        {"pbrMetallicRoughness": {"baseColorTexture": {"index": n}}} for n in range(count)
    ]
    (tmp_path / "m.glb").write_bytes(packed_glb(tree, NUMBERS + bytes(size)))
    said, memory, seconds = measured(tmp_path, ["m.glb"])["m.glb"]
    assert "its textures have more than 536870912 bytes" in said
    assert memory < MEGABYTES and seconds < SECONDS


def test_a_tile_of_a_gallery_is_no_larger_than_tiles_are():
    from triform.systems.retrieval.gallery_items import TILE, unpacked_tile

    text = base64.b64encode(flat_png(4000, 4000)).decode()
    assert unpacked_tile(text).size == (TILE, TILE)

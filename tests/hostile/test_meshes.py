"""Meshes and captions from strangers, given to `triform voxel_gan train`."""

import errno
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_place import BOX, Evil

from triform import cli

TRAIN = ("voxel_gan", "train", "--config", "tiny", "--dataset")
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
STL = b"\0" * 80 + struct.pack("<I", 4) + b"\0" * 50 * 4


def glb(tree: object, binary: bytes = b"") -> bytes:
    """A GLB file of a JSON tree."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def accessor_of(count: int) -> dict[str, object]:
    """A glTF tree that promises so many vertices."""
    return {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": count * 12}],
        "buffers": [{"byteLength": count * 12, "uri": "file:///etc/passwd"}],
    }


def bomb_3mf() -> bytes:
    """A 3MF archive that unpacks to 300 MB of blanks."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("3D/3dmodel.model", "w", force_zip64=True) as stream,
    ):
        for _ in range(300):
            stream.write(b" " * 2**20)
    return file.getvalue()


ENTITIES = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">'
for one, two in zip("abcdefghijkl", "bcdefghijklm", strict=True):
    ENTITIES += f'<!ENTITY {two} "{f"&{one};" * 20}">'
PLY = (
    "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
)
PLY += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"

BAD_MESHES: dict[str, bytes] = {
    "empty.obj": b"",
    "blank.off": b" \n\n",
    "no_faces.obj": TRIANGLE.encode(),
    "no_vertices.obj": b"f 1 2 3\n",
    "point.obj": b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n",
    "nan.obj": b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "infinite.obj": b"v 0 0 inf\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "overflow.obj": b"v -1e308 0 0\nv 1e308 0 0\nv 0 1e308 1\nf 1 2 3\n",
    "index_too_large.obj": (TRIANGLE + "f 1 2 9\n").encode(),
    "index_huge.obj": (TRIANGLE + "f 1 2 99999999999999999999999\n").encode(),
    "index_zero.obj": (TRIANGLE + "f 0 1 2\n").encode(),
    "index_negative.off": b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 -7\n",
    "count_huge.off": b"OFF\n999999999999 999999999999 0\n0 0 0\n",
    "count_negative.off": b"OFF\n-3 -1 0\n0 0 0\n",
    "cut.off": b"OFF\n8 12 0\n0 0 0\n1 0",
    "corners_huge.off": b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n4000000000 0 1 2\n",
    "count_huge.stl": b"\0" * 80 + struct.pack("<I", 2**32 - 1) + b"\0" * 50,
    "cut.stl": STL[:-70],
    "all_zero.stl": STL,
    "text.stl": b"a letter to my aunt\n" * 20,
    "count_huge.ply": PLY.format("binary_little_endian", 4_000_000_000).encode() + b"\0" * 40,
    "cut.ply": PLY.format("binary_little_endian", 3).encode() + b"\0" * 20,
    "binary.ply": PLY.format("ascii", 3).encode() + bytes(range(256)),
    "random.obj": bytes(range(256)) * 40,
    "random.glb": bytes(range(256)) * 40,
    "cut.glb": glb(accessor_of(3))[:-30],
    "count_huge.glb": glb(accessor_of(2**40)),
    "outside.gltf": json.dumps(accessor_of(3)).encode(),
    "deep.gltf": b"[" * 100_000,
    "loop.gltf": json.dumps({**accessor_of(3), "nodes": [{"children": [0]}]}).encode(),
    "entities.dae": (ENTITIES + "]><COLLADA>&m;</COLLADA>").encode(),
    "foreign_entity.dae": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><COLLADA>&a;</COLLADA>',
    "bomb.3mf": bomb_3mf(),
    "no_archive.3mf": b"PK\3\4 and nothing more",
    "pickle.obj": pickle.dumps(Evil()),
    "pickle.stl": pickle.dumps([Evil()] * 40),
    "pickle.ply": pickle.dumps(Evil()),
    "pickle.glb": pickle.dumps(Evil()),
}


@pytest.mark.parametrize("name", BAD_MESHES)
def test_bad_mesh_is_named(refused: Callable[..., str], place: Path, name: str) -> None:
    (place / "meshes").mkdir()
    (place / "meshes" / name).write_bytes(BAD_MESHES[name])
    refused(*TRAIN, "meshes", status=1, names=f"meshes/{Path(name).stem}: ")


def link_loop(folder: Path) -> None:
    (folder / "a.obj").symlink_to("b.obj")
    (folder / "b.obj").symlink_to("a.obj")


def link_to_nothing(folder: Path) -> None:
    (folder / "a.obj").symlink_to("missing.obj")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "a.obj")


def folder_named_like_a_mesh(folder: Path) -> None:
    (folder / "a.obj").mkdir()


def folder_loop(folder: Path) -> None:
    (folder / "again").symlink_to(folder, target_is_directory=True)


def nothing(folder: Path) -> None:
    pass


def images(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"\x89PNG")


def only_bad(folder: Path) -> None:
    for name in list(BAD_MESHES)[:5]:
        (folder / name).write_bytes(BAD_MESHES[name])


@pytest.mark.parametrize(
    ("fill", "names"),
    [
        (link_loop, "a.obj"),
        (link_to_nothing, "a.obj"),
        (pipe, "a.obj"),
        (folder_named_like_a_mesh, "no meshes in it"),
        (folder_loop, "no meshes in it"),
        (nothing, "no meshes in it"),
        (images, "no meshes in it"),
        (only_bad, "none of 5 meshes can be used"),
    ],
)
def test_bad_folder_is_named(
    refused: Callable[..., str], place: Path, fill: Callable[[Path], None], names: str
) -> None:
    (place / "meshes").mkdir()
    fill(place / "meshes")
    refused(*TRAIN, "meshes", status=1, names=names)


def test_a_closed_file_is_named(
    refused: Callable[..., str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system refuses it; nothing is closed to root, who runs the tests in many places."""
    (place / "meshes").mkdir()
    (place / "meshes" / "a.obj").write_text(BOX)
    read = Path.read_bytes

    def closed(path: Path) -> bytes:
        if path.name == "a.obj":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", closed)
    assert "ermission denied" in refused(*TRAIN, "meshes", status=1, names="a.obj")


@pytest.mark.parametrize(
    "content",
    [
        b"name,text\nbox,a box\n",
        b"",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 9,
        "файл,caption\nbox,коробка\n".encode("cp1251"),
        b"object_id,caption\nbox," + b"x" * 1_000_000 + b"\n",
    ],
    ids=["header", "empty", "binary", "not utf-8", "huge field"],
)
def test_bad_captions_are_named(refused: Callable[..., str], place: Path, content: bytes) -> None:
    (place / "meshes").mkdir()
    (place / "meshes" / "box.obj").write_text(BOX)
    (place / "meshes" / "captions.csv").write_bytes(content)
    refused(*TRAIN, "meshes", status=1, names="captions.csv")


def test_one_bad_mesh_among_good_ones_does_not_stop_training(
    boxes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named; names that are no UTF-8, double and torn captions do no harm."""
    folder = boxes
    (folder / os.fsdecode(b"\xff\xfe.obj")).write_text(BOX.replace("v 1", "v 9"))
    (folder / "broken.off").write_bytes(BAD_MESHES["cut.off"])
    (folder / "captions.csv").write_text(
        "object_id,caption\nbox1,a box\nbox1,a box\nbox2\nbox3,one,two,three\nbox99,nobody\n"
    )
    assert cli.main([*TRAIN, "boxes", "--max_steps", "1"]) == 0
    out, err = capsys.readouterr()
    assert "broken" in err and "1 of 14 meshes cannot be used" in err
    assert "captions.csv: 1 of 4 rows name no mesh; the first: box99" in err
    assert err.count("warning: ") == 2
    assert "runs/voxel_gan/run_" in out

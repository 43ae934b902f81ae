"""Furniture libraries: made up ones, and the 820 real models where they are."""

import io
import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UserError
from triform.datasets import sweethome3d
from triform.datasets.listing import list_shapes
from triform.datasets.sweethome3d import parse_properties, read_library
from triform.geometry.mesh import MeshError

MakeLibrary = Callable[..., Path]


def test_properties() -> None:
    text = "# c\n! c\na=1\nb : 2\nc 3\n  d\\ e = f\\u0041\\n\\\n   g\\\\\nh#1=#x\nempty=\nü=é\n"
    data = text.encode("latin-1")
    assert dict(parse_properties(data)) == {
        "a": "1",
        "b": "2",
        "c": "3",
        "d e": "fA\ng\\",
        "h#1": "#x",
        "empty": "",
        "ü": "é",
    }


def test_catalogue(tmp_path: Path, make_library: MakeLibrary) -> None:
    table, stand = read_library(make_library(tmp_path / "a.sh3f"))  # the third has no mesh
    assert table.object_id == "Maker#redBox"
    assert table.names == (("en", "Coffee table"), ("fr", "Table à café"), ("ru", "Стол"))
    assert table.tags == ("Round", "Oak")
    assert table.size == (100.0, 25.0, 50.5)
    assert table.licence == "Creative Commons Attribution"
    assert table.preview() == b"\x89PNG image"
    assert stand.names[0] == ("en", "Étagère 10€ stand")
    assert stand.preview() is None


def test_captions(tmp_path: Path, make_library: MakeLibrary) -> None:
    first, second = list_shapes([make_library(tmp_path / "a.sh3f")])
    assert first.captions == ("coffee table", "coffee table, round, oak", "Table à café", "Стол")
    assert first.english == ("coffee table", "coffee table, round, oak")
    assert first.languages == ("en", "en", "fr", "ru")
    assert (first.category, first.source) == ("Living room", "sweethome3d")
    assert second.captions == ("étagère 10€ stand",)


def test_mesh_has_the_real_proportions_and_colours(
    tmp_path: Path, make_library: MakeLibrary
) -> None:
    table, _ = read_library(make_library(tmp_path / "a.sh3f"))
    mesh = table.load()
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [100, 25, 50.5])
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), 0, atol=1e-9)
    assert mesh.face_colors is not None
    assert set(map(tuple, mesh.face_colors.tolist())) == {(255, 0, 0)}


def test_rotation_is_row_by_row(tmp_path: Path, make_library: MakeLibrary) -> None:
    """(x, y, z) -> (x, z, -y): what lay along z now stands up."""
    obj = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 4\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n"
    path = make_library(tmp_path / "a.sh3f", **{"test/box2/box.obj": obj.encode()})
    mesh = read_library(path)[1].load()
    peak = mesh.vertices[np.argmax(mesh.vertices[:, 1])]
    np.testing.assert_allclose(peak, [-5, 10, 15])


def test_fingerprint_notices_mesh_and_size(tmp_path: Path, make_library: MakeLibrary) -> None:
    def fingerprints(name: str, **extra: bytes) -> list[str]:
        return [model.fingerprint for model in read_library(make_library(tmp_path / name, **extra))]

    same, second_run = fingerprints("a.sh3f"), fingerprints("b.sh3f")
    assert same == second_run
    other = fingerprints("c.sh3f", **{"test/box/box.obj": b"v 0 0 0\n"})
    assert other[0] != same[0] and other[1] == same[1]


def test_models_travel_to_worker_processes(tmp_path: Path, make_library: MakeLibrary) -> None:
    shape = list_shapes([make_library(tmp_path / "a.sh3f")])[0]
    assert pickle.loads(pickle.dumps(shape)) == shape  # noqa: TID251 -- what joblib does with it


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"x" * 1000])
def test_not_a_library(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.sh3f").write_bytes(content)
    with pytest.raises(UserError, match=r"not a readable furniture library") as error:
        read_library(tmp_path / "a.sh3f")
    assert "\n" not in str(error.value)


def test_zip_without_catalogue(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "a.sh3f", "w").close()
    with pytest.raises(UserError, match=r"no PluginFurnitureCatalog\.properties"):
        read_library(tmp_path / "a.sh3f")


def test_bomb_and_damage_stop_at_the_member(
    tmp_path: Path, make_library: MakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweethome3d, "MAX_MEMBER_BYTES", 2**20)
    path = make_library(tmp_path / "a.sh3f", **{"test/box/box.obj": bytes(2**21)})
    table, stand = read_library(path)
    with pytest.raises(UserError, match="unpacks to more than 1 MiB"):
        table.load()
    assert len(stand.load().faces) == 12
    stand_only = make_library(tmp_path / "b.sh3f", **{"test/box/box.obj": b"v 0 0 nan\nf 1 1 1\n"})
    with pytest.raises(MeshError, match=r"b\.sh3f: test/box/box\.obj"):
        read_library(stand_only)[0].load()


@pytest.mark.parametrize(
    ("files", "textured"),
    [
        # One name that is nowhere and one image that nobody names: they belong together.
        ({"rug.png": b"map_Kd /Users/me/Living room rug.jpg"}, True),
        ({"wood.png": rb"map_Kd C:\\Users\\me\\wood.png"}, True),
        ({"sub/wood.png": b"map_Kd wood.png"}, False),
        ({"a.png": b"map_Kd other.jpg", "b.png": b""}, False),
        ({"a.png": b"map_Kd other.jpg\nnewmtl x\nmap_Kd a.png"}, False),
    ],
)
def test_textures_under_another_name(
    tmp_path: Path, make_library: MakeLibrary, files: dict[str, bytes], textured: bool
) -> None:
    image = io.BytesIO()
    Image.new("RGB", (2, 2), (0, 0, 255)).save(image, "PNG")
    obj = (
        b"mtllib missing.mtl\nusemtl red\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\n"
        b"f 1/1 2/1 3/1\nf 1/1 2/1 4/1\n"
    )
    material = b"newmtl red\nKd 1 0 0\n" + b"\n".join(files.values())
    extra = {f"test/box/{name}": image.getvalue() for name in files}
    members = {"test/box/box.obj": obj, "test/box/cube.mtl": material, **extra}
    model = read_library(make_library(tmp_path / "a.sh3f", **members))[0]
    appearance = model.load(appearance=True).appearance
    assert appearance is not None
    expected = [0, 0, 255] if textured else [255, 0, 0]
    assert appearance.colors_at(np.zeros(1, int), np.eye(3)[:1]).tolist() == [expected]


def test_material_outside_the_archive_is_not_read(
    tmp_path: Path, make_library: MakeLibrary
) -> None:
    (tmp_path / "secret.mtl").write_text("newmtl red\nKd 0 1 0\n")
    obj = (
        b"mtllib ../../../secret.mtl\nusemtl red\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
        b"f 1 2 3\nf 1 2 4\n"
    )
    mesh = read_library(make_library(tmp_path / "a.sh3f", **{"test/box/box.obj": obj}))[0].load()
    assert mesh.face_colors is None or (0, 255, 0) not in set(map(tuple, mesh.face_colors.tolist()))


@pytest.mark.realdata
class TestRealFurniture:
    def test_all_820_list(self, furniture_dir: Path) -> None:
        shapes = list_shapes([furniture_dir])
        assert len(shapes) == len({shape.object_id for shape in shapes}) == 820
        assert len({shape.fingerprint for shape in shapes}) == 820
        assert Counter(shape.category for shape in shapes).most_common(3) == [
            ("Living room", 147),
            ("Miscellaneous", 146),
            ("Kitchen", 127),
        ]
        for shape in shapes:
            assert shape.licence
            assert shape.languages[0] == "en"
            assert len(set(shape.languages)) >= 3  # names in other languages that differ
            makers = r"scopia|blend ?swap|\bkator|legaz|reallusion|scpts|eteks|#"
            assert not re.search(makers, " ".join(shape.captions), re.IGNORECASE), shape.captions
        names = {shape.captions[0] for shape in shapes}
        assert {"bill 10€", "parking slot 90°", "frame hôi an"} <= names

    def test_all_previews_are_images(self, furniture_dir: Path) -> None:
        heads = Counter((shape.preview() or b"")[:4] for shape in list_shapes([furniture_dir])[::4])
        assert set(heads) <= {b"\x89PNG", b"\xff\xd8\xff\xe0", b"GIF8"}

    def test_some_load_with_their_real_size(self, furniture_dir: Path) -> None:
        for shape in list_shapes([furniture_dir])[7::82]:
            mesh = shape.load()
            np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), shape.origin.size, rtol=1e-6)

    def test_fronts_face_plus_z(self, furniture_dir: Path) -> None:
        """Chairs and sofas have their backs behind them; cars are longer than wide."""
        behind = []
        for shape in list_shapes([furniture_dir]):
            if shape.captions[0] in ("sofa", "armchair"):
                mesh = shape.load()
                points = mesh.vertices[mesh.faces].mean(axis=1)
                top = points[points[:, 1] > np.quantile(points[:, 1], 0.8)]
                behind.append(top[:, 2].mean() < points[:, 2].mean())
        assert len(behind) >= 18
        assert np.mean(behind) > 0.9

    @pytest.mark.slow
    def test_all_820_load(self, furniture_dir: Path) -> None:
        for shape in list_shapes([furniture_dir]):
            assert len(shape.load().faces) >= 1

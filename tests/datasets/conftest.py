"""Small meshes, folders and furniture libraries for the tests of this room."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

CUBE_CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
CUBE_FACES = ["1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"]


def cube_obj(x: float = 1.0, y: float = 1.0, z: float = 1.0) -> str:
    corners = [f"v {a * x} {b * y} {c * z}" for a, b, c in CUBE_CORNERS]
    return "\n".join(
        ["mtllib cube.mtl", *corners, "usemtl red", *(f"f {face}" for face in CUBE_FACES), ""]
    )


CUBE_MTL = "newmtl red\nKd 1 0 0\n"

CATALOGUE = r"""# a comment
id=SweetHome3D#Test
name=Test catalogue
license=Creative Commons   Attribution
! another comment

id#1=Maker#redBox
name#1=Coffee table
tags#1=Blend Swap, Round, Oak, Test catalogue, Maker
category#1=Living room
icon#1=/test/box.png
model#1=/test/box/box.obj
width#1=100
depth#1=50.5
height#1=25
creator#1=Maker

id#2=Maker#turned
name#2 : \u00c9tag\u00e8re 10\u20ac \
   stand
category#2=Kitchen
model#2=/test/box2/box.obj
modelRotation#2=1 0 0 0 0 1 0 -1 0
width#2=10
depth#2=30
height#2=20

id#3=Maker#missing
name#3=Missing
model#3=/test/nowhere.obj
width#3=1
depth#3=1
height#3=1
"""


@pytest.fixture
def make_library() -> Callable[..., Path]:
    def make(path: Path, catalogue: str = CATALOGUE, **extra: bytes) -> Path:
        members = {
            "PluginFurnitureCatalog.properties": catalogue.encode("latin-1"),
            "PluginFurnitureCatalog_ru.properties": rb"name#1=\u0421\u0442\u043e\u043b" + b"\n",
            "PluginFurnitureCatalog_fr.properties": "name#1=Table à café".encode("latin-1"),
            "PluginFurnitureCatalog_en_US.properties": b"name#1=Colored table",
            "test/box.png": b"\x89PNG image",
            "test/box/box.obj": cube_obj(1, 2, 3).encode(),
            "test/box/cube.mtl": CUBE_MTL.encode(),
            "test/box2/box.obj": cube_obj(1, 2, 3).encode(),
            **extra,
        }
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    return make

"""Mesh files of every format, and damaged copies of them; run by itself, it reads a folder of them.

    python mutants.py FOLDER

prints one JSON line per file as soon as it is done with it: a crash or a hang has a name.
"""

import gzip
import io
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "geometry"))

from step_files import Part, iges_file, step_file

from triform.geometry.io import cad
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.sampling.surface_points import sample_surface
from triform.geometry.voxels.voxelize import voxelize

# Of addresses, of which the libraries alone take one or two.
LARGEST_MEMORY = 5 * 2**30
WORDS = (
    b"nan",
    b"1e30",
    b"-1",
    b"0",
    b"99999999",
    b"-2147483648",
    b"4294967295",
    b"1e999",
    b"18446744073709551616",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b"<",
    b">",
    b'"',
    b"#",
    b"\n",
    b" ",
    b"/",
    b"f 1 2 3\n",
    b"element face 9\n",
    b"children [",
    b"USE A",
)


def originals() -> dict[str, bytes]:
    """One small valid file of every format, and of every way in which it is written."""
    ball = trimesh.creation.icosphere(1)
    colored = ball.copy()
    colored.visual = trimesh.visual.ColorVisuals(
        colored, vertex_colors=np.arange(42 * 4, dtype=np.uint8).reshape(42, 4)
    )
    textured = trimesh.creation.box()
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    textured.visual = trimesh.visual.TextureVisuals(
        uv=np.random.default_rng(0).random((8, 2)),
        material=trimesh.visual.material.PBRMaterial(baseColorTexture=image),
    )
    scene = trimesh.Scene([textured, colored])
    scene.add_geometry(ball, transform=trimesh.transformations.translation_matrix([3, 0, 0]))
    gltf = scene.export(file_type="gltf", merge_buffers=True, embed_buffers=True)
    part = Part("part", "cylinder", (5, 40), (0.2, 0.4, 0.8))
    whole = Part("whole", children=[(part, (i, 0, 0), (0, 0, 1), (1, 0, 0)) for i in (0, 50)])
    files = {
        "plain.obj": ball.export(file_type="obj"),
        "painted.obj": OBJ,
        "ball.off": ball.export(file_type="off"),
        "binary.stl": ball.export(file_type="stl"),
        "text.stl": ball.export(file_type="stl_ascii"),
        "binary.ply": colored.export(file_type="ply"),
        "text.ply": colored.export(file_type="ply", encoding="ascii"),
        "scene.glb": scene.export(file_type="glb"),
        "scene.gltf": gltf["model.gltf"],
        "ball.dae": ball.export(file_type="dae"),
        "ball.3mf": ball.export(file_type="3mf"),
        "scene.wrl": VRML,
        "packed.wrl": gzip.compress(VRML.encode(), mtime=0),
        "assembly.step": step_file(whole),
        "sheet.iges": iges_file(10),
    }
    return {k: v.encode() if isinstance(v, str) else v for k, v in files.items()}


OBJ = """mtllib m.mtl
o thing
v 0 0 0 1 0 0
v 1 0 0 0 1 0
v 1 1 0 0 0 1
v 0 1 0 1 1 0
v 0 0 1 0 1 1
vt 0 0
vt 1 0
vt 1 1
vn 0 0 1
usemtl red
f 1/1/1 2/2/1 3/3/1 4/1/1
usemtl image
f 1/1 2/2 5/3
g \\
group
f -1 -2 -3
l 1 2
"""
MTL = "newmtl red\nKd 1 0 0\nd 0.5\nnewmtl image\nmap_Kd -s 1 1 1 p.png\nmap_d p.png\n"
VRML = """#VRML V2.0 utf8
PROTO Leg [ field SFVec3f at 0 0 0 exposedField SFColor paint 1 0 0 ] {
  Transform { translation IS at children Shape {
    appearance Appearance { material Material { diffuseColor IS paint transparency .5 } }
    geometry Box { size 1 4 1 } } } }
DEF A Transform { rotation 0 1 0 .5 scale 1 2 1 center 1 0 0 children [ Leg { at 2 0 0 } Leg {} ] }
Transform { scale -1 1 1 children [ USE A, Shape { geometry Sphere { radius 2 } } ] }
Switch { whichChoice 0 choice Shape { geometry Cone { bottomRadius 1 } } }
LOD { level [ Shape { geometry Cylinder { height 3 top FALSE } } ] }
Shape { appearance Appearance { texture ImageTexture { url "p.png" }
    textureTransform TextureTransform { scale 2 2 } }
  geometry IndexedFaceSet { ccw FALSE
    coord Coordinate { point [0 0 0, 1 0 0, 1 1 0, 0 1 0, .5 .5 1] }
    coordIndex [0 1 2 3 -1 0 1 4 -1] color Color { color [1 0 0, 0 1 0, 0 0 1, 1 1 0, 0 1 1] }
    texCoord TextureCoordinate { point [0 0, 1 0, 1 1, 0 1, .5 .5] } } } # a note
Shape { geometry ElevationGrid { xDimension 3 zDimension 2 height [0 1 0 0 1 0] } }
Shape { geometry Extrusion { crossSection [1 1 1 -1 -1 -1 1 1] spine [0 0 0 0 1 0 1 2 0]
    scale [1 1 .5 .5] orientation [0 1 0 1] } }
Inline { url "other.wrl" }
"""


def mutate(data: bytes, seed: int) -> bytes:
    """A copy with one to a few dozen things wrong, the same for the same seed."""
    chance = random.Random(seed)
    copy = bytearray(data)
    if chance.random() < 0.1:
        return bytes(copy[: chance.randrange(len(copy))])
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        at = chance.randrange(len(copy) + 1)
        match chance.randrange(8):
            case 0 | 1 if copy:
                copy[at % len(copy)] = chance.randrange(256)
            case 2 | 3:
                copy[at:at] = chance.choice(WORDS)
            case 4:
                word = chance.choice(WORDS)
                copy[at : at + len(word)] = word
            case 5:
                del copy[at : at + chance.choice((1, 4, 40, 400))]
            case 6:
                other = chance.randrange(len(copy) + 1)
                copy[at:at] = copy[other : other + chance.choice((4, 40, 400))]
            case 7:
                size = chance.choice((1, 8, 64))
                copy[at : at + size] = bytes(len(copy[at : at + size]))
    return bytes(copy)


def companions() -> dict[str, bytes]:
    """The files that the originals name."""
    image = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(image, "png")
    return {"m.mtl": MTL.encode(), "p.png": image.getvalue()}


def use(path: Path) -> str:
    """Read a file and do with it what is done with meshes."""
    try:
        mesh = load_mesh(path, appearance=True)
        assert isinstance(mesh, Mesh)
        voxelize(mesh, 16)
        for spacing in ("stratified", "farthest", "poisson"):
            points = sample_surface(mesh, 64, 0, spacing=spacing)
            assert np.isfinite(points.points).all() and len(points.points) == 64
    except MeshError as error:
        text = str(error)
        assert "\n" not in text and len(text) < 700 and text.isprintable(), text
        return f"refused: {text}"
    return f"{len(mesh.faces)} faces"


def main(folder: Path) -> None:
    """Use every file of a folder, in no more memory than `LARGEST_MEMORY`."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY, LARGEST_MEMORY))
    except ImportError:  # not every system has such limits
        pass
    cad.SECONDS_PER_FILE = 3
    for path in sorted(folder.iterdir()):
        if path.name in companions():
            continue
        start = time.process_time()
        row = {"file": path.name, "answer": use(path), "seconds": time.process_time() - start}
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

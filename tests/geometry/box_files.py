"""Builders of small odd files that hold a box of 1 x 2 x 3: volume 6, area 22, 12 triangles."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

VERTICES = np.array(
    [[x, y, z] for z in (0, 3) for x, y in ((0, 0), (1, 0), (1, 2), (0, 2))], dtype=np.float32
)
QUADS = np.array(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)
FACES = np.concatenate([QUADS[:, [0, 1, 2]], QUADS[:, [0, 2, 3]]])
RED = (200, 30, 10)


def compare(mesh, volume=6.0, area=22.0, faces=12, high=(1, 2, 3), low=(0, 0, 0), tolerance=1e-5):
    assert len(mesh.faces) == faces
    assert mesh.volume == pytest.approx(volume, rel=tolerance)
    assert mesh.area == pytest.approx(area, rel=tolerance)
    assert np.allclose(mesh.bounds, [low, high], atol=tolerance * 10)


class Glb:
    """A glTF file that is built accessor by accessor."""

    def __init__(self):
        self.body = b""
        self.tree = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
        }

    def view(self, data, **more):
        self.body += bytes(-len(self.body) % 4)
        view = {"buffer": 0, "byteOffset": len(self.body), "byteLength": len(data)}
        self.body += data
        self.tree["bufferViews"].append(view | more)
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, values, **more):
        """Add an array as an accessor; `view=None` leaves it without data."""
        values = np.asarray(values)
        kinds = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
        accessor = {
            "componentType": kinds[values.dtype.str[1:]],
            "count": len(values),
            "type": {0: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[
                values.shape[1] if values.ndim == 2 else 0
            ],
        }
        if "view" not in more:
            accessor["bufferView"] = self.view(np.ascontiguousarray(values).tobytes())
        elif more["view"] is not None:
            accessor["bufferView"] = more["view"]
        more.pop("view", None)
        self.tree["accessors"].append(accessor | more)
        return len(self.tree["accessors"]) - 1

    def box(self, vertices=VERTICES, faces=FACES, **primitive):
        """Add a mesh of one primitive."""
        attributes = {"POSITION": self.accessor(vertices)} | primitive.pop("attributes", {})
        primitive = {"attributes": attributes} | primitive
        if faces is not None:
            primitive.setdefault("indices", self.accessor(np.ravel(faces).astype("u2")))
        self.tree["meshes"].append({"primitives": [primitive]})
        return primitive

    def bytes(self):
        tree = self.tree
        tree.setdefault("buffers", [{"byteLength": len(self.body)}])
        text = json.dumps(tree).encode()
        text += b" " * (-len(text) % 4)
        body = self.body + bytes(-len(self.body) % 4)
        size = 28 + len(text) + len(body)
        head = struct.pack("<4sIII4s", b"glTF", 2, size, len(text), b"JSON")
        return head + text + struct.pack("<I4s", len(body), b"BIN\0") + body


def box_glb(edit=lambda file: None, **primitive):
    """A GLB of one box after `edit` has changed it."""
    file = Glb()
    file.box(**primitive)
    edit(file)
    return file.bytes()


def threemf(model, parts=None, attributes="", relations=None):
    """A 3MF archive: the inner text of the root model, and of other part files by their names."""
    head = (
        '<?xml version="1.0"?><model unit="millimeter" '
        'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02" '
        'xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06" '
        'xmlns:m="http://schemas.microsoft.com/3dmanufacturing/material/2015/02" '
        'xmlns:b="http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02" '
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        if relations is not None:
            archive.writestr("_rels/.rels", relations)
        for name, text in {"3D/3dmodel.model": model, **(parts or {})}.items():
            if name.endswith(".model"):
                text = f"{head}{attributes}>{text}</model>"
            archive.writestr(name, text)
    return buffer.getvalue()


def object_3mf(number, more="", triangle=lambda face: "", kind="model", vertices=VERTICES):
    """An object with a box; `triangle` gives attributes of each triangle."""
    rows = "".join(f'<vertex x="{x}" y="{y}" z="{z}"/>' for x, y, z in vertices.tolist())
    faces = "".join(
        f'<triangle v1="{a}" v2="{b}" v3="{c}" {triangle(number)}/>'
        for number, (a, b, c) in enumerate(FACES.tolist())
    )
    return (
        f'<object id="{number}" type="{kind}" {more}><mesh><vertices>{rows}</vertices>'
        f"<triangles>{faces}</triangles></mesh></object>"
    )


def dae(
    axis="Y_UP",
    primitive=None,
    material="",
    node="",
    binding="",
    sources="",
    unit='<unit meter="1"/>',
    scene='<scene><instance_visual_scene url="#s"/></scene>',
):
    """A COLLADA file; `primitive` is the text of its primitive, the box by default."""
    if primitive is None:
        index = " ".join(map(str, FACES.ravel().tolist()))
        primitive = (
            '<triangles count="12" material="a"><input semantic="VERTEX" source="#x" offset="0"/>'
            f"<p>{index}</p></triangles>"
        )
    numbers = " ".join(f"{value:g}" for value in VERTICES.ravel())
    up = f"<up_axis>{axis}</up_axis>" if axis else ""
    return f"""<?xml version="1.0"?>
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
<asset>{unit}{up}</asset>{material}<library_geometries><geometry id="g"><mesh>
<source id="v"><float_array id="va" count="24">{numbers}</float_array><technique_common>
<accessor source="#va" count="8" stride="3"><param name="X" type="float"/>
<param name="Y" type="float"/><param name="Z" type="float"/></accessor></technique_common></source>
{sources}<vertices id="x"><input semantic="POSITION" source="#v"/></vertices>{primitive}</mesh>
</geometry></library_geometries><library_visual_scenes><visual_scene id="s"><node>{node}
<instance_geometry url="#g">{binding}</instance_geometry></node></visual_scene>
</library_visual_scenes>{scene}</COLLADA>""".encode()


def stl_facets(vertices=VERTICES, faces=FACES, attribute=0):
    rows = np.zeros(
        len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    )
    rows["corners"], rows["attribute"] = vertices[faces], attribute
    edges = vertices[faces]
    normals = np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0])
    rows["normal"] = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return rows.tobytes()


def stl(count=12, tail=b"", header=b"", body=None, **more):
    """A binary STL file with any count and anything behind its facets."""
    body = stl_facets(**more) if body is None else body
    return header.ljust(80, b"\0") + struct.pack("<I", count) + body + tail


def stl_text(head="solid box", end="endsolid box", line="\n", upper=False, faces=FACES):
    rows = [head]
    for triangle in VERTICES[faces].tolist():
        rows += ["facet normal 0 0 0", "outer loop"]
        rows += ["vertex {:g} {:g} {:g}".format(*corner) for corner in triangle]
        rows += ["endloop", "endfacet"]
    text = line.join([*rows, end] if end else rows) + line
    return (text.upper() if upper else text).encode()


def ply(
    kind="ascii",
    head="",
    vertex="float x\nfloat y\nfloat z",
    face="list uchar int vertex_indices",
    rows=None,
    polygons=None,
    line="\n",
    between="",
    tail=b"",
):
    """A PLY file; `rows` are of vertices, `polygons` are rows of faces with lists as lists."""
    rows = VERTICES.tolist() if rows is None else rows
    polygons = [[quad] for quad in QUADS.tolist()] if polygons is None else polygons
    properties = [text.split() for text in vertex.splitlines()]
    of_face = [text.split() for text in face.splitlines()]
    header = ["ply", f"format {kind} 1.0", *head.splitlines(), f"element vertex {len(rows)}"]
    header += [f"property {' '.join(words)}" for words in properties]
    header += [*between.splitlines(), f"element face {len(polygons)}"]
    header += [f"property {' '.join(words)}" for words in of_face] + ["end_header"]
    data = (line.join(header) + line).encode()
    if kind == "ascii":
        lines = [" ".join(f"{value:g}" for value in row) for row in rows]
        for row in polygons:
            words = []
            for value in row:
                words += [len(value), *value] if isinstance(value, list) else [value]
            lines.append(" ".join(f"{word:g}" for word in words))
        return data + (line.join(lines) + line).encode() + tail
    order = ">" if "big" in kind else "<"
    codes = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I"}
    codes |= {"float": "f", "double": "d", "uint8": "B", "int32": "i", "float32": "f"}
    for row in rows:
        for words, value in zip(properties, row, strict=True):
            data += struct.pack(order + codes[words[0]], value)
    for row in polygons:
        for words, value in zip(of_face, row, strict=True):
            if isinstance(value, list):
                data += struct.pack(order + codes[words[1]], len(value))
                data += struct.pack(f"{order}{len(value)}{codes[words[2]]}", *value)
            else:
                data += struct.pack(order + codes[words[0]], value)
    return data + tail

"""Reading of 3MF, the format of 3D printers, with colours of materials and textures.

Our own reader, because the available ones mix up objects of several part files (production
extension) and drop colours.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lxml import etree

from triform.geometry.appearance import Appearance, Material
from triform.geometry.colors import UNCOLORED
from triform.geometry.io.limits import Tree, check_bytes, check_tree
from triform.geometry.io.parts import (
    LeftOut,
    appearance_of_corners,
    check_face_count,
    colored_mesh,
    concatenate,
    transform_mesh,
)
from triform.geometry.io.textures import Textures
from triform.geometry.mesh import Mesh, MeshError

# Last parts of the namespaces of extensions that are read, or change nothing of shape and colour.
_KNOWN_EXTENSIONS = ("core", "material", "production", "slice", "trianglesets", "triangleset")
_MODEL_RELATION = "/3dmodel"
_DEFAULT_MODEL = "/3d/3dmodel.model"
_METRES = {"micron": 1e-6, "millimeter": 1e-3, "centimeter": 0.01, "inch": 0.0254, "foot": 0.3048}
# Colours that slicers paint onto parts of a triangle, as numbers of their filaments.
_PAINT = ("paint_color", "{http://schemas.slic3r.org/3mf/2017/06}mmu_segmentation")
_WHITE = np.full(3, 255, dtype=np.uint8)
_GREY = (*UNCOLORED, 255)
# An object: the part file and the id within it.
_Key = tuple[str, str]


@dataclass(eq=False)
class _Properties:
    """A group of colours, (N, 4) uint8, or of texture coordinates, (N, 2)."""

    colors: np.ndarray
    uv: np.ndarray | None = None
    texture: str = ""


@dataclass(eq=False)
class _Object:
    """An object: vertices and rows of triangles, or components."""

    kind: str
    group: str
    index: str
    vertices: np.ndarray
    faces: np.ndarray
    properties: list[tuple[str | None, ...]]
    components: list[tuple[_Key, np.ndarray]]


@dataclass(eq=False)
class _Package:
    """What the part files of an archive hold."""

    objects: dict[_Key, _Object] = field(default_factory=dict)
    groups: dict[_Key, _Properties] = field(default_factory=dict)
    textures: dict[_Key, str] = field(default_factory=dict)
    build: list[tuple[_Key, np.ndarray]] = field(default_factory=list)
    units: dict[str, float] = field(default_factory=dict)
    num_painted: int = 0


def read_3mf(data: bytes, *, name: str = "model") -> Mesh:
    """Read all items that a file builds, in its unit.

    Args:
        data: content of the file.
        name: name of the model in warnings.

    Raises:
        MeshError: damaged, too large, without faces, or an extension is required that is not read.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise MeshError(f"damaged or cut off, or no 3MF file ({error})") from None
    with archive:
        check_bytes(sum(entry.file_size for entry in archive.infolist()), "3mf")
        names = {_normalize(entry): entry for entry in archive.namelist()}
        root = _root_model(archive, names)
        package = _Package()
        for part in [root, *(part for part in names if part.endswith(".model") and part != root)]:
            try:
                _read_model(package, archive.read(names[part]), part, is_root=part == root)
            except etree.XMLSyntaxError as error:
                raise MeshError(f"damaged: {names[part]} is no XML ({error})") from None

        def find(path: str) -> bytes | None:
            entry = names.get(_normalize(path))
            return None if entry is None else archive.read(entry)

        textures = Textures(find, name)
        left_out = LeftOut()
        left_out.add("painted triangle{s}, by filaments of a slicer", package.num_painted)
        mesh = concatenate(_build_meshes(package, root, textures, left_out))
    textures.report_problems()
    left_out.warn(name)
    return mesh


def _normalize(path: str) -> str:
    """Return the name of a part, which ignores letter case."""
    return posixpath.normpath("/" + path.replace("\\", "/").lstrip("/")).lower()


def _root_model(archive: zipfile.ZipFile, names: dict[str, str]) -> str:
    """Return the part that the archive names as its model."""
    if "/_rels/.rels" in names:
        try:
            relations = etree.fromstring(archive.read(names["/_rels/.rels"]), _parser())
        except etree.XMLSyntaxError:
            relations = []
        for relation in relations:
            target = _normalize(relation.get("Target", ""))
            if relation.get("Type", "").endswith(_MODEL_RELATION) and target in names:
                return target
    if _DEFAULT_MODEL in names:
        return _DEFAULT_MODEL
    models = [part for part in names if part.endswith(".model")]
    if not models:
        raise MeshError("there are no faces in it: the archive has no 3D model, or is no 3MF file")
    return models[0]


def _parser() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True)


def _read_model(package: _Package, data: bytes, part: str, *, is_root: bool) -> None:
    """Read the objects, properties and items of a part file."""
    for event, element in etree.iterparse(
        io.BytesIO(data),
        events=("start", "end"),
        tag=("{*}model", *(f"{{*}}{tag}" for tag in _READERS), "{*}build"),
        resolve_entities=False,
        no_network=True,
        huge_tree=True,
    ):
        tag = etree.QName(element).localname
        if event == "start":
            if tag == "model":
                package.units[part] = _METRES.get(element.get("unit", "millimeter"), 1.0)
                _check_extensions(element)
            continue
        if tag == "build" and is_root:
            for entry in element.iterfind("{*}item"):
                package.build.append((_reference(entry, part), _matrix(entry.get("transform"))))
        elif tag in _READERS:
            _READERS[tag](package, element, part)
            element.clear()


def _check_extensions(model: Any) -> None:
    """Check that all extensions which a model requires are known."""
    for prefix in (model.get("requiredextensions") or "").split():
        namespace = model.nsmap.get(prefix, prefix)
        words = str(namespace).rstrip("/").split("/")
        if not set(words) & set(_KNOWN_EXTENSIONS) and prefix not in ("p", "m", "s", "t"):
            raise MeshError(
                f"it requires the 3MF extension {namespace}, which is not read; export it without"
            )


def _read_object(package: _Package, element: Any, part: str) -> None:
    vertices, faces = np.empty((0, 3)), np.empty((0, 3), np.int64)
    properties: list[tuple[str | None, ...]] = []
    mesh = element.find("{*}mesh")
    if mesh is not None:
        rows = [
            (v.get("x"), v.get("y"), v.get("z")) for v in mesh.iterfind("{*}vertices/{*}vertex")
        ]
        vertices = np.array(rows or vertices, dtype=np.float64).reshape(-1, 3)
        triangles = mesh.findall("{*}triangles/{*}triangle")
        corners = [(t.get("v1"), t.get("v2"), t.get("v3")) for t in triangles]
        faces = np.array(corners or faces, dtype=np.int64).reshape(-1, 3)
        properties = [(t.get("pid"), t.get("p1"), t.get("p2"), t.get("p3")) for t in triangles]
        if all(row == (None,) * 4 for row in properties):
            properties = []
        package.num_painted += sum(1 for t in triangles if any(t.get(name) for name in _PAINT))
    package.objects[part, element.get("id", "")] = _Object(
        element.get("type", "model"),
        element.get("pid", ""),
        element.get("pindex", "0"),
        vertices,
        faces,
        properties,
        [
            (_reference(component, part), _matrix(component.get("transform")))
            for component in element.iterfind("{*}components/{*}component")
        ],
    )


def _reference(element: Any, part: str) -> _Key:
    """Return the object that a component or an item places."""
    path = next((v for k, v in element.attrib.items() if etree.QName(k).localname == "path"), "")
    return (_normalize(path) if path else part), element.get("objectid", "")


def _matrix(text: str | None) -> np.ndarray:
    """Return the (4, 4) matrix of twelve numbers, whose rows are those of its transpose."""
    matrix = np.eye(4)
    if text and text.split():
        values = [float(word) for word in text.split()]
        if len(values) != 12:
            raise MeshError(f"damaged: a transform has {len(values)} numbers, it needs 12")
        matrix[:3] = np.array(values).reshape(4, 3).T
    return matrix


def _read_base_materials(package: _Package, element: Any, part: str) -> None:
    colors = [_color(base.get("displaycolor")) for base in element.iterfind("{*}base")]
    package.groups[part, element.get("id", "")] = _Properties(_rgba(colors))


def _read_color_group(package: _Package, element: Any, part: str) -> None:
    colors = [_color(color.get("color")) for color in element.iterfind("{*}color")]
    package.groups[part, element.get("id", "")] = _Properties(_rgba(colors))


def _read_composite(package: _Package, element: Any, part: str) -> None:
    """Mix base materials by their shares."""
    group = package.groups.get((part, element.get("matid", "")))
    if group is None:
        return
    indices = [int(word) for word in element.get("matindices", "").split()]
    base = group.colors[[i for i in indices if 0 <= i < len(group.colors)]]
    colors = []
    for composite in element.iterfind("{*}composite"):
        shares = np.array([float(word) for word in composite.get("values", "").split()])
        total = shares[: len(base)].sum()
        mixed = shares[: len(base)] @ base[: len(shares)] / total if total > 0 else np.array(_GREY)
        colors.append(tuple(np.rint(mixed).astype(int).tolist()))
    package.groups[part, element.get("id", "")] = _Properties(_rgba(colors))


def _read_multi(package: _Package, element: Any, part: str) -> None:
    """Use the first group of several layers that has colours."""
    layers = element.get("pids", "").split()
    known = [(i, g) for i, pid in enumerate(layers) if (g := package.groups.get((part, pid)))]
    if not known:
        return
    layer, group = known[0]
    rows = []
    for multi in element.iterfind("{*}multi"):
        words = multi.get("pindices", "").split()
        row = int(words[layer]) if layer < len(words) else 0
        rows.append(row if 0 <= row < len(group.colors) else 0)
    package.groups[part, element.get("id", "")] = _Properties(
        group.colors[rows], None if group.uv is None else group.uv[rows], group.texture
    )


def _read_texture(package: _Package, element: Any, part: str) -> None:
    package.textures[part, element.get("id", "")] = element.get("path", "")


def _read_texture_group(package: _Package, element: Any, part: str) -> None:
    rows = [(c.get("u"), c.get("v")) for c in element.iterfind("{*}tex2coord")]
    uv = np.array(rows, dtype=np.float64).reshape(-1, 2)
    path = package.textures.get((part, element.get("texid", "")), "")
    package.groups[part, element.get("id", "")] = _Properties(
        np.full((len(uv), 4), 255, np.uint8), uv, path
    )


_READERS = {
    "object": _read_object,
    "basematerials": _read_base_materials,
    "colorgroup": _read_color_group,
    "compositematerials": _read_composite,
    "multiproperties": _read_multi,
    "texture2d": _read_texture,
    "texture2dgroup": _read_texture_group,
}


def _color(text: str | None) -> tuple[int, ...]:
    """Parse #RRGGBB or #RRGGBBAA; anything else is grey."""
    digits = (text or "").strip().lstrip("#")
    try:
        values = bytes.fromhex(digits)
    except ValueError:
        return _GREY
    return (*values, 255)[:4] if len(values) in (3, 4) else _GREY


def _rgba(colors: list[tuple[int, ...]]) -> np.ndarray:
    return np.array(colors, dtype=np.uint8).reshape(-1, 4)


def _build_meshes(
    package: _Package, root: str, textures: Textures, left_out: LeftOut
) -> list[Mesh]:
    """Return the meshes of all items and their components, transformed."""
    children: Tree = {k: [c for c, _ in o.components] for k, o in package.objects.items()}
    check_tree(children | {"build": [key for key, _ in package.build]}, "build")
    meshes: dict[_Key, Mesh | None] = {}
    parts: list[Mesh] = []
    num_faces = 0
    stack = list(reversed(package.build))
    while stack:
        key, matrix = stack.pop()
        shape = package.objects.get(key)
        if shape is None:
            left_out.add("reference{s} to an object that is not in the file")
            continue
        if shape.kind in ("support", "solidsupport", "other"):
            # Slicers write modifiers of other volumes as "other".
            left_out.add(f"object{{s}} of the type {shape.kind}")
            continue
        if key not in meshes:
            meshes[key] = _mesh(package, key, shape, textures) if len(shape.faces) else None
        mesh = meshes[key]
        if mesh is not None:
            num_faces += len(mesh.faces)
            check_face_count(num_faces)
            scale = package.units.get(key[0], 1.0) / package.units[root]
            parts.append(transform_mesh(mesh, matrix @ np.diag([scale, scale, scale, 1.0])))
        elif not shape.components:
            left_out.add("object{s} without faces")
        stack += [(child, matrix @ local) for child, local in reversed(shape.components)]
    if not parts:
        count = len(package.objects)
        raise left_out.no_faces(
            f"its build places none of its {count} objects" if count else "it has no objects"
        )
    return parts


def _mesh(package: _Package, key: _Key, shape: _Object, textures: Textures) -> Mesh:
    return colored_mesh(shape.vertices, shape.faces, _appearance(package, key[0], shape, textures))


def _appearance(
    package: _Package, part: str, shape: _Object, textures: Textures
) -> Appearance | None:
    """Return the colours of an object's triangles, or None if it has no properties."""
    count = len(shape.faces)
    default = package.groups.get((part, shape.group))
    if default is None and not shape.properties:
        return None
    rgba = np.full((count, 3, 4), _GREY, dtype=np.uint8)
    uv = np.zeros((count, 3, 2))
    paths = np.zeros(count, dtype=np.int64)
    names: dict[str, int] = {"": 0}
    rows = shape.properties or [(None,) * 4] * count
    if not shape.properties and default is not None and default.uv is None:
        index = _index(shape.index, len(default.colors))
        rgba[:] = _GREY if index is None else default.colors[index]
        return appearance_of_corners(rgba)
    is_colored = False
    for face, (pid, *corners) in enumerate(rows):
        group = default if pid is None else package.groups.get((part, pid))
        if group is None:
            continue
        first = corners[0] if corners[0] is not None else shape.index
        for corner, word in enumerate(corners):
            index = _index(first if word is None else word, len(group.colors))
            if index is not None:
                is_colored = True
                rgba[face, corner] = group.colors[index]
                if group.uv is not None:
                    uv[face, corner] = group.uv[index]
                    paths[face] = names.setdefault(group.texture, len(names))
    if not is_colored:
        return None
    colored = appearance_of_corners(rgba)
    images = [None if not path else textures.get(path) for path in names]
    if all(image is None for image in images):
        return colored
    # Materials of every opacity with every texture.
    materials = [Material(_WHITE, i, m.opacity) for i in images for m in colored.materials]
    material = paths * len(colored.materials) + colored.material
    return Appearance(material, tuple(materials), uv, colored.corner_colors)


def _index(word: str | None, count: int) -> int | None:
    """Return an index of a group, or None beyond its end."""
    index = int(word or 0)
    return index if 0 <= index < count else None

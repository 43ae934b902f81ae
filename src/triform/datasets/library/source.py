"""Reading a source mesh, and noticing when it or anything that it refers to has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from triform.datasets.library.layout import LibraryObject
from triform.datasets.shape import MeshFile, Shape
from triform.datasets.sweethome3d import LibraryModel
from triform.geometry.load import Folder, load_mesh, read_regular_file
from triform.geometry.mesh import Mesh, MeshError


@dataclass(frozen=True)
class Source:
    """A mesh that was read, and what it was read from.

    Attributes:
        mesh: with textures and vertex colours.
        sha256: of the mesh file.
        beside: sha256 of each file that it refers to; "" where that is missing.
        content: changes when any of these does.
    """

    mesh: Mesh
    sha256: str
    beside: Mapping[str, str]
    content: str


def read_source(shape: Shape) -> Source:
    """Read the mesh of a shape with its appearance.

    Raises:
        UserError: it cannot be read.
    """
    if isinstance(shape.origin, MeshFile):
        path = shape.origin.path
        data = read_regular_file(path)
        folder = _Recorder(Folder(path.parent))
        mesh = load_mesh(data, path.suffix, folder, appearance=True)
        sha256 = hashlib.sha256(data).hexdigest()
        beside = dict(sorted(folder.seen.items()))
        return Source(mesh, sha256, beside, _content(sha256, beside))
    mesh = shape.load(appearance=True)
    sha256 = ""
    if isinstance(shape.origin, LibraryModel):
        sha256 = hashlib.sha256(shape.origin.read_member()).hexdigest()
    return Source(mesh, sha256, {}, shape.fingerprint)


def is_unchanged(shape: Shape, item: LibraryObject) -> bool:
    """Whether a library's object was made from what the shape is now."""
    if not isinstance(shape.origin, MeshFile):
        return item.content == shape.fingerprint
    folder = Folder(shape.origin.path.parent)
    beside = {name: _sha256(folder.get(name)) for name in item.beside}
    return item.content == _content(file_digest(shape), beside)


def file_digest(shape: Shape) -> str:
    """What identifies the mesh file alone, without reading the mesh; "" where it is unreadable."""
    if not isinstance(shape.origin, MeshFile):
        return shape.fingerprint
    try:
        return hashlib.sha256(read_regular_file(shape.origin.path)).hexdigest()
    except MeshError:
        return ""


@dataclass
class _Recorder:
    """Remembers which files were asked for, and what was in them."""

    folder: Folder
    seen: dict[str, str] = field(default_factory=dict)

    def get(self, name: str, /) -> bytes | None:
        data = self.folder.get(name)
        self.seen[name] = _sha256(data)
        return data


def _sha256(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _content(sha256: str, beside: Mapping[str, str]) -> str:
    return hashlib.sha256(repr((sha256, sorted(beside.items()))).encode()).hexdigest()

"""Reader of source meshes, with digests that show when a mesh or its textures have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from triform.datasets.library.layout import LibraryObject
from triform.datasets.shape import MeshFile, Shape
from triform.datasets.sweethome3d import FurnitureModel
from triform.geometry.io.load import FolderResolver, load_mesh, mesh_format, read_regular_file
from triform.geometry.io.up_axis import up_axis
from triform.geometry.mesh import Mesh, MeshError


@dataclass(frozen=True)
class Source:
    """A mesh and the digests of the files that it was read from.

    Attributes:
        mesh: with textures and vertex colours, +Y up.
        sha256: of the mesh file.
        dependencies: sha256 of each file that it refers to; "" if that is missing.
        content: digest of all of these.
    """

    mesh: Mesh
    sha256: str
    dependencies: Mapping[str, str]
    content: str


def read_source(shape: Shape) -> Source:
    """Read the mesh of a shape with its appearance.

    Raises:
        UserError: it cannot be read.
    """
    if isinstance(shape.origin, MeshFile):
        path = shape.origin.path
        data = read_regular_file(path)
        folder = _Recorder(FolderResolver(path.parent))
        mesh = load_mesh(data, mesh_format(path), folder, appearance=True, up=shape.origin.up)
        dependencies = dict(sorted(folder.digests.items()))
        content = _content_digest(shape.origin, data, dependencies)
        return Source(mesh, _sha256(data), dependencies, content)
    mesh = shape.load(appearance=True)
    sha256 = ""
    if isinstance(shape.origin, FurnitureModel):
        sha256 = hashlib.sha256(shape.origin.read_member()).hexdigest()
    return Source(mesh, sha256, {}, shape.fingerprint)


def is_unchanged(shape: Shape, entry: LibraryObject) -> bool:
    """Whether an object of a library was made from the present files of the shape."""
    if not isinstance(shape.origin, MeshFile):
        return entry.content == shape.fingerprint
    folder = FolderResolver(shape.origin.path.parent)
    dependencies = {name: _sha256(folder.get(name)) for name in entry.dependencies}
    try:
        data = read_regular_file(shape.origin.path)
        return entry.content == _content_digest(shape.origin, data, dependencies)
    except MeshError:
        return False


def file_digest(shape: Shape) -> str:
    """sha256 of the mesh file, or the fingerprint of another source; "" if it is unreadable."""
    if not isinstance(shape.origin, MeshFile):
        return shape.fingerprint
    try:
        return hashlib.sha256(read_regular_file(shape.origin.path)).hexdigest()
    except MeshError:
        return ""


@dataclass
class _Recorder:
    """Folder that records the sha256 of each file that is read."""

    folder: FolderResolver
    digests: dict[str, str] = field(default_factory=dict)

    def get(self, name: str, /) -> bytes | None:
        data = self.folder.get(name)
        self.digests[name] = _sha256(data)
        return data


def _sha256(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _content_digest(origin: MeshFile, data: bytes, dependencies: Mapping[str, str]) -> str:
    """Digest of a mesh file, the files that it refers to, and Z where that is up."""
    parts: tuple[object, ...] = (_sha256(data), sorted(dependencies.items()))
    up = up_axis(data, mesh_format(origin.path)) if origin.up == "auto" else origin.up
    return hashlib.sha256(repr(parts if up == "y" else (*parts, up)).encode()).hexdigest()

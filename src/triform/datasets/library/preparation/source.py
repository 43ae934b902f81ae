"""Reader of source meshes, with digests that show when a mesh or its textures have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from triform.datasets.library.layout import LibraryObject
from triform.datasets.shape import MeshFile, Shape
from triform.datasets.sweethome3d import FurnitureModel
from triform.geometry.io.load import FolderResolver, load_mesh, read_regular_file
from triform.geometry.mesh import Mesh, MeshError


@dataclass(frozen=True)
class Source:
    """A mesh and the digests of the files that it was read from.

    Attributes:
        mesh: with textures and vertex colours.
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
        mesh = load_mesh(data, path.suffix, folder, appearance=True, name=str(path))
        sha256 = hashlib.sha256(data).hexdigest()
        dependencies = dict(sorted(folder.digests.items()))
        return Source(mesh, sha256, dependencies, _content_digest(sha256, dependencies))
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
    return entry.content == _content_digest(file_digest(shape), dependencies)


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


def _content_digest(sha256: str, dependencies: Mapping[str, str]) -> str:
    return hashlib.sha256(repr((sha256, sorted(dependencies.items()))).encode()).hexdigest()

"""Settings for the files of every object, in parts that are made independently."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from triform.datasets import voxels
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.layout import LibraryObject
from triform.geometry.render import views

# Versions of the code of each part, raised when it writes other files for the same mesh and
# settings.
_VERSIONS: dict[str, Any] = {
    "views": views.VERSION,
    "points": 1,
    "voxels": voxels.VOXELIZER_VERSION,
}


@dataclass(frozen=True)
class Recipe:
    """The settings that the files of an object depend on; each is explained at its flag."""

    views: int
    image_size: int
    cameras: Literal["even", "upper", "random", "turntable"]
    fov: float
    shading: Literal["smooth", "flat"]
    points: int
    spacing: Literal["farthest", "stratified", "poisson"]
    voxel_sizes: tuple[int, ...]
    seed: int

    @classmethod
    def from_settings(cls, settings: PrepareSettings) -> Recipe:
        """Recipe from the settings of `triform shapes prepare`."""
        names = ("views", "image_size", "cameras", "fov", "shading", "points", "spacing", "seed")
        return cls(
            **{name: getattr(settings, name) for name in names},
            voxel_sizes=tuple(sorted({size for size in settings.voxel_size if size})),
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts: "views", "points", and "voxels_64" for each voxel size."""
        return (
            *(["views"] if self.views else []),
            *(["points"] if self.points else []),
            *(f"voxels_{size}" for size in self.voxel_sizes),
        )

    def key(self, part: str, content: str) -> str:
        """Digest of all that the files of a part depend on."""
        kind = part.partition("_")[0]
        names = {
            "views": ("views", "image_size", "cameras", "fov", "shading", "seed"),
            "points": ("points", "spacing", "seed"),
            "voxels": (),
        }[kind]
        settings = {name: getattr(self, name) for name in names}
        return _digest([part, _VERSIONS[kind], settings, content])

    def combined_key(self, content: str) -> str:
        """Digest of all that the files of any part depend on."""
        return _digest([self.key(part, content) for part in self.parts])

    def seed_for(self, part: str, source: str) -> int:
        """Seed of one object and part, independent of the other objects of the library."""
        digest = hashlib.sha256(f"{self.seed}|{part}|{source}".encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest()[:8], "big")

    def missing(self, entry: LibraryObject, sizes: dict[str, int]) -> tuple[str, ...]:
        """Parts of an object with unchanged mesh that are missing, outdated or incomplete.

        Args:
            entry: the object.
            sizes: path -> bytes of the files in the library.
        """
        return tuple(
            part
            for part in self.parts
            if part not in entry.parts
            or entry.parts[part].key != self.key(part, entry.content)
            or not is_complete(entry, part, sizes)
        )


def is_complete(entry: LibraryObject, part: str, sizes: dict[str, int]) -> bool:
    """Whether all files of a part exist and have the size in bytes that was written."""
    sizes_on_disk = [sizes.get(path, -1) for path in entry.part_files(part)]
    return min(sizes_on_disk, default=-1) >= 0 and sum(sizes_on_disk) == entry.parts[part].size


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

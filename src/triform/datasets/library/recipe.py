"""What is made of every mesh, in parts that are made and kept independently."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from triform.datasets import voxels
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.layout import LibraryObject
from triform.geometry import views

# Raised (those of views and voxels where they are made) when the program gives other files for the
# same mesh and settings.
_PROGRAM: dict[str, Any] = {"views": views.VERSION, "points": 1, "voxels": voxels.PROGRAM}


@dataclass(frozen=True)
class Recipe:
    """The settings on which an object's files depend; their meaning is that of the flags."""

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
        """The recipe that a command line asks for."""
        names = ("views", "image_size", "cameras", "fov", "shading", "points", "spacing", "seed")
        return cls(
            **{name: getattr(settings, name) for name in names},
            voxel_sizes=tuple(sorted({size for size in settings.voxel_size if size})),
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are asked for: "views", "points", and "voxels_64" for each size."""
        return (
            *(["views"] if self.views else []),
            *(["points"] if self.points else []),
            *(f"voxels_{size}" for size in self.voxel_sizes),
        )

    def key(self, part: str, content: str) -> str:
        """What changes when the files of a part have to be made again."""
        kind = part.partition("_")[0]
        names = {
            "views": ("views", "image_size", "cameras", "fov", "shading", "seed"),
            "points": ("points", "spacing", "seed"),
            "voxels": (),
        }[kind]
        settings = {name: getattr(self, name) for name in names}
        return _digest([part, _PROGRAM[kind], settings, content])

    def whole_key(self, content: str) -> str:
        """What changes when anything does."""
        return _digest([self.key(part, content) for part in self.parts])

    def seed_for(self, part: str, source: str) -> int:
        """A seed of its own for each object, whoever else is in the library."""
        digest = hashlib.sha256(f"{self.seed}|{part}|{source}".encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest()[:8], "big")

    def missing(self, item: LibraryObject, sizes: dict[str, int]) -> tuple[str, ...]:
        """The parts that an object with unchanged mesh lacks, or that are not whole.

        Args:
            item: the object.
            sizes: bytes of the files that are there.
        """
        return tuple(
            part
            for part in self.parts
            if part not in item.parts
            or item.parts[part].key != self.key(part, item.content)
            or not is_whole(item, part, sizes)
        )


def is_whole(item: LibraryObject, part: str, sizes: dict[str, int]) -> bool:
    """Whether all files of a part are there, with as many bytes as were written."""
    found = [sizes.get(path, -1) for path in item.part_files(part)]
    return min(found, default=-1) >= 0 and sum(found) == item.parts[part].size


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

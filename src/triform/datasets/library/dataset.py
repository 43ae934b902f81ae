"""A shape library as a PyTorch data set: random access, nothing decoded that is not asked for.

| key | shape | values |
|---|---|---|
| `object` | int | the object's place in `LibraryDataset.objects` |
| `images` | (V, 4, S, S) uint8 | RGBA, straight alpha |
| `depths` | (V, S, S) float32 | along the camera's z; infinite where nothing is |
| `cameras` | (V, 4, 3) float32 | rows origin, x (right), y (down), z (into the scene) |
| `fovs` | (V,) float32 | radians |
| `view_ids` | (V,) int64 | which of the object's pictures, from 0 |
| `points` | (N, 3) float32 | in [-1/2, 1/2]^3 before augmentation |
| `colors` | (N, 3) float32 | [0, 1]; 0.4 where the object has none |
| `normals` | (N, 3) float32 | of length 1 |
| `voxels` | (R, R, R) bool | index order x, y, z |
| `caption` | str | one of the object's |
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.base.seeding import hash_seed
from triform.datasets.library.augmentation import DROPPED_COLOR, Augmentation
from triform.datasets.library.decoding import (
    as_rows,
    decode_camera,
    decode_depth,
    read_array,
    read_image,
    read_voxels,
)
from triform.datasets.library.layout import Library, LibraryObject
from triform.datasets.library.packing import PackedImages, pack
from triform.datasets.library.shapes import object_splits
from triform.datasets.library.store import Store

logger = get_logger(__name__)


class LibraryDataset(Dataset[dict[str, Any]]):
    """Objects of a library, each with what is asked for and nothing else.

    What is random (which views, caption and points, and the augmentation) depends on seed, epoch
    and index alone, or on the generator that `draw` and `fetch` are given: neither workers nor
    other keys change it.

    Attributes:
        library: where the files are.
        objects: those that have everything that is asked for, sorted by id.
        captions: of each object, in the languages asked for.

    Args:
        library: a library, its folder, or any address that fsspec knows.
        split: "train", "val" or "test"; None takes all objects. In a library without splits the
            object's id decides.
        views: how many pictures of each object, drawn anew each epoch; "all" for all.
        image_size: pixels along each side; None for the stored size.
        points: how many of the stored points, drawn anew each epoch.
        colors: with the points' colours.
        normals: with the points' normals.
        voxels: side of the voxel grid; 0 for none.
        captions: with a caption, drawn anew each epoch.
        languages: of the captions; None takes all.
        depth: with a depth for each picture.
        cameras: with a camera for each picture.
        augment: what happens to the points.
        seed: seed of everything random.
        packed: decode all pictures once into a file in the cache and read them from there.

    Raises:
        UserError: no object has all that is asked for; the line says what is missing.
    """

    def __init__(
        self,
        library: Library | str | os.PathLike[str],
        *,
        split: str | None = None,
        views: int | Literal["all"] = 1,
        image_size: int | None = None,
        points: int = 0,
        colors: bool = True,
        normals: bool = False,
        voxels: int = 0,
        captions: bool = True,
        languages: Sequence[str] | None = ("en",),
        depth: bool = False,
        cameras: bool = False,
        augment: Augmentation | None = None,
        seed: int = 42,
        packed: bool = False,
    ) -> None:
        self.library = library if isinstance(library, Library) else Library.open(os.fspath(library))
        self.split, self.views, self.image_size = split, views, image_size
        self.points, self.voxels, self.augment, self.seed = points, voxels, augment, seed
        self.with_colors, self.with_normals = bool(points and colors), bool(points and normals)
        self.with_captions, self.languages = captions, languages
        self.with_depth, self.with_cameras = bool(views and depth), bool(views and cameras)
        self.objects = self._choose()
        self.captions = [self._captions(entry) for entry in self.objects]
        # Shared, so that workers that live on see a new epoch as well.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._packed = self._pack() if packed and views else None
        self._process = -1
        self._table: np.ndarray | None = None

    def __len__(self) -> int:
        """How many objects."""
        return len(self.objects)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One object; its random numbers come from seed, epoch and index."""
        index = range(len(self))[index]
        return self._make(index, hash_seed("library", self.seed, self.epoch, index))

    def draw(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """One object with random numbers from a generator."""
        return self._make(range(len(self))[index], _key(generator))

    def fetch(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Any]:
        """A batch, as the engine's `EpochLoader` wants it: tensors stacked, captions in a list."""
        key = _key(generator)
        return default_collate(
            [self._make(index, hash_seed(key, index)) for index in map(int, indices)]
        )

    @property
    def epoch(self) -> int:
        """Number that the random numbers of `dataset[index]` depend on."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Go on to another epoch, here and in every worker process."""
        self._epoch.fill_(epoch)

    def _make(self, index: int, key: int) -> dict[str, Any]:
        self._own_handles()
        entry = self.objects[index]
        sample: dict[str, Any] = {"object": index}
        if self.views:
            sample |= self._see(entry, _random(key, "views"))
        if self.points:
            sample |= self._scatter(entry, key)
        if self.voxels:
            sample["voxels"] = torch.from_numpy(read_voxels(self.library, entry, self.voxels))
        if self.with_captions:
            choices = self.captions[index]
            sample["caption"] = choices[int(_random(key, "caption").integers(len(choices)))]
        return sample

    def _see(self, entry: LibraryObject, random: np.random.Generator) -> dict[str, Tensor]:
        """Pictures and what goes with them."""
        count = len(entry.images)
        wanted = count if self.views == "all" else int(self.views)
        chosen = np.arange(count) if wanted == count else random.choice(count, wanted, False)
        paths = [entry.images[view] for view in chosen]
        seen = {"images": self._images(paths), "view_ids": torch.from_numpy(chosen)}
        if self.with_depth:
            files = [entry.depths[view] for view in chosen]
            depths = [
                decode_depth(self.library.read_bytes(path), path, self.image_size) for path in files
            ]
            seen["depths"] = torch.from_numpy(_stack(depths, files))
        if self.with_cameras:
            files = [entry.cameras[view] for view in chosen]
            found = [decode_camera(self.library.read_bytes(path), path) for path in files]
            vectors = [[camera.origin, *camera.axes] for camera in found]
            seen["cameras"] = torch.from_numpy(np.array(vectors, dtype=np.float32))
            seen["fovs"] = torch.tensor([camera.fov for camera in found], dtype=torch.float32)
        return seen

    def _images(self, paths: Sequence[str]) -> Tensor:
        if self._packed is not None:
            assert self._table is not None
            return torch.from_numpy(self._table[[self._packed.rows[path] for path in paths]])
        pictures = [read_image(self.library, path, self.image_size) for path in paths]
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(_stack(pictures, paths), 3, 1)))

    def _scatter(self, entry: LibraryObject, key: int) -> dict[str, Tensor]:
        """Points and what goes with them."""
        assert entry.points is not None
        stored = as_rows(read_array(self.library, entry.points), entry.points)
        if len(stored) < self.points:
            raise UserError(
                f"{self.library.root}: {entry.points} holds {len(stored)} points, "
                f"{self.points} are asked for; ask for fewer, or for objects that have them"
            )
        chosen: np.ndarray | slice = slice(None)
        if len(stored) > self.points:
            chosen = _random(key, "points").choice(len(stored), self.points, replace=False)
        points = np.array(stored[chosen], dtype=np.float32, order="C")
        normals = None
        if self.with_normals:
            assert entry.normals is not None
            normals = self._beside(entry.normals, stored, chosen, "normals").astype(np.float32)
        if self.augment is not None:
            points, normals = self.augment.transform(points, normals, _random(key, "move"))
        sample = {"points": torch.from_numpy(points)}
        if normals is not None:
            sample["normals"] = torch.from_numpy(normals)
        if self.with_colors:
            sample["colors"] = torch.from_numpy(self._colors(entry, stored, chosen, key))
        return sample

    def _colors(
        self, entry: LibraryObject, stored: np.ndarray, chosen: np.ndarray | slice, key: int
    ) -> np.ndarray:
        if entry.colors is None:
            return np.full((self.points, 3), DROPPED_COLOR, dtype=np.float32)
        colors = self._beside(entry.colors, stored, chosen, "colours")
        scale = 255 if colors.dtype.kind in "iu" else 1
        colors = colors.astype(np.float32) / np.float32(scale)
        if self.augment is None:
            return colors
        return self.augment.recolor(colors, _random(key, "colors"))

    def _beside(
        self, path: str, stored: np.ndarray, chosen: np.ndarray | slice, what: str
    ) -> np.ndarray:
        """What another array says about the chosen points."""
        values = as_rows(read_array(self.library, path), path, what)
        if len(values) != len(stored):
            raise UserError(
                f"{self.library.root}: {path} holds {len(values)} {what} for "
                f"{len(stored)} points; `triform shapes check` says what else is wrong"
            )
        return np.array(values[chosen], order="C")

    def _choose(self) -> list[LibraryObject]:
        """The objects of the split that have everything."""
        objects = self.library.objects
        if self.split is not None:
            if self.split not in ("train", "val", "test"):
                raise UsageError(f"split {self.split!r}: must be train, val or test")
            splits = object_splits(self.library)
            objects = [entry for entry in objects if splits[entry.object_id] == self.split]
        kept, lacking = [], []
        for entry in objects:
            lack = self._lack(entry)
            if lack is None:
                kept.append(entry)
            else:
                lacking.append((entry.object_id, lack))
        where = f"{self.library.root}: {self.split} split" if self.split else self.library.root
        if not kept and not lacking:
            raise UserError(f"{where}: there are no objects in it")
        if not kept:
            raise UserError(f"{where}: no object has what is asked for: {lacking[0][1]}")
        if lacking:
            logger.warning(
                "%s: %d of %d objects are left out; the first: %s: %s",
                where, len(lacking), len(objects), *lacking[0],
            )  # fmt: skip
        if self.views == "all" and len({entry.views for entry in kept}) > 1:
            by_count = sorted(kept, key=lambda entry: entry.views)
            few, many = by_count[0], by_count[-1]
            raise UserError(
                f"{where}: {few.object_id} has {few.views} pictures and {many.object_id} "
                f"{many.views}; ask for {few.views} views instead of all"
            )
        return kept

    def _lack(self, entry: LibraryObject) -> str | None:
        """What an object does not have of what is asked for, and how to get it."""
        make = "make them with `triform shapes prepare MESHES LIBRARY"
        wanted = max(entry.views, 1) if self.views == "all" else int(self.views)
        if entry.views < wanted:
            return f"it has {entry.views} pictures, not {wanted}; {make} --views {max(wanted, 24)}`"
        if self.with_depth and len(entry.depths) != entry.views:
            return f"its pictures have no depths; {make} --views {entry.views}`"
        if self.with_cameras and len(entry.cameras) != entry.views:
            return f"its pictures have no cameras; {make} --views {entry.views}`"
        if self.points and (entry.points is None or 0 < entry.point_count < self.points):
            return f"it has {entry.point_count} points; {make} --points {self.points}`"
        if self.with_normals and entry.normals is None:
            return f"its points have no normals; {make} --points {self.points}`"
        if self.voxels and not any(size % self.voxels == 0 for size in entry.voxels):
            there = ", ".join(f"{size}^3" for size in entry.voxel_sizes) or "no"
            return f"it has {there} voxels, not {self.voxels}^3; {make} --voxel_size {self.voxels}`"
        if self.with_captions and not self._captions(entry):
            said = f" in {', '.join(self.languages)}" if self.languages is not None else ""
            return (
                f"it has no caption{said}; add it to captions.csv (object_id,caption), "
                "or ask for no captions"
            )
        return None

    def _captions(self, entry: LibraryObject) -> tuple[str, ...]:
        return tuple(
            caption
            for caption, language in self.library.captions.get(entry.object_id, ())
            if self.languages is None or language in self.languages
        )

    def _pack(self) -> PackedImages:
        size = self.image_size
        if size is None:
            first = self.objects[0].images[0]
            size = len(read_image(self.library, first))
        return pack(self.library, size)

    def _own_handles(self) -> None:
        """Open what has to be opened anew in every process, once in each."""
        if self._process != os.getpid():
            # A connection must not be shared with the process that this one was forked from.
            self.library.store = Store(self.library.store.root)
            self._process = os.getpid()
            self._table = None if self._packed is None else self._packed.open()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": -1, "_table": None}


def _key(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator))


def _random(key: int, what: str) -> np.random.Generator:
    """Numbers of their own for each purpose, so that one key asked for more changes no other."""
    return np.random.default_rng(hash_seed(key, what))


def _stack(arrays: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
    for array, path in zip(arrays, paths, strict=True):
        if array.shape != arrays[0].shape:
            raise UserError(
                f"{path}: {array.shape[1]} x {array.shape[0]} pixels, but {paths[0]} has "
                f"{arrays[0].shape[1]} x {arrays[0].shape[0]}; give image_size to make them equal"
            )
    return np.stack(arrays)

"""Shapes with captions become batches of voxels and conditions.

| key | shape | values |
|---|---|---|
| `voxels` | (B, 1, R, R, R) float32 | 0 or 1; index order x, y, z |
| `cond` | (B, cond_dim) float32 | embedding of one caption; zeros where it was left out |
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.datasets.load import load_dataset
from triform.datasets.shape import Shape, list_shapes
from triform.datasets.split import assign_splits
from triform.datasets.voxels import VoxelTable, voxelize_shapes
from triform.geometry.mesh import Mesh
from triform.pretrained.text_encoder import TextEncoder, embed_texts
from triform.systems.voxel_gan.config import DataConfig

TEMPLATES = ("{}", "a {}", "3d model of {}")


@dataclass(frozen=True)
class Stretched:
    """Origin of a shape whose axes are scaled, for more variety than a small data set has."""

    original: Shape
    factors: tuple[float, float, float]

    def load(self, *, appearance: bool = False) -> Mesh:
        mesh = self.original.load(appearance=appearance)
        return replace(mesh, vertices=mesh.vertices * np.asarray(self.factors))

    def preview(self) -> bytes | None:
        return None


@dataclass(frozen=True)
class Objects:
    """The shapes of a run, voxelized and split.

    Attributes:
        table: Packed voxels of the objects and, behind them, of the stretched copies.
        owner: Row of `table` -> number of its object; an object owns its own row.
        splits: `train`, `val` or `test` of each object.
        captions: English captions of each object.
        categories: Category of each object, empty where unknown.
    """

    table: VoxelTable
    owner: np.ndarray
    splits: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...]

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split; the stretched copies belong to training alone."""
        rows = [r for r, o in enumerate(self.owner) if self.splits[o] == split]
        return np.asarray(rows, dtype=np.int64)

    def voxels(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Occupancy (N, 1, R, R, R) float32 of rows of the table."""
        return torch.from_numpy(self.table.unpack(rows)).unsqueeze(1).float()


def load_objects(data: DataConfig, *, seed: int = 0) -> Objects:
    """List, voxelize (or read from the cache) and split the shapes that `data` names.

    Raises:
        UserError: A data set is not there, or no shape of it can be voxelized.
    """
    folders = load_dataset(list(data.dataset), data.download_path)
    shapes = list_shapes(folders, data.max_samples)
    table = _voxelize(shapes, data)
    if not len(table.shapes):
        raise UserError(f"--dataset {' '.join(data.dataset)}: no shape in it can be voxelized")
    splits = assign_splits(table.shapes, table.packed, table.resolution)
    owner = np.arange(len(table.shapes))
    if data.stretches:
        copies = [
            (number, stretch(shape, copy, data.stretch_by))
            for number, shape in enumerate(table.shapes)
            # Parametric furniture varies by itself, and its captions are exact: stretching a
            # "square table" would make them false.
            if splits[number] == "train" and shape.source != "testdataset"
            for copy in range(data.stretches)
        ]
        numbers = {shape.object_id: number for number, shape in copies}
        table = _voxelize([*table.shapes, *(shape for _, shape in copies)], data)
        owner = np.asarray(
            [numbers.get(shape.object_id, row) for row, shape in enumerate(table.shapes)]
        )
    num_objects = len(splits)
    originals = table.shapes[:num_objects]
    return Objects(
        table=table,
        owner=owner,
        splits=tuple(splits),
        captions=tuple(shape.english or shape.captions for shape in originals),
        categories=tuple(shape.category for shape in originals),
    )


def stretch(shape: Shape, copy: int, largest: float) -> Shape:
    """Copy number `copy` of a shape, stretched by factors that its name alone decides."""
    key = hashlib.sha256(f"{shape.object_id} {copy}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(key[:8], "little"))
    x, y, z = np.exp(random.uniform(-largest, largest, 3)).tolist()
    factors = (x, y, z)
    named = ",".join(f"{factor:.4f}" for factor in factors)
    return replace(
        shape,
        object_id=f"{shape.object_id} stretched {named}",
        fingerprint=hashlib.sha256(f"{shape.fingerprint} {named}".encode()).hexdigest(),
        origin=Stretched(shape, factors),
    )


def _voxelize(shapes: Sequence[Shape], data: DataConfig) -> VoxelTable:
    return voxelize_shapes(
        shapes, data.voxel_size, fill=data.fill, cache=cache_dir() / "voxels", processes=0
    )


def phrases(captions: Sequence[str]) -> tuple[str, ...]:
    """Captions in the forms in which people ask for a shape; without captions one empty text."""
    texts = []
    for caption in captions:
        begins_like_a_sentence = caption.lower().startswith(("a ", "an ", "the ", "3d "))
        forms = ("{}",) if begins_like_a_sentence else TEMPLATES
        texts += [form.format(caption) for form in forms]
    return tuple(dict.fromkeys(texts)) or ("",)


def embed_conditions(encoder: TextEncoder, texts: Sequence[str], cond_dim: int) -> Tensor:
    """Texts to conditions (N, cond_dim): embeddings, zeros behind; an empty text is all zeros.

    Raises:
        UserError: The encoder's vectors are longer than `cond_dim`.
    """
    if encoder.dim > cond_dim:
        raise UserError(
            f"--cond_dim {cond_dim} is too short for text encoder {encoder.name}, "
            f"whose vectors have {encoder.dim} numbers"
        )
    cond = torch.zeros(len(texts), cond_dim)
    embedded = embed_texts(encoder, list(texts), cache_dir() / "embeddings")
    cond[:, : encoder.dim] = torch.from_numpy(embedded)
    cond[[row for row, text in enumerate(texts) if not text.strip()]] = 0
    return cond


class VoxelBatches:
    """Makes batches for the engine's loader: `fetch(indices, generator)`."""

    def __init__(
        self,
        objects: Objects,
        rows: np.ndarray,
        encoder: TextEncoder,
        *,
        cond_dim: int,
        mirror: bool,
        prompt_dropout: float,
    ):
        self.objects, self.rows = objects, rows
        self.mirror, self.prompt_dropout = mirror, prompt_dropout
        texts = [phrases(objects.captions[owner]) for owner in objects.owner[rows]]
        distinct = list(dict.fromkeys(text for several in texts for text in several))
        number = {text: i for i, text in enumerate(distinct)}
        self.choices = [[number[text] for text in several] for several in texts]
        self.cond = embed_conditions(encoder, distinct, cond_dim)

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        count = len(indices)
        draws = torch.rand(3, count, generator=generator)
        voxels = self.objects.voxels(self.rows[list(indices)])
        if self.mirror:
            mirrored = draws[0] < 0.5
            voxels[mirrored] = voxels[mirrored].flip(2)  # axis 2 is x
        chosen = [
            self.choices[index][int(draw * len(self.choices[index]))]
            for index, draw in zip(indices, draws[1].tolist(), strict=True)
        ]
        cond = self.cond[chosen]
        cond[draws[2] < self.prompt_dropout] = 0
        return {"voxels": voxels, "cond": cond}

    def plain_batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Rows in order with their first caption, nothing random: for evaluation."""
        numbers = range(start, min(start + size, len(self.rows)))
        cond = self.cond[[self.choices[number][0] for number in numbers]]
        return {"voxels": self.objects.voxels(self.rows[list(numbers)]), "cond": cond}

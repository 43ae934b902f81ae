"""Batches of voxels and conditions from shapes with captions.

| key | shape | values |
|---|---|---|
| `voxels` | (B, 1, R, R, R) float32 | 0 or 1; index order x, y, z |
| `cond` | (B, cond_dim) float32 | embedding of a caption; zeros where it is dropped |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.datasets.listing import list_shapes
from triform.datasets.load import PARAMETRIC_SOURCES, load_dataset
from triform.datasets.shape import Shape
from triform.datasets.split import assign_splits
from triform.datasets.stretching import stretch
from triform.datasets.voxels import VoxelTable, voxelize_shapes
from triform.pretrained.text_encoder import TextEncoder
from triform.systems.voxel_gan.conditioning import caption_variants, embed_conditions
from triform.systems.voxel_gan.config import DataConfig


@dataclass(frozen=True)
class VoxelDataset:
    """Voxelized shapes with their splits and captions.

    Attributes:
        table: Packed voxels of the shapes, followed by those of the stretched copies.
        shape_index: Index of the original shape of every row of `table`.
        splits: `train`, `val` or `test` of each original shape.
        captions: English captions of each original shape.
        categories: Category of each original shape; "" if unknown.
    """

    table: VoxelTable
    shape_index: np.ndarray
    splits: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...]

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split; stretched copies belong to the training split."""
        rows = [row for row, i in enumerate(self.shape_index) if self.splits[i] == split]
        return np.asarray(rows, dtype=np.int64)

    def training_shapes(self) -> list[Shape]:
        """The original shapes of the training split."""
        return [
            shape
            for shape, split in zip(self.table.shapes, self.splits, strict=False)
            if split == "train"
        ]

    def voxels(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Occupancy (N, 1, R, R, R) float32 of rows of the table."""
        return torch.from_numpy(self.table.unpack(rows)).unsqueeze(1).float()


def load_voxel_dataset(data: DataConfig) -> VoxelDataset:
    """List, voxelize (or read from the cache) and split the shapes of a data set.

    Raises:
        UserError: A data set is not there, or no shape of it can be voxelized.
    """
    folders = load_dataset(list(data.dataset), data.download_path)
    shapes = list_shapes(folders, data.max_samples)
    table = _voxelize(shapes, data)
    if not len(table.shapes):
        raise UserError(f"--dataset {' '.join(data.dataset)}: no shape in it can be voxelized")
    splits = assign_splits(table.shapes, table.packed, table.resolution)
    shape_index = np.arange(len(table.shapes))
    if data.stretches:
        copies = [
            (index, stretch(shape, copy, data.stretch_by))
            for index, shape in enumerate(table.shapes)
            # Captions of parametric furniture are exact; a stretched "square table" is not square.
            if splits[index] == "train" and shape.source not in PARAMETRIC_SOURCES
            for copy in range(data.stretches)
        ]
        shape_index_of = {shape.object_id: index for index, shape in copies}
        table = _voxelize([*table.shapes, *(shape for _, shape in copies)], data)
        shape_index = np.asarray(
            [shape_index_of.get(shape.object_id, row) for row, shape in enumerate(table.shapes)]
        )
    originals = table.shapes[: len(splits)]
    return VoxelDataset(
        table=table,
        shape_index=shape_index,
        splits=tuple(splits),
        captions=tuple(shape.english or shape.captions for shape in originals),
        categories=tuple(shape.category for shape in originals),
    )


def _voxelize(shapes: Sequence[Shape], data: DataConfig) -> VoxelTable:
    return voxelize_shapes(
        shapes, data.voxel_size, fill=data.fill, cache=cache_dir() / "voxels", processes=0
    )


class VoxelBatches:
    """Batches of voxels and conditions for the loader: `fetch(indices, generator)`."""

    def __init__(
        self,
        dataset: VoxelDataset,
        rows: np.ndarray,
        encoder: TextEncoder,
        *,
        cond_dim: int,
        mirror: bool,
        prompt_dropout: float,
    ):
        self.dataset, self.rows = dataset, rows
        self.mirror, self.prompt_dropout = mirror, prompt_dropout
        variants = [caption_variants(dataset.captions[i]) for i in dataset.shape_index[rows]]
        self.texts = list(dict.fromkeys(text for texts in variants for text in texts))
        index_of = {text: index for index, text in enumerate(self.texts)}
        self.variant_indices = [[index_of[text] for text in texts] for texts in variants]
        self.cond = embed_conditions(encoder, self.texts, cond_dim)

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        batch_size = len(indices)
        draws = torch.rand(3, batch_size, generator=generator)
        voxels = self.dataset.voxels(self.rows[list(indices)])
        if self.mirror:
            is_mirrored = draws[0] < 0.5
            voxels[is_mirrored] = voxels[is_mirrored].flip(2)  # axis 2 is x
        selected = [
            self.variant_indices[index][int(draw * len(self.variant_indices[index]))]
            for index, draw in zip(indices, draws[1].tolist(), strict=True)
        ]
        cond = self.cond[selected]
        cond[draws[2] < self.prompt_dropout] = 0
        return {"voxels": voxels, "cond": cond}

    def ordered_batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Rows in order with their first caption and no augmentation, for evaluation."""
        indices = range(start, min(start + size, len(self.rows)))
        cond = self.cond[[self.variant_indices[index][0] for index in indices]]
        return {"voxels": self.dataset.voxels(self.rows[list(indices)]), "cond": cond}

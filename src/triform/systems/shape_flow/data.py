"""Batches of distances, colours and conditions from shapes with captions.

| key | shape | values |
|---|---|---|
| `distance` | (B, 1, R, R, R) float32 | voxels to the surface, negative inside, in [-3, 3] |
| `colors` | (B, 4, S, S, S) float32 | red, green, blue, 1 where they are known; in [-1, 1] |
| `attributes` | (B, A) int64 | ids of `tasks.shape_generation.attributes`; 0 is unknown |
| `words` | (B, L, D) float32 | states of the words of a caption |
| `word_mask` | (B, L) bool | 0 or 1: which words are there |
| `sentence` | (B, D) float32 | embedding of the caption |

The stage `autoencoder` has the first two alone. The stages `layout` and `flow` have `latents`
(B, C, G, G, G) float32, the posterior means, instead of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.datasets.distances import ColoredDistanceTable, compute_colored_distances
from triform.datasets.listing import list_shapes
from triform.datasets.load import PARAMETRIC_SOURCES, load_dataset
from triform.datasets.shape import Shape
from triform.datasets.split import assign_splits
from triform.datasets.stretching import stretch
from triform.datasets.voxels import voxelize_shapes
from triform.pretrained import use_multilingual
from triform.pretrained.text_encoder import TokenTextEncoder
from triform.systems.shape_flow.colors import color_input
from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.config import DataConfig
from triform.systems.shape_flow.proportions import Proportions
from triform.systems.shape_flow.texts import TextTable, shape_attributes
from triform.tasks.shape_generation.caption_distance import training_captions
from triform.tasks.shape_generation.multilingual_captions import (
    ALL_LANGUAGES,
    captions_by_language,
)

SPLIT_RESOLUTION = 64
"""Of the voxels by which near copies are found, as in `voxel_gan`: the splits are the same."""
NUM_SYMMETRIES = 48
LANGUAGES: dict[str, Collection[str]] = {
    "minilm": ("en",),
    "use-multilingual": use_multilingual.LANGUAGES,
}
"""What encoders can read; names in other languages would be noise. Others get all languages."""
ENGLISH_SHARE = 0.5
"""Share of English captions where a shape has others as well."""


@dataclass(frozen=True)
class ShapeDataset:
    """Distance fields with their shapes and splits.

    Attributes:
        table: Fields of the shapes, followed by those of the stretched copies.
        shape_index: Index of the original shape of every row of `table`.
        splits: `train`, `val` or `test` of each original shape.
        shapes: The original shapes.
    """

    table: ColoredDistanceTable
    shape_index: np.ndarray
    splits: tuple[str, ...]
    shapes: tuple[Shape, ...]

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split; stretched copies belong to the training split."""
        rows = [row for row, i in enumerate(self.shape_index) if self.splits[i] == split]
        return np.asarray(rows, dtype=np.int64)

    def training_rows(self, parametric_share: float | None = None) -> np.ndarray:
        """Rows of the training split, some of them repeated until a share is parametric."""
        rows = self.rows("train")
        is_parametric = np.asarray(
            [self.shapes[i].source in PARAMETRIC_SOURCES for i in self.shape_index[rows]], bool
        )
        return np.asarray(rows[repeat_to_share(is_parametric, parametric_share)])

    def training_shapes(self) -> list[Shape]:
        """The original shapes of the training split."""
        pairs = zip(self.shapes, self.splits, strict=True)
        return [shape for shape, split in pairs if split == "train"]

    def fields(self, rows: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """Distances (N, 1, R, R, R) and colours (N, 4, R/2, R/2, R/2) of rows of the table."""
        distances, colors = self.table.distances_and_colors(rows)
        return torch.from_numpy(distances).unsqueeze(1), color_input(colors)


def repeat_to_share(selected: np.ndarray, share: float | None) -> np.ndarray:
    """Indices of all rows, with rows of the smaller part repeated in turn to reach a share.

    Args:
        selected: (N,) bool.
        share: wanted share of the selected ones; None, or one part only, repeats nothing.
    """
    part, rest = np.flatnonzero(selected), np.flatnonzero(~selected)
    if share is None or not len(part) or not len(rest):
        return np.arange(len(selected))
    num_part = max(len(part), round(len(rest) * share / (1 - share)))
    num_rest = max(len(rest), round(len(part) * (1 - share) / share))
    return np.concatenate([np.resize(part, num_part), np.resize(rest, num_rest)])


def load_shape_dataset(data: DataConfig) -> ShapeDataset:
    """List shapes, compute their fields (or read them from the cache) and split them.

    Raises:
        UserError: A data set is not there, or no shape of it can be used.
    """
    folders = load_dataset(list(data.dataset), data.download_path)
    shapes = list_shapes(folders, data.max_samples)
    table = _compute(shapes, data)
    if not len(table.shapes):
        raise UserError(f"--dataset {' '.join(data.dataset)}: no shape in it can be used")
    splits = split_shapes(table.shapes)
    shape_index = np.arange(len(table.shapes))
    originals = tuple(table.shapes)
    if data.stretches:
        copies = [
            (index, stretch(shape, copy, data.stretch_by))
            for index, shape in enumerate(originals)
            # Captions of parametric furniture are exact; a stretched "square table" is not square.
            if splits[index] == "train" and shape.source not in PARAMETRIC_SOURCES
            for copy in range(data.stretches)
        ]
        index_of = {shape.object_id: index for index, shape in copies}
        table = _compute([*originals, *(shape for _, shape in copies)], data)
        shape_index = np.asarray(
            [index_of.get(shape.object_id, row) for row, shape in enumerate(table.shapes)]
        )
    return ShapeDataset(table, shape_index, tuple(splits), originals)


def split_shapes(shapes: Sequence[Shape]) -> list[str]:
    """Split of each shape, with near copies together, as `voxel_gan` splits them."""
    voxels = voxelize_shapes(shapes, SPLIT_RESOLUTION, cache=cache_dir() / "voxels")
    splits = assign_splits(voxels.shapes, voxels.packed, SPLIT_RESOLUTION)
    of_id = {shape.object_id: split for shape, split in zip(voxels.shapes, splits, strict=True)}
    return [of_id.get(shape.object_id, "train") for shape in shapes]


def _compute(shapes: Sequence[Shape], data: DataConfig) -> ColoredDistanceTable:
    return compute_colored_distances(shapes, data.resolution, cache=cache_dir() / "voxels")


class ShapeBatches:
    """Batches for the loader: `fetch(indices, generator)`.

    Args:
        dataset: The shapes.
        rows: Rows of its table.
        texts: Captions as conditions; None leaves conditions out.
        latents: Latents (N, M, C, G, G, G) of `rows`, as they are and, with M = 2, mirrored;
            None gives the fields themselves.
        augment: Show fields mirrored, or turned in every way where there are no conditions.
    """

    def __init__(
        self,
        dataset: ShapeDataset,
        rows: np.ndarray,
        texts: ShapeTexts | None,
        latents: Tensor | None = None,
        *,
        augment: bool,
    ):
        self.dataset, self.rows, self.texts, self.latents = dataset, rows, texts, latents
        self.augment = augment

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        count = NUM_SYMMETRIES if self.texts is None else 2
        drawn = torch.randint(count, (len(indices),), generator=generator)
        caption = torch.rand(len(indices), generator=generator).tolist()
        batch = self._shapes(indices, drawn.tolist() if self.augment else [0] * len(indices))
        return batch | self._conditions(indices, caption)

    def ordered_batch(self, start: int, size: int) -> dict[str, Tensor]:
        """Rows in order with their first caption and no augmentation, for evaluation."""
        indices = range(start, min(start + size, len(self.rows)))
        batch = self._shapes(indices, [0] * len(indices))
        return batch | self._conditions(indices, [0.0] * len(indices))

    def _shapes(self, indices: Sequence[int], symmetries: Sequence[int]) -> dict[str, Tensor]:
        if self.latents is not None:
            versions = [symmetry % self.latents.shape[1] for symmetry in symmetries]
            return {"latents": self.latents[list(indices), versions].float()}
        distance, colors = self.dataset.fields(self.rows[list(indices)])
        if any(symmetries):
            pairs = list(zip(distance, colors, symmetries, strict=True))
            distance = torch.stack([turn(field, symmetry) for field, _, symmetry in pairs])
            colors = torch.stack([turn(color, symmetry) for _, color, symmetry in pairs])
        return {"distance": distance, "colors": colors}

    def _conditions(self, indices: Sequence[int], caption: Sequence[float]) -> dict[str, Tensor]:
        if self.texts is None:
            return {}
        shapes = self.dataset.shape_index[self.rows[list(indices)]]
        return vars(self.texts.condition(self.rows[list(indices)], shapes, caption))


class ShapeTexts:
    """Captions and attributes of the shapes of a data set.

    Args:
        dataset: The shapes.
        encoder: Text encoder.
        max_tokens: Words of a caption that are kept.
    """

    def __init__(self, dataset: ShapeDataset, encoder: TokenTextEncoder, max_tokens: int):
        languages = LANGUAGES.get(encoder.name, (ALL_LANGUAGES,))
        self.captions, self.num_english = zip(
            *(_captions(shape, languages) for shape in dataset.shapes), strict=True
        )
        self.table = TextTable(
            encoder, [caption for captions in self.captions for caption in captions], max_tokens
        )
        extents = [_extents(dataset, row) for row in range(len(dataset.table))]
        self.attributes = torch.stack(
            [
                shape_attributes(self.captions[shape], self.table, extent)
                for shape, extent in zip(dataset.shape_index, extents, strict=True)
            ]
        )

    def condition(
        self, rows: Sequence[int] | np.ndarray, shapes: np.ndarray, caption: Sequence[float]
    ) -> Condition:
        """Conditions of rows: one caption of each, and all that any of its captions says.

        Args:
            rows: B rows of the table.
            shapes: Their original shapes.
            caption: Position of the caption among those of the shape, in [0, 1).
        """
        selected = [
            select_caption(self.captions[shape], self.num_english[shape], position)
            for shape, position in zip(shapes, caption, strict=True)
        ]
        return self.table.condition(selected, self.attributes[torch.as_tensor(rows)])


def training_metadata(batches: ShapeBatches, encoder: TokenTextEncoder) -> dict[str, Any]:
    """What `generate` knows of the training shapes, as plain data for the metadata of weights.

    `captions` tell which prompts are far from all of them; `proportions` are drawn where a prompt
    names none.
    """
    assert batches.texts is not None
    rows = np.unique(batches.rows)
    of_rows = (batches.texts.captions[shape] for shape in batches.dataset.shape_index[rows])
    texts = list(dict.fromkeys(caption for captions in of_rows for caption in captions))
    attributes = batches.texts.attributes[torch.from_numpy(rows)].numpy()
    return {
        "captions": training_captions(encoder, texts, batches.texts.table.sentences(texts)),
        "proportions": Proportions(attributes).metadata(),
    }


def select_caption(captions: Sequence[str], num_english: int, position: float) -> str:
    """The caption at a position in [0, 1); English ones share the positions below ENGLISH_SHARE."""
    if not 0 < num_english < len(captions):
        return captions[int(position * len(captions))]
    if position < ENGLISH_SHARE:
        return captions[int(position / ENGLISH_SHARE * num_english)]
    others = captions[num_english:]
    return others[int((position - ENGLISH_SHARE) / (1 - ENGLISH_SHARE) * len(others))]


def _captions(shape: Shape, languages: Collection[str]) -> tuple[tuple[str, ...], int]:
    """Captions of a shape, without words held out for tests, and how many are English.

    English ones come first; a shape without any has one empty caption.
    """
    found = captions_by_language(shape, languages)
    english = found.pop("en", ())
    others = tuple(caption for captions in found.values() for caption in captions)
    return (*english, *others) or ("",), len(english)


def _extents(dataset: ShapeDataset, row: int) -> list[float]:
    """Samples inside along x, y and z."""
    inside = dataset.table.distances([row])[0] < 0
    return [float(np.count_nonzero(inside.any(axis=others))) for others in ((1, 2), (0, 2), (0, 1))]


PERMUTATIONS = ((1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1))


def turn(field: Tensor, symmetry: int) -> Tensor:
    """A field (C, R, R, R) under one of the 48 symmetries of the cube; 1 mirrors x."""
    order, flips = divmod(symmetry, 8)
    axes = [axis + 1 for axis in range(3) if flips >> axis & 1]
    return field.permute(0, *PERMUTATIONS[order]).flip(axes)

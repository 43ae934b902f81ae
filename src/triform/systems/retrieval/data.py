"""Batches of images, point clouds and texts of the objects of a library.

| key | shape | values |
|---|---|---|
| `images` | (B, V, C, S, S) float32 | RGB in [0, 1]; of a frozen encoder C features and S = 1 |
| `points` | (B, N, 3) float32 | in the unit sphere before they are stretched and shifted |
| `colors` | (B, N, 3) float32 | sRGB, in [0, 1] |
| `texts` | (B, T) float32 | embedding of one caption in [-1, 1]; zeros where there is none |
| `object` | (B) int64 | index of the object in the dataset |
| `caption` | (B) int64 | index of that caption, equal for equal captions; -1 where there is none |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.pretrained.text_encoder import TextEncoder, embed_texts
from triform.systems.retrieval.augment import augment_images
from triform.systems.retrieval.config import Config, DataConfig
from triform.systems.retrieval.dataset import RetrievalDataset, open_library, read_dataset
from triform.systems.retrieval.documented.embedding_file import read_embeddings
from triform.systems.retrieval.encoders.recon import NO_COLOR
from triform.systems.retrieval.model import composite_on_white, unit_sphere
from triform.systems.retrieval.verb_config import SMALL

LIGHT_STRENGTH = 0.25
"""Strength of augmentation of the images that look as in a gallery (`light_views`)."""


def load_dataset(config: Config) -> tuple[RetrievalDataset, dict[str, str]]:
    """Load the objects of a run, with images or with a frozen encoder's features.

    Returns:
        The dataset, and the encoder of its features: `model`, `weights`, `transform`; empty for
        images.

    Raises:
        UserError: The library or the features are missing or do not fit together.
    """
    data, is_small = config.data, config.model.image_encoder == SMALL
    library = open_library(data)
    dataset = read_dataset(
        library,
        image_size=data.image_size if is_small else 0,
        split=data.split,
        max_samples=data.max_samples,
        directions=data.near_views > 0,
    )
    if dataset.points.shape[1] < data.points:
        raise UserError(
            f"{library.root}: point clouds of {dataset.points.shape[1]} points; --points "
            f"{data.points} is more"
        )
    feature_source: dict[str, str] = {}
    if not is_small:
        dataset, feature_source = _with_features(
            dataset, data.image_embeddings, config.model.image_encoder
        )
    if dataset.num_views < data.views:
        raise UserError(
            f"{library.root}: {dataset.num_views} images of each object; --views {data.views} "
            "is more"
        )
    return dataset, feature_source


def _with_features(
    dataset: RetrievalDataset, path: str, encoder: str
) -> tuple[RetrievalDataset, dict[str, str]]:
    found = read_embeddings(path, model=encoder)
    by_object = found.by_object()
    missing = [name for name in dataset.ids if name not in by_object]
    if missing:
        raise UserError(
            f"{path}: lacks {missing[0]} and {len(missing) - 1} more objects of the library; "
            "run `triform retrieval embed` on it"
        )
    count = min(len(by_object[name]) for name in dataset.ids)
    features = np.stack([by_object[name][:count] for name in dataset.ids]).astype(np.float32)
    feature_source = {"model": found.model, "weights": found.weights, "transform": found.transform}
    return replace(dataset, features=features), feature_source


class CaptionEmbeddings:
    """Embeddings of all captions by a frozen encoder, of each distinct one once.

    Attributes:
        texts: The distinct captions.
        by_object: Indices of the captions of each object.
        dim: Width of an embedding; 0 without an encoder.
        embeddings: (len(texts) + 1, dim) of length 1; zeros in the last row, for no caption.
    """

    def __init__(self, dataset: RetrievalDataset, encoder: TextEncoder | None):
        texts = sorted({text for captions in dataset.captions for text in captions})
        index = {text: n for n, text in enumerate(texts)}
        self.texts = tuple(texts)
        self.by_object = [[index[text] for text in captions] for captions in dataset.captions]
        self.dim = encoder.dim if encoder is not None else 0
        rows = np.zeros((len(texts) + 1, self.dim), np.float32)
        if encoder is not None and texts:
            embedded = embed_texts(encoder, texts, cache_dir() / "embeddings")
            norms = np.linalg.norm(embedded, axis=1, keepdims=True)
            rows[:-1] = embedded / np.maximum(norms, 1e-9)
        self.embeddings = torch.from_numpy(rows)


class Batches:
    """Builds batches for the engine's loader: `fetch(indices, generator)`."""

    def __init__(
        self,
        dataset: RetrievalDataset,
        rows: np.ndarray,
        captions: CaptionEmbeddings,
        data: DataConfig,
    ):
        self.dataset, self.rows, self.captions, self.data = dataset, rows, captions, data

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        objects = self.rows[list(indices)]
        count, data = len(objects), self.data
        swaps = channel_orders(count, data.virtual_colors, generator)
        mirrored = torch.rand(count, generator=generator) < (0.5 if data.mirror else 0)
        views = [self._sample_views(index, generator) for index in objects]
        images = self._images(objects, views, swaps, mirrored, generator)
        points, colors = self._points(objects, generator)
        colors = colors.gather(2, swaps[:, None].expand(-1, colors.shape[1], -1))
        points[mirrored] *= torch.tensor([-1.0, 1.0, 1.0])
        points, colors = augment_points(unit_sphere(points), colors, data, generator)
        draws = torch.rand(count, generator=generator).tolist()
        captions = [
            several[int(draw * len(several))] if (several := self.captions.by_object[n]) else -1
            for n, draw in zip(objects, draws, strict=True)
        ]
        return {
            "images": images,
            "points": points,
            "colors": colors,
            "texts": self.captions.embeddings[captions],
            "object": torch.from_numpy(objects),
            "caption": torch.tensor(captions),
        }

    def _sample_views(self, index: int, generator: torch.Generator) -> list[int]:
        """Indices of distinct views of an object: any, or one and some of those nearest to it."""
        data, count = self.data, self.dataset.num_views
        near = min(data.near_views, count - 1)
        if not near:
            return torch.randperm(count, generator=generator)[: data.views].tolist()
        assert self.dataset.directions is not None
        directions = self.dataset.directions[index]
        first = int(torch.randint(0, count, (), generator=generator))
        order = np.argsort(-(directions @ directions[first]), kind="stable")
        others = order[order != first][torch.randperm(near, generator=generator).numpy()]
        return [first, *others[: data.views - 1].tolist()]

    def _images(
        self,
        objects: np.ndarray,
        views: list[list[int]],
        swaps: Tensor,
        mirrored: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Images (B, V, 3, S, S), or features (B, V, F, 1, 1)."""
        dataset = self.dataset
        source = dataset.views if dataset.features is None else dataset.features
        assert source is not None
        rows = np.stack([source[n][v] for n, v in zip(objects, views, strict=True)])
        if dataset.features is not None:
            return torch.from_numpy(rows)[..., None, None]
        images = torch.from_numpy(rows).permute(0, 1, 4, 2, 3)  # (B, V, 4, S, S)
        order = torch.cat([swaps, torch.full((len(swaps), 1), 3)], 1)[:, None, :, None, None]
        images = images.gather(2, order.expand_as(images))
        images[mirrored] = images[mirrored].flip(-1)
        if not self.data.image_augment:
            return composite_views(images)
        light = self.data.light_views
        parts = []
        for part, strength in ((images[:, :light], LIGHT_STRENGTH), (images[:, light:], 1.0)):
            if part.shape[1]:
                rgb = augment_images(part.flatten(0, 1), generator, strength=strength)
                parts.append(rgb.view(*part.shape[:2], *rgb.shape[1:]))
        return torch.cat(parts, 1)

    def _points(
        self, objects: np.ndarray, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Some points (B, N, 3) of each object and their colours; without a generator always the
        same, evenly from the stored order."""
        dataset, count = self.dataset, self.data.points
        total = dataset.points.shape[1]
        points = torch.empty(len(objects), count, 3)
        colors = torch.empty(len(objects), count, 3)
        for row, index in enumerate(objects):
            if generator is None:
                selected = np.arange(count) * total // count
            else:
                selected = torch.randperm(total, generator=generator)[:count].numpy()
            points[row] = torch.from_numpy(dataset.points[index][selected])
            colors[row] = torch.from_numpy(dataset.colors[index][selected]) / 255
        return points, colors

    def unaugmented_points(self, objects: np.ndarray) -> tuple[Tensor, Tensor]:
        """Points in the unit sphere and their colours, without augmentation."""
        points, colors = self._points(objects, None)
        return unit_sphere(points), colors

    def unaugmented_images(self, objects: np.ndarray) -> Tensor:
        """All images (B, V, 3, S, S), or features (B, V, F, 1, 1), without augmentation."""
        if self.dataset.features is not None:
            return torch.from_numpy(self.dataset.features[objects])[..., None, None]
        assert self.dataset.views is not None
        views = torch.from_numpy(self.dataset.views[objects]).permute(0, 1, 4, 2, 3)
        return composite_views(views)


def composite_views(rgba: Tensor) -> Tensor:
    """Composite views (B, V, 4, S, S) uint8 on white: (B, V, 3, S, S) float32 in [0, 1]."""
    images = composite_on_white(rgba.flatten(0, 1))
    return images.view(*rgba.shape[:2], *images.shape[1:])


def channel_orders(count: int, share: float, generator: torch.Generator) -> Tensor:
    """An order of the colour channels (count, 3) for each object; `share` of them are shuffled."""
    draws = torch.rand(count, generator=generator)
    orders = torch.rand(count, 3, generator=generator).argsort(1)
    return torch.where(draws[:, None] < share, orders, torch.arange(3))


def augment_points(
    points: Tensor, colors: Tensor, data: DataConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rotate, stretch, shift and jitter points (B, N, 3); drop the colours of some."""
    count = len(points)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator) - 1

    angles = uniform(count) * math.radians(data.point_rotation)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    x, y, z = points.unbind(-1)
    points = torch.stack([cos * x + sin * z, y, cos * z - sin * x], -1)
    low, high = 1 / data.point_scale, data.point_scale
    points = points * (low + (high - low) * (uniform(count, 1, 3) + 1) / 2)
    points = points + data.point_shift * uniform(count, 1, 3)
    if data.point_jitter:
        noise = torch.randn(points.shape, generator=generator)
        points = points + (data.point_jitter * noise).clamp(-0.1, 0.1)
    dropped = torch.rand(count, generator=generator) < data.color_drop
    return points, torch.where(dropped[:, None, None], NO_COLOR, colors)


def describe(dataset: RetrievalDataset) -> dict[str, Any]:
    """Sizes of a dataset, for the log."""
    return {
        "objects": len(dataset),
        **{name: len(dataset.rows(name)) for name in ("train", "val", "test")},
        "images of each": dataset.num_views,
        "with captions": sum(bool(captions) for captions in dataset.captions),
    }

"""Objects become batches of pictures, clouds and texts.

| key | shape | values |
|---|---|---|
| `images` | (B, V, C, S, S) float32 | RGB in 0..1; of a frozen encoder C features and S = 1 |
| `points` | (B, N, 3) float32 | in the unit sphere before they are stretched and shifted |
| `colors` | (B, N, 3) float32 | sRGB, in [0, 1] |
| `texts` | (B, T) float32 | embedding of one caption in [-1, 1]; zeros where there is none |
| `object` | (B) int64 | number of the object among all of the run |
| `caption` | (B) int64 | number of that caption, equal where captions are; -1 where there is none |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.pretrained.text_encoder import TextEncoder, embed_texts
from triform.systems.retrieval.augment import augment_pictures, plain_pictures
from triform.systems.retrieval.config import SMALL, Config, DataConfig
from triform.systems.retrieval.library import find_library
from triform.systems.retrieval.model import unit_sphere
from triform.systems.retrieval.objects import Objects, read_objects
from triform.systems.retrieval.recon import NO_COLOR

LIGHT = 0.25
"""Strength of the changes to pictures that shall look as in a gallery."""


def load_objects(config: Config) -> tuple[Objects, dict[str, str]]:
    """The objects of a run, with pictures or with a frozen encoder's features.

    Returns:
        The objects, and who made the features: `model`, `weights`, `transform`; empty without.

    Raises:
        UserError: The library or the features are not there or do not fit together.
    """
    data, is_small = config.data, config.model.image_encoder == SMALL
    library = find_library(data)
    objects = read_objects(
        library,
        image_size=data.image_size if is_small else 0,
        split=data.split,
        max_samples=data.max_samples,
        directions=data.near_views > 0,
    )
    if objects.points.shape[1] < data.points:
        raise UserError(
            f"{library.root}: clouds of {objects.points.shape[1]} points; --points {data.points} "
            "is more"
        )
    maker: dict[str, str] = {}
    if not is_small:
        objects, maker = _with_features(objects, data.image_embeddings, config.model.image_encoder)
    if objects.num_views < data.views:
        raise UserError(
            f"{library.root}: {objects.num_views} pictures of each object; --views {data.views} "
            "is more"
        )
    return objects, maker


def _with_features(objects: Objects, path: str, encoder: str) -> tuple[Objects, dict[str, str]]:
    from dataclasses import replace

    from triform.systems.retrieval.embedding import read_embeddings

    found = read_embeddings(path, model=encoder)
    by_object = found.by_object()
    missing = [name for name in objects.ids if name not in by_object]
    if missing:
        raise UserError(
            f"{path}: lacks {missing[0]} and {len(missing) - 1} more objects of the library; "
            "run `triform retrieval embed` on it"
        )
    count = min(len(by_object[name]) for name in objects.ids)
    features = np.stack([by_object[name][:count] for name in objects.ids]).astype(np.float32)
    maker = {"model": found.model, "weights": found.weights, "transform": found.transform}
    return replace(objects, features=features), maker


class TextTable:
    """Every caption's embedding by a frozen encoder, each distinct one once."""

    def __init__(self, objects: Objects, encoder: TextEncoder | None):
        texts = sorted({text for captions in objects.captions for text in captions})
        number = {text: n for n, text in enumerate(texts)}
        self.texts = tuple(texts)
        self.choices = [[number[text] for text in captions] for captions in objects.captions]
        self.dim = encoder.dim if encoder is not None else 0
        rows = np.zeros((len(texts) + 1, self.dim), np.float32)  # the last one: no caption
        if encoder is not None and texts:
            embedded = embed_texts(encoder, texts, cache_dir() / "embeddings")
            norms = np.linalg.norm(embedded, axis=1, keepdims=True)
            rows[:-1] = embedded / np.maximum(norms, 1e-9)
        self.embeddings = torch.from_numpy(rows)


class Batches:
    """Makes batches for the engine's loader: `fetch(indices, generator)`."""

    def __init__(self, objects: Objects, rows: np.ndarray, texts: TextTable, data: DataConfig):
        self.objects, self.rows, self.texts, self.data = objects, rows, texts, data

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        numbers = self.rows[list(indices)]
        count, data = len(numbers), self.data
        swaps = channel_orders(count, data.virtual_colors, generator)
        mirrored = torch.rand(count, generator=generator) < (0.5 if data.mirror else 0)
        chosen = [self._some_views(number, generator) for number in numbers]
        images = self._images(numbers, chosen, swaps, mirrored, generator)
        points, colors = self._clouds(numbers, generator)
        colors = colors.gather(2, swaps[:, None].expand(-1, colors.shape[1], -1))
        points[mirrored] *= torch.tensor([-1.0, 1.0, 1.0])
        points, colors = augment_clouds(unit_sphere(points), colors, data, generator)
        draws = torch.rand(count, generator=generator).tolist()
        captions = [
            several[int(draw * len(several))] if (several := self.texts.choices[n]) else -1
            for n, draw in zip(numbers, draws, strict=True)
        ]
        return {
            "images": images,
            "points": points,
            "colors": colors,
            "texts": self.texts.embeddings[captions],
            "object": torch.from_numpy(numbers),
            "caption": torch.tensor(captions),
        }

    def _some_views(self, number: int, generator: torch.Generator) -> list[int]:
        """Different views of an object: any, or one and some of those nearest to it."""
        data, count = self.data, self.objects.num_views
        near = min(data.near_views, count - 1)
        if not near:
            return torch.randperm(count, generator=generator)[: data.views].tolist()
        assert self.objects.directions is not None
        directions = self.objects.directions[number]
        first = int(torch.randint(0, count, (), generator=generator))
        order = np.argsort(-(directions @ directions[first]), kind="stable")
        others = order[order != first][torch.randperm(near, generator=generator).numpy()]
        return [first, *others[: data.views - 1].tolist()]

    def _images(
        self,
        numbers: np.ndarray,
        chosen: list[list[int]],
        swaps: Tensor,
        mirrored: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Pictures (B, V, 3, S, S), or features (B, V, F, 1, 1)."""
        objects = self.objects
        if objects.features is not None:
            rows = np.stack(
                [objects.features[n][views] for n, views in zip(numbers, chosen, strict=True)]
            )
            return torch.from_numpy(rows)[..., None, None]
        assert objects.views is not None
        views = np.stack([objects.views[n][v] for n, v in zip(numbers, chosen, strict=True)])
        pictures = torch.from_numpy(views).permute(0, 1, 4, 2, 3)  # (B, V, 4, S, S)
        order = torch.cat([swaps, torch.full((len(swaps), 1), 3)], 1)[:, None, :, None, None]
        pictures = pictures.gather(2, order.expand_as(pictures))
        pictures[mirrored] = pictures[mirrored].flip(-1)
        if not self.data.picture_augment:
            return plain_pictures(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
        light = self.data.light_views
        parts = [
            augment_pictures(part.flatten(0, 1), generator, strength=strength).unflatten(
                0, part.shape[:2]
            )
            for part, strength in ((pictures[:, :light], LIGHT), (pictures[:, light:], 1.0))
            if part.shape[1]
        ]
        return torch.cat(parts, 1)

    def _clouds(
        self, numbers: np.ndarray, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Some points (B, N, 3) of each cloud and their colours; without a generator always the
        same, evenly from the stored order."""
        objects, count = self.objects, self.data.points
        total = objects.points.shape[1]
        points = torch.empty(len(numbers), count, 3)
        colors = torch.empty(len(numbers), count, 3)
        for row, number in enumerate(numbers):
            if generator is None:
                chosen = np.arange(count) * total // count
            else:
                chosen = torch.randperm(total, generator=generator)[:count].numpy()
            points[row] = torch.from_numpy(objects.points[number][chosen])
            colors[row] = torch.from_numpy(objects.colors[number][chosen]) / 255
        return points, colors

    def plain_clouds(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Clouds in the unit sphere and their colours, nothing random."""
        points, colors = self._clouds(numbers, None)
        return unit_sphere(points), colors

    def plain_images(self, numbers: np.ndarray) -> Tensor:
        """All pictures (B, V, 3, S, S), or features (B, V, F, 1, 1), nothing random."""
        if self.objects.features is not None:
            return torch.from_numpy(self.objects.features[numbers])[..., None, None]
        assert self.objects.views is not None
        views = torch.from_numpy(self.objects.views[numbers]).permute(0, 1, 4, 2, 3)
        return plain_pictures(views.flatten(0, 1)).unflatten(0, views.shape[:2])


def channel_orders(count: int, share: float, generator: torch.Generator) -> Tensor:
    """An order of the colour channels (count, 3) for each object; `share` of them are shuffled."""
    draws = torch.rand(count, generator=generator)
    orders = torch.rand(count, 3, generator=generator).argsort(1)
    return torch.where(draws[:, None] < share, orders, torch.arange(3))


def augment_clouds(
    points: Tensor, colors: Tensor, data: DataConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Turn, stretch, shift and shake clouds (B, N, 3); drop the colours of some."""
    count = len(points)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator) - 1

    angles = uniform(count) * math.radians(data.point_turn)
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


def describe(objects: Objects) -> dict[str, Any]:
    """What a run has to work with, for the log."""
    return {
        "objects": len(objects),
        **{name: len(objects.rows(name)) for name in ("train", "val", "test")},
        "pictures of each": objects.num_views,
        "with captions": sum(bool(captions) for captions in objects.captions),
    }

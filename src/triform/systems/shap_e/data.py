"""Batches of conditions, with latents or (joint) with what encoder and decoder learn from.

| key | shape | values |
|---|---|---|
| `cond` | (B, C, D) float32 | embedding of a caption (C = 1), or patches of an image |
| `object` | (B) int64 | index of the object |
| `points` | (B, P, 6) float32 | points in [-1.01, 1.01] and their sRGB colours (joint) |
| `positions` | (B, M, 3) float32 | where to decode, in [-1, 1] (joint) |
| `field` | (B, M) float32 | distance to the surface in [-1, 1], positive inside (joint) |
| `surface` | (B, Q, 3) float32 | points of the surface in [-1.01, 1.01] (joint) |
| `colors` | (B, Q, 3) float32 | their sRGB colours in [0, 1] (joint) |

Without `joint`, `latents` (B, V, W) float32 in [-1, 1] stand in place of the last five; in the
stage that trains the prior alone they are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.datasets.array_cache import cached_array
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.decoding import open_image, read_voxels
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.library import Library
from triform.datasets.library.preparation.known import open_or_prepare
from triform.datasets.split import split_by_id
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.shap_e.conditions import load_patch_encoder, text_conditions
from triform.systems.shap_e.config import Config, DataConfig
from triform.systems.shap_e.encoder_inputs import read_points, select_rows
from triform.systems.shap_e.latent_files import latent_path, read_latents

logger = get_logger(__name__)

TRUNCATION = 3.0
"""Stored distances are cut off here, in voxels."""
INT8_SCALE = 127.0
NEAR = 0.9
"""Truncated distances of voxels that count as near the surface."""
LATENTS = "latents"


@dataclass(frozen=True)
class Conditions:
    """Conditions of objects.

    Attributes:
        rows: (K, C, D) float32 or float16, in memory or mapped.
        of_object: Indices of the rows of each object.
        captions: A text for each object, for sheets; of images it is the id.
    """

    rows: Tensor | np.ndarray
    of_object: tuple[tuple[int, ...], ...]
    captions: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Vectors of a condition, and numbers of each."""
        return int(self.rows.shape[1]), int(self.rows.shape[2])

    def select(self, rows: Sequence[int]) -> Tensor:
        """Conditions (B, C, D) float32."""
        picked = self.rows[list(rows)]
        tensor = torch.from_numpy(picked) if isinstance(picked, np.ndarray) else picked
        return tensor.float()


@dataclass(frozen=True)
class ShapEDataset:
    """The objects that a run trains on.

    Attributes:
        library: Opened.
        entries: The objects.
        splits: `train`, `val` or `test` of each.
        latents: File of the latent of each; empty in joint training.
        points: (N, P, 6) float32 of joint training, mapped; or None.
        fields: Truncated distances (N, R, R, R) int8, positive inside; or None.
    """

    library: Library
    entries: tuple[LibraryObject, ...]
    splits: tuple[str, ...]
    latents: tuple[Path, ...] = ()
    points: np.ndarray | None = None
    fields: np.ndarray | None = None

    def rows(self, split: str, count: int = 0) -> list[int]:
        """Indices of the objects of a split; of at most `count` at even distances, 0 for all.

        A library has the objects of one data set after the other: the first would be of one alone.
        """
        rows = [index for index, name in enumerate(self.splits) if name == split]
        if not count or count >= len(rows):
            return rows
        return [rows[position * len(rows) // count] for position in range(count)]


def open_library(data: DataConfig, voxel_size: int = 0) -> Library:
    """Open the library of a run.

    Raises:
        UsageError: `--data_dir` is missing.
        UserError: It cannot be opened or prepared.
    """
    if not data.data_dir:
        raise UsageError(
            "--data_dir is needed: a shape library (`triform shapes prepare`), or a name from "
            "`triform data list` with --joint"
        )
    settings = PrepareSettings(
        meshes=("-",),
        library="-",
        views=data.prepared_views,
        image_size=data.prepared_size,
        points=data.prepared_points,
        voxel_size=(voxel_size or 0,),
        download_path=data.download_path,
        max_samples=data.max_samples,
    )
    return open_or_prepare(data.data_dir, settings)


def load_dataset(config: Config) -> ShapEDataset:
    """Read the objects of a run; those without what is needed are counted and left out.

    Raises:
        UsageError: `--data_dir` is missing.
        UserError: There is no usable object.
    """
    data, joint = config.data, config.transmitter.joint
    library = open_library(data, data.field_size if joint else 0)
    entries = library.objects[: data.max_samples or None]
    needs_captions = config.model.model_type == "text300M"
    folder = latents_folder(library, data)
    reasons: dict[str, list[str]] = {}
    usable, latents = [], []
    for entry in entries:
        path = None if joint else latent_path(folder, entry.object_id)
        reason = ""
        if joint and (entry.points is None or not entry.voxels):
            reason = "no points or voxels (`triform shapes prepare` makes them)"
        elif not joint and path is None:
            reason = f"no latent in {folder} (`triform shap_e encode` makes them)"
        elif needs_captions and not captions_of(library, entry):
            reason = "no caption"
        elif not needs_captions and not entry.images:
            reason = "no image"
        if reason:
            reasons.setdefault(reason, []).append(entry.object_id)
            continue
        usable.append(entry)
        latents += [path] if path is not None else []
    for reason, ids in reasons.items():
        logger.warning("%d of %d objects left out: %s", len(ids), len(entries), reason)
    if not usable:
        reason = next(iter(reasons), "it has no objects")
        raise UserError(f"--data_dir {data.data_dir}: no object can be used: {reason}")
    splits = tuple(entry.split or split_by_id(entry.object_id) for entry in usable)
    return ShapEDataset(
        library,
        tuple(usable),
        splits,
        tuple(latents),
        _pack_points(library, usable) if joint else None,
        _pack_fields(library, usable, data.field_size) if joint else None,
    )


def latents_folder(library: Library, data: DataConfig) -> Path:
    """Folder of the latents of a library.

    Raises:
        UserError: The library is not a local folder, and no other folder is named.
    """
    if data.latents_dir:
        return Path(data.latents_dir)
    if library.store.folder is None:
        raise UserError(f"--data_dir {library.root}: is no local folder; name --latents_dir")
    return library.store.folder / LATENTS


def captions_of(library: Library, entry: LibraryObject) -> tuple[str, ...]:
    """Captions of an object: the English ones, or all where none is."""
    pairs = library.captions.get(entry.object_id, [])
    english = [text for text, language in pairs if language == "en"]
    return tuple(dict.fromkeys(english or [text for text, _ in pairs]))


def load_conditions(config: Config, dataset: ShapEDataset) -> Conditions:
    """Encode the conditions of all objects once.

    Raises:
        UserError: The encoder cannot be had, or an image cannot be read.
    """
    library, entries = dataset.library, dataset.entries
    if config.model.model_type == "text300M":
        texts = [captions_of(library, entry) for entry in entries]
        distinct = list(dict.fromkeys(text for several in texts for text in several))
        index = {text: row for row, text in enumerate(distinct)}
        rows = text_conditions(load_text_encoder(config.model.text_encoder), distinct)
        of_object = tuple(tuple(index[text] for text in several) for several in texts)
        return Conditions(rows, of_object, tuple(several[0] for several in texts))
    encoder = load_patch_encoder(config.model.image_encoder)
    paths = [path for entry in entries for path in entry.images[: config.data.condition_views]]
    counts = [len(entry.images[: config.data.condition_views]) for entry in entries]

    def encode(row: int) -> np.ndarray:
        image = open_image(library.read_bytes(paths[row]), paths[row])
        return encoder.encode_patches([image])[0].half().numpy()

    versions = library.store.fingerprints("images")
    key = [encoder.name, library.root, *(f"{path} {versions.get(path, '')}" for path in paths)]
    digest = hashlib.sha256("\n".join(key).encode("utf-8", "surrogatepass")).hexdigest()[:24]
    shape = (len(paths), *encode(0).shape)
    packed = cached_array(f"patches-{digest}", shape, np.float16, encode, "conditions")
    starts = np.cumsum([0, *counts])
    of_object = tuple(
        tuple(range(start, start + count)) for start, count in zip(starts, counts, strict=False)
    )
    return Conditions(packed, of_object, tuple(entry.object_id for entry in entries))


def signed_field(occupancy: np.ndarray) -> np.ndarray:
    """Distance to the border of occupied voxels, cut off at 3 voxels, int8 of [-1, 1].

    Positive inside. Borders lie between voxels, half a voxel from their centres.
    """
    inside = distance_transform_edt(np.pad(occupancy, 1))[1:-1, 1:-1, 1:-1] - 0.5
    outside = distance_transform_edt(~occupancy) - 0.5 if occupancy.any() else TRUNCATION
    distance = np.where(occupancy, inside, -np.asarray(outside))
    return np.rint((distance / TRUNCATION).clip(-1, 1) * INT8_SCALE).astype(np.int8)


def _pack_points(library: Library, entries: Sequence[LibraryObject]) -> np.ndarray:
    first = read_points(library, entries[0])

    def row(index: int) -> np.ndarray:
        return select_rows(read_points(library, entries[index]), len(first), None)

    key = _key(library, "points", [str(entry.points) for entry in entries])
    return cached_array(key, (len(entries), len(first), 6), np.float32, row, "points")


def _pack_fields(library: Library, entries: Sequence[LibraryObject], size: int) -> np.ndarray:
    def row(index: int) -> np.ndarray:
        return signed_field(read_voxels(library, entries[index], size))

    paths = [path for entry in entries for path in entry.voxels.values()]
    key = _key(library, f"voxels {size}", paths)
    return cached_array(key, (len(entries), size, size, size), np.int8, row, "distances")


def _key(library: Library, kind: str, paths: Sequence[str]) -> str:
    """Cache key that changes with any of the files."""
    versions = library.store.fingerprints(kind.partition(" ")[0])
    lines = [kind, library.root, *(f"{path} {versions.get(path, '')}" for path in paths)]
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return f"shap_e-{kind.replace(' ', '-')}-{hashlib.sha256(text).hexdigest()[:24]}"


class Batches:
    """Builds batches for the engine's loader: `fetch(indices, generator)`."""

    def __init__(
        self, dataset: ShapEDataset, conditions: Conditions, rows: Sequence[int], config: Config
    ):
        self.dataset, self.conditions, self.rows = dataset, conditions, list(rows)
        self.config = config
        self.has_geometry = config.transmitter.joint
        self.latent_shape = (config.transmitter.latent_vectors, config.transmitter.latent_width)

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        objects = [self.rows[index] for index in indices]
        draws = torch.rand(len(objects), generator=generator).tolist()
        rows = [
            several[int(draw * len(several))]
            for several, draw in zip(
                (self.conditions.of_object[index] for index in objects), draws, strict=True
            )
        ]
        batch = {"cond": self.conditions.select(rows), "object": torch.tensor(objects)}
        if not self.config.transmitter.joint:
            return {**batch, "latents": self.latents(objects)}
        return {**batch, **self._geometry(objects, generator)} if self.has_geometry else batch

    def latents(self, objects: Sequence[int]) -> Tensor:
        """Latents (B, V, W) of files."""
        return read_latents([self.dataset.latents[index] for index in objects], self.latent_shape)

    def encoder_points(self, objects: Sequence[int]) -> Tensor:
        """The first points (B, P, 6) of objects, always the same."""
        assert self.dataset.points is not None
        count = self.config.transmitter.inner_points
        rows = [select_rows(self.dataset.points[index], count, None) for index in objects]
        return torch.from_numpy(np.stack(rows))

    def fields(self, objects: Sequence[int]) -> Tensor:
        """Distances (B, R, R, R) float32 in [-1, 1], positive inside."""
        assert self.dataset.fields is not None
        stored = torch.from_numpy(self.dataset.fields[list(objects)]).float()
        scale = TRUNCATION / self.config.data.truncation
        return (stored * (scale / INT8_SCALE)).clamp(-1, 1)

    def _geometry(self, objects: list[int], generator: torch.Generator) -> dict[str, Tensor]:
        assert self.dataset.points is not None
        config = self.config
        count = config.training.decoded_points
        fields = self.fields(objects)
        positions = torch.stack([sample_positions(field, count, generator) for field in fields])
        size = config.transmitter.inner_points
        points, surface = [], []
        for index in objects:
            stored = self.dataset.points[index]
            points.append(select_rows(stored, size, generator))
            surface.append(select_rows(stored, max(1, count // 4), generator))
        batch = {
            "points": torch.from_numpy(np.stack(points)),
            "positions": positions,
            "field": field_at(fields, positions),
            "surface": torch.from_numpy(np.stack(surface))[..., :3].clone(),
            "colors": torch.from_numpy(np.stack(surface))[..., 3:].clone(),
        }
        if config.data.mirror:
            mirrored = torch.rand(len(objects), generator=generator) < 0.5
            for name in ("points", "positions", "surface"):
                batch[name][mirrored, :, 0] *= -1
        return batch


def sample_positions(field: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random positions (count, 3) in [-1, 1]^3, half of them in voxels near the surface."""
    size = field.shape[0]
    near = (field.abs() < NEAR).flatten().nonzero()[:, 0]
    everywhere = torch.randint(size**3, (count,), generator=generator)
    picked = torch.randint(max(1, len(near)), (count // 2,), generator=generator)
    if len(near):
        everywhere[: count // 2] = near[picked]
    index = torch.stack(
        [everywhere // size**2, everywhere // size % size, everywhere % size], -1
    ).float()
    inside = torch.rand(count, 3, generator=generator)
    return ((index + inside) / size * 2 - 1).clamp(-1, 1)


def field_at(fields: Tensor, positions: Tensor) -> Tensor:
    """Fields (B, R, R, R) at positions (B, M, 3), interpolated linearly: (B, M)."""
    # grid_sample calls the last axis of a volume x.
    grid = positions.flip(-1)[:, :, None, None]
    values = F.grid_sample(fields[:, None], grid, padding_mode="border", align_corners=False)
    return values[:, 0, :, 0, 0].clamp(-1, 1)  # rounding goes a little beyond

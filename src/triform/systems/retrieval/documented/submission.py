"""The verb `submit`: the documented test folders in, the documented submission.csv out.

| task | queries | gallery |
|---|---|---|
| image to mesh | `queries_image_to_mesh/ID.png` | `gallery_mesh_for_image/ID.stl` |
| mesh to image | `queries_mesh_to_image/ID.stl` | `gallery_image_for_mesh/ID_VIEW.png` |

The views of one object of the last folder are averaged.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triform.base.csv_file import csv_text
from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.folder_listing import list_files
from triform.base.logging import get_logger
from triform.base.progress import progress_bar
from triform.datasets.shape import COMPANION_SUFFIXES, MESH_SUFFIXES
from triform.engine.checkpoints.finding import find_checkpoint
from triform.engine.device import pick_device
from triform.geometry.io.load import load_mesh
from triform.geometry.io.up_axis import Up
from triform.images.read import HELD_SIDE, IMAGE_SUFFIXES, read_image
from triform.pretrained.image_encoder import ImageEncoder, load_image_encoder
from triform.pretrained.named_models import is_known, select_model
from triform.systems.retrieval.checkpoint_pair import split_pair
from triform.systems.retrieval.documented.embedding_file import NAME
from triform.systems.retrieval.trained import Retriever
from triform.systems.retrieval.verb_config import SubmitConfig

logger = get_logger(__name__)

Embeddings = NDArray[np.float32]
MESHES_AT_ONCE = 16
UNNAMED_ENCODER = "frozen"
"""Encoder of an image head of the original program, which names none."""
HEADER = (
    "id",
    "image_to_mesh_image",
    "image_to_mesh_mesh",
    "mesh_to_image_mesh",
    "mesh_to_image_image",
)
Results = list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Member:
    """One member of the ensemble.

    Attributes:
        images: File of the image side, or of everything where `points` is None.
        points: File of the point encoder.
    """

    images: Path
    points: Path | None


@dataclass(frozen=True)
class TestFolders:
    """Files of the four folders: images and meshes by id, gallery images by id and view."""

    image_queries: dict[str, Path]
    mesh_gallery: dict[str, Path]
    mesh_queries: dict[str, Path]
    image_gallery: dict[str, list[Path]]


def submit(settings: SubmitConfig) -> dict[str, Any]:
    """Answer both tasks and write the table.

    Raises:
        UserError: A folder, a file or a model is missing or cannot be read.
        UsageError: `--model` names no pair of files.
    """
    started = time.perf_counter()
    if settings.output.suffix != ".csv":
        raise UsageError(f"--output {settings.output}: must end in .csv")
    pick_device(settings.device)
    members = [split_model(text) for text in settings.model]
    folders = read_folders(settings.data)
    features = FeatureCache(settings)
    tables = [_embed(member, folders, features, settings) for member in members]
    results = []
    for queries, gallery, ids in (
        (0, 1, (folders.image_queries, folders.mesh_gallery)),
        (2, 3, (folders.mesh_queries, folders.image_gallery)),
    ):
        pairs = [(table[queries], table[gallery]) for table in tables]
        similarities = combine(pairs, settings)
        results.append(best_matches(similarities, list(ids[0]), list(ids[1]), settings.top_k))
    write_submission(settings.output, results[0], results[1])
    return {
        "file": str(settings.output),
        "models": len(members),
        "image_to_mesh": len(results[0]),
        "mesh_to_image": len(results[1]),
        "seconds": round(time.perf_counter() - started, 2),
    }


def split_model(text: str) -> Member:
    """The two files of `MOE:PC`, where either may be a path of Windows; one checkpoint; or a run.

    Raises:
        UsageError: No two files, or one of them is not there.
        UserError: A run without a checkpoint.
    """
    if Path(text).exists():
        return Member(find_checkpoint(text, "retrieval", flag="--model"), None)
    pairs = split_pair(text)
    if len(pairs) == 1:
        return Member(*pairs[0])
    drive = r"(?:[A-Za-z]:(?=[\\/]))?"
    match = re.fullmatch(rf"({drive}[^:]+):({drive}[^:]+)", text)
    if match is None:
        reason = "two files that fit" if pairs else "not a file, and not MOE:PC"
        raise UsageError(
            f"--model {text}: {reason}; write moe.pth:pc_encoder.pth, one checkpoint or a run"
        )
    missing = next(one for one in match.groups() if not Path(one).is_file())
    raise UsageError(f"--model {text}: {missing} is not there")


def read_folders(root: Path) -> TestFolders:
    """List the files of the four folders, sorted by id.

    Raises:
        UserError: One of them is missing or empty, or two files have one id.
    """
    views: dict[str, dict[int, Path]] = {}
    for stem, path in _files(root / "gallery_image_for_mesh", IMAGE_SUFFIXES).items():
        match = NAME.fullmatch(stem)
        if match is None:
            raise UserError(f"{path}: names no object and view; expected ID_VIEW.png")
        views.setdefault(match["object"], {})[int(match["view"])] = path
    counts = {len(one) for one in views.values()}
    if len(counts) > 1:
        few = min(views, key=lambda name: len(views[name]))
        logger.warning(
            "%s: %s has %d images, others have %d",
            root / "gallery_image_for_mesh",
            few,
            len(views[few]),
            max(counts),
        )
    return TestFolders(
        _files(root / "queries_image_to_mesh", IMAGE_SUFFIXES),
        _files(root / "gallery_mesh_for_image", MESH_SUFFIXES),
        _files(root / "queries_mesh_to_image", MESH_SUFFIXES),
        {name: [path for _, path in sorted(views[name].items())] for name in sorted(views)},
    )


def _files(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(
            f"{folder}: there is no such folder; --data needs queries_image_to_mesh, "
            "gallery_mesh_for_image, queries_mesh_to_image and gallery_image_for_mesh"
        )
    found: dict[str, Path] = {}
    companions = () if suffixes is IMAGE_SUFFIXES else COMPANION_SUFFIXES
    for path in list_files(folder, suffixes, companions=companions, recursive=False):
        if path.stem in found:
            raise UserError(f"{folder}: {found[path.stem].name} and {path.name} have one id")
        found[path.stem] = path
    if not found:
        raise UserError(f"{folder}: empty; looked for files that end in {' '.join(suffixes)}")
    return dict(sorted(found.items()))


class FeatureCache:
    """Features of images by frozen encoders, each computed once for all members."""

    def __init__(self, settings: SubmitConfig) -> None:
        """Nothing is loaded yet."""
        self.settings = settings
        self._encoders: dict[str, ImageEncoder] = {}
        self._features: dict[tuple[str, Path], Embeddings] = {}

    def encoder(self, name: str, source: str) -> ImageEncoder:
        """The encoder that a head names, or that of `--image_encoder`.

        Args:
            name: Encoder that the head names; one that names none gets the user's.
            source: The file of the head.

        Raises:
            UserError: It names an encoder that only the user may name, and the user named none.
        """
        default = self.settings.image_encoder
        if name == UNNAMED_ENCODER:
            name = default
        elif name != default and not is_known(name, "image encoder"):
            override = default if "image_encoder" in self.settings.model_fields_set else None
            name = select_model(override, name, "image encoder", source=source)
        if name not in self._encoders:
            device = pick_device(self.settings.device)
            self._encoders[name] = load_image_encoder(name, device, self.settings.image_weights)
        return self._encoders[name]

    def of(self, encoder: ImageEncoder, paths: Sequence[Path]) -> Embeddings:
        """Features (N, F) of the images in these files."""
        missing = [path for path in paths if (encoder.name, path) not in self._features]
        for batch in _batches(missing, self.settings.image_batch_size, "images"):
            rows = encoder.encode([read_image(path, longest=HELD_SIDE) for path in batch])
            self._features.update(
                {(encoder.name, path): row for path, row in zip(batch, rows, strict=True)}
            )
        return np.stack([self._features[encoder.name, path] for path in paths])


def _embed(
    member: Member, folders: TestFolders, features: FeatureCache, settings: SubmitConfig
) -> tuple[Embeddings, Embeddings, Embeddings, Embeddings]:
    """One member's unit vectors of the four folders, in the order of their ids."""
    if member.points is None:
        retriever = Retriever.from_checkpoint(member.images, settings.device)
    else:
        retriever = Retriever.from_checkpoint_pair(member.images, member.points, settings.device)
    # The original program trains on the axes of the files.
    up: Up = "y" if settings.up == "auto" and retriever.config is None else settings.up
    embed_images = _image_embedder(retriever, features, settings)
    paths = [path for views in folders.image_gallery.values() for path in views]
    ends = np.cumsum([len(views) for views in folders.image_gallery.values()])
    means = [part.mean(axis=0) for part in np.split(embed_images(paths), ends[:-1])]
    return (
        embed_images(list(folders.image_queries.values())),
        _embed_meshes(retriever, list(folders.mesh_gallery.values()), up),
        _embed_meshes(retriever, list(folders.mesh_queries.values()), up),
        _unit(np.stack(means)),
    )


def _image_embedder(
    retriever: Retriever, features: FeatureCache, settings: SubmitConfig
) -> Callable[[list[Path]], Embeddings]:
    """A function from image files to one member's unit vectors."""
    if retriever.needs_image_encoder:
        encoder = features.encoder(retriever.model.image_encoder, retriever.source)
        actual = {"weights": encoder.fingerprint, "transform": encoder.transform_hash}
        for key, value in actual.items():
            expected = retriever.feature_source.get(key)
            if expected and expected != value:
                raise UserError(
                    f"{retriever.source}: trained on images embedded with the {key} {expected}, "
                    f"the encoder {encoder.name} has {value}; give the encoder it was trained with"
                )
        return lambda paths: _unit(retriever.encode_features(features.of(encoder, paths)))

    def embed_images(paths: list[Path]) -> Embeddings:
        rows = [
            retriever.encode_images([read_image(path, longest=HELD_SIDE) for path in batch])
            for batch in _batches(paths, settings.image_batch_size, "images")
        ]
        return _unit(np.concatenate(rows))

    return embed_images


def _embed_meshes(retriever: Retriever, paths: list[Path], up: Up) -> Embeddings:
    """Unit vectors of mesh files."""
    rows = []
    for batch in _batches(paths, MESHES_AT_ONCE, "meshes"):
        meshes = [load_mesh(path, appearance=True, up=up) for path in batch]
        try:
            rows.append(retriever.encode_meshes(meshes))
        except UserError:
            for path, mesh in zip(batch, meshes, strict=True):  # find the one to name
                try:
                    retriever.encode_meshes([mesh])
                except UserError as error:
                    raise UserError(f"{path}: {error}") from None
            raise
    return _unit(np.concatenate(rows))


def combine(pairs: Sequence[tuple[Embeddings, Embeddings]], settings: SubmitConfig) -> Embeddings:
    """Similarities (Q, N) by all members.

    Args:
        pairs: Each member's queries (Q, D) and gallery (N, D).
        settings: How to average.

    Raises:
        UserError: Embeddings of different widths cannot be averaged.
    """
    if settings.ensemble == "similarities":
        return np.asarray(np.mean([queries @ gallery.T for queries, gallery in pairs], axis=0))
    widths = sorted({queries.shape[1] for queries, _ in pairs})
    if len(widths) > 1:
        raise UserError(
            f"--model: embeddings of {' and '.join(map(str, widths))} numbers have no mean; "
            "use --ensemble similarities"
        )
    queries, gallery = (_unit(np.mean([pair[side] for pair in pairs], axis=0)) for side in (0, 1))
    return np.asarray(queries @ gallery.T)


def best_matches(
    similarities: Embeddings, queries: list[str], gallery: list[str], k: int
) -> Results:
    """The ids of the k best of each query, best first; of equals the earlier."""
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return [
        (name, [gallery[index] for index in row]) for name, row in zip(queries, order, strict=True)
    ]


def write_submission(path: Path, image_to_mesh: Results, mesh_to_image: Results) -> None:
    """Write both tasks side by side, as the documented program does.

    A list is written as Python writes it. The shorter task is filled up with empty cells, which
    pandas reads as NaN.
    """
    with atomic_write(path, "w") as file:
        rows: list[Sequence[Any]] = [HEADER]
        for index in range(max(len(image_to_mesh), len(mesh_to_image))):
            row: list[Any] = [index]
            for results in (image_to_mesh, mesh_to_image):
                row += [*results[index]] if index < len(results) else ["", ""]
            rows.append(row)
        file.write(csv_text(rows, report=False))


def _batches(paths: Sequence[Path], size: int, description: str) -> Iterator[Sequence[Path]]:
    """Files in batches, with a progress bar."""
    with progress_bar(desc=description, total=len(paths)) as bar:
        for start in range(0, len(paths), size):
            batch = paths[start : start + size]
            yield batch
            bar.update(len(batch))


def _unit(rows: Embeddings) -> Embeddings:
    """Rows of length 1; opposite members may cancel to zeros, which stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12)).astype(np.float32)

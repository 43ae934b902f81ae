"""Embeds photos on a Ray cluster, with the worker pool of `triform shapes prepare`.

Every worker has a model of its own. The photos and the weights have the same paths on all
machines, as on a shared disk.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from triform.base.errors import UserError
from triform.datasets.images.photos.read import readable
from triform.datasets.images.photos.scan import PhotoFile
from triform.datasets.library.preparation.worker_pool import Job, WorkerPool
from triform.pretrained.image_text import ImageTextModel
from triform.systems.clip.gallery.embed import (
    NO_VECTORS,
    batches,
    embed_photos,
    shortest_side,
)
from triform.systems.clip.gallery.index_file import stored_path
from triform.systems.clip.gallery.journal import Entry
from triform.systems.clip.model_choice import model_path
from triform.systems.clip.trained import load_model
from triform.systems.clip.verb_config import IndexConfig, ModelChoice


@dataclass(frozen=True)
class EmbedTask:
    """A batch for a worker.

    Attributes:
        files: What to read.
        model: Which weights, and the batch size.
        frames: Of a video, at most.
    """

    files: tuple[PhotoFile, ...]
    model: ModelChoice
    frames: int


def join(settings: IndexConfig) -> WorkerPool:
    """The workers of the cluster.

    Raises:
        UserError: Ray is not installed, or there is no cluster.
    """
    return WorkerPool(settings.workers, settings.cluster)


def embed_on_cluster(
    files: Sequence[PhotoFile], settings: IndexConfig, pool: WorkerPool
) -> Iterator[list[Entry]]:
    """As `embed_files`, by the cores of a cluster; batches come in any order.

    Raises:
        UserError: The weights cannot be read.
    """
    path = model_path(settings)
    model = ModelChoice(
        checkpoint=str(path.absolute()) if isinstance(path, Path) else None,
        model="" if isinstance(path, Path) else path,
        text_encoder=settings.text_encoder,
        batch_size=settings.batch_size,
        device=settings.device,
    )
    tasks = [
        EmbedTask(tuple(batch), model, settings.frames)
        for batch in batches(files, settings.batch_size)
    ]
    yield from pool.map(Job(embed_task, on_failure=failed_task), tasks)


def embed_task(task: EmbedTask) -> list[Entry]:
    """Read and embed one batch; called in a worker process."""
    model = _model(task.model)
    shortest = shortest_side(model)
    batch = [(file, readable(file, frames=task.frames, shortest=shortest)) for file in task.files]
    return embed_photos(batch, model, task.model.batch_size)


def failed_task(task: EmbedTask, reason: str) -> list[Entry]:
    """Entries of a batch whose worker died."""
    return [
        Entry(stored_path(file.path), file.size, file.modified, (), NO_VECTORS, reason)
        for file in task.files
    ]


@functools.lru_cache(maxsize=1)
def _model(choice: ModelChoice) -> ImageTextModel:
    """The model of this worker process.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return load_model(choice)
    except UserError as error:
        raise UserError(f"{error}; it must have this path on every machine") from None

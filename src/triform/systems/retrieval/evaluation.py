"""Measures trained encoders: Recall@K and MRR in every direction, beside chance and a baseline."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.systems.retrieval.config import SMALL, Config, EvaluateConfig
from triform.systems.retrieval.data import Batches, TextTable, load_objects
from triform.systems.retrieval.measuring import (
    both_directions,
    embed_objects,
    floor,
    mean_view,
    text_to,
)
from triform.systems.retrieval.objects import Objects
from triform.systems.retrieval.previews import measure_previews, names_of
from triform.systems.retrieval.trained import GivenEncoders, Retriever, open_retriever

SPLITS = {
    "heldout": ("val", "test"),
    "val": ("val",),
    "test": ("test",),
    "train": ("train",),
    "all": ("train", "val", "test"),
}
ROWS = {
    "img2pc": ("one picture", "shapes"),
    "img2pc_mean": ("mean of all pictures", "shapes"),
    "pc2img": ("shape", "means of pictures"),
    "pc2img_single": ("shape", "single pictures"),
}


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure; a row of numbers for each kind of query and gallery.

    Raises:
        UserError: No such weights or library, or fewer than two objects in the split.
    """
    retriever = open_retriever(settings.checkpoint, settings.device)
    retriever.given = GivenEncoders(text=settings.text_encoder)
    config = data_of(retriever, settings)
    objects, _ = load_objects(config)
    rows = objects.rows(*SPLITS[settings.split])
    if len(rows) < 2:
        raise UserError(
            f"--split {settings.split}: {len(rows)} of the {len(objects)} objects of "
            f"{config.data.library} are in it; at least 2 are needed"
        )
    report: dict[str, Any] = {
        "checkpoint": retriever.source,
        "library": config.data.library,
        "split": settings.split,
        "objects": len(rows),
        "pictures_of_each": objects.num_views,
        "results": measure_library(retriever, objects, rows, config, settings),
    }
    if config.model.image_encoder == SMALL:
        report |= measure_previews(retriever, objects, rows, config, settings)
    if settings.output is not None:
        settings.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(settings.output, "w") as file:
            json.dump(report, file, indent=2, ensure_ascii=False)
    return report


def data_of(retriever: Retriever, settings: EvaluateConfig) -> Config:
    """The settings of the training, with the data that is asked for now.

    Raises:
        UserError: The weights do not say what they were trained on, and no library is given.
    """
    config = retriever.config
    if config is None:
        raise UserError(
            f"{retriever.source}: a file of the original program, which keeps no settings; "
            "use it with `triform retrieval submit`"
        )
    given = {
        "library": settings.library or config.data.library,
        "download_path": settings.download_path,
        "image_embeddings": settings.image_embeddings or config.data.image_embeddings,
        "split": "" if settings.library else config.data.split,
        "max_samples": settings.max_samples,
        "views": 1,
    }
    training = config.training.model_copy(update={"picture_picture_weight": 0.0})
    return config.model_copy(
        update={"data": config.data.model_copy(update=given), "training": training}
    )


def measure_library(
    retriever: Retriever,
    objects: Objects,
    rows: np.ndarray,
    config: Config,
    settings: EvaluateConfig,
) -> list[dict[str, Any]]:
    """The library's own pictures and clouds against each other, and the captions."""
    ks = settings.k_list_for_recalls
    batches = Batches(objects, rows, TextTable(objects, None), config.data)
    images, points = embed_objects(
        batches, rows, retriever.image_tower, retriever.point_encoder, retriever.device
    )
    found = [row_of("chance", "any", floor(len(rows), ks))]
    for name, numbers in both_directions(images, points, ks).items():
        found.append(row_of(*ROWS[name], numbers))
    texts, owners = names_of(objects, rows)
    if retriever.has_text and texts:
        embedded = torch.from_numpy(retriever.encode_texts(texts))
        found.append(row_of("name", "shapes", text_to(embedded, owners, points, ks)))
        means = mean_view(images)
        found.append(row_of("name", "means of pictures", text_to(embedded, owners, means, ks)))
    return found


def row_of(query: str, gallery: str, numbers: dict[str, float]) -> dict[str, Any]:
    """One line of the report."""
    return {"query": query, "gallery": gallery, **{k: round(v, 4) for k, v in numbers.items()}}

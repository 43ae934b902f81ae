"""The verb `evaluate`: Recall@K and MRR in every direction, beside chance and a baseline."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.metrics.retrieval import chance_metrics
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.data import Batches, CaptionEmbeddings, load_dataset
from triform.systems.retrieval.dataset import RetrievalDataset
from triform.systems.retrieval.evaluation.previews import evaluate_previews, first_captions
from triform.systems.retrieval.evaluation.recall import (
    both_directions,
    embed_objects,
    mean_view,
    text_to,
)
from triform.systems.retrieval.trained import EncoderOverrides, Retriever, open_retriever
from triform.systems.retrieval.verb_config import SMALL, EvaluateConfig

SPLITS = {
    "heldout": ("val", "test"),
    "val": ("val",),
    "test": ("test",),
    "train": ("train",),
    "all": ("train", "val", "test"),
}
ROWS = {
    "img2pc": ("one image", "shapes"),
    "img2pc_mean": ("mean of all images", "shapes"),
    "pc2img": ("shape", "means of images"),
    "pc2img_single": ("shape", "single images"),
}


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Evaluate trained encoders: a row of metrics for each kind of query and gallery.

    Raises:
        UserError: No such weights or library, or fewer than two objects in the split.
    """
    overrides = EncoderOverrides(text=settings.text_encoder)
    retriever = open_retriever(settings.checkpoint, settings.device, overrides)
    config = evaluation_config(retriever, settings)
    dataset, _ = load_dataset(config)
    rows = dataset.rows(*SPLITS[settings.split])
    if len(rows) < 2:
        raise UserError(
            f"--split {settings.split}: {len(rows)} of the {len(dataset)} objects of "
            f"{config.data.library} are in it; at least 2 are needed"
        )
    report: dict[str, Any] = {
        "checkpoint": retriever.source,
        "library": config.data.library,
        "split": settings.split,
        "objects": len(rows),
        "images_of_each": dataset.num_views,
        "results": evaluate_library(retriever, dataset, rows, config, settings),
    }
    if config.model.image_encoder == SMALL:
        report |= evaluate_previews(retriever, dataset, rows, config, settings)
    if settings.output is not None:
        settings.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(settings.output, "w") as file:
            json.dump(report, file, indent=2, ensure_ascii=False)
    return report


def evaluation_config(retriever: Retriever, settings: EvaluateConfig) -> Config:
    """The settings of the training, with the data that is evaluated.

    Raises:
        UserError: The weights have no settings.
    """
    config = retriever.config
    if config is None:
        raise UserError(
            f"{retriever.source}: a file of the original program, which keeps no settings; "
            "use it with `triform retrieval submit`"
        )
    data = {
        "library": settings.library or config.data.library,
        "download_path": settings.download_path,
        "image_embeddings": settings.image_embeddings or config.data.image_embeddings,
        "split": "" if settings.library else config.data.split,
        "max_samples": settings.max_samples,
        "views": 1,
    }
    training = config.training.model_copy(update={"image_image_weight": 0.0})
    return config.model_copy(
        update={"data": config.data.model_copy(update=data), "training": training}
    )


def evaluate_library(
    retriever: Retriever,
    dataset: RetrievalDataset,
    rows: np.ndarray,
    config: Config,
    settings: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Retrieval among the library's own images and point clouds, and by captions."""
    ks = settings.k_list_for_recalls
    batches = Batches(dataset, rows, CaptionEmbeddings(dataset, None), config.data)
    images, points = embed_objects(
        batches, rows, retriever.image_tower, retriever.point_encoder, retriever.device
    )
    results = [result_row("chance", "any", chance_metrics(len(rows), ks))]
    for name, metrics in both_directions(images, points, ks).items():
        results.append(result_row(*ROWS[name], metrics))
    texts, relevant = first_captions(dataset, rows)
    if retriever.has_text and texts:
        embeddings = torch.from_numpy(retriever.encode_texts(texts))
        results.append(result_row("name", "shapes", text_to(embeddings, relevant, points, ks)))
        means = mean_view(images)
        results.append(
            result_row("name", "means of images", text_to(embeddings, relevant, means, ks))
        )
    return results


def result_row(query: str, gallery: str, metrics: dict[str, float]) -> dict[str, Any]:
    """One line of the report."""
    return {"query": query, "gallery": gallery, **{k: round(v, 4) for k, v in metrics.items()}}

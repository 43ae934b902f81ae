"""The verb `evaluate`: scores of captions, and of baselines without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triform.base.errors import UsageError
from triform.base.files import atomic_write
from triform.base.progress import progress_bar
from triform.datasets.captioned.table import CaptionTable
from triform.systems.captioner.config import DataConfig, EvaluateConfig
from triform.systems.captioner.trained import Trained, load_trained
from triform.tasks.captioning.baselines import NEAR_COPY, baseline_captions, nearest_images
from triform.tasks.captioning.caption_scores import caption_scores
from triform.tasks.captioning.content_accuracy import content_scores
from triform.tasks.captioning.data import load_table


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure decoded captions on one split of the data.

    Returns:
        `rows`, one for the captioner and one for each baseline: BLEU-1 to 4 in [0, 100] (corpus,
        all references), ROUGE-L, CIDEr-D, METEOR if nltk has its data, and scores of known
        contents with 95 % intervals (Wilson), also without near copies; `near_copies`, how many
        images are near copies of training images; `signature` of BLEU.

    Raises:
        UsageError: No such split, or no such data.
        UserError: No such captioner, or the data cannot be used.
    """
    trained = load_trained(settings)
    table = load_table(_data_config(trained.config.data, settings), trained.config.seed)
    split = settings.split or ("test" if len(table.splits.get("test", ())) else "val")
    rows = table.rows(split)
    captions = {"captioner": _caption_rows(trained, table, rows, settings)}
    counts: dict[str, int] = {}
    is_new = np.full(len(rows), True)
    if settings.baselines and split != "train":
        train = table.rows("train")
        captions |= baseline_captions(table, train, rows)
        _, similarity = nearest_images(table, train, rows)
        is_new = similarity < NEAR_COPY
        counts["near_copies"] = int((~is_new).sum())
    results, signature = [], None
    for name, texts in captions.items():
        scores, signature = caption_scores(table, rows, texts)
        results.append({"by": name, **scores})
        if table.contents and 0 < is_new.sum() < len(rows):
            new_texts = [text for text, new in zip(texts, is_new, strict=True) if new]
            new_scores = content_scores(table, rows[is_new], new_texts)
            results[-1] |= {f"{key}_without_copies": value for key, value in new_scores.items()}
    if settings.output is not None:
        _write_captions(settings.output, table, rows, captions["captioner"])
    return {
        "checkpoint": str(trained.source),
        "data": table.name,
        "split": split,
        "images": len(rows),
        "decoding": settings.decoding,
        "signature": signature,
        **counts,
        "rows": results,
    }


def _data_config(data: DataConfig, settings: EvaluateConfig) -> DataConfig:
    """The data of the training, with what the verb says."""
    changes = {
        name: value
        for name in ("dataset", "images_dir", "caption_file", "download_path")
        if (value := getattr(settings, name))
    }
    if settings.images_dir or settings.caption_file:
        if settings.dataset not in ("", "csv"):
            raise UsageError("--dataset: images_dir and caption_file belong to csv")
        changes["dataset"] = "csv"
    return data.model_copy(update=changes)


def _caption_rows(
    trained: Trained, table: CaptionTable, rows: np.ndarray, settings: EvaluateConfig
) -> list[str]:
    captions: list[str] = []
    for start in progress_bar(range(0, len(rows), settings.batch_size), desc="captioning"):
        batch = rows[start : start + settings.batch_size]
        images = [table.images.image(int(row)) for row in batch]
        captions += map(trained.text, trained.caption(images, settings))
    return captions


def _write_captions(
    path: Path, table: CaptionTable, rows: np.ndarray, captions: Sequence[str]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as stream:
        for row, caption in zip(rows, captions, strict=True):
            line = {
                "image": table.images.name(int(row)),
                "caption": caption,
                "references": table.captions[row],
            }
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")

"""The verb `evaluate`: matching, retrieval, zero-shot classification and a linear probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from triform import systems
from triform.base.errors import UsageError
from triform.base.progress import progress_bar
from triform.base.seeding import generator
from triform.datasets.captioned.shards import is_shards
from triform.datasets.captioned.table import CaptionTable
from triform.metrics.intervals import share_interval
from triform.pretrained.image_text import ImageTextModel
from triform.systems.clip.config import Config
from triform.systems.clip.data import group_ids
from triform.systems.clip.shard_loader import shard_table
from triform.systems.clip.trained import Trained, load_model
from triform.systems.clip.verb_config import DataChoice, EvaluateConfig
from triform.tasks.captioning.data import load_table
from triform.tasks.contrastive.matching import (
    chance_scores,
    matching_scores,
    nearest_similarity,
    pixel_features,
)
from triform.tasks.contrastive.zero_shot import (
    check_templates,
    class_embeddings,
    zero_shot_scores,
)

Encode = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Images (H, W, 3) to features (N, F) of length 1."""
MAX_PROBE_CLASSES, MAX_PROBE_IMAGES = 200, 5000


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure a model on one split of the data.

    Returns:
        `rows`, one for the model and each baseline, with recall@1, 5 and 10 in both directions
        over the gallery, as shares; `matching`, the share of images whose nearest text among those
        of the whole split is one of their own; where contents are known `zero_shot` accuracy, and
        `linear_probe` accuracy beside that of pixels.

    Raises:
        UsageError: No such split, or no such data.
        UserError: No such model, or the data cannot be used.
    """
    check_templates(settings.templates)
    model = load_model(settings)
    table, rows, split = choose_rows(model, settings)
    group = group_ids(table)
    queries, gallery = _sample_gallery(table, rows, split, settings)
    embeddings = _embed_images(table, np.union1d(rows, gallery), _encoder(model), settings)

    texts, text_group = texts_of(table, gallery, group)
    relevant = group[gallery][:, None] == text_group[None]
    image_queries = np.flatnonzero(np.isin(gallery, queries))
    text_queries = np.flatnonzero(np.isin(text_group, group[queries]))
    text_embeddings = model.encode_texts(texts).numpy()
    images = _rows_of(embeddings, gallery)
    where = (relevant, image_queries, text_queries)
    results = [{"by": "clip", **matching_scores(images @ text_embeddings.T, *where)}]
    if settings.baselines:
        for name, encode in _baseline_encoders(settings).items():
            similarity = _nearest(table, gallery, group, text_group, encode, settings)
            if similarity is not None:
                results.append({"by": name, **matching_scores(similarity, *where)})
        results.append({"by": "chance", **chance_scores(*where)})
    answer = {
        "model": model.name,
        "data": table.name,
        "split": split,
        "queries": len(queries),
        "gallery": len(gallery),
        "texts": len(texts),
        "temperature": 1 / model.scale,
        "matching": _matching(model, table, rows, group, _rows_of(embeddings, rows)),
    }
    labels = _class_labels(table, rows)
    if labels is not None:
        answer |= _zero_shot(model, labels, _rows_of(embeddings, rows), settings)
        answer |= _linear_probe(model, table, rows, _rows_of(embeddings, rows), settings)
    return {**answer, "rows": results}


def choose_rows(
    model: ImageTextModel, settings: DataChoice
) -> tuple[CaptionTable, np.ndarray, str]:
    """Load the data that settings name, by default those of the training.

    Raises:
        UsageError: None are named and the model has no training here.
    """
    config = model.config if isinstance(model, Trained) else Config()
    changes = {
        name: value
        for name in ("dataset", "images_dir", "caption_file", "download_path")
        if (value := getattr(settings, name))
    }
    if settings.images_dir or settings.caption_file:
        if settings.dataset not in ("", "csv"):
            raise UsageError("--dataset: images_dir and caption_file belong to csv")
        changes["dataset"] = "csv"
    if not isinstance(model, Trained) and "dataset" not in changes:
        raise UsageError("--dataset: a pretrained model has no data of its own; name some")
    data = config.data.model_copy(update=changes)
    if is_shards(data.dataset):
        table = shard_table(data.dataset, "test", data.image_size)
    else:
        table = load_table(data, config.seed, size=data.image_size)
    split = settings.split or ("test" if len(table.splits.get("test", ())) else "val")
    return table, table.rows(split), split


def texts_of(
    table: CaptionTable, rows: np.ndarray, group: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Captions of rows, each once for each content, and the contents they are about."""
    pairs = dict.fromkeys((text, int(group[row])) for row in rows for text in table.captions[row])
    return [text for text, _ in pairs], np.array([each for _, each in pairs])


def _sample_gallery(
    table: CaptionTable, rows: np.ndarray, split: str, settings: EvaluateConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to search with, and rows to search in."""
    size = settings.gallery or len(rows)
    random = generator("gallery", settings.seed)
    sampled = np.sort(rows[torch.randperm(len(rows), generator=random).numpy()[:size]])
    others = [
        each for name, each in table.splits.items() if name.startswith("test") and name != split
    ]
    distractors = np.setdiff1d(np.concatenate(others), rows) if others else np.array([], int)
    order = torch.randperm(len(distractors), generator=random).numpy()
    return sampled, np.concatenate([sampled, distractors[order[: size - len(sampled)]]])


def _encoder(model: ImageTextModel) -> Encode:
    return lambda images: model.encode_images([Image.fromarray(each) for each in images]).numpy()


def _baseline_encoders(settings: EvaluateConfig) -> dict[str, Encode]:
    encoders: dict[str, Encode] = {"nearest pixels": pixel_features}
    if settings.features:
        trained = systems.load(settings.features).system.Trained.choose(None, settings.device)

        def encode(images: Sequence[np.ndarray]) -> np.ndarray:
            features = trained.encode(images).flatten(1, -2).mean(1).float().cpu()
            features = features - features.mean(1, keepdim=True)
            return np.asarray(torch.nn.functional.normalize(features, dim=-1).numpy())

        encoders[f"nearest features of {settings.features}"] = encode
    return encoders


def _embed_images(
    table: CaptionTable, rows: np.ndarray, encode: Encode, settings: EvaluateConfig
) -> dict[int, np.ndarray]:
    """Features by row."""
    features: dict[int, np.ndarray] = {}
    starts = range(0, len(rows), settings.batch_size)
    for start in progress_bar(starts, desc="encoding images", unit="batch"):
        batch = rows[start : start + settings.batch_size]
        vectors = encode([table.images.image(int(row)) for row in batch])
        features.update(zip(batch.tolist(), vectors, strict=True))
    return features


def _rows_of(features: dict[int, np.ndarray], rows: np.ndarray) -> np.ndarray:
    return np.stack([features[row] for row in rows.tolist()])


def _nearest(
    table: CaptionTable,
    gallery: np.ndarray,
    group: np.ndarray,
    text_group: np.ndarray,
    encode: Encode,
    settings: EvaluateConfig,
) -> np.ndarray | None:
    """Similarity of images and texts by the nearest training image with the text's content."""
    train = table.splits.get("train", np.array([], int))
    if not table.contents or not len(train):
        return None
    features = _embed_images(table, np.union1d(train, gallery), encode, settings)
    return nearest_similarity(
        _rows_of(features, gallery), _rows_of(features, train), group[train], text_group
    )


def _matching(
    model: ImageTextModel,
    table: CaptionTable,
    rows: np.ndarray,
    group: np.ndarray,
    images: np.ndarray,
) -> dict[str, Any]:
    """Accuracy of the nearest text and the nearest image within the whole split."""
    texts, text_group = texts_of(table, rows, group)
    similarity = images @ model.encode_texts(texts).numpy().T
    to_text = text_group[similarity.argmax(1)] == group[rows]
    to_image = group[rows][similarity.argmax(0)] == text_group
    return {
        "images": len(rows),
        "image_to_text_accuracy": float(to_text.mean()),
        "interval95": list(share_interval(int(to_text.sum()), len(to_text))),
        "text_to_image_accuracy": float(to_image.mean()),
    }


def _class_labels(table: CaptionTable, rows: np.ndarray) -> tuple[list[str], np.ndarray] | None:
    """Names of classes and labels of rows, where each content is a text."""
    if not table.contents or not all(isinstance(each, str) for each in table.contents):
        return None
    names = sorted({str(table.contents[row]) for row in rows})
    index = {name: number for number, name in enumerate(names)}
    return names, np.array([index[str(table.contents[row])] for row in rows])


def _zero_shot(
    model: ImageTextModel,
    labels: tuple[list[str], np.ndarray],
    images: np.ndarray,
    settings: EvaluateConfig,
) -> dict[str, Any]:
    names, targets = labels
    if len(names) < 2:
        return {}
    classes = class_embeddings(model, names, settings.templates)
    similarity = torch.from_numpy(images) @ classes.T
    scores = zero_shot_scores(similarity, torch.from_numpy(targets))
    right = round(scores["accuracy@1"] * len(targets))
    interval = list(share_interval(right, len(targets)))
    chance = 1 / len(names)
    return {
        "zero_shot": {"classes": len(names), **scores, "interval95": interval, "chance": chance}
    }


def _linear_probe(
    model: ImageTextModel,
    table: CaptionTable,
    rows: np.ndarray,
    images: np.ndarray,
    settings: EvaluateConfig,
) -> dict[str, Any]:
    """Accuracy of logistic regression on frozen features, of this model and of pixels."""
    from sklearn.linear_model import LogisticRegression

    train = table.splits.get("train", np.array([], int))
    order = torch.randperm(len(train), generator=generator("probe", settings.seed)).numpy()
    train = train[order[:MAX_PROBE_IMAGES]]
    labels = [str(table.contents[row]) for row in train]
    if not 2 <= len(set(labels)) <= MAX_PROBE_CLASSES:
        return {}
    targets = np.array([str(table.contents[row]) for row in rows])

    def accuracy(train_features: np.ndarray, features: np.ndarray) -> float:
        probe = LogisticRegression(max_iter=1000, C=10).fit(train_features, labels)
        return float((probe.predict(features) == targets).mean())

    features = _rows_of(_embed_images(table, train, _encoder(model), settings), train)
    pixels = _embed_images(table, np.union1d(train, rows), pixel_features, settings)
    return {
        "linear_probe": {
            "training_images": len(train),
            "accuracy": accuracy(features, images),
            "pixels_accuracy": accuracy(_rows_of(pixels, train), _rows_of(pixels, rows)),
        }
    }

"""The verb `classify`: images by names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.images.find import find_images
from triform.images.read import HELD_SIDE, read_image
from triform.pretrained.image_text import match_probs
from triform.systems.clip.trained import load_model
from triform.systems.clip.verb_config import ClassifyConfig
from triform.tasks.contrastive.zero_shot import check_templates, class_embeddings

logger = get_logger(__name__)


def classify(settings: ClassifyConfig) -> list[dict[str, Any]]:
    """Classify images.

    Returns:
        For each image its file, the best class, its probability (a softmax over the classes; with
        the sigmoid loss that of the class alone), its cosine similarity, and other classes.

    Raises:
        UsageError: Fewer than two classes, a template without `{}`, or no images.
        UserError: No such model, or no image can be read.
    """
    check_templates(settings.templates)
    classes = read_classes(settings)
    paths = find_images(settings.images)
    model = load_model(settings)
    embeddings = class_embeddings(model, classes, settings.templates)
    rows: list[dict[str, Any]] = []
    unreadable: list[UserError] = []
    for start in range(0, len(paths), settings.batch_size):
        readable, images = _read(paths[start : start + settings.batch_size], unreadable)
        if not images:
            continue
        features = model.encode_images(images)
        similarity = features @ embeddings.T
        top = match_probs(model, features, embeddings).topk(min(settings.top, len(classes)))
        for index, path in enumerate(readable):
            best = top.indices[index].tolist()
            probs = top.values[index].tolist()
            others = zip(best[1:], probs[1:], strict=True)
            rows.append(
                {
                    "file": str(path),
                    "class": classes[best[0]],
                    "probability": round(probs[0], 4),
                    "similarity": round(float(similarity[index, best[0]]), 4),
                    "others": ", ".join(f"{classes[each]} {prob:.2f}" for each, prob in others),
                }
            )
    if not rows:
        raise unreadable[0]
    if unreadable:
        count = len(unreadable)
        logger.warning("%d images cannot be read and are left out: %s", count, unreadable[0])
    return rows


def read_classes(settings: ClassifyConfig) -> list[str]:
    """Names of the classes from flag and file, each once.

    Raises:
        UsageError: Fewer than two.
        UserError: The file cannot be read.
    """
    names = list(settings.classes)
    if settings.classes_file is not None:
        try:
            names += settings.classes_file.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--classes_file {settings.classes_file}: {error}") from None
    names = list(dict.fromkeys(filter(None, (name.strip() for name in names))))
    if len(names) < 2:
        raise UsageError(
            f"--classes: {len(names)} given, at least two are needed; --classes_file takes a file "
            "with one in each line"
        )
    return names


def _read(
    paths: Sequence[Path], unreadable: list[UserError]
) -> tuple[list[Path], list[Image.Image]]:
    """Readable images; errors of the others are added to `unreadable`."""
    readable, images = [], []
    for path in paths:
        try:
            images.append(read_image(path, longest=HELD_SIDE))
            readable.append(path)
        except UserError as error:
            unreadable.append(error)
    return readable, images

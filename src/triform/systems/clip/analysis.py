"""The verb `analyze`: geometry of the embedding space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.printable import printable, shorten
from triform.base.seeding import generator
from triform.images.chart_text import disable_math_text
from triform.systems.clip.data import group_ids
from triform.systems.clip.evaluation import choose_rows
from triform.systems.clip.trained import load_model
from triform.systems.clip.verb_config import AnalyzeConfig
from triform.tasks.contrastive.images import resize

ICON_SIZE = 48


def analyze(settings: AnalyzeConfig) -> dict[str, Any]:
    """Measure embeddings of images and their first captions, and draw their similarities.

    Returns:
        `positive_similarity` and `negative_similarity`, mean cosines of pairs that belong together
        and of others; `modality_gap`, the distance of the mean image and the mean text
        (arXiv:2203.02053); `alignment`, the mean squared distance of pairs, and `uniformity` of
        images and texts, ln of the mean of exp(-2 squared distance) (arXiv:2005.10242);
        `effective_rank`, exp of the entropy of the spectrum; `temperature`; `matrix`, the file.

    Raises:
        UsageError: No such split or data.
        UserError: No such model, or fewer than two images.
    """
    model = load_model(settings)
    table, rows, split = choose_rows(model, settings)
    order = torch.randperm(len(rows), generator=generator("analyze", settings.seed)).numpy()
    rows = rows[order[: settings.num_pairs]]
    if len(rows) < 2:
        raise UserError(f"split {split}: one image; at least two are needed")
    group = torch.from_numpy(group_ids(table)[rows])
    images = model.encode_images([Image.fromarray(table.images.image(int(row))) for row in rows])
    captions = [table.captions[row][0] for row in rows]
    texts = model.encode_texts(captions)
    similarity = images @ texts.T
    is_positive = group[:, None] == group[None]
    count = min(settings.matrix, len(rows))
    shown = [table.images.image(int(row)) for row in rows[:count]]
    _draw(settings.output, shown, captions[:count], similarity[:count, :count])
    return {
        "model": model.name,
        "data": table.name,
        "split": split,
        "pairs": len(rows),
        "positive_similarity": float(similarity[is_positive].mean()),
        "negative_similarity": float(similarity[~is_positive].mean()),
        "modality_gap": float((images.mean(0) - texts.mean(0)).norm()),
        "alignment": float((images - texts).square().sum(1).mean()),
        "image_uniformity": uniformity(images),
        "text_uniformity": uniformity(texts),
        "image_effective_rank": effective_rank(images),
        "text_effective_rank": effective_rank(texts),
        "temperature": 1 / model.scale,
        "matrix": str(settings.output),
    }


def uniformity(embeddings: Tensor) -> float:
    """ln of the mean over pairs of exp(-2 squared distance), of unit vectors (N, D)."""
    squared = torch.pdist(embeddings.double()).square()
    return float((-2 * squared).exp().mean().log())


def effective_rank(embeddings: Tensor) -> float:
    """exp of the entropy of the normalised eigenvalues of the covariance (N, D)."""
    values = torch.linalg.svdvals((embeddings - embeddings.mean(0)).double()).square()
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def _draw(
    path: Path, images: Sequence[np.ndarray], captions: Sequence[str], similarity: Tensor
) -> None:
    """Draw the matrix of similarities: a row for each image, a column for each caption."""
    from matplotlib.figure import Figure
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    count = len(images)
    figure = Figure(figsize=(3 + count / 2, 3 + count / 2), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(similarity.numpy(), cmap="viridis")
    figure.colorbar(drawn, label="cosine similarity", shrink=0.6)
    labels = [shorten(printable(caption), 40) for caption in captions]
    axes.set_xticks(range(count), labels, rotation=90)
    axes.set_yticks(range(count), [""] * count)
    for row, image in enumerate(images):
        icon = OffsetImage(resize(image, ICON_SIZE), zoom=0.7)
        axes.add_artist(
            AnnotationBbox(
                icon, (-0.5, row), (-20, 0), "data", "offset points", frameon=False, pad=0
            )
        )
    disable_math_text(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        figure.savefig(stream, format="png", dpi=80)

"""Contact sheet of queries and the objects that they find, drawn while training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from triform.base.files import atomic_write
from triform.geometry.render.points import draw_points
from triform.images.contact_sheet import contact_sheet
from triform.images.framing import on_white
from triform.systems.retrieval.dataset import RetrievalDataset

RESULTS = 4
CELL = 96


def save_result_sheet(
    dataset: RetrievalDataset, rows: np.ndarray, similarity: np.ndarray, path: Path
) -> None:
    """A row for each query: its object, then the nearest objects, the right one marked.

    Args:
        dataset: All objects.
        rows: Indices of the objects in the gallery; query i shows the object `rows[i]`.
        similarity: Of queries to the gallery (Q, n).
        path: The PNG.
    """
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :RESULTS]
    images, labels = [], []
    for query, found in enumerate(order.tolist()):
        images.append(_draw(dataset, int(rows[query])))
        labels.append(dataset.ids[rows[query]])
        for result in found:
            images.append(_draw(dataset, int(rows[result])))
            mark = "= " if result == query else ""
            labels.append(f"{mark}{float(similarity[query, result]):.3f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        sheet = contact_sheet(images, labels, min(RESULTS, len(rows)) + 1)
        sheet.save(file, format="PNG")


def _draw(dataset: RetrievalDataset, index: int) -> np.ndarray:
    """An image of an object (S, S, 3) uint8; its points from the front where there is none."""
    if dataset.views is not None:
        return on_white(np.asarray(dataset.views[index, 0]))
    points = dataset.points[index]
    centred = points - (points.min(0) + points.max(0)) / 2
    return on_white(draw_points(centred, dataset.colors[index], CELL, 0.0, 0.0))

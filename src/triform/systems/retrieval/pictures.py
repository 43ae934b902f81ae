"""What a run shows of itself: queries, and the objects that they found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from triform.base.files import atomic_write
from triform.geometry.sheet import contact_sheet
from triform.systems.retrieval.framing import on_white
from triform.systems.retrieval.objects import Objects

ANSWERS = 4
CELL = 96


def draw_answers(objects: Objects, rows: np.ndarray, similarity: np.ndarray, path: Path) -> None:
    """A row for each query: its object, then the nearest objects, the right one marked.

    Args:
        objects: All objects.
        rows: Numbers of those in the gallery; query i is about the object `rows[i]`.
        similarity: Of queries to the gallery (Q, n).
        path: The PNG.
    """
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :ANSWERS]
    pictures, labels = [], []
    for query, answers in enumerate(order.tolist()):
        pictures.append(draw_object(objects, int(rows[query])))
        labels.append(objects.ids[rows[query]])
        for answer in answers:
            pictures.append(draw_object(objects, int(rows[answer])))
            mark = "= " if answer == query else ""
            labels.append(f"{mark}{float(similarity[query, answer]):.3f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        sheet = contact_sheet(pictures, labels, min(ANSWERS, len(rows)) + 1)
        sheet.save(file, format="PNG")


def draw_object(objects: Objects, number: int) -> np.ndarray:
    """A picture of an object (S, S, 3) uint8; a cloud seen from the front where there is none."""
    if objects.views is not None:
        return on_white(np.asarray(objects.views[number, 0]))
    return draw_cloud(objects.points[number], objects.colors[number])


def draw_cloud(points: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """A cloud from the front, the nearer points over the others (96, 96, 3) uint8."""
    picture = np.full((CELL, CELL, 3), 255, np.uint8)
    points = points - (points.min(0) + points.max(0)) / 2
    scale = (CELL - 8) / max(float(np.ptp(points, axis=0).max()), 1e-9)
    order = points[:, 2].argsort()
    x = np.rint(CELL / 2 + scale * points[order, 0]).astype(int)
    y = np.rint(CELL / 2 - scale * points[order, 1]).astype(int)
    picture[y.clip(0, CELL - 1), x.clip(0, CELL - 1)] = colors[order]
    return picture

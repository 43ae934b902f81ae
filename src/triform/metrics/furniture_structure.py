"""Structure of furniture by its voxels: form of the top, shelves, doors and drawers.

All functions take occupancy (R, R, R), indexed x, y, z with +Y up and the front to +Z. They were
made for R = 128, and depend on nothing that a network learned.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import binary_opening, find_objects, label

TOP_SHARE = 0.9
"""The top is a slice with at least this share of the largest slice's area."""
ROUND_FILL = 0.87
"""Share of its bounding rectangle that a round slice fills at most: a circle pi / 4, a square 1."""
EQUAL_SIDES = 0.85
"""Ratio of the sides from which a form counts as round or square, not oval or rectangular."""
BOARD_FILL = 0.6
"""Share of the inner width and depth that a board fills."""
MARGIN = 0.12
"""Share of the width at each side that walls may take."""
MIN_PANEL_WIDTH = 3 / 64
"""Sides of a door or drawer front, as a share of the grid, at least; boards are thinner."""
MIN_PANEL_SHARE = 0.012
"""Area of a door or drawer front, as a share of the whole front, at least."""


def top_form(occupancy: Bool[np.ndarray, "x y z"]) -> str:
    """Form of a table's or seat's top: "round", "oval", "square" or "rectangular".

    The highest of the large horizontal slices is compared with its bounding rectangle.

    Returns:
        The form; "" for an empty grid.
    """
    areas = occupancy.sum(axis=(0, 2))
    if not areas.any():
        return ""
    height = int(np.flatnonzero(areas >= TOP_SHARE * areas.max())[-1])
    top = occupancy[:, height]
    x, z = np.flatnonzero(top.any(axis=1)), np.flatnonzero(top.any(axis=0))
    sides = (x[-1] - x[0] + 1, z[-1] - z[0] + 1)
    is_round = top.sum() / (sides[0] * sides[1]) < ROUND_FILL
    is_equal = min(sides) / max(sides) > EQUAL_SIDES
    if is_round:
        return "round" if is_equal else "oval"
    return "square" if is_equal else "rectangular"


def count_shelves(occupancy: Bool[np.ndarray, "x y z"]) -> int:
    """Number of boards between the lowest and the highest one of a bookcase.

    Heights at which the inside is nearly full just before its middle are boards; neighbouring
    heights are one board, and so is a closed case below.
    """
    inside = _inner_front(occupancy)
    if not inside.size:
        return 0
    filled = inside.mean(axis=(0, 2)) > BOARD_FILL
    starts = int(np.count_nonzero(np.diff(np.concatenate([[False], filled]).astype(int)) == 1))
    return max(starts - 2, 0)


def _inner_front(occupancy: np.ndarray) -> np.ndarray:
    """The bounding box without its side walls, a quarter of its depth in front of the middle."""
    if not occupancy.any():
        return np.zeros((0, 0, 0), dtype=bool)
    (x0, x1), (y0, y1), (z0, z1) = (
        (int(found[0]), int(found[-1]) + 1)
        for found in (np.flatnonzero(occupancy.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    )
    side = max(1, round(MARGIN * (x1 - x0)))
    middle = (z0 + z1) // 2
    # A closed case below may end well before the front edge of the boards.
    return occupancy[x0 + side : x1 - side, y0:y1, middle : middle + max(1, (z1 - z0) // 4)]


def count_fronts(occupancy: Bool[np.ndarray, "x y z"]) -> tuple[int, int]:
    """Number of doors and of drawers of a case, by the panels on its face.

    A panel is a connected part of the front view that stands out from the face behind the grooves
    around it. Front edges of walls and boards, which may touch it and be as far in front, are taken
    away first, by an opening with a square. Panels that are higher than wide are doors, the others
    are drawers.

    Returns:
        Doors and drawers.
    """
    size = occupancy.shape[0]
    if not occupancy.any():
        return 0, 0
    # Distance of the first occupied voxel from the front, along -z.
    depth = np.where(occupancy.any(axis=2), occupancy[:, :, ::-1].argmax(axis=2), size)
    visible = depth < size
    nearest = int(np.percentile(depth[visible], 5))
    # The face lies behind the panels by little; what is far behind is open space.
    limit = nearest + 5 * size // 64
    levels = np.unique(depth[visible & (depth < limit)])
    width, height = visible.any(axis=1).sum(), visible.any(axis=0).sum()
    min_area = MIN_PANEL_SHARE * float(width * height)  # larger than a handle
    square = np.ones((round(MIN_PANEL_WIDTH * size),) * 2, dtype=bool)
    best = (0, 0)
    for level in levels[:-1]:  # at the last one the face itself is part of the front
        counted = _panels(binary_opening(visible & (depth <= level), square), min_area)
        if sum(counted) > sum(best):
            best = counted
    return best


def _panels(front: np.ndarray, min_area: float) -> tuple[int, int]:
    """Doors and drawers among the connected parts of a front view (x, y)."""
    labels, _ = label(front)
    doors = drawers = 0
    for number, box in enumerate(find_objects(labels), start=1):
        width, height = (side.stop - side.start for side in box)
        area = int((labels[box] == number).sum())
        if area < min_area or area < 0.6 * width * height:
            continue
        if height > width:
            doors += 1
        else:
            drawers += 1
    return doors, drawers

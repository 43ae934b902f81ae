"""Bookcases, wardrobes, cabinets and chests with counted shelves, doors and drawers."""

from __future__ import annotations

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.desks import drawers
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import WOODS, Solids
from triform.datasets.parametric.storage import carcass, doors, foot
from triform.datasets.parametric.varied import held_out

RELIEF = 1.6
"""Fronts stand out far enough that the grooves between them are seen in a field of 64^3."""
DOOR_ASPECT = 1.3
"""Doors are higher than wide by at least this factor, so that they are not taken for drawers."""


def counted_bookcase(d: Sampler) -> tuple[Solids, Description]:
    count = d.integer(2, 6)
    below = d.choice(["", "", "doors", "drawers"])
    num_below = 0
    if below:
        excluded = held_out.SHELVES[below]
        num_below = d.choice([n for n in (1, 2, 3) if (count, n) not in excluded])
    w, dz = d.uniform(0.3, 0.55), d.uniform(0.14, 0.2)
    if below == "doors" and num_below == 1:
        w *= 0.75
    low = {"": 0.0, "doors": d.uniform(0.5, 0.65), "drawers": 0.2 * num_below}[below]
    if below == "doors":
        low = max(low, w / num_below * 2 * DOOR_ASPECT)
    high = low + (count + 1) * d.uniform(0.24, 0.32)
    s = Solids(max(high, 2 * w))
    text = Description("bookcase", ["shelves"])
    t, material = s.thin, d.choice(WOODS)
    dz = max(dz, 3.2 * t)
    has_back = d.chance(0.7)
    carcass(s, w, 0, high, dz, material, back=has_back)
    text.features.append(count_phrase(count, "shelf", "shelves"))
    if below:
        # Fronts stand out from the boards above them as well.
        face = dz - t * 0.3
        s.box(-w, w, 0, low, -dz, face, material)
        box = (-w + t, w - t, t * 0.6, low - t * 0.3, face)
        if below == "doors":
            doors(d, s, box, num_below, material, relief=RELIEF)
        else:
            drawers(d, s, box, num_below, material, relief=RELIEF)
        text.features.append(count_phrase(num_below, below[:-1]) + d.choice(["", " below"]))
        s.box(-w, w, low - t * 0.3, low + t * 0.7, -dz, dz, material)
    pitch = (high - t - low) / (count + 1)
    for k in range(1, count + 1):
        y = low + pitch * k
        s.box(-w, w, y, y + t, -dz, dz, material)
    if not has_back:
        text.features.append("an open back")
    return s, text


def counted_wardrobe(d: Sampler) -> tuple[Solids, Description]:
    num_doors = d.integer(1, 4)
    num_drawers = _drawers(d, "wardrobe", num_doors)
    w, high = num_doors * d.uniform(0.38, 0.5) / 2, d.uniform(1.75, 2.2)
    return _case(
        d,
        Description("wardrobe", ["closet"]),
        num_doors,
        num_drawers,
        w,
        high,
        d.uniform(0.26, 0.32),
    )


def counted_cabinet(d: Sampler) -> tuple[Solids, Description]:
    num_doors = d.integer(1, 3)
    num_drawers = _drawers(d, "cabinet", num_doors)
    w = num_doors * d.uniform(0.34, 0.46) / 2
    high = max(d.uniform(0.85, 1.4), 0.2 * num_drawers + DOOR_ASPECT * 2 * w / num_doors + 0.1)
    return _case(d, Description("cabinet"), num_doors, num_drawers, w, high, d.uniform(0.18, 0.26))


def counted_chest(d: Sampler) -> tuple[Solids, Description]:
    rows, columns = d.integer(2, 7), d.choice([1, 1, 1, 2])
    w = d.uniform(0.34, 0.5) * (1.4 if columns == 2 else 1.0)
    high, dz = rows * d.uniform(0.16, 0.21), d.uniform(0.2, 0.26)
    s = Solids(max(high + 0.15, 2 * w))
    text = Description("chest of drawers", ["drawer cabinet"])
    material = d.choice(WOODS)
    floor = foot(d, s, w, dz, material, text)
    s.box(-w, w, floor, floor + high, -dz, dz, material)
    box = (-w, w, floor + s.thin / 2, floor + high - s.thin / 2, dz)
    drawers(d, s, box, rows, material, columns=columns, relief=RELIEF)
    number = count_phrase(rows * columns, "drawer")
    if columns == 2 and d.chance(0.5):
        number = f"two columns of {count_phrase(rows, 'drawer')}"
    text.features.insert(0, number)
    return s, text


def _drawers(d: Sampler, noun: str, num_doors: int) -> int:
    """None to three drawers, of a number that this kind may have with these doors."""
    excluded = held_out.DOORS[noun]
    return d.choice([n for n in (0, 0, 1, 2, 3) if (num_doors, n) not in excluded])


def _case(
    d: Sampler,
    text: Description,
    num_doors: int,
    num_drawers: int,
    w: float,
    high: float,
    dz: float,
) -> tuple[Solids, Description]:
    """A closed case: doors in a row, above drawers one above the other."""
    s = Solids(max(high, 2 * w))
    material = d.choice(WOODS)
    floor = foot(d, s, w, dz, material, text)
    s.box(-w, w, floor, high, -dz, dz, material)
    low = floor + s.thin * 0.3
    if num_drawers:
        middle = low + min(num_drawers * d.uniform(0.16, 0.2), (high - low) * 0.5)
        drawers(d, s, (-w, w, low, middle, dz), num_drawers, material, relief=RELIEF)
        low = middle
    doors(d, s, (-w, w, low, high - s.thin * 0.3, dz), num_doors, material, relief=RELIEF)
    text.features.insert(0, count_phrase(num_doors, "door"))
    if num_drawers:
        text.features.insert(1, count_phrase(num_drawers, "drawer") + d.choice(["", " below"]))
    return s, text

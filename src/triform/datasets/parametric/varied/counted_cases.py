"""Bookcases, wardrobes, cabinets and chests with counted shelves, doors and drawers."""

from __future__ import annotations

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.desks import drawers
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import WOODS, Solids
from triform.datasets.parametric.storage import carcass, doors, foot
from triform.datasets.parametric.varied import held_out


def counted_bookcase(d: Sampler) -> tuple[Solids, Description]:
    count = d.integer(2, 6)
    below = d.choice(["", "", "doors", "drawers"])
    num_below = 0
    if below:
        excluded = held_out.SHELVES[below]
        num_below = d.choice([n for n in (1, 2, 3) if (count, n) not in excluded])
    w, dz = d.uniform(0.3, 0.55), d.uniform(0.14, 0.2)
    low = {"": 0.0, "doors": d.uniform(0.5, 0.65), "drawers": 0.2 * num_below}[below]
    high = low + (count + 1) * d.uniform(0.24, 0.32)
    s = Solids(max(high, 2 * w))
    text = Description("bookcase", ["shelves"])
    t, material = s.thin, d.choice(WOODS)
    has_back = d.chance(0.7)
    carcass(s, w, 0, high, dz, material, back=has_back)
    text.features.append(count_phrase(count, "shelf", "shelves"))
    if below:
        s.box(-w, w, 0, low, -dz, dz - t, material)
        box = (-w + t, w - t, t * 0.6, low - t * 0.3, dz - t)
        if below == "doors":
            doors(d, s, box, num_below, material)
        else:
            drawers(d, s, box, num_below, material)
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
    w, high = num_doors * d.uniform(0.34, 0.46) / 2, d.uniform(0.85, 1.4)
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
    drawers(d, s, box, rows, material, columns=columns)
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
        drawers(d, s, (-w, w, low, middle, dz), num_drawers, material)
        low = middle
    doors(d, s, (-w, w, low, high - s.thin * 0.3, dz), num_doors, material)
    text.features.insert(0, count_phrase(num_doors, "door"))
    if num_drawers:
        text.features.insert(1, count_phrase(num_drawers, "drawer") + d.choice(["", " below"]))
    return s, text

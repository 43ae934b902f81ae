"""Bookcases, shelves, cabinets, wardrobes and chests of drawers."""

from __future__ import annotations

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.seating import legs
from triform.datasets.parametric.solids import WOODS, Solids


def carcass(
    s: Solids, w: float, low: float, high: float, dz: float, material: str, *, back: bool = True
) -> None:
    """The outer boards of a case, open at the front."""
    t = s.thin
    for side in (-1, 1):
        x0, x1 = sorted((side * w, side * (w - t)))
        s.box(x0, x1, low, high, -dz, dz, material)
    s.box(-w, w, low, low + t, -dz, dz, material)
    s.box(-w, w, high - t, high, -dz, dz, material)
    if back:
        s.box(-w, w, low, high, -dz, -dz + t * 0.8, material)


def doors(
    d: Sampler,
    s: Solids,
    box: tuple[float, float, float, float, float],
    count: int,
    material: str,
    *,
    raised: bool = False,
) -> None:
    """Closed doors with handles on the face of a cabinet: ``box`` is x0, x1, y0, y1 and its z."""
    x0, x1, y0, y1, z = box
    gap, lift = s.thin * 0.6, s.thin * 0.9
    for k in range(count):
        left, right = (x0 + (x1 - x0) * (k + share) / count for share in (0, 1))
        s.box(left + gap, right - gap, y0 + gap, y1 - gap, z - lift, z + lift, material)
        if raised:
            edge = min(s.thin * 3, (right - left) * 0.22)
            s.box(
                left + edge,
                right - edge,
                y0 + edge,
                y1 - edge,
                z,
                z + lift + s.thin * 0.9,
                material,
            )
        # Handles meet in the middle of a pair.
        x = right - s.thin * 1.6 if k % 2 == 0 else left + s.thin * 1.6
        y, reach = (y0 + y1) / 2, min(0.08, (y1 - y0) * 0.12)
        s.box(
            x - s.thin * 0.5,
            x + s.thin * 0.5,
            y - reach,
            y + reach,
            z,
            z + lift + s.thin * 1.1,
            "steel",
        )


def foot(d: Sampler, s: Solids, w: float, dz: float, material: str, text: Description) -> float:
    """Stands a case on legs, a plinth or nothing; returns the height of its floor."""
    style = d.choice(["", "plinth", "legs"])
    if style == "legs":
        high = d.uniform(0.1, 0.2)
        legs(
            s,
            w * 0.88,
            dz * 0.78,
            high + s.thin / 3,
            s.thin * 0.65,
            d.choice(["straight", "tapered"]),
            material,
        )
        text.features.append("four legs" if high > 0.14 else "four short legs")
        return high
    if style == "plinth":
        s.box(-w * 0.94, w * 0.94, 0, 0.07, -dz * 0.94, dz * 0.86, "black")
        return 0.06
    return 0.0


def bookcase(d: Sampler) -> tuple[Solids, Description]:
    tall = d.chance(0.7)
    high, w, dz = (
        d.uniform(1.6, 2.1) if tall else d.uniform(0.85, 1.25),
        d.uniform(0.35, 0.6),
        d.uniform(0.14, 0.19),
    )
    s = Solids(high)
    text = Description("bookcase", ["bookshelf", "shelves"], ["tall" if tall else "low"])
    t, material = s.thin, d.choice(WOODS)
    back = d.chance(0.75)
    carcass(s, w, 0, high, dz, material, back=back)
    if not back:
        text.features.append("an open back")
    count = d.integer(4, 6) if tall else d.integer(2, 3)  # compartments, one above the other
    floor = 0.0
    if tall and d.chance(0.3):
        floor = high * d.uniform(0.3, 0.4)
        s.box(-w, w, 0, floor, -dz, dz - t, material)
        doors(d, s, (-w + t, w - t, t, floor, dz - t), 2, material)
        count = d.integer(2, 4)
        text.features.append("two doors below")
    pitch = (high - t - floor) / count
    full = d.chance(0.4)
    for k in range(count):
        y = floor + pitch * k
        if k or floor:
            s.box(-w, w, y, y + t, -dz, dz, material)
        if full:
            _books(d, s, w - t, y + t, pitch - t, dz)
    text.features.append(
        count_phrase(count, "compartment")
        if floor
        else f"{count_phrase(count - 1, 'shelf', 'shelves')} inside"
    )
    if full:
        text.features.append("books")
        text.adjectives.append("full")
    elif d.chance(0.3):
        text.adjectives.append("empty")
    return s, text


def _books(d: Sampler, s: Solids, w: float, y: float, space: float, dz: float) -> None:
    """A few blocks of books on one board."""
    x = -w
    while x < w - 0.1:
        wide = min(d.uniform(0.1, 0.22), w - x)
        if d.chance(0.8):
            tall = space * d.uniform(0.6, 0.92)
            s.box(
                x,
                x + wide,
                y - 0.005,
                y + tall,
                -dz,
                dz * d.uniform(0.1, 0.7),
                d.choice(["red", "blue", "green", "brown"]),
            )
        x += wide + s.thin * 0.6


def shelf_rack(d: Sampler) -> tuple[Solids, Description]:
    high, w, dz = d.uniform(1.4, 1.9), d.uniform(0.4, 0.6), d.uniform(0.16, 0.24)
    s, text = Solids(high), Description("shelf", ["storage rack", "shelving unit", "rack"])
    t, material = s.thin, d.choice([*WOODS, "steel"])
    for side in (-1, 1):
        for end in (-1, 1):
            x, z = side * (w - t / 2), end * (dz - t / 2)
            s.box(x - t / 2, x + t / 2, 0, high, z - t / 2, z + t / 2, material)
    count = d.integer(3, 5)
    for k in range(count):
        y = 0.12 + (high - 0.12 - t) * k / (count - 1)
        s.box(-w, w, y, y + t, -dz, dz, material)
    text.features += [count_phrase(count, "open board"), "four posts"]
    if d.chance(0.3):
        s.rod((-w + t / 2, 0.12, -dz), (w - t / 2, high - t, -dz), t * 0.45, material)
        s.rod((w - t / 2, 0.12, -dz), (-w + t / 2, high - t, -dz), t * 0.45, material)
        text.features.append("a cross brace at the back")
    return s, text


def wall_shelf(d: Sampler) -> tuple[Solids, Description]:
    w, dz, count = d.uniform(0.4, 0.6), d.uniform(0.1, 0.15), d.integer(1, 3)
    pitch = d.uniform(0.26, 0.34)
    s = Solids(max(2 * w, pitch * count))
    text = Description("wall shelf", ["hanging shelf", "shelf"])
    t, material = s.thin, d.choice(WOODS)
    style = d.choice(["brackets", "sides", "box"]) if count > 1 else "brackets"
    for k in range(count):
        s.box(-w, w, pitch * k + 0.14, pitch * k + 0.14 + t, -dz, dz, material)
    top = pitch * (count - 1) + 0.14 + t
    if style == "brackets":
        for side in (-1, 1):
            x = side * w * 0.7
            s.box(x - t / 2, x + t / 2, 0, top, -dz, -dz + t, "steel")
            for k in range(count):
                y = pitch * k + 0.14
                s.rod((x, y - 0.12, -dz + t / 2), (x, y, dz * 0.6), t * 0.4, "steel", square=True)
        text.features.append("brackets")
    else:
        for side in (-1, 1):
            x0, x1 = sorted((side * w, side * (w - t)))
            s.box(x0, x1, 0.0 if style == "sides" else 0.14, top, -dz, dz, material)
        if style == "box":
            s.box(-w, w, 0.14, top, -dz, -dz + t * 0.7, material)
            text.features.append("a back panel")
        else:
            text.features.append("two side panels")
    text.features.insert(0, count_phrase(count, "board"))
    return s, text


def cube_shelf(d: Sampler) -> tuple[Solids, Description]:
    columns, rows = d.choice([(2, 2), (2, 3), (3, 3), (2, 4), (4, 2), (3, 2), (4, 4), (3, 4)])
    cell = d.uniform(0.34, 0.4)
    w, high, dz = columns * cell / 2, rows * cell, cell * d.uniform(0.42, 0.5)
    s, text = (
        Solids(max(2 * w, high)),
        Description("cube shelf", ["shelving unit", "shelves", "bookcase"]),
    )
    t, material = s.thin, d.choice(WOODS)
    carcass(s, w, 0, high, dz, material, back=d.chance(0.5))
    for k in range(1, columns):
        x = -w + 2 * w * k / columns
        s.box(x - t * 0.45, x + t * 0.45, 0, high, -dz, dz, material)
    for k in range(1, rows):
        y = high * k / rows
        s.box(-w, w, y - t * 0.45, y + t * 0.45, -dz, dz, material)
    text.features += [f"{count_phrase(rows, 'row')} of {count_phrase(columns, 'cube')}"]
    if d.chance(0.3):
        row, column = d.integer(0, rows - 1), d.integer(0, columns - 1)
        x, y = -w + 2 * w * column / columns, high * row / rows
        s.box(
            x + t * 0.4,
            x + 2 * w / columns - t * 0.4,
            y + t * 0.4,
            y + high / rows - t * 0.4,
            -dz,
            dz * 0.98,
            material,
        )
        text.features.append("one closed cube")
    return s, text

"""Cabinets, wardrobes, sideboards and chests of drawers."""

from __future__ import annotations

from triform.datasets.parametric.dice import Dice
from triform.datasets.parametric.solids import WOODS, Solids
from triform.datasets.parametric.storage import carcass, doors, foot
from triform.datasets.parametric.tables import drawers
from triform.datasets.parametric.wording import Words, number


def wardrobe(d: Dice) -> tuple[Solids, Words]:
    count = d.pick([1, 2, 2, 2, 3, 4])
    w, high, dz = count * d.between(0.42, 0.52) / 2, d.between(1.8, 2.2), d.between(0.26, 0.32)
    s, words = (
        Solids(high),
        Words("wardrobe", ["closet", "clothes cupboard"], ["tall"] if count == 1 else []),
    )
    material = d.pick(WOODS)
    if d.chance(0.12) and count > 1:
        t = s.thin
        carcass(s, w, 0, high, dz, material)
        s.rod((-w + t / 2, high - 0.25, 0), (w - t / 2, high - 0.25, 0), t * 0.55, "steel")
        for k in range(4):
            x = w * (-0.7 + 0.4 * k)
            s.box(
                x - t * 0.7,
                x + t * 0.7,
                high - d.between(1.0, 1.3),
                high - 0.27,
                -dz * 0.7,
                dz * 0.6,
                d.pick(["red", "blue", "grey"]),
            )
        words.adjectives.append("open")
        words.features += ["clothes on a rail"]
        return s, words
    floor = foot(d, s, w, dz, material, words)
    s.box(-w, w, floor, high, -dz, dz, material)
    low = floor + 0.03
    if d.chance(0.35):
        rows = d.whole(1, 2)
        middle = floor + rows * d.between(0.18, 0.25)
        drawers(d, s, (-w, w, low, middle, dz), rows, material, columns=1 if count < 3 else 2)
        words.features.append(f"{number(rows * (1 if count < 3 else 2), 'drawer')} below")
        low = middle
    raised = d.chance(0.4)
    doors(d, s, (-w, w, low, high - 0.03, dz), count, material, raised=raised)
    words.features.insert(0, number(count, "panelled door" if raised else "door"))
    if d.chance(0.25):
        s.box(
            -w - s.thin,
            w + s.thin,
            high - s.thin * 0.3,
            high + s.thin * 1.2,
            -dz,
            dz + s.thin * 1.6,
            material,
        )
        words.features.append("a cornice")
    return s, words


def cabinet(d: Dice) -> tuple[Solids, Words]:
    count = d.pick([1, 2, 2])
    w, high, dz = count * d.between(0.2, 0.28) + 0.08, d.between(0.8, 1.4), d.between(0.18, 0.26)
    s, words = Solids(high), Words("cabinet", ["cupboard"])
    t, material = s.thin, d.pick(WOODS)
    floor = foot(d, s, w, dz, material, words)
    style = d.pick(["doors", "doors", "shelf above", "glass"])
    top = high
    if style == "shelf above":
        top = floor + (high - floor) * d.between(0.5, 0.65)
        carcass(s, w, top - t, high, dz, material)
        words.features.append("an open compartment above")
    s.box(-w, w, floor, top, -dz, dz, material)
    if style == "glass":
        middle = floor + (high - floor) * 0.45
        doors(d, s, (-w, w, floor + t / 2, middle, dz), count, material)
        for k in range(count):
            left, right = (-w + 2 * w * (k + share) / count for share in (0, 1))
            for x0, x1, y0, y1 in (
                (left, left + t * 1.6, middle, high), (right - t * 1.6, right, middle, high),
                (left, right, middle, middle + t * 1.6), (left, right, high - t * 1.6, high),
            ):  # fmt: skip
                s.box(
                    x0 + t / 4, x1 - t / 4, y0 + t / 4, y1 - t / 4, dz - t, dz + t * 1.3, material
                )
        words.features.append(f"{number(count, 'glass door')} above {number(count, 'door')}")
        words.synonyms.append("display cabinet")
    else:
        doors(d, s, (-w, w, floor + t / 2, top - t / 2, dz), count, material, raised=d.chance(0.5))
        words.features.insert(0, number(count, "door"))
    return s, words


def chest_of_drawers(d: Dice) -> tuple[Solids, Words]:
    rows, columns = d.whole(3, 6), d.pick([1, 1, 1, 2])
    w, high, dz = (
        d.between(0.35, 0.48) * (1.3 if columns == 2 else 1.0),
        rows * d.between(0.17, 0.22),
        d.between(0.2, 0.25),
    )
    s, words = Solids(max(high, 2 * w)), Words("chest of drawers", ["dresser", "drawers cabinet"])
    material = d.pick(WOODS)
    floor = foot(d, s, w, dz, material, words)
    s.box(-w, w, floor, floor + high, -dz, dz, material)
    s.box(
        -w - s.thin / 2,
        w + s.thin / 2,
        floor + high - s.thin,
        floor + high,
        -dz,
        dz + s.thin,
        material,
    )
    drawers(
        d,
        s,
        (-w, w, floor + s.thin / 2, floor + high - s.thin, dz),
        rows,
        material,
        columns=columns,
    )
    words.features.insert(
        0, number(rows, "drawer") if columns == 1 else f"two columns of {number(rows, 'drawer')}"
    )
    return s, words


def sideboard(d: Dice) -> tuple[Solids, Words]:
    w, high, dz = d.between(0.65, 0.9), d.between(0.5, 0.75), d.between(0.2, 0.25)
    s, words = Solids(2 * w), Words("sideboard", ["TV stand", "low cabinet", "credenza"])
    t, material = s.thin, d.pick(WOODS)
    floor = foot(d, s, w, dz, material, words)
    middle = d.pick(["drawers", "open", "doors"])
    inner = w / 3
    if middle == "open":
        rows = d.whole(1, 2)
        for x0, x1 in ((-w, -inner), (inner, w)):
            s.box(x0, x1, floor, floor + high, -dz, dz, material)
            doors(d, s, (x0, x1, floor + t / 2, floor + high - t, dz), 1, material)
        s.box(-w, w, floor, floor + t, -dz, dz, material)
        s.box(-w, w, floor + high - t, floor + high, -dz, dz, material)
        s.box(-inner, inner, floor, floor + high, -dz, -dz + t, material)
        if rows == 2:
            s.box(
                -inner, inner, floor + high / 2 - t / 2, floor + high / 2 + t / 2, -dz, dz, material
            )
        words.features += ["two doors", f"{number(rows, 'open compartment')} in the middle"]
    elif middle == "drawers":
        rows = d.whole(2, 3)
        s.box(-w, w, floor, floor + high, -dz, dz, material)
        doors(d, s, (-w, -inner, floor + t / 2, floor + high - t, dz), 1, material)
        doors(d, s, (inner, w, floor + t / 2, floor + high - t, dz), 1, material)
        drawers(d, s, (-inner, inner, floor + t / 2, floor + high - t, dz), rows, material)
        words.features += ["two doors", f"{number(rows, 'drawer')} in the middle"]
    else:
        count = d.whole(2, 4)
        s.box(-w, w, floor, floor + high, -dz, dz, material)
        doors(d, s, (-w, w, floor + t / 2, floor + high - t, dz), count, material)
        words.features.append(number(count, "door"))
    return s, words


def nightstand(d: Dice) -> tuple[Solids, Words]:
    w, high, dz, rows = (
        d.between(0.2, 0.27),
        d.between(0.4, 0.55),
        d.between(0.17, 0.22),
        d.whole(1, 3),
    )
    s, words = Solids(0.6), Words("nightstand", ["bedside table", "bedside cabinet"])
    t, material = s.thin, d.pick(WOODS)
    floor = foot(d, s, w, dz, material, words)
    top, opened = floor + high, rows == 1 or (rows == 2 and d.chance(0.5))
    low = top - 0.2 * rows if opened else floor
    low = max(low, floor + 0.12) if opened else floor
    if opened:
        carcass(s, w, floor, top, dz, material)
        words.features.append("an open compartment")
    s.box(-w, w, low, top, -dz, dz, material)
    drawers(d, s, (-w, w, low + t / 2, top - t / 2, dz), rows, material)
    words.features.insert(0, number(rows, "drawer"))
    return s, words

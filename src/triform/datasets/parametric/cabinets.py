"""Cabinets, wardrobes, sideboards and chests of drawers."""

from __future__ import annotations

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.desks import drawers
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import WOODS, Solids
from triform.datasets.parametric.storage import carcass, doors, foot


def wardrobe(d: Sampler) -> tuple[Solids, Description]:
    count = d.choice([1, 2, 2, 2, 3, 4])
    w, high, dz = count * d.uniform(0.42, 0.52) / 2, d.uniform(1.8, 2.2), d.uniform(0.26, 0.32)
    s, text = (
        Solids(high),
        Description("wardrobe", ["closet", "clothes cupboard"], ["tall"] if count == 1 else []),
    )
    material = d.choice(WOODS)
    if d.chance(0.12) and count > 1:
        t = s.thin
        carcass(s, w, 0, high, dz, material)
        s.rod((-w + t / 2, high - 0.25, 0), (w - t / 2, high - 0.25, 0), t * 0.55, "steel")
        for k in range(4):
            x = w * (-0.7 + 0.4 * k)
            s.box(
                x - t * 0.7,
                x + t * 0.7,
                high - d.uniform(1.0, 1.3),
                high - 0.27,
                -dz * 0.7,
                dz * 0.6,
                d.choice(["red", "blue", "grey"]),
            )
        text.adjectives.append("open")
        text.features += ["clothes on a rail"]
        return s, text
    floor = foot(d, s, w, dz, material, text)
    s.box(-w, w, floor, high, -dz, dz, material)
    low = floor + 0.03
    if d.chance(0.35):
        rows = d.integer(1, 2)
        middle = floor + rows * d.uniform(0.18, 0.25)
        drawers(d, s, (-w, w, low, middle, dz), rows, material, columns=1 if count < 3 else 2)
        text.features.append(f"{count_phrase(rows * (1 if count < 3 else 2), 'drawer')} below")
        low = middle
    raised = d.chance(0.4)
    doors(d, s, (-w, w, low, high - 0.03, dz), count, material, raised=raised)
    text.features.insert(0, count_phrase(count, "panelled door" if raised else "door"))
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
        text.features.append("a cornice")
    return s, text


def cabinet(d: Sampler) -> tuple[Solids, Description]:
    count = d.choice([1, 2, 2])
    w, high, dz = count * d.uniform(0.2, 0.28) + 0.08, d.uniform(0.8, 1.4), d.uniform(0.18, 0.26)
    s, text = Solids(high), Description("cabinet", ["cupboard"])
    t, material = s.thin, d.choice(WOODS)
    floor = foot(d, s, w, dz, material, text)
    style = d.choice(["doors", "doors", "shelf above", "glass"])
    top = high
    if style == "shelf above":
        top = floor + (high - floor) * d.uniform(0.5, 0.65)
        carcass(s, w, top - t, high, dz, material)
        text.features.append("an open compartment above")
    s.box(-w, w, floor, top, -dz, dz, material)
    if style == "glass":
        middle = floor + (high - floor) * 0.45
        doors(d, s, (-w, w, floor + t / 2, middle, dz), count, material)
        for k in range(count):
            left, right = (-w + 2 * w * (k + share) / count for share in (0, 1))
            for x0, x1, y0, y1 in (
                (left, left + t * 1.6, middle, high),
                (right - t * 1.6, right, middle, high),
                (left, right, middle, middle + t * 1.6),
                (left, right, high - t * 1.6, high),
            ):
                s.box(
                    x0 + t / 4, x1 - t / 4, y0 + t / 4, y1 - t / 4, dz - t, dz + t * 1.3, material
                )
        text.features.append(
            f"{count_phrase(count, 'glass door')} above {count_phrase(count, 'door')}"
        )
        text.synonyms.append("display cabinet")
    else:
        doors(d, s, (-w, w, floor + t / 2, top - t / 2, dz), count, material, raised=d.chance(0.5))
        text.features.insert(0, count_phrase(count, "door"))
    return s, text


def chest_of_drawers(d: Sampler) -> tuple[Solids, Description]:
    rows, columns = d.integer(3, 6), d.choice([1, 1, 1, 2])
    w, high, dz = (
        d.uniform(0.35, 0.48) * (1.3 if columns == 2 else 1.0),
        rows * d.uniform(0.17, 0.22),
        d.uniform(0.2, 0.25),
    )
    s, text = (
        Solids(max(high, 2 * w)),
        Description("chest of drawers", ["dresser", "drawers cabinet"]),
    )
    material = d.choice(WOODS)
    floor = foot(d, s, w, dz, material, text)
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
    text.features.insert(
        0,
        count_phrase(rows, "drawer")
        if columns == 1
        else f"two columns of {count_phrase(rows, 'drawer')}",
    )
    return s, text


def sideboard(d: Sampler) -> tuple[Solids, Description]:
    w, high, dz = d.uniform(0.65, 0.9), d.uniform(0.5, 0.75), d.uniform(0.2, 0.25)
    s, text = (
        Solids(2 * w),
        Description("sideboard", ["TV stand", "low cabinet", "credenza"]),
    )
    t, material = s.thin, d.choice(WOODS)
    floor = foot(d, s, w, dz, material, text)
    middle = d.choice(["drawers", "open", "doors"])
    inner = w / 3
    if middle == "open":
        rows = d.integer(1, 2)
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
        text.features += [
            "two doors",
            f"{count_phrase(rows, 'open compartment')} in the middle",
        ]
    elif middle == "drawers":
        rows = d.integer(2, 3)
        s.box(-w, w, floor, floor + high, -dz, dz, material)
        doors(d, s, (-w, -inner, floor + t / 2, floor + high - t, dz), 1, material)
        doors(d, s, (inner, w, floor + t / 2, floor + high - t, dz), 1, material)
        drawers(d, s, (-inner, inner, floor + t / 2, floor + high - t, dz), rows, material)
        text.features += ["two doors", f"{count_phrase(rows, 'drawer')} in the middle"]
    else:
        count = d.integer(2, 4)
        s.box(-w, w, floor, floor + high, -dz, dz, material)
        doors(d, s, (-w, w, floor + t / 2, floor + high - t, dz), count, material)
        text.features.append(count_phrase(count, "door"))
    return s, text


def nightstand(d: Sampler) -> tuple[Solids, Description]:
    w, high, dz, rows = (
        d.uniform(0.2, 0.27),
        d.uniform(0.4, 0.55),
        d.uniform(0.17, 0.22),
        d.integer(1, 3),
    )
    s, text = Solids(0.6), Description("nightstand", ["bedside table", "bedside cabinet"])
    t, material = s.thin, d.choice(WOODS)
    floor = foot(d, s, w, dz, material, text)
    top, opened = floor + high, rows == 1 or (rows == 2 and d.chance(0.5))
    low = top - 0.2 * rows if opened else floor
    low = max(low, floor + 0.12) if opened else floor
    if opened:
        carcass(s, w, floor, top, dz, material)
        text.features.append("an open compartment")
    s.box(-w, w, low, top, -dz, dz, material)
    drawers(d, s, (-w, w, low + t / 2, top - t / 2, dz), rows, material)
    text.features.insert(0, count_phrase(rows, "drawer"))
    return s, text

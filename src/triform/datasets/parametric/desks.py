"""Desks and dressing tables."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.seating import legs
from triform.datasets.parametric.solids import METALS, WOODS, Solids, arc

_EXPONENTS = {"round": 2.0, "oval": 2.0, "square": 24.0, "rectangular": 24.0}


def drawers(
    d: Sampler,
    s: Solids,
    box: tuple[float, float, float, float, float],
    rows: int,
    material: str,
    *,
    columns: int = 1,
) -> None:
    """Drawer fronts with knobs on the face of a cabinet: ``box`` is x0, x1, y0, y1 and its z."""
    x0, x1, y0, y1, z = box
    gap, lift = s.thin * 0.7, s.thin * 0.9
    handle = d.choice(["knob", "bar"])
    for row in range(rows):
        for column in range(columns):
            left, right = (x0 + (x1 - x0) * (column + k) / columns for k in (0, 1))
            low, high = (y0 + (y1 - y0) * (row + k) / rows for k in (0, 1))
            s.box(left + gap, right - gap, low + gap, high - gap, z - lift, z + lift, material)
            x, y, r = (left + right) / 2, (low + high) / 2, s.thin * 0.6
            if handle == "knob":
                s.ball((x, y, z + lift + r), (r, r, r * 1.4), "steel")
            else:
                reach = (right - left) * 0.16
                s.box(
                    x - reach, x + reach, y - r * 0.7, y + r * 0.7, z, z + lift + r * 1.8, "steel"
                )


def desk(d: Sampler) -> tuple[Solids, Description]:
    width, depth, height = d.uniform(1.1, 1.6), d.uniform(0.55, 0.8), d.uniform(0.72, 0.76)
    s, text = (
        Solids(width),
        Description("desk", ["writing desk", "office desk", "computer desk"]),
    )
    t, material = s.thin, d.choice(WOODS)
    w, dz = width / 2, depth / 2
    thick = s.at_least(0.03)
    under = height - thick
    s.box(-w, w, under, height, -dz, dz, material)
    kind = d.choice(["legs", "panels", "one pedestal", "one pedestal", "two pedestals"])
    pedestal = d.uniform(0.34, 0.42)
    if kind == "legs":
        leg = s.at_least(0.045) / 2
        legs(
            s,
            w - leg - 0.02,
            dz - leg - 0.02,
            under + t / 3,
            leg,
            d.choice(["straight", "tapered"]),
            d.choice(METALS),
        )
        text.features.append("four legs")
        if d.chance(0.5):
            count = d.integer(1, 3)
            box = (-w * 0.92, w * 0.92, under - s.at_least(0.11), under, dz * 0.92)
            s.box(box[0], box[1], box[2], box[3], -dz * 0.9, dz * 0.92, material)
            drawers(d, s, box, 1, material, columns=count)
            text.features.append(f"{count_phrase(count, 'flat drawer')} under the top")
    else:
        flip = d.choice([-1, 1])
        sides = {"panels": 0, "one pedestal": 1, "two pedestals": 2}[kind]
        count = d.integer(2, 4)
        for k, side in enumerate((flip, -flip)):
            if k < sides:
                x0, x1 = sorted((side * w * 0.98, side * (w * 0.98 - pedestal)))
                foot = d.choice([0.0, 0.05])
                s.box(x0, x1, foot, under + t / 3, -dz * 0.94, dz * 0.9, material)
                if foot:
                    s.box(x0 + t, x1 - t, 0, foot, -dz * 0.8, dz * 0.8, "black")
                drawers(d, s, (x0, x1, foot, under, dz * 0.9), count, material)
            else:
                x0, x1 = sorted((side * w * 0.98, side * (w * 0.98 - s.at_least(0.03))))
                s.box(x0, x1, 0, under + t / 3, -dz * 0.94, dz * 0.94, material)
        if sides == 1:
            text.features.append(f"{count_phrase(count, 'drawer')} on one side")
        elif sides == 2:
            text.features.append(f"two pedestals of {count_phrase(count, 'drawer')}")
            text.synonyms.append("pedestal desk")
        else:
            text.features.append("two panel legs")
        if d.chance(0.5):
            s.box(
                -w * 0.97,
                w * 0.97,
                height * 0.35,
                under,
                -dz * 0.8 - t / 2,
                -dz * 0.8 + t / 2,
                material,
            )
            text.features.append("a back panel")
    if d.chance(0.25):
        top, deep = height + d.uniform(0.3, 0.5), -dz + d.uniform(0.2, 0.28)
        for x in (-w + t / 2, w - t / 2):
            s.box(x - t / 2, x + t / 2, height - t / 3, top, -dz, deep, material)
        s.box(-w, w, top - t, top, -dz, deep, material)
        text.features.append("a raised shelf")
    elif d.chance(0.25):
        x = d.uniform(-0.2, 0.2)
        s.box(
            x - 0.26,
            x + 0.26,
            height + 0.1,
            height + 0.42,
            -dz * 0.5 - t / 2,
            -dz * 0.5 + t / 2,
            "black",
        )
        s.box(
            x - t,
            x + t,
            height - t / 3,
            height + 0.15,
            -dz * 0.5 - t / 2,
            -dz * 0.5 + t / 2,
            "black",
        )
        s.box(x - 0.12, x + 0.12, height - t / 3, height + t * 0.8, -dz * 0.8, -dz * 0.2, "black")
        text.features.append("a computer screen on it")
    return s, text


def corner_desk(d: Sampler) -> tuple[Solids, Description]:
    width, wing = d.uniform(1.35, 1.7), d.uniform(1.2, 1.5)
    s, text = Solids(width), Description("corner desk", ["L-shaped desk", "desk"])
    t, material, height = s.thin, d.choice(WOODS), d.uniform(0.72, 0.76)
    depth, flip, w = d.uniform(0.55, 0.65), d.choice([-1, 1]), width / 2
    back, front = -wing / 2, wing / 2
    s.box(-w, w, height - t, height, back, back + depth, material)
    x0, x1 = sorted((flip * w, flip * (w - depth)))
    s.box(x0, x1, height - t, height, back, front, material)
    leg = s.at_least(0.05) / 2
    corners = [
        (-flip * (w - leg), back + leg),
        (-flip * (w - leg), back + depth - leg),
        (flip * (w - leg), back + leg),
    ]
    for x, z in corners:
        s.box(x - leg, x + leg, 0, height - t / 2, z - leg, z + leg, material)
    if d.chance(0.5):
        count = d.integer(2, 4)
        s.box(x0, x1, 0, height - t / 2, front - 0.4, front, material)
        drawers(d, s, (x0, x1, 0.02, height - t, front), count, material)
        text.features.append(count_phrase(count, "drawer"))
    else:
        for x in (x0 + leg, x1 - leg):
            s.box(x - leg, x + leg, 0, height - t / 2, front - 2 * leg, front, material)
        text.features.append("slender legs")
    text.features.append("an L-shaped top")
    return s, text


def dressing_table(d: Sampler) -> tuple[Solids, Description]:
    width = d.uniform(0.9, 1.15)
    top = d.uniform(1.3, 1.5)
    s, text = (
        Solids(top),
        Description("dressing table", ["vanity table", "dressing table with a mirror"]),
    )
    t, material, w, dz, height = (
        s.thin,
        d.choice(WOODS),
        width / 2,
        d.uniform(0.2, 0.25),
        d.uniform(0.72, 0.78),
    )
    count = d.integer(1, 3)
    case = s.at_least(0.14)
    s.box(-w, w, height - case, height, -dz, dz, material)
    drawers(d, s, (-w, w, height - case, height, dz), 1, material, columns=count)
    legs(
        s,
        w - t,
        dz - t,
        height - case + t / 3,
        t * 0.7,
        d.choice(["straight", "tapered"]),
        material,
    )
    rounded = d.chance(0.5)
    middle, half, reach = (height + top) / 2, (top - height) / 2, w * d.uniform(0.45, 0.7)
    outline = [
        (reach * c, middle + half * v)
        for c, v in (arc(0, 350, 36) if rounded else np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]))
    ]
    s.prism(outline, "z", -dz, -dz + t * 1.2, "glass")
    text.features += [
        count_phrase(count, "drawer"),
        f"{'an oval' if rounded else 'a rectangular'} mirror",
        "four legs",
    ]
    return s, text

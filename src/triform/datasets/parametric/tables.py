"""Tables and desks."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.dice import Dice
from triform.datasets.parametric.seating import legs
from triform.datasets.parametric.solids import METALS, WOODS, Solids, arc
from triform.datasets.parametric.wording import Words, number

_EXPONENTS = {"round": 2.0, "oval": 2.0, "square": 24.0, "rectangular": 24.0}


def table(d: Dice) -> tuple[Solids, Words]:
    shape = d.pick(["round", "oval", "square", "rectangular", "rectangular"])
    width = d.between(0.75, 1.25) if shape in ("round", "square") else d.between(1.15, 2.0)
    depth = width if shape in ("round", "square") else d.between(0.7, 1.0)
    return _table(d, Words("table", ["dining table"]), shape, width, depth, d.between(0.7, 0.78))


def coffee_table(d: Dice) -> tuple[Solids, Words]:
    shape = d.pick(["round", "oval", "square", "rectangular", "rectangular"])
    width = d.between(0.6, 0.95) if shape in ("round", "square") else d.between(0.9, 1.3)
    depth = width if shape in ("round", "square") else d.between(0.5, 0.65)
    words = Words("coffee table", ["low table", "table"])
    return _table(d, words, shape, width, depth, d.between(0.34, 0.46))


def side_table(d: Dice) -> tuple[Solids, Words]:
    shape = d.pick(["round", "square"])
    width = d.between(0.36, 0.5)
    return _table(
        d,
        Words("side table", ["end table", "small table"]),
        shape,
        width,
        width,
        d.between(0.5, 0.62),
    )


def bar_table(d: Dice) -> tuple[Solids, Words]:
    shape = d.pick(["round", "round", "square"])
    width = d.between(0.55, 0.8)
    words = Words("bar table", ["high table", "bistro table"])
    return _table(d, words, shape, width, width, d.between(1.0, 1.12))


def _table(
    d: Dice, words: Words, shape: str, width: float, depth: float, height: float
) -> tuple[Solids, Words]:
    s = Solids(max(width, height))
    t, material = s.thin, d.pick(WOODS)
    words.adjectives.append(shape)
    thick = s.at_least(d.between(0.025, 0.05))
    w, dz, under = width / 2, depth / 2, height - thick

    def slab(low: float, high: float, share: float) -> None:
        s.lathe(
            [(1, low), (1, high)],
            material,
            stretch=(w * share, dz * share),
            exponent=_EXPONENTS[shape],
            sides=48,
        )

    slab(under, height, 1.0)
    rounded = shape in ("round", "oval")
    supports = ["legs", "legs", "legs", "pedestal", "cross"]
    if not rounded:
        supports += ["panels", "trestle"] if shape == "rectangular" else ["panels"]
    support = d.pick(supports)
    inset = 0.64 if rounded else 1.0
    if support == "legs":
        count = d.pick([3, 4]) if shape == "round" else 4
        style = d.pick(["straight", "straight", "tapered", "splayed"])
        leg = s.at_least(d.between(0.045, 0.085) * min(1.0, width)) / 2
        if count == 3:
            spread = {"splayed": 0.2 * height, "tapered": 0.03}.get(style, 0.0)
            for k in range(3):
                c, v = np.cos(np.pi / 2 + k * 2 * np.pi / 3), np.sin(np.pi / 2 + k * 2 * np.pi / 3)
                r = w * 0.72 - spread * 0.3
                s.rod(
                    ((r + spread) * c, 0, (r + spread) * v),
                    (r * c, under + t / 3, r * v),
                    max(t / 2, leg * 0.75),
                    material,
                    tip=leg,
                )
        else:
            margin = leg + (0.25 * height if style == "splayed" else 0.02) * (
                0.6 if rounded else 1.0
            )
            legs(
                s, (w - margin) * inset, (dz - margin) * inset, under + t / 3, leg, style, material
            )
        words.features.append(
            number(count, f"{style} leg" if style != "straight" and d.chance(0.8) else "leg")
        )
        x, z = (w - leg) * inset, (dz - leg) * inset
        if style == "straight" and count == 4 and height > 0.6 and d.chance(0.4):
            apron = s.at_least(0.09)
            s.box(-x, x, under - apron, under, z - t / 2, z + t / 2, material)
            s.box(-x, x, under - apron, under, -z - t / 2, -z + t / 2, material)
            for side in (-1, 1):
                s.box(side * x - t / 2, side * x + t / 2, under - apron, under, -z, z, material)
            words.features.append("an apron under the top")
        if style == "straight" and d.chance(0.4):
            y = height * d.between(0.18, 0.34)
            if rounded:
                slab(y, y + t, 0.76 if count == 3 else 0.9)
            else:
                s.box(-x, x, y, y + t, -z, z, material)
            words.features.append("a lower shelf")
        elif style == "straight" and count == 4 and not rounded and d.chance(0.3):
            y = height * 0.2
            for side in (-1, 1):
                s.rod((side * x, y, -z), (side * x, y, z), t * 0.55, material, square=True)
            s.rod((-x, y, 0), (x, y, 0), t * 0.55, material, square=True)
            words.features.append("a stretcher between the legs")
    elif support == "pedestal":
        column = s.at_least(d.between(0.06, 0.14)) / 2 * (1.3 if width > 1 else 1.0)
        base = min(w, dz) * d.between(0.5, 0.75)
        if shape in ("oval", "rectangular") and d.chance(0.6):
            for side in (-1, 1):
                s.lathe(
                    [(dz * 0.6, 0), (dz * 0.55, t), (column, t * 2), (column, under + t / 3)],
                    material,
                    x=side * w * 0.5,
                )
            words.features.append("two pedestals")
        else:
            flared = d.chance(0.4)
            profile = [
                (base, 0),
                (base, t),
                (column, t * (6 if flared else 1.6)),
                (column, under - t),
                (column * 1.6, under + t / 3),
            ]
            s.lathe(profile, d.pick(METALS) if d.chance(0.4) else material)
            words.features.append("a pedestal base" if not flared else "a trumpet base")
            words.synonyms.append("pedestal table")
    elif support == "cross":
        count = d.pick([3, 4])
        column = s.at_least(0.07) / 2
        reach = min(w, dz) * d.between(0.6, 0.8)
        s.rod((0, t, 0), (0, under + t / 3, 0), column, material)
        for k in range(count):
            angle = np.pi / 2 + 2 * np.pi * k / count + (np.pi / 4 if count == 4 else 0)
            c, v = np.cos(angle), np.sin(angle)
            s.rod(
                (0, height * 0.28, 0),
                (reach * c, t * 0.6, reach * v),
                column,
                material,
                tip=t * 0.6,
            )
        words.features.append(f"a central column on {number(count, 'foot', 'feet')}")
    elif support == "panels":
        panel = s.at_least(0.05)
        for side in (-1, 1):
            x0, x1 = sorted((side * w * 0.98, side * (w * 0.98 - panel)))
            s.box(x0, x1, 0, under + t / 3, -dz * 0.96, dz * 0.96, material)
        words.features.append("two panel legs")
        if d.chance(0.3):
            s.box(
                -w * 0.95, w * 0.95, height * 0.3, height * 0.3 + t, -dz * 0.9, dz * 0.9, material
            )
            words.features.append("a lower shelf")
    else:
        x = w * d.between(0.6, 0.75)
        for side in (-1, 1):
            for end in (-1, 1):
                s.rod(
                    (side * x, 0, end * dz * 0.9),
                    (side * x, under, end * dz * 0.15),
                    t * 0.7,
                    material,
                    square=True,
                )
            s.rod(
                (side * x, height * 0.35, -dz * 0.65),
                (side * x, height * 0.35, dz * 0.65),
                t * 0.6,
                material,
                square=True,
            )
        s.rod((-x, height * 0.35, 0), (x, height * 0.35, 0), t * 0.6, material, square=True)
        words.features.append("two trestles")
        words.synonyms.append("trestle table")
    return s, words


def drawers(
    d: Dice,
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
    handle = d.pick(["knob", "bar"])
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


def desk(d: Dice) -> tuple[Solids, Words]:
    width, depth, height = d.between(1.1, 1.6), d.between(0.55, 0.8), d.between(0.72, 0.76)
    s, words = Solids(width), Words("desk", ["writing desk", "office desk", "computer desk"])
    t, material = s.thin, d.pick(WOODS)
    w, dz = width / 2, depth / 2
    thick = s.at_least(0.03)
    under = height - thick
    s.box(-w, w, under, height, -dz, dz, material)
    kind = d.pick(["legs", "panels", "one pedestal", "one pedestal", "two pedestals"])
    pedestal = d.between(0.34, 0.42)
    if kind == "legs":
        leg = s.at_least(0.045) / 2
        legs(
            s,
            w - leg - 0.02,
            dz - leg - 0.02,
            under + t / 3,
            leg,
            d.pick(["straight", "tapered"]),
            d.pick(METALS),
        )
        words.features.append("four legs")
        if d.chance(0.5):
            count = d.whole(1, 3)
            box = (-w * 0.92, w * 0.92, under - s.at_least(0.11), under, dz * 0.92)
            s.box(box[0], box[1], box[2], box[3], -dz * 0.9, dz * 0.92, material)
            drawers(d, s, box, 1, material, columns=count)
            words.features.append(f"{number(count, 'flat drawer')} under the top")
    else:
        flip = d.pick([-1, 1])
        sides = {"panels": 0, "one pedestal": 1, "two pedestals": 2}[kind]
        count = d.whole(2, 4)
        for k, side in enumerate((flip, -flip)):
            if k < sides:
                x0, x1 = sorted((side * w * 0.98, side * (w * 0.98 - pedestal)))
                foot = d.pick([0.0, 0.05])
                s.box(x0, x1, foot, under + t / 3, -dz * 0.94, dz * 0.9, material)
                if foot:
                    s.box(x0 + t, x1 - t, 0, foot, -dz * 0.8, dz * 0.8, "black")
                drawers(d, s, (x0, x1, foot, under, dz * 0.9), count, material)
            else:
                x0, x1 = sorted((side * w * 0.98, side * (w * 0.98 - s.at_least(0.03))))
                s.box(x0, x1, 0, under + t / 3, -dz * 0.94, dz * 0.94, material)
        if sides == 1:
            words.features.append(f"{number(count, 'drawer')} on one side")
        elif sides == 2:
            words.features.append(f"two pedestals of {number(count, 'drawer')}")
            words.synonyms.append("pedestal desk")
        else:
            words.features.append("two panel legs")
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
            words.features.append("a back panel")
    if d.chance(0.25):
        top, deep = height + d.between(0.3, 0.5), -dz + d.between(0.2, 0.28)
        for x in (-w + t / 2, w - t / 2):
            s.box(x - t / 2, x + t / 2, height - t / 3, top, -dz, deep, material)
        s.box(-w, w, top - t, top, -dz, deep, material)
        words.features.append("a raised shelf")
    elif d.chance(0.25):
        x = d.between(-0.2, 0.2)
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
        words.features.append("a computer screen on it")
    return s, words


def corner_desk(d: Dice) -> tuple[Solids, Words]:
    width, wing = d.between(1.35, 1.7), d.between(1.2, 1.5)
    s, words = Solids(width), Words("corner desk", ["L-shaped desk", "desk"])
    t, material, height = s.thin, d.pick(WOODS), d.between(0.72, 0.76)
    depth, flip, w = d.between(0.55, 0.65), d.pick([-1, 1]), width / 2
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
        count = d.whole(2, 4)
        s.box(x0, x1, 0, height - t / 2, front - 0.4, front, material)
        drawers(d, s, (x0, x1, 0.02, height - t, front), count, material)
        words.features.append(number(count, "drawer"))
    else:
        for x in (x0 + leg, x1 - leg):
            s.box(x - leg, x + leg, 0, height - t / 2, front - 2 * leg, front, material)
        words.features.append("slender legs")
    words.features.append("an L-shaped top")
    return s, words


def picnic_table(d: Dice) -> tuple[Solids, Words]:
    length = d.between(1.5, 1.9)
    s, words = Solids(length), Words("picnic table", ["garden table with benches"])
    t, material, w = s.thin, d.pick(["pine", "oak", "brown"]), length / 2
    planks = 3
    for k in range(planks):
        z = -0.36 + 0.72 * k / planks
        s.box(-w, w, 0.72 - t, 0.72, z, z + 0.72 / planks - t * 0.6, material)
    for side in (-1, 1):
        z0, z1 = sorted((side * 0.55, side * 0.8))
        s.box(-w, w, 0.44 - t, 0.44, z0, z1, material)
        x = side * w * 0.68
        for end in (-1, 1):
            s.rod((x, 0, end * 0.68), (x, 0.7, end * 0.25), t * 0.7, material, square=True)
        s.box(x - t * 0.7, x + t * 0.7, 0.4 - t, 0.42, -0.75, 0.75, material)
        s.box(x - t * 0.7, x + t * 0.7, 0.68 - t, 0.7, -0.34, 0.34, material)
    words.features.append("two benches")
    return s, words


def dressing_table(d: Dice) -> tuple[Solids, Words]:
    width = d.between(0.9, 1.15)
    top = d.between(1.3, 1.5)
    s, words = (
        Solids(top),
        Words("dressing table", ["vanity table", "dressing table with a mirror"]),
    )
    t, material, w, dz, height = (
        s.thin,
        d.pick(WOODS),
        width / 2,
        d.between(0.2, 0.25),
        d.between(0.72, 0.78),
    )
    count = d.whole(1, 3)
    case = s.at_least(0.14)
    s.box(-w, w, height - case, height, -dz, dz, material)
    drawers(d, s, (-w, w, height - case, height, dz), 1, material, columns=count)
    legs(
        s, w - t, dz - t, height - case + t / 3, t * 0.7, d.pick(["straight", "tapered"]), material
    )
    rounded = d.chance(0.5)
    middle, half, reach = (height + top) / 2, (top - height) / 2, w * d.between(0.45, 0.7)
    outline = [
        (reach * c, middle + half * v)
        for c, v in (arc(0, 350, 36) if rounded else np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]))
    ]
    s.prism(outline, "z", -dz, -dz + t * 1.2, "glass")
    words.features += [
        number(count, "drawer"),
        f"{'an oval' if rounded else 'a rectangular'} mirror",
        "four legs",
    ]
    return s, words

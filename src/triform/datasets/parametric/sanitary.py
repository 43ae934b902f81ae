"""Washbasins, toilets, bidets, baths and showers."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.dice import Dice
from triform.datasets.parametric.seating import legs
from triform.datasets.parametric.solids import WOODS, Solids, arc, superellipse
from triform.datasets.parametric.tables import drawers
from triform.datasets.parametric.wording import Words, number


def _bowl(
    s: Solids,
    x: float,
    z: float,
    low: float,
    high: float,
    w: float,
    dz: float,
    *,
    floor: float,
    exponent: float = 2.0,
    taper: float = 0.6,
) -> None:
    """A hollow bowl with its opening on top; ``floor`` is the share of its depth that is solid."""
    t = s.at_least(0.022) * 1.05
    deep = high - low
    bottom = low + max(deep * floor, t)
    profile = [
        (taper, low), (1 - (1 - taper) * 0.35, low + deep * 0.45), (1, high - deep * 0.1), (1, high),
    ]  # fmt: skip
    inside = 1 - t / min(w, dz)
    profile += [
        (inside, high),
        (inside * 0.97, high - (high - bottom) * 0.4),
        (inside * max(taper, 0.55), bottom),
        (0.08, bottom),
    ]
    s.lathe(profile, "ceramic", x=x, z=z, stretch=(w, dz), exponent=exponent, sides=32)


def _tap(d: Dice, s: Solids, x: float, y: float, z: float, reach: float) -> None:
    r = s.thin * 0.55
    high = d.between(0.09, 0.18)
    s.tube(
        [
            (x, y - 0.02, z),
            (x, y + high * 0.7, z),
            (x, y + high, z + reach * 0.4),
            (x, y + high * 0.9, z + reach),
        ],
        r,
        "steel",
    )


def washbasin(d: Dice) -> tuple[Solids, Words]:
    style = d.pick(["pedestal", "pedestal", "wall", "column"])
    w, dz = d.between(0.24, 0.36), d.between(0.2, 0.26)
    rim = d.between(0.8, 0.9) if style != "wall" else d.between(0.2, 0.32)
    s, words = Solids(max(rim, 2 * w)), Words("washbasin", ["sink", "wash basin", "bathroom sink"])
    t = s.thin
    shape = d.pick(["round", "oval", "rectangular"])
    exponent = 7.0 if shape == "rectangular" else 2.0
    if shape == "round":
        dz = w = min(w, 0.27)
    words.adjectives.append(shape)
    deep = d.between(0.14, 0.2)
    _bowl(s, 0, 0, rim - deep, rim, w, dz, floor=0.2, exponent=exponent)
    s.cushion(
        -w * 0.75, w * 0.75, rim - deep * 0.75, rim, -dz - 0.07, -dz + t * 1.5, "ceramic", 0.3
    )
    if style == "pedestal":
        s.lathe(
            [(0.12, 0), (0.12, t), (0.075, 0.12), (0.07, rim - deep - 0.1), (0.13, rim - deep + t)],
            "ceramic",
            z=-0.03,
        )
        words.features.append("a pedestal")
        words.synonyms.append("pedestal sink")
    elif style == "column":
        s.lathe(
            [(w * 0.62, 0), (w * 0.62, rim - deep + t)],
            "ceramic",
            stretch=(1, dz / w),
            exponent=exponent,
        )
        words.features.append("a thick column")
    else:
        words.adjectives.append("wall-hung")
        s.cushion(-0.06, 0.06, 0.0, rim - deep + t * 1.5, -dz - 0.05, -0.02, "ceramic", 0.4)
    if d.chance(0.8):
        if d.chance(0.25):
            for side in (-1, 1):
                _tap(d, s, side * w * 0.35, rim, -dz - 0.02, 0.09)
            words.features.append("two taps")
        else:
            _tap(d, s, 0, rim, -dz - 0.02, dz * 0.75)
            words.features.append("a tap")
    return s, words


def vanity(d: Dice) -> tuple[Solids, Words]:
    count = d.pick([1, 1, 2])
    w, dz, rim = count * d.between(0.34, 0.42), d.between(0.22, 0.27), d.between(0.78, 0.88)
    s = Solids(max(2 * w, rim + 0.1))
    words = Words(
        "washbasin cabinet" if count == 1 else "double washbasin cabinet",
        ["bathroom vanity", "vanity unit", "washbasin"],
    )
    t, material = s.thin, d.pick(WOODS)
    floor = d.pick([0.0, 0.0, 0.2])
    vessel = d.chance(0.5)
    top = rim - (0.13 if vessel else 0.0)
    if vessel:
        s.box(-w, w, floor, top, -dz, dz, material)
        for k in range(count):
            x = 2 * w * ((k + 0.5) / count - 0.5)
            _bowl(
                s,
                x,
                0.02,
                top - t / 2,
                rim,
                w / count * 0.66,
                dz * 0.8,
                floor=0.25,
                exponent=d.pick([2.0, 6.0]),
            )
        words.features.append("a bowl on top" if count == 1 else "two bowls on top")
    else:
        case = top - 0.16
        s.box(-w, w, floor, case, -dz, dz, material)
        for k in range(count):
            x = 2 * w * ((k + 0.5) / count - 0.5)
            _bowl(
                s,
                x,
                0,
                case - t / 2,
                rim,
                w / count,
                dz * 1.02,
                floor=0.25,
                exponent=12.0,
                taper=0.97,
            )
        words.features.append("a set-in basin" if count == 1 else "two set-in basins")
    for k in range(count):
        x = 2 * w * ((k + 0.5) / count - 0.5)
        _tap(d, s, x, top if vessel else rim - t / 2, -dz + t, 0.12)
    face = (-w, w, floor, top - (0.0 if vessel else 0.17), dz)
    rows = d.whole(1, 3)
    drawers(d, s, face, rows, material, columns=count)
    words.features.append(number(rows * count, "drawer"))
    if floor and d.chance(0.5):
        legs(s, w * 0.9, dz * 0.85, floor + t / 2, t * 0.7, "straight", material)
        words.features.append("four legs")
    if d.chance(0.2):
        s.box(-w * 0.8, w * 0.8, rim + 0.2, rim + 0.9, -dz - t, -dz + t * 0.4, "glass")
        s.box(-t, t, top - 0.05, rim + 0.25, -dz - t, -dz + t * 0.3, "steel")
        words.features.append("a mirror above")
    return s, words


def toilet(d: Dice) -> tuple[Solids, Words]:
    s, words = Solids(0.8), Words("toilet", ["toilet bowl", "WC", "toilet with a cistern"])
    t = s.thin
    w, length, rim = d.between(0.17, 0.2), d.between(0.22, 0.27), d.between(0.38, 0.43)
    tank = d.pick(["close", "close", "close", "high", "none"])
    middle = 0.06
    square = d.pick([2.0, 2.0, 2.0, 3.5])
    style = d.pick(["pedestal", "skirted"]) if tank != "none" else "hung"
    if style == "pedestal":
        s.lathe(
            [(0.13, 0), (0.12, t), (0.085, 0.12), (0.1, 0.2), (0.15, rim * 0.62)],
            "ceramic",
            z=-0.03,
            stretch=(0.95, 1.35),
        )
        low = rim * 0.45
    elif style == "skirted":
        s.lathe(
            [(0.75, 0), (0.85, rim * 0.55)],
            "ceramic",
            z=0.0,
            stretch=(w, length * 1.1),
            exponent=2.6,
        )
        low = rim * 0.35
    else:
        low = rim * 0.3
        rim -= low * 0.6
        low *= 0.4
        s.cushion(-w * 0.85, w * 0.85, low, rim - t * 0.2, -length - 0.05, 0.0, "ceramic", 0.3)
        words.adjectives.append("wall-hung")
        words.synonyms.remove("toilet with a cistern")
    _bowl(s, 0, middle, low, rim, w, length, floor=0.3, exponent=square, taper=0.45)
    s.cushion(-w * 0.85, w * 0.85, rim - 0.12, rim, -length - 0.06, -length * 0.45, "ceramic", 0.3)
    lid = d.pick(["open", "open", "closed", "none"])
    ring = superellipse(28, square)
    if lid == "closed":
        s.lathe(
            [(1.0, rim), (1.02, rim + t), (0.94, rim + t * 1.4)],
            "white",
            z=middle,
            stretch=(w, length),
            exponent=square,
            sides=32,
        )
        words.features.append("a closed lid")
    elif lid == "open":
        outline = [(w * 0.98 * x, rim + length + length * y) for x, y in ring]
        zs = -length * 0.68
        rings = [
            np.array([(x, y, zs - (y - rim) * 0.12 + dz) for x, y in outline])
            for dz in (-t * 0.6, t * 0.6)
        ]
        s.loft(rings, "white")
        words.features.append("a raised lid")
    if lid != "closed":
        s.tube(
            [(w * 0.92 * x, rim + t * 0.4, middle + length * 0.94 * y) for x, y in ring],
            t * 0.7,
            "white",
            closed=True,
        )
    back = -length - 0.08
    if tank == "close":
        high = rim + d.between(0.3, 0.42)
        s.cushion(-w * 1.05, w * 1.05, rim - t, high, back - 0.12, back + 0.07, "ceramic", 0.25)
        s.cushion(
            -w * 1.12,
            w * 1.12,
            high - t * 0.3,
            high + t * 1.1,
            back - 0.13,
            back + 0.08,
            "ceramic",
            0.5,
        )
        words.features.append("a cistern")
    elif tank == "high":
        high = rim + d.between(0.8, 1.1)
        s.thin *= 1.5
        s.rod((0, rim - 0.05, back + 0.02), (0, high, back + 0.02), s.thin * 0.55, "white")
        s.box(-w, w, high, high + 0.25, back - 0.05, back + 0.1, "ceramic")
        words.features.append("a high cistern on a pipe")
    else:
        words.lacks.append("a cistern")
    return s, words


def bidet(d: Dice) -> tuple[Solids, Words]:
    s, words = Solids(0.58), Words("bidet", ["bathroom bidet"])
    t = s.thin
    w, length, rim = d.between(0.17, 0.2), d.between(0.26, 0.3), d.between(0.36, 0.41)
    if d.chance(0.5):
        s.lathe([(0.12, 0), (0.1, 0.1), (0.13, rim * 0.6)], "ceramic", stretch=(1, 1.4))
        words.features.append("a foot")
    else:
        s.lathe([(0.8, 0), (0.88, rim * 0.6)], "ceramic", stretch=(w, length), exponent=2.6)
        words.features.append("a closed base")
    _bowl(s, 0, 0, rim * 0.45, rim, w, length, floor=0.4, exponent=d.pick([2.0, 3.0]), taper=0.6)
    s.cushion(-w * 0.8, w * 0.8, rim - 0.1, rim, -length - 0.05, -length * 0.6, "ceramic", 0.3)
    _tap(d, s, 0, rim, -length + t * 0.5, 0.12)
    words.features.append("a tap")
    return s, words


def bathtub(d: Dice) -> tuple[Solids, Words]:
    half, w, rim = d.between(0.75, 0.9), d.between(0.36, 0.43), d.between(0.5, 0.6)
    s, words = Solids(2 * half), Words("bathtub", ["bath", "tub"])
    t = s.thin
    style = d.pick(["built-in", "freestanding", "clawfoot"])
    low = 0.12 if style == "clawfoot" else 0.0
    exponent, taper = {
        "built-in": (14.0, 0.99),
        "freestanding": (2.4, 0.72),
        "clawfoot": (2.6, 0.75),
    }[style]
    inside = 1 - 1.2 * t / w
    bottom = low + max(0.1, t * 1.2)
    if style == "built-in":
        ring_out, ring_in = superellipse(40, exponent), superellipse(40, d.pick([2.6, 5.0]))
        levels = [
            (1, low, ring_out),
            (1, rim, ring_out),
            (inside * 0.97, rim, ring_in),
            (inside * 0.8, bottom, ring_in),
            (0.05, bottom, ring_in),
        ]
        s.loft(
            [
                np.stack([r * half * ring[:, 0], np.full(40, y), r * w * ring[:, 1]], 1)
                for r, y, ring in levels
            ],
            "ceramic",
        )
    else:
        profile = [
            (taper, low),
            (0.92, low + rim * 0.35),
            (1, rim),
            (inside, rim),
            (inside * 0.9, low + rim * 0.35),
            (inside * taper, bottom),
            (0.05, bottom),
        ]
        s.lathe(profile, "ceramic", stretch=(half, w), exponent=exponent, sides=40)
        if style == "clawfoot":
            for sx in (-1, 1):
                for sz in (-1, 1):
                    s.rod(
                        (sx * half * 0.62, 0, sz * w * 0.62),
                        (sx * half * 0.55, low + t, sz * w * 0.5),
                        t,
                        "brass",
                        tip=t * 1.6,
                    )
            s.tube(
                [(half * x, rim, w * z) for x, z in superellipse(40, exponent)],
                t * 0.8,
                "ceramic",
                closed=True,
            )
            words.features.append("four feet")
    words.adjectives.append(style)
    if style != "built-in":
        words.adjectives.append("oval") if style == "freestanding" else words.synonyms.append(
            "freestanding bath"
        )
    if d.chance(0.7):
        flip = d.pick([-1, 1])
        x = flip * half * (0.97 if style == "built-in" else 0.99)
        s.tube(
            [
                (x, rim - t, 0),
                (x, rim + 0.16, 0),
                (x - flip * 0.08, rim + 0.2, 0),
                (x - flip * 0.18, rim + 0.15, 0),
            ],
            t * 0.55,
            "steel",
        )
        words.features.append("a tap")
    return s, words


def shower(d: Dice) -> tuple[Solids, Words]:
    w, high = d.between(0.4, 0.5), d.between(1.95, 2.15)
    s, words = Solids(high), Words("shower", ["shower stall", "shower cabin"])
    t = s.thin
    curved = d.chance(0.35)
    s.box(-w, w, 0, t * 1.6, -w, w, "ceramic") if not curved else s.prism(
        [(-w, -w), (w, -w), (w, 0), *((w * c, w * v) for c, v in arc(10, 80, 8)), (0, w), (-w, w)],
        "y",
        0,
        t * 1.6,
        "ceramic",
    )
    s.box(-w, w, 0, high, -w, -w + t * 0.7, "white")
    s.box(-w, -w + t * 0.7, 0, high, -w, w, "glass")
    if curved:
        turn = arc(85, 5, 11)
        rings = [
            np.array(
                [
                    (r * c, y, r * v)
                    for r, y in ((w - t * 0.7, 0.02), (w, 0.02), (w, high), (w - t * 0.7, high))
                ]
            )
            for c, v in turn
        ]
        s.loft(rings, "glass")
        s.box(w - t * 0.7, w, 0, high, -w, 0.01, "glass")
        words.adjectives.append("rounded")
        words.features.append("curved glass")
    else:
        open_front = d.chance(0.5)
        s.box(w - t * 0.7, w, 0, high, -w, w, "glass")
        if open_front:
            s.box(-w, w, high - t * 1.2, high, w - t, w, "steel")
            words.features += ["three walls", "an open front"]
        else:
            s.box(-w, w, 0, high, w - t * 0.7, w, "glass")
            s.box(-t, t, 0.9, 1.2, w, w + t, "steel")
            words.features += ["a glass door", "a handle"]
    s.rod((0, high * 0.45, -w + t), (0, high * 0.93, -w + t), t * 0.5, "steel")
    s.rod((0, high * 0.93, -w + t), (0, high * 0.9, -w + 0.28), t * 0.5, "steel")
    s.lathe(
        [(0.1, high * 0.87), (0.1, high * 0.87 + t), (t * 0.5, high * 0.9)], "steel", z=-w + 0.28
    )
    words.features += ["a tray", "a shower head"]
    return s, words

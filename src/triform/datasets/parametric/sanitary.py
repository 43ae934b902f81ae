"""Washbasins, toilets and bidets."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.desks import drawers
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.seating import legs
from triform.datasets.parametric.solids import WOODS, Solids, superellipse


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
        (taper, low),
        (1 - (1 - taper) * 0.35, low + deep * 0.45),
        (1, high - deep * 0.1),
        (1, high),
    ]
    inside = 1 - t / min(w, dz)
    profile += [
        (inside, high),
        (inside * 0.97, high - (high - bottom) * 0.4),
        (inside * max(taper, 0.55), bottom),
        (0.08, bottom),
    ]
    s.lathe(profile, "ceramic", x=x, z=z, stretch=(w, dz), exponent=exponent, sides=32)


def _tap(d: Sampler, s: Solids, x: float, y: float, z: float, reach: float) -> None:
    r = s.thin * 0.55
    high = d.uniform(0.09, 0.18)
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


def washbasin(d: Sampler) -> tuple[Solids, Description]:
    style = d.choice(["pedestal", "pedestal", "wall", "column"])
    w, dz = d.uniform(0.24, 0.36), d.uniform(0.2, 0.26)
    rim = d.uniform(0.8, 0.9) if style != "wall" else d.uniform(0.2, 0.32)
    s, text = (
        Solids(max(rim, 2 * w)),
        Description("washbasin", ["sink", "wash basin", "bathroom sink"]),
    )
    t = s.thin
    shape = d.choice(["round", "oval", "rectangular"])
    exponent = 7.0 if shape == "rectangular" else 2.0
    if shape == "round":
        dz = w = min(w, 0.27)
    text.adjectives.append(shape)
    deep = d.uniform(0.14, 0.2)
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
        text.features.append("a pedestal")
        text.synonyms.append("pedestal sink")
    elif style == "column":
        s.lathe(
            [(w * 0.62, 0), (w * 0.62, rim - deep + t)],
            "ceramic",
            stretch=(1, dz / w),
            exponent=exponent,
        )
        text.features.append("a thick column")
    else:
        text.adjectives.append("wall-hung")
        s.cushion(-0.06, 0.06, 0.0, rim - deep + t * 1.5, -dz - 0.05, -0.02, "ceramic", 0.4)
    if d.chance(0.8):
        if d.chance(0.25):
            for side in (-1, 1):
                _tap(d, s, side * w * 0.35, rim, -dz - 0.02, 0.09)
            text.features.append("two taps")
        else:
            _tap(d, s, 0, rim, -dz - 0.02, dz * 0.75)
            text.features.append("a tap")
    return s, text


def vanity(d: Sampler) -> tuple[Solids, Description]:
    count = d.choice([1, 1, 2])
    w, dz, rim = count * d.uniform(0.34, 0.42), d.uniform(0.22, 0.27), d.uniform(0.78, 0.88)
    s = Solids(max(2 * w, rim + 0.1))
    text = Description(
        "washbasin cabinet" if count == 1 else "double washbasin cabinet",
        ["bathroom vanity", "vanity unit", "washbasin"],
    )
    t, material = s.thin, d.choice(WOODS)
    floor = d.choice([0.0, 0.0, 0.2])
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
                exponent=d.choice([2.0, 6.0]),
            )
        text.features.append("a bowl on top" if count == 1 else "two bowls on top")
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
        text.features.append("a set-in basin" if count == 1 else "two set-in basins")
    for k in range(count):
        x = 2 * w * ((k + 0.5) / count - 0.5)
        _tap(d, s, x, top if vessel else rim - t / 2, -dz + t, 0.12)
    face = (-w, w, floor, top - (0.0 if vessel else 0.17), dz)
    rows = d.integer(1, 3)
    drawers(d, s, face, rows, material, columns=count)
    text.features.append(count_phrase(rows * count, "drawer"))
    if floor and d.chance(0.5):
        legs(s, w * 0.9, dz * 0.85, floor + t / 2, t * 0.7, "straight", material)
        text.features.append("four legs")
    if d.chance(0.2):
        s.box(-w * 0.8, w * 0.8, rim + 0.2, rim + 0.9, -dz - t, -dz + t * 0.4, "glass")
        s.box(-t, t, top - 0.05, rim + 0.25, -dz - t, -dz + t * 0.3, "steel")
        text.features.append("a mirror above")
    return s, text


def toilet(d: Sampler) -> tuple[Solids, Description]:
    s, text = (
        Solids(0.8),
        Description("toilet", ["toilet bowl", "WC", "toilet with a cistern"]),
    )
    t = s.thin
    w, length, rim = d.uniform(0.17, 0.2), d.uniform(0.22, 0.27), d.uniform(0.38, 0.43)
    tank = d.choice(["close", "close", "close", "high", "none"])
    middle = 0.06
    square = d.choice([2.0, 2.0, 2.0, 3.5])
    style = d.choice(["pedestal", "skirted"]) if tank != "none" else "hung"
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
        text.adjectives.append("wall-hung")
        text.synonyms.remove("toilet with a cistern")
    _bowl(s, 0, middle, low, rim, w, length, floor=0.3, exponent=square, taper=0.45)
    s.cushion(-w * 0.85, w * 0.85, rim - 0.12, rim, -length - 0.06, -length * 0.45, "ceramic", 0.3)
    lid = d.choice(["open", "open", "closed", "none"])
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
        text.features.append("a closed lid")
    elif lid == "open":
        outline = [(w * 0.98 * x, rim + length + length * y) for x, y in ring]
        zs = -length * 0.68
        rings = [
            np.array([(x, y, zs - (y - rim) * 0.12 + dz) for x, y in outline])
            for dz in (-t * 0.6, t * 0.6)
        ]
        s.loft(rings, "white")
        text.features.append("a raised lid")
    if lid != "closed":
        s.tube(
            [(w * 0.92 * x, rim + t * 0.4, middle + length * 0.94 * y) for x, y in ring],
            t * 0.7,
            "white",
            closed=True,
        )
    back = -length - 0.08
    if tank == "close":
        high = rim + d.uniform(0.3, 0.42)
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
        text.features.append("a cistern")
    elif tank == "high":
        high = rim + d.uniform(0.8, 1.1)
        s.thin *= 1.5
        s.rod((0, rim - 0.05, back + 0.02), (0, high, back + 0.02), s.thin * 0.55, "white")
        s.box(-w, w, high, high + 0.25, back - 0.05, back + 0.1, "ceramic")
        text.features.append("a high cistern on a pipe")
    else:
        text.lacks.append("a cistern")
    return s, text


def bidet(d: Sampler) -> tuple[Solids, Description]:
    s, text = Solids(0.58), Description("bidet", ["bathroom bidet"])
    t = s.thin
    w, length, rim = d.uniform(0.17, 0.2), d.uniform(0.26, 0.3), d.uniform(0.36, 0.41)
    if d.chance(0.5):
        s.lathe([(0.12, 0), (0.1, 0.1), (0.13, rim * 0.6)], "ceramic", stretch=(1, 1.4))
        text.features.append("a foot")
    else:
        s.lathe([(0.8, 0), (0.88, rim * 0.6)], "ceramic", stretch=(w, length), exponent=2.6)
        text.features.append("a closed base")
    _bowl(s, 0, 0, rim * 0.45, rim, w, length, floor=0.4, exponent=d.choice([2.0, 3.0]), taper=0.6)
    s.cushion(-w * 0.8, w * 0.8, rim - 0.1, rim, -length - 0.05, -length * 0.6, "ceramic", 0.3)
    _tap(d, s, 0, rim, -length + t * 0.5, 0.12)
    text.features.append("a tap")
    return s, text

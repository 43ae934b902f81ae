"""Lamps: standing, on tables and desks, hanging, on walls and in the street."""

# ruff: noqa: RUF005 -- sums of arrays, not joined tuples
from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import METALS, WOODS, Solids, arc

SHADES = ("conical", "cylindrical", "dome", "globe", "bell")


def lampshade(
    s: Solids, style: str, x: float, z: float, low: float, high: float, radius: float, material: str
) -> None:
    """A lampshade about a vertical axis: open below (the conical and cylindrical ones above too)."""
    t = max(s.thin * 0.9, radius * 0.12)
    top = {"conical": 0.5, "cylindrical": 1.0}.get(style, 0.3) * radius
    if style == "globe":
        s.ball((x, (low + high) / 2, z), (radius, (high - low) / 2, radius), material)
        return
    if style in ("conical", "cylindrical"):
        profile = [(radius, low), (top, high), (max(top - t, t * 0.3), high), (radius - t, low)]
        s.lathe(profile, material, x=x, z=z, closed=True)
        return
    steps = arc(0, 80, 7)
    if style == "dome":
        outer = [(radius * c, low + (high - low) * v) for c, v in steps]
    else:
        outer = [
            (radius * (1 - v) ** 0.6 * 0.8 + radius * 0.2, low + (high - low) * v)
            for v in np.linspace(0, 1, 7)
        ]
    inner = [(max(r - t, t * 0.2), y - t * 0.9 * k / 6) for k, (r, y) in enumerate(outer)][::-1]
    s.lathe([*outer, *inner], material, x=x, z=z)


def floor_lamp(d: Sampler) -> tuple[Solids, Description]:
    high = d.uniform(1.35, 1.75)
    s, text = Solids(high), Description("floor lamp", ["standing lamp", "lamp"])
    t, metal, shade = s.thin, d.choice(METALS), d.choice(SHADES)
    radius, tall = d.uniform(0.16, 0.26), d.uniform(0.22, 0.36)
    base = d.choice(["disc", "disc", "tripod", "arc"])
    low = high - tall
    if base == "arc":
        reach = d.uniform(0.5, 0.8)
        s.lathe([(0.17, 0), (0.17, t * 1.3)], "black", z=0)
        turn = arc(0, 180, 21)
        path = [
            (0, 0, 0),
            (0, high * 0.55, 0),
            *((reach / 2 * (1 - c), high * 0.62 + (high * 0.36) * v, 0) for c, v in turn[1:-2]),
        ]
        s.tube(path, t * 0.55, metal)
        x, y, _ = path[-1]
        small = radius * 0.9
        s.rod((x, y, 0), (x, y - 0.1, 0), t * 0.5, metal)
        lampshade(
            s,
            shade if shade != "cylindrical" else "dome",
            x,
            0,
            y - 0.1 - small,
            y - 0.08,
            small,
            "linen",
        )
        text.adjectives.append("arched")
        text.synonyms.insert(0, "arc lamp")
        text.features += [
            "a curved arm",
            f"a {shade if shade != 'cylindrical' else 'dome'} shade",
        ]
        return s, text
    if base == "disc":
        r = d.uniform(0.13, 0.18)
        s.lathe([(r, 0), (r, t), (t * 0.6, t * 1.5), (t * 0.6, low + tall * 0.5)], metal)
        text.features.append("a round base")
    else:
        joint = low + tall * 0.1
        for k in range(3):
            angle = np.pi / 2 + k * 2 * np.pi / 3
            s.rod(
                (0.3 * np.cos(angle), 0, 0.3 * np.sin(angle)),
                (0, joint, 0),
                t * 0.5,
                d.choice(WOODS) if k == 0 else metal,
                tip=t * 0.7,
            )
        s.rod((0, joint - t, 0), (0, low + tall * 0.5, 0), t * 0.6, metal)
        text.features.append("three legs")
        text.adjectives.append("tripod")
    lampshade(
        s, shade, 0, 0, low, high, min(radius, tall * 0.6) if shade == "globe" else radius, "linen"
    )
    spokes(s, low, tall, radius, shade, metal)
    text.features.append(f"a {shade} shade")
    return s, text


def spokes(s: Solids, low: float, tall: float, radius: float, shade: str, material: str) -> None:
    """Bars that carry a shade that is open at the top."""
    if shade in ("conical", "cylindrical"):
        y = low + tall * 0.5
        reach = radius * (0.75 if shade == "conical" else 1.0) - s.thin * 0.3
        s.rod((-reach, y, 0), (reach, y, 0), s.thin * 0.45, material)
        s.rod((0, y, -reach), (0, y, reach), s.thin * 0.45, material)
    else:
        s.rod((0, low + tall * 0.45, 0), (0, low + tall * 0.95, 0), s.thin * 0.6, material)


def table_lamp(d: Sampler) -> tuple[Solids, Description]:
    high = d.uniform(0.4, 0.7)
    s, text = Solids(high), Description("table lamp", ["bedside lamp", "lamp"])
    t, shade, material = (
        s.thin,
        d.choice(SHADES),
        d.choice(["ceramic", "brass", "oak", "blue", "black"]),
    )
    radius, tall = high * d.uniform(0.24, 0.36), high * d.uniform(0.35, 0.5)
    low = high - tall
    body = d.choice(["vase", "ball", "column", "cone", "stem"])
    r = high * d.uniform(0.11, 0.17)
    neck = t * 0.7
    profile = {
        "vase": [
            (r * 0.7, 0),
            (r, low * 0.3),
            (r * 1.1, low * 0.5),
            (r * 0.6, low * 0.85),
            (neck, low),
        ],
        "ball": [
            (r * 0.7, 0),
            (r * 0.7, t),
            *((max(neck, r * 1.15 * c), t + low * 0.45 * (1 + v)) for c, v in arc(-75, 75, 9)),
            (neck, low),
        ],
        "column": [(r, 0), (r, t), (r * 0.55, t * 1.4), (r * 0.55, low * 0.95), (neck, low)],
        "cone": [(r * 1.2, 0), (neck, low)],
        "stem": [(r * 1.2, 0), (r * 1.2, t), (neck, t * 1.6), (neck, low)],
    }[body]
    s.lathe([*profile, (neck, low + tall * 0.5)], material)
    lampshade(
        s, shade, 0, 0, low, high, min(radius, tall * 0.62) if shade == "globe" else radius, "linen"
    )
    spokes(s, low, tall, radius, shade, "steel")
    text.features += [
        f"a {shade} shade",
        {
            "vase": "a vase-shaped base",
            "ball": "a round body",
            "column": "a column base",
            "cone": "a conical base",
            "stem": "a thin stem",
        }[body],
    ]
    return s, text


def desk_lamp(d: Sampler) -> tuple[Solids, Description]:
    s, text = Solids(0.55), Description("desk lamp", ["reading lamp", "office lamp", "lamp"])
    t, metal = s.thin, d.choice(METALS)
    r = d.uniform(0.07, 0.1)
    s.lathe([(r, 0), (r, t), (t, t * 1.8)], metal, z=-0.1)
    bend = d.choice(["elbow", "elbow", "gooseneck"])
    if bend == "elbow":
        lower, upper = d.uniform(0.26, 0.36), d.uniform(0.22, 0.32)
        a, b = np.radians(d.uniform(95, 125)), np.radians(d.uniform(15, 55))
        knee = np.array([0, t + lower * np.sin(a), -0.1 + lower * np.cos(a)])
        head = knee + (0, upper * np.sin(b), upper * np.cos(b))
        s.rod((0, t, -0.1), knee, t * 0.55, metal)
        s.rod(knee, head, t * 0.55, metal)
        s.ball(knee, (t * 0.9,) * 3, metal)
        text.features.append("a jointed arm")
    else:
        high = d.uniform(0.38, 0.48)
        turn = [(0, high * 0.7 + high * 0.3 * v, 0.02 - 0.12 * c) for c, v in arc(0, 150, 13)]
        s.tube([(0, t, -0.1), (0, high * 0.5, -0.1), *turn], t * 0.55, metal)
        head = np.array(turn[-1])
        text.features.append("a curved neck")
    tilt = np.radians(d.uniform(-75, -40))
    towards = np.array([0, np.sin(tilt), np.cos(tilt)])
    wide = d.uniform(0.06, 0.09)
    if d.chance(0.25):
        s.box(
            -wide * 2,
            wide * 2,
            head[1] - t * 0.8,
            head[1] + t * 0.8,
            head[2] - t,
            head[2] + t * 2.5,
            metal,
        )
        text.features.append("a bar-shaped head")
    else:
        s.rod(head - towards * 0.03, head + towards * 0.11, t * 0.9, metal, tip=wide)
        text.features.append("a conical head")
    text.features.append("a round base")
    return s, text


def street_lamp(d: Sampler) -> tuple[Solids, Description]:
    high = d.uniform(3.0, 4.5)
    s, text = (
        Solids(high),
        Description("street lamp", ["lamp post", "street light", "outdoor lamp"]),
    )
    t, metal = s.thin, d.choice(["black", "steel", "green"])
    style = d.choice(["lantern", "arm", "globe", "double"])
    s.lathe(
        [(t * 2, 0), (t * 2, t), (t * 1.4, t * 2), (t * 0.7, t * 4), (t * 0.6, high * 0.86)], metal
    )
    if style == "lantern":
        s.lathe(
            [
                (t * 1.2, high * 0.85),
                (t * 2.4, high * 0.95),
                (t * 2.8, high * 0.955),
                (t * 0.4, high),
            ],
            "glass",
            exponent=8,
            sides=16,
        )
        text.features.append("a lantern on top")
    elif style == "globe":
        r = high * 0.07
        s.ball((0, high - r, 0), (r, r, r), "glass")
        text.features.append("a globe on top")
    else:
        sides = (-1, 1) if style == "double" else (1,)
        for side in sides:
            reach = high * 0.2
            path = [
                (0, high * 0.84, 0),
                *(
                    (0, high * 0.86 + high * 0.12 * v, side * reach * 0.5 * (1 - c))
                    for c, v in arc(0, 120, 9)
                ),
            ]
            s.tube(path, t * 0.6, metal)
            z = path[-1][2]
            y = path[-1][1]
            s.box(
                -t,
                t,
                y - t * 0.9,
                y + t * 0.4,
                z - t if side > 0 else z - t * 5,
                z + t * 5 if side > 0 else z + t,
                metal,
            )
        text.features.append("two curved arms" if style == "double" else "a curved arm")
    return s, text

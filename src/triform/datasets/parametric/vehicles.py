"""Cars, vans, trucks, buses, bicycles, motorcycles and aeroplanes, driving to +Z."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import Solids, arc

PAINTS = ("red", "blue", "green", "grey", "white", "black", "steel")


def hull(
    s: Solids, sections: list[tuple[float, float, float, float, float]], material: str
) -> None:
    """Sheet metal along z: each section is (z, bottom, top, half width below, half width above)."""
    rings = []
    for z, y0, y1, wb, wt in sections:
        h = y1 - y0
        half = [
            (wb * 0.9, y0),
            (wb, y0 + h * 0.15),
            (wb, y0 + h * 0.6),
            (wt, y1 - h * 0.12),
            (wt * 0.86, y1),
        ]
        ring = [*half, *((-x, y) for x, y in reversed(half))]
        rings.append(np.array([(x, y, z) for x, y in ring]))
    s.loft(rings, material)


def wheels(s: Solids, w: float, radius: float, zs: list[float], width: float) -> None:
    for z in zs:
        s.rod((-w, radius, z), (w, radius, z), s.thin * 0.6, "black")
        for side in (-1, 1):
            x0, x1 = side * (w - width), side * (w + s.thin * 0.12)
            ring = radius * arc(0, 340, 18)
            s.loft([np.array([(x, radius + v, z + c) for c, v in ring]) for x in (x0, x1)], "black")
            s.loft(
                [
                    np.array([(x, radius + 0.5 * v, z + 0.5 * c) for c, v in ring])
                    for x in (x1 - side * 0.01, x1 + side * s.thin * 0.2)
                ],
                "steel",
            )


def truck(d: Sampler) -> tuple[Solids, Description]:
    load = d.choice(["box", "box", "flatbed", "tank", "dump", "trailer"])
    length, w = (
        (d.uniform(10.0, 13.0) if load == "trailer" else d.uniform(6.2, 8.0)),
        d.uniform(1.1, 1.25),
    )
    s, text = Solids(length), Description("truck", ["lorry", "cargo truck"])
    h, paint, floor, cab = length / 2, d.choice(PAINTS), 0.55, d.uniform(1.7, 2.1)
    high, bonnet = d.uniform(2.6, 3.1), d.chance(0.35)
    front = h - (1.0 if bonnet else 0.0)
    hull(
        s,
        [
            (front - cab, floor, high, w, w * 0.94),
            (front - 0.5, floor, high, w, w * 0.94),
            (front - 0.12, floor, high * 0.62, w, w * 0.95),
            (front, floor, high * 0.58, w * 0.97, w * 0.92),
        ],
        paint,
    )
    if bonnet:
        hull(
            s,
            [
                (front - 0.2, floor, 1.75, w * 0.8, w * 0.7),
                (h - 0.1, floor, 1.6, w * 0.75, w * 0.66),
                (h, floor + 0.1, 1.45, w * 0.7, w * 0.6),
            ],
            paint,
        )
        text.features.append("a long hood")
    else:
        text.features.append("a flat cab")
    back = front - cab - s.thin * 0.7
    s.box(-w * 0.45, w * 0.45, 0.5, 0.98, -h, front - 0.3, "black")
    bed = 0.95
    if load in ("box", "trailer"):
        top = d.uniform(2.9, 3.6)
        s.box(-w, w, bed, top, -h, back, d.choice(PAINTS))
        text.features.append("a long trailer" if load == "trailer" else "a cargo box")
        if load == "trailer":
            text.synonyms = ["semi-trailer truck", "lorry"]
    elif load == "tank":
        r = d.uniform(0.9, 1.1)
        rings = [
            np.array([(r * k * c, bed + r + r * 0.92 * k * v - 0.1, z) for c, v in arc(0, 345, 24)])
            for z, k in ((-h, 0.7), (-h + 0.2, 1.0), (back - 0.2, 1.0), (back, 0.7))
        ]
        s.loft(rings, "steel")
        s.box(-w * 0.6, w * 0.6, 0.7, bed + 0.2, -h + 0.1, back - 0.1, "black")
        text.features.append("a tank")
        text.synonyms.append("tanker")
    else:
        s.box(-w, w, bed - s.thin * 0.6, bed + s.thin * 0.5, -h, back, "brown")
        if load == "dump":
            t, rim = s.thin, d.uniform(1.7, 2.0)
            for side in (-1, 1):
                x0, x1 = sorted((side * w, side * (w - t)))
                s.box(x0, x1, bed, rim, -h, back, "grey")
            s.box(-w, w, bed, rim, -h, -h + t, "grey")
            s.box(-w, w, bed, rim + 0.3, back - t, back, "grey")
            text.features.append("an open dump body")
            text.synonyms.append("dump truck")
        else:
            text.features.append("a flat bed")
    radius = d.uniform(0.46, 0.54)
    axles = [-h * 0.72, front - cab * 0.55]
    if load == "trailer":
        axles += [-h * 0.72 + 2.3 * radius, front - cab - 0.9]
    elif d.chance(0.4):
        axles.append(-h * 0.72 + 2.2 * radius)
    wheels(s, w, radius, axles, 0.35)
    text.features.append(f"{count_phrase(2 * len(axles), 'wheel')}")
    return s, text


def bus(d: Sampler) -> tuple[Solids, Description]:
    length, w, high = d.uniform(7.0, 12.5), d.uniform(1.15, 1.3), d.uniform(2.7, 3.3)
    double = d.chance(0.2)
    if double:
        length, high = d.uniform(8.5, 10.0), d.uniform(4.0, 4.3)
    s, text = Solids(length), Description("bus", ["city bus", "coach", "passenger bus"])
    h, paint, floor, t = length / 2, d.choice(PAINTS), 0.4, s.thin
    s.cushion(-w, w, floor, high, -h, h, paint, 0.25)
    for level in ((1.3, 2.0), (2.7, 3.4)) if double else ((1.35, high - 0.75),):
        count = round(length / 1.5)
        for k in range(count):
            z0, z1 = (-h * 0.92 + 1.84 * h * (k + share) / count for share in (0.12, 0.88))
            for side in (-1, 1):
                x0, x1 = sorted((side * w * 0.9, side * (w + t * 0.35)))
                s.box(x0, x1, level[0], level[1], z0, z1, "glass")
        s.box(-w * 0.82, w * 0.82, level[0], level[1] + 0.1, h * 0.9, h + t * 0.3, "glass")
    wheels(s, w, 0.5, [-h * 0.55, h * 0.62], 0.35)
    text.features += ["two decks"] if double else []
    text.features += ["rows of windows", "four wheels"]
    if double:
        text.adjectives.append("double-decker")
    return s, text


def airplane(d: Sampler) -> tuple[Solids, Description]:
    length = 10.0
    s, text = Solids(length), Description("airplane", ["aeroplane", "aircraft", "plane"])
    t, paint, h = s.thin, d.choice(["white", "steel", "blue", "red"]), length / 2
    jet = d.chance(0.6)
    r = d.uniform(0.5, 0.65)
    profile = [
        (-1.0, 0.15, 0.35),
        (-0.75, 0.6, 0.15),
        (-0.4, 1.0, 0.0),
        (0.6, 1.0, 0.0),
        (0.85, 0.7, -0.05),
        (0.97, 0.3, -0.1),
        (1.0, 0.1, -0.1),
    ]
    y = r + 0.9
    s.loft(
        [
            np.array([(k * r * c, y + r * up + k * r * v, z * h) for c, v in arc(0, 340, 18)])
            for z, k, up in profile
        ],
        paint,
    )
    span = length * d.uniform(0.42, 0.5)
    sweep = d.uniform(1.2, 2.2) if jet else d.uniform(0.0, 0.3)
    high = not jet and d.chance(0.5)
    level = y + (r * 0.8 if high else -r * 0.5)
    chord, tip = d.uniform(1.6, 2.2) if jet else d.uniform(1.3, 1.6), d.uniform(0.6, 1.1)
    for side in (-1, 1):
        rings = []
        for x, z0, z1, k in (
            (0.0, 0.9, 0.9 - chord, 1.0),
            (span, 0.8 - sweep, 0.8 - sweep - tip, 0.7),
        ):
            thick = t * 0.7 * k
            rings.append(
                np.array(
                    [
                        (side * x, level - thick + x * 0.05, z0),
                        (side * x, level - thick + x * 0.05, z1),
                        (side * x, level + thick + x * 0.05, z1),
                        (side * x, level + thick + x * 0.05, z0),
                    ]
                )
            )
        s.loft(rings, paint)
        rings = [
            np.array(
                [
                    (side * x, y + r * 0.35 - t * 0.55, z0),
                    (side * x, y + r * 0.35 - t * 0.55, z1),
                    (side * x, y + r * 0.35 + t * 0.55, z1),
                    (side * x, y + r * 0.35 + t * 0.55, z0),
                ]
            )
            for x, z0, z1 in (
                (0.0, -h * 0.74, -h * 0.98),
                (span * 0.38, -h * 0.74 - sweep * 0.35, -h * 0.96 - sweep * 0.2),
            )
        ]
        s.loft(rings, paint)
        if jet:
            for k in range(d.choice([1, 1, 2]) if side < 0 else 0):
                for mirrored in (-1, 1):
                    x = mirrored * span * (0.34 + 0.3 * k)
                    z = 0.7 - sweep * abs(x) / span
                    s.rod(
                        (x, level - 0.3, z + 0.35),
                        (x, level - 0.3, z - 0.9),
                        0.36,
                        "steel",
                        tip=0.26,
                    )
    fin = d.uniform(1.4, 1.9)
    s.prism(
        [
            (-h * 0.68, y + r * 0.3),
            (-h * 0.98, y + r * 0.3),
            (-h * 1.02, y + r + fin),
            (-h * 0.88, y + r + fin),
        ],
        "x",
        -t * 0.55,
        t * 0.55,
        paint,
    )
    if jet:
        text.features += ["swept wings", "jet engines", "a tail fin"]
        text.synonyms.append("jet airliner")
    else:
        s.ball((0, y - r * 0.15, h), (t * 1.2, t * 1.2, t * 1.4), "steel")
        s.box(-t * 0.5, t * 0.5, y - 1.0, y + 0.8, h * 0.985, h * 0.985 + t * 0.9, "black")
        text.features += [
            "straight wings" if not high else "high straight wings",
            "a propeller",
            "a tail fin",
        ]
    if d.chance(0.4):
        for x, z in ((0, h * 0.62), (-0.7, -0.4), (0.7, -0.4)):
            s.rod((x, 0.25, z), (x * 0.8, level if x else y - r * 0.7, z), t * 0.6, "steel")
            s.ball((x, 0.27, z), (t * 0.7, 0.27, 0.27), "black")
        text.features.append("landing gear")
    return s, text

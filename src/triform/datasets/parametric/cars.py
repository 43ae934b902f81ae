"""Cars and vans, driving to +Z."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import Solids
from triform.datasets.parametric.vehicles import PAINTS, hull, wheels


def car(d: Sampler) -> tuple[Solids, Description]:
    body = d.choice(
        [
            "sedan",
            "sedan",
            "hatchback",
            "hatchback",
            "SUV",
            "sports car",
            "station wagon",
            "pickup truck",
            "convertible",
        ]
    )
    length = {
        "hatchback": d.uniform(3.0, 4.2),
        "SUV": d.uniform(4.0, 4.9),
        "pickup truck": d.uniform(4.8, 5.6),
    }.get(body, d.uniform(4.1, 5.1))
    s = Solids(length)
    text = (
        Description("pickup truck", ["pickup", "car"])
        if body == "pickup truck"
        else Description("car", [body, body, "automobile"])
    )
    paint, w = d.choice(PAINTS), d.uniform(0.8, 0.97)
    tall = {
        "SUV": d.uniform(1.62, 1.9),
        "sports car": d.uniform(1.1, 1.28),
        "pickup truck": d.uniform(1.65, 1.9),
        "hatchback": d.uniform(1.42, 1.65),
    }.get(body, d.uniform(1.34, 1.55))
    belt, floor = tall * d.uniform(0.58, 0.67), 0.34 if body in ("SUV", "pickup truck") else 0.22
    h = length / 2
    nose, hood = belt * d.uniform(0.72, 0.82), belt * d.uniform(0.92, 1.0)
    tail = {"sedan": belt * 1.02, "hatchback": belt * 1.05}.get(body, belt * 1.0)
    # Where the glass starts and ends, and the roof between, as shares of half the length.
    front, roof_front, roof_back, back = {
        "sedan": (0.42, 0.12, -0.38, -0.68),
        "hatchback": (0.46, 0.16, -0.72, -0.95),
        "SUV": (0.46, 0.22, -0.82, -0.95),
        "sports car": (0.36, 0.02, -0.32, -0.8),
        "station wagon": (0.42, 0.14, -0.82, -0.96),
        "pickup truck": (0.5, 0.3, -0.08, -0.14),
        "convertible": (0.4, 0.2, 0.12, 0.1),
    }[body]
    hull(
        s,
        [
            (-h, floor + 0.1, tail * 0.86, w * 0.86, w * 0.8),
            (-h * 0.94, floor, tail * 0.97, w * 0.97, w * 0.88),
            (-h * 0.6, floor, tail, w, w * 0.9),
            (front * h, floor, hood, w, w * 0.9),
            (h * 0.75, floor, (hood + nose) / 2, w * 0.99, w * 0.88),
            (h * 0.95, floor, nose, w * 0.93, w * 0.82),
            (h, floor + 0.1, nose * 0.82, w * 0.8, w * 0.7),
        ],
        paint,
    )
    base, roof = w * 0.9, w * d.uniform(0.7, 0.78)
    if body == "convertible":
        s.box(-base * 0.9, base * 0.9, belt, belt + s.thin, -h * 0.5, front * h, "black")
        rings = [
            np.array(
                [
                    (-base, hood - 0.05, z),
                    (base, hood - 0.05, z),
                    (roof, tall * 0.96, z - 0.32),
                    (-roof, tall * 0.96, z - 0.32),
                ]
            )
            for z in (front * h - s.thin, front * h)
        ]
        s.loft(rings, "glass")
        for x in (-0.38, 0.38):
            for z in (-0.05, -0.38):
                s.cushion(
                    x - 0.25,
                    x + 0.25,
                    belt * 0.8,
                    belt + 0.32,
                    z * h - 0.09,
                    z * h + 0.09,
                    "black",
                    0.5,
                )
        text.features.append("an open top")
        text.synonyms.append("open car")
    else:
        low = min(belt, hood) - 0.08
        # The cabin leans in: its sections shrink from the belt line to the roof.
        corner = [(front, roof_front), (back, roof_back)]
        rings = []
        for y, share, width in (
            (low, 0.0, base),
            (tall - 0.09, 0.82, roof * 1.06),
            (tall, 1.0, roof * 0.94),
        ):
            zf, zb = (h * (a + (b - a) * share) for a, b in corner)
            rings.append(
                np.array([(-width, y, zb), (width, y, zb), (width, y, zf), (-width, y, zf)])
            )
        s.loft(rings, "glass" if d.chance(0.3) else paint)
    if body == "pickup truck":
        t, z1, z0 = s.thin * 0.9, back * h, -h * 0.97
        s.box(-w * 0.96, -w * 0.96 + t, belt * 0.7, belt + 0.16, z0, z1, paint)
        s.box(w * 0.96 - t, w * 0.96, belt * 0.7, belt + 0.16, z0, z1, paint)
        s.box(-w * 0.96, w * 0.96, belt * 0.7, belt + 0.16, z0, z0 + t, paint)
        text.features.append("an open bed")
    radius = d.uniform(0.3, 0.35) * (1.12 if floor > 0.3 else 1.0)
    wheels(s, w, radius, [-h * d.uniform(0.56, 0.64), h * d.uniform(0.58, 0.66)], 0.24)
    text.features += {
        "sedan": ["a separate trunk"],
        "hatchback": ["a steep rear door"],
        "SUV": ["a tall body"],
        "sports car": ["a low roof"],
        "station wagon": ["a long roof"],
        "pickup truck": [],
        "convertible": [],
    }[body]
    if body in ("sedan", "SUV", "sports car"):
        text.features.append("four wheels")
    if body not in ("convertible", "sports car") and d.chance(0.2):
        for x in (-roof * 0.8, roof * 0.8):
            s.rod(
                (x, tall + 0.05, roof_back * h),
                (x, tall + 0.05, roof_front * h),
                s.thin * 0.5,
                "black",
            )
        text.features.append("a roof rack")
    for side in (-1, 1):
        s.ball((side * (w * 0.98 + 0.05), belt + 0.06, front * h - 0.35), (0.1, 0.08, 0.07), paint)
    return s, text


def van(d: Sampler) -> tuple[Solids, Description]:
    length, w, tall = d.uniform(4.6, 5.8), d.uniform(0.92, 1.0), d.uniform(1.9, 2.5)
    s, text = Solids(length), Description("van", ["delivery van", "minibus", "vehicle"])
    h, paint, floor = length / 2, d.choice(PAINTS), 0.3
    hood = d.uniform(0.95, 1.15)
    snub = d.chance(0.4)
    zf, zr = (0.93, 0.72) if snub else (0.66, 0.42)
    hull(
        s,
        [
            (-h, floor, tall * 0.98, w * 0.97, w * 0.88),
            (-h * 0.96, floor, tall, w, w * 0.9),
            (zr * h, floor, tall, w, w * 0.9),
            (zf * h, floor, hood + 0.05, w, w * 0.9),
            (h * 0.96, floor, hood * 0.85, w * 0.95, w * 0.85),
            (h, floor + 0.1, hood * 0.7, w * 0.85, w * 0.75),
        ],
        paint,
    )
    wheels(s, w, d.uniform(0.33, 0.38), [-h * 0.6, h * 0.66], 0.26)
    text.features += [
        "a flat front" if snub else "a short hood",
        "a high roof" if tall > 2.2 else "a low roof",
        "four wheels",
    ]
    return s, text

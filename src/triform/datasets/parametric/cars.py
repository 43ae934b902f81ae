"""Cars and vans, driving to +Z."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.dice import Dice
from triform.datasets.parametric.solids import Solids
from triform.datasets.parametric.vehicles import PAINTS, hull, wheels
from triform.datasets.parametric.wording import Words


def car(d: Dice) -> tuple[Solids, Words]:
    body = d.pick(
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
        "hatchback": d.between(3.0, 4.2),
        "SUV": d.between(4.0, 4.9),
        "pickup truck": d.between(4.8, 5.6),
    }.get(body, d.between(4.1, 5.1))
    s = Solids(length)
    words = (
        Words("pickup truck", ["pickup", "car"])
        if body == "pickup truck"
        else Words("car", [body, body, "automobile"])
    )
    paint, w = d.pick(PAINTS), d.between(0.8, 0.97)
    tall = {
        "SUV": d.between(1.62, 1.9),
        "sports car": d.between(1.1, 1.28),
        "pickup truck": d.between(1.65, 1.9),
        "hatchback": d.between(1.42, 1.65),
    }.get(body, d.between(1.34, 1.55))
    belt, floor = tall * d.between(0.58, 0.67), 0.34 if body in ("SUV", "pickup truck") else 0.22
    h = length / 2
    nose, hood = belt * d.between(0.72, 0.82), belt * d.between(0.92, 1.0)
    tail = {"sedan": belt * 1.02, "hatchback": belt * 1.05}.get(body, belt * 1.0)
    # Where the glass starts and ends, and the roof between, as shares of half the length.
    front, roof_front, roof_back, back = {
        "sedan": (0.42, 0.12, -0.38, -0.68), "hatchback": (0.46, 0.16, -0.72, -0.95), "SUV": (0.46, 0.22, -0.82, -0.95),
        "sports car": (0.36, 0.02, -0.32, -0.8), "station wagon": (0.42, 0.14, -0.82, -0.96),
        "pickup truck": (0.5, 0.3, -0.08, -0.14), "convertible": (0.4, 0.2, 0.12, 0.1),
    }[body]  # fmt: skip
    hull(
        s,
        [
            (-h, floor + 0.1, tail * 0.86, w * 0.86, w * 0.8), (-h * 0.94, floor, tail * 0.97, w * 0.97, w * 0.88),
            (-h * 0.6, floor, tail, w, w * 0.9), (front * h, floor, hood, w, w * 0.9),
            (h * 0.75, floor, (hood + nose) / 2, w * 0.99, w * 0.88), (h * 0.95, floor, nose, w * 0.93, w * 0.82),
            (h, floor + 0.1, nose * 0.82, w * 0.8, w * 0.7),
        ],
        paint,
    )  # fmt: skip
    base, roof = w * 0.9, w * d.between(0.7, 0.78)
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
        words.features.append("an open top")
        words.synonyms.append("open car")
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
        words.features.append("an open bed")
    radius = d.between(0.3, 0.35) * (1.12 if floor > 0.3 else 1.0)
    wheels(s, w, radius, [-h * d.between(0.56, 0.64), h * d.between(0.58, 0.66)], 0.24)
    words.features += {
        "sedan": ["a separate trunk"], "hatchback": ["a steep rear door"], "SUV": ["a tall body"], "sports car": ["a low roof"],
        "station wagon": ["a long roof"], "pickup truck": [], "convertible": [],
    }[body]  # fmt: skip
    if body in ("sedan", "SUV", "sports car"):
        words.features.append("four wheels")
    if body not in ("convertible", "sports car") and d.chance(0.2):
        for x in (-roof * 0.8, roof * 0.8):
            s.rod(
                (x, tall + 0.05, roof_back * h),
                (x, tall + 0.05, roof_front * h),
                s.thin * 0.5,
                "black",
            )
        words.features.append("a roof rack")
    for side in (-1, 1):
        s.ball((side * (w * 0.98 + 0.05), belt + 0.06, front * h - 0.35), (0.1, 0.08, 0.07), paint)
    return s, words


def van(d: Dice) -> tuple[Solids, Words]:
    length, w, tall = d.between(4.6, 5.8), d.between(0.92, 1.0), d.between(1.9, 2.5)
    s, words = Solids(length), Words("van", ["delivery van", "minibus", "vehicle"])
    h, paint, floor = length / 2, d.pick(PAINTS), 0.3
    hood = d.between(0.95, 1.15)
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
    wheels(s, w, d.between(0.33, 0.38), [-h * 0.6, h * 0.66], 0.26)
    words.features += [
        "a flat front" if snub else "a short hood",
        "a high roof" if tall > 2.2 else "a low roof",
        "four wheels",
    ]
    return s, words

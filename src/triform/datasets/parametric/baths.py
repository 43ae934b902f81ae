"""Bathtubs and showers."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import Solids, arc, superellipse


def bathtub(d: Sampler) -> tuple[Solids, Description]:
    half, w, rim = d.uniform(0.75, 0.9), d.uniform(0.36, 0.43), d.uniform(0.5, 0.6)
    s, text = Solids(2 * half), Description("bathtub", ["bath", "tub"])
    t = s.thin
    style = d.choice(["built-in", "freestanding", "clawfoot"])
    low = 0.12 if style == "clawfoot" else 0.0
    exponent, taper = {
        "built-in": (14.0, 0.99),
        "freestanding": (2.4, 0.72),
        "clawfoot": (2.6, 0.75),
    }[style]
    inside = 1 - 1.2 * t / w
    bottom = low + max(0.1, t * 1.2)
    if style == "built-in":
        ring_out, ring_in = superellipse(40, exponent), superellipse(40, d.choice([2.6, 5.0]))
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
            text.features.append("four feet")
    text.adjectives.append(style)
    if style != "built-in":
        text.adjectives.append("oval") if style == "freestanding" else text.synonyms.append(
            "freestanding bath"
        )
    if d.chance(0.7):
        flip = d.choice([-1, 1])
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
        text.features.append("a tap")
    return s, text


def shower(d: Sampler) -> tuple[Solids, Description]:
    w, high = d.uniform(0.4, 0.5), d.uniform(1.95, 2.15)
    s, text = Solids(high), Description("shower", ["shower stall", "shower cabin"])
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
        text.adjectives.append("rounded")
        text.features.append("curved glass")
    else:
        open_front = d.chance(0.5)
        s.box(w - t * 0.7, w, 0, high, -w, w, "glass")
        if open_front:
            s.box(-w, w, high - t * 1.2, high, w - t, w, "steel")
            text.features += ["three walls", "an open front"]
        else:
            s.box(-w, w, 0, high, w - t * 0.7, w, "glass")
            s.box(-t, t, 0.9, 1.2, w, w + t, "steel")
            text.features += ["a glass door", "a handle"]
    s.rod((0, high * 0.45, -w + t), (0, high * 0.93, -w + t), t * 0.5, "steel")
    s.rod((0, high * 0.93, -w + t), (0, high * 0.9, -w + 0.28), t * 0.5, "steel")
    s.lathe(
        [(0.1, high * 0.87), (0.1, high * 0.87 + t), (t * 0.5, high * 0.9)], "steel", z=-w + 0.28
    )
    text.features += ["a tray", "a shower head"]
    return s, text

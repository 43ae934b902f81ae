"""Bicycles, motorcycles and scooters, driving to +Z."""

# ruff: noqa: RUF005 -- sums of arrays, not joined tuples
from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import Solids, arc
from triform.datasets.parametric.vehicles import PAINTS, hull


def bicycle(d: Sampler) -> tuple[Solids, Description]:
    s, text = Solids(1.7), Description("bicycle", ["bike", "bike", "push bike"])
    t, paint, r = s.thin, d.choice(PAINTS), d.uniform(0.31, 0.35)
    rear, front = np.array([0, r, -0.52]), np.array([0, r, 0.52])
    for hub in (rear, front):
        s.tube(
            [(0, r + r * v * 0.95, hub[2] + r * c * 0.95) for c, v in arc(0, 348, 30)],
            t * 0.55,
            "black",
            closed=True,
        )
        for angle in (20, 80, 140):
            ((c, v),) = arc(angle, angle, 1)
            s.rod(
                hub - (0, r * 0.93 * v, r * 0.93 * c),
                hub + (0, r * 0.93 * v, r * 0.93 * c),
                t * 0.3,
                "steel",
            )
        s.rod(hub - (t * 1.2, 0, 0), hub + (t * 1.2, 0, 0), t * 0.6, "steel")
    pedals, saddle, head = (
        np.array([0, 0.28, -0.08]),
        np.array([0, 0.78, -0.24]),
        np.array([0, 0.86, 0.32]),
    )
    step_through = d.chance(0.35)
    pairs = [
        (rear, pedals),
        (rear, saddle - (0, 0.15, 0)),
        (pedals, saddle + (0, 0.08, -0.03)),
        (pedals, head - (0, 0.18, -0.06)),
        (front, head + (0, 0.1, -0.03)),
    ]
    pairs.append(
        (saddle - (0, 0.3, -0.07), head - (0, 0.16, -0.05))
        if step_through
        else (saddle - (0, 0.05, 0), head - (0, 0.04, 0))
    )
    for a, b in pairs:
        s.rod(a, b, t * 0.55, paint)
    s.cushion(
        -0.08,
        0.08,
        saddle[1] + 0.06,
        saddle[1] + 0.06 + t * 1.2,
        saddle[2] - 0.17,
        saddle[2] + 0.12,
        "black",
        0.7,
    )
    top = head + (0, 0.12, -0.04)
    style = d.choice(["straight", "curved", "drop"])
    wide = d.uniform(0.22, 0.3)
    path = {
        "straight": [(-wide, 0, 0), (0, 0, 0), (wide, 0, 0)],
        "curved": [
            (-wide, 0.06, -0.2),
            (-wide * 0.9, 0.06, -0.05),
            (0, 0, 0.03),
            (wide * 0.9, 0.06, -0.05),
            (wide, 0.06, -0.2),
        ],
        "drop": [
            (-wide * 0.8, -0.16, 0.02),
            (-wide * 0.8, -0.05, 0.12),
            (-wide * 0.8, 0, 0.02),
            (0, 0, 0),
            (wide * 0.8, 0, 0.02),
            (wide * 0.8, -0.05, 0.12),
            (wide * 0.8, -0.16, 0.02),
        ],
    }[style]
    s.tube(np.array(path) + top, t * 0.55, "steel")
    s.rod(pedals - (0.09, 0.12, 0), pedals + (0.09, 0.12, 0), t * 0.5, "steel")
    for side in (-1, 1):
        end = pedals + (side * 0.11, side * 0.13, 0)
        s.box(
            end[0] - 0.05,
            end[0] + 0.05,
            end[1] - t * 0.5,
            end[1] + t * 0.5,
            end[2] - 0.04,
            end[2] + 0.04,
            "black",
        )
    text.features += [
        "two wheels",
        {
            "straight": "straight handlebars",
            "curved": "curved handlebars",
            "drop": "drop handlebars",
        }[style],
    ]
    if step_through:
        text.features.append("a low step-through frame")
    if d.chance(0.3):
        s.box(-0.16, 0.16, 0.84, 1.02, 0.42, 0.66, "brown")
        s.rod(head, (0, 0.9, 0.5), t * 0.5, "steel")
        text.features.append("a basket in front")
    if d.chance(0.3):
        s.box(-0.07, 0.07, 0.7, 0.7 + t, -0.75, -0.25, "steel")
        s.rod((0, 0.7, -0.68), rear, t * 0.45, "steel")
        text.features.append("a luggage rack")
    return s, text


def motorcycle(d: Sampler) -> tuple[Solids, Description]:
    scooter = d.chance(0.45)
    s = Solids(1.9)
    text = (
        Description("scooter", ["motor scooter", "moped"])
        if scooter
        else Description("motorcycle", ["motorbike", "motorbike"])
    )
    t, paint = s.thin, d.choice(PAINTS)
    r, reach = (0.23, 0.6) if scooter else (0.31, 0.68)
    width = 0.07
    for z in (-reach, reach):
        ring = arc(0, 342, 20)
        s.loft(
            [np.array([(x, r + r * v, z + r * c) for c, v in ring]) for x in (-width, width)],
            "black",
        )
    grip = np.array([0, 1.0, reach * 0.42])
    for side in (-1, 1):
        s.rod((side * 0.08, r, reach), (side * 0.08, 0.95, grip[2] + 0.05), t * 0.55, "steel")
    bar = d.uniform(0.28, 0.36)
    s.tube(
        [
            (-bar, 1.0, grip[2] - 0.1),
            (-bar * 0.5, 1.02, grip[2]),
            (bar * 0.5, 1.02, grip[2]),
            (bar, 1.0, grip[2] - 0.1),
        ],
        t * 0.55,
        "steel",
    )
    s.ball((0, 0.86, grip[2] + 0.16), (0.1, 0.1, 0.08), "glass")
    if scooter:
        s.box(-0.17, 0.17, 0.2, 0.2 + t * 1.4, -0.35, 0.4, paint)
        s.loft(
            [
                np.array([(-0.2, y0, z), (0.2, y0, z), (0.16, y1, z - 0.14), (-0.16, y1, z - 0.14)])
                for z, y0, y1 in ((0.36, 0.2, 0.85), (0.36 + t * 1.3, 0.2, 0.85))
            ],
            paint,
        )
        hull(
            s,
            [
                (-0.88, 0.42, 0.62, 0.12, 0.1),
                (-0.6, 0.25, 0.68, 0.2, 0.16),
                (-0.25, 0.22, 0.66, 0.18, 0.15),
            ],
            paint,
        )
        s.cushion(-0.15, 0.15, 0.64, 0.78, -0.82, -0.2, "black", 0.7)
        s.cushion(-0.1, 0.1, r * 1.7, r * 2.2, reach - 0.22, reach + 0.22, paint, 0.6)
        text.features += ["a footboard", "a front shield", "two small wheels"]
    else:
        s.ball((0, 0.42, 0.0), (0.17, 0.2, 0.26), "steel")
        s.rod((0, r, -reach), (0, 0.42, -0.1), t * 1.1, "steel")
        s.rod((0, 0.42, 0.1), (0, 0.85, grip[2]), t * 1.2, paint)
        s.ball((0, 0.78, 0.1), (0.15, 0.13, 0.28), paint)
        s.cushion(-0.13, 0.13, 0.68, 0.8, -0.72, -0.1, "black", 0.7)
        s.rod((0, 0.7, -0.5), (0, 0.42, -0.1), t * 1.2, paint)
        s.rod((0.15, 0.3, 0.0), (0.15, 0.36, -0.85), t * 0.9, "steel")
        s.cushion(
            -0.08, 0.08, r * 1.95, r * 1.95 + t * 1.2, -reach - 0.25, -reach + 0.25, paint, 0.5
        )
        text.features += ["two wheels", "an exhaust pipe"]
        if d.chance(0.4):
            hull(
                s,
                [(grip[2] - 0.05, 0.6, 1.08, 0.17, 0.12), (grip[2] + 0.3, 0.55, 0.85, 0.14, 0.08)],
                paint,
            )
            text.features.append("a fairing")
            text.synonyms.append("racing motorcycle")
    return s, text

"""Stools, benches, rocking and folding chairs, loungers."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.seating import armrests, backrest, legs
from triform.datasets.parametric.solids import FABRICS, METALS, WOODS, Solids, arc


def stool(d: Sampler) -> tuple[Solids, Description]:
    bar = d.chance(0.45)
    height = d.uniform(0.62, 0.8) if bar else d.uniform(0.38, 0.5)
    s = Solids(height)
    text = Description("bar stool" if bar else "stool", ["stool", "high stool"] if bar else [])
    material, r = d.choice(WOODS), d.uniform(0.15, 0.2)
    thick = s.at_least(d.uniform(0.025, 0.06))
    rounded = d.chance(0.6)
    text.adjectives.append("round" if rounded else "square")
    s.lathe([(r, height - thick), (r, height)], material, exponent=2 if rounded else 10)
    if d.chance(0.35):
        s.lathe(
            [(r * 0.97, height), (r, height + 0.03), (r * 0.85, height + 0.06)],
            d.choice(FABRICS),
            exponent=2 if rounded else 8,
        )
        text.features.append("a padded seat")
    count = d.choice([1, 3, 4, 4]) if rounded else d.choice([1, 4, 4])
    leg = s.at_least(d.uniform(0.025, 0.04)) / 2
    if count == 1:
        base = r * d.uniform(1.0, 1.2)
        s.lathe(
            [(base, 0), (base, s.thin), (leg * 2, s.thin * 1.8), (leg * 2, height - thick / 2)],
            d.choice(METALS),
        )
        text.features.append("a round base")
    else:
        spread = d.choice([0.0, 0.0, 0.06, 0.1])
        turn = np.pi / 4 if count == 4 else np.pi / 2
        inner = r * 0.72 if rounded else r * 1.15
        feet = [
            (np.cos(turn + 2 * np.pi * k / count), np.sin(turn + 2 * np.pi * k / count))
            for k in range(count)
        ]
        for c, v in feet:
            s.rod(
                ((inner + spread) * c, 0, (inner + spread) * v),
                (inner * c, height - thick / 2, inner * v),
                leg,
                material,
                square=not rounded and spread == 0,
            )
        text.features.append(count_phrase(count, "splayed leg" if spread else "leg"))
        if bar or d.chance(0.3):
            y = height * d.uniform(0.28, 0.4)
            reach = inner + spread * (1 - y / height)
            ring = [
                (reach * c, y, reach * v)
                for c, v in (arc(0, 345, 24) if rounded else np.array(feet))
            ]
            s.tube(ring, s.thin * 0.5, material, closed=True)
            text.features.append("a footrest")
    if bar and d.chance(0.3):
        w, top = r * 0.85, height + d.uniform(0.16, 0.28)
        for side in (-1, 1):
            s.rod(
                (side * w * 0.8, height - thick / 2, -r * 0.7),
                (side * w * 0.8, top, -r * 0.95),
                leg,
                material,
            )
        s.box(-w, w, top - 0.09, top, -r * 0.95 - s.thin / 2, -r * 0.95 + s.thin / 2, material)
        text.features.append("a low back")
    return s, text


def bench(d: Sampler) -> tuple[Solids, Description]:
    length = d.uniform(1.0, 1.7)
    s, text = Solids(length), Description("bench", ["long seat"])
    t, material = s.thin, d.choice(WOODS)
    w, depth, seat = length / 2, d.uniform(0.17, 0.24), d.uniform(0.4, 0.48)
    thick = s.at_least(0.04)
    slatted = d.chance(0.4)
    if slatted:
        for k in range(3):
            z = -depth + (2 * depth - t * 1.2) * k / 2
            s.box(-w, w, seat - thick, seat, z, z + t * 1.2, material)
        text.features.append("a slatted seat")
    else:
        s.box(-w, w, seat - thick, seat, -depth, depth, material)
    supports = d.choice(["legs", "panels"])
    x = w - d.uniform(0.05, 0.2)
    if supports == "legs":
        for side in (-1, 1):
            s.box(
                side * x - t / 2,
                side * x + t / 2,
                seat - thick - t,
                seat - thick / 2,
                -depth,
                depth,
                material,
            )
        legs(s, x, depth - t / 2, seat - thick / 2, s.at_least(0.05) / 2, "straight", material)
        text.features.append("four legs")
    else:
        for side in (-1, 1):
            s.box(
                side * x - t * 0.7, side * x + t * 0.7, 0, seat - thick / 2, -depth, depth, material
            )
        text.features.append("two panel legs")
    if d.chance(0.6):
        top, count = seat + d.uniform(0.32, 0.45), d.integer(2, 3)
        for side in (-1, 1):
            s.rod(
                (side * x, seat - thick, -depth + t / 2),
                (side * x, top, -depth - 0.06),
                t * 0.6,
                material,
                square=True,
            )
        for k in range(count):
            y = seat + (top - seat) * (k + 0.8) / count
            s.box(
                -w,
                w,
                y - t * 0.9,
                y + t * 0.5,
                -depth - 0.03 - t / 2,
                -depth - 0.03 + t / 2,
                material,
            )
        text.features.append(f"a back with {count_phrase(count, 'slat')}")
        text.synonyms.append("garden bench")
        if d.chance(0.5):
            armrests(s, x, -depth - 0.02, depth * 0.9, seat, seat + 0.2, material)
            text.features.append("armrests")
    else:
        text.lacks.append("a back")
    return s, text


def rocking_chair(d: Sampler) -> tuple[Solids, Description]:
    s, text = Solids(1.1), Description("rocking chair", ["rocker", "chair on rockers"])
    t, material = s.thin, d.choice(WOODS)
    w, depth, seat, top = d.uniform(0.22, 0.27), d.uniform(0.21, 0.25), 0.42, d.uniform(0.95, 1.15)
    s.box(-w, w, seat - s.at_least(0.03), seat, -depth, depth, material)
    legs(s, w - t / 2, depth - t / 2, seat - 0.01, t * 0.6, "straight", material)
    for side in (-1, 1):
        radius = 1.0
        path = [
            (side * (w - t / 2), radius - radius * v * -1, radius * c)
            for c, v in arc(-90 - 25, -90 + 25, 13)
        ]
        s.tube(np.array(path) - (0, 0.0, 0.02), t * 0.6, material)
        s.rod(
            (side * (w - t / 2), seat - 0.02, -depth + t / 2),
            (side * (w - t / 2), top, -depth - 0.12),
            t * 0.55,
            material,
        )
    backrest(
        d,
        s,
        d.choice(["slats", "ladder", "solid"]),
        w - t / 2,
        seat,
        top,
        -depth + t / 2,
        0.12,
        material,
        text,
    )
    armrests(s, w, -depth, depth, seat, seat + 0.22, material)
    text.features += ["two curved rockers", "armrests"]
    return s, text


def folding_chair(d: Sampler) -> tuple[Solids, Description]:
    s, text = (
        Solids(0.85),
        Description("folding chair", ["camping chair", "chair with crossed legs"]),
    )
    t, material, cloth = s.thin, d.choice(WOODS), d.choice(FABRICS)
    w, seat, top, depth = (
        d.uniform(0.2, 0.25),
        d.uniform(0.42, 0.46),
        d.uniform(0.78, 0.88),
        d.uniform(0.2, 0.24),
    )
    for side in (-1, 1):
        s.rod((side * w, 0, -depth), (side * w, seat, depth), t * 0.5, material, square=True)
        s.rod(
            (side * (w - t), 0, depth),
            (side * (w - t), top, -depth - 0.06),
            t * 0.5,
            material,
            square=True,
        )
    for y, z in ((t, -depth), (t, depth), (seat - t / 2, depth)):
        s.rod((-w, y, z), (w, y, z), t * 0.5, material, square=True)
    s.box(-w, w, seat - t, seat, -depth * 0.9, depth, cloth)
    s.box(-w, w, top - d.uniform(0.14, 0.26), top, -depth - 0.04 - t, -depth - 0.04, cloth)
    text.features += ["crossed legs", "a low back"]
    return s, text


def sun_lounger(d: Sampler) -> tuple[Solids, Description]:
    s, text = Solids(1.9), Description("sun lounger", ["deck chair", "pool lounger"])
    t, material = s.thin, d.choice(WOODS)
    w, y, length = d.uniform(0.3, 0.36), d.uniform(0.28, 0.36), d.uniform(0.9, 0.98)
    hinge, rise = -d.uniform(0.2, 0.35), d.uniform(0.35, 0.6)
    s.box(-w, w, y - t, y, hinge, length, material)
    back = [(hinge, y - t), (hinge, y), (-length, y + rise), (-length, y + rise - t)]
    s.prism(back, "x", -w, w, material)
    for side in (-1, 1):
        s.box(side * w - t / 2, side * w + t / 2, y - t * 1.6, y, -length * 0.9, length, material)
    legs(s, w, length * 0.75, y - t / 2, t * 0.7, "straight", material)
    text.features += ["four legs", "a raised backrest"]
    if d.chance(0.4):
        s.cushion(
            -w * 0.92, w * 0.92, y - 0.01, y + 0.07, hinge, length * 0.97, d.choice(FABRICS), 0.8
        )
        text.features.append("a mattress")
    return s, text

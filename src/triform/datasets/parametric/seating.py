"""Chairs, armchairs, stools, benches and their kin."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import FABRICS, METALS, WOODS, Solids, arc


def legs(
    s: Solids,
    x: float,
    z: float,
    top: float,
    radius: float,
    style: str,
    material: str,
    *,
    back: float = 0.0,
) -> None:
    """Four legs at (+-x, +-z) from the ground to ``top``; ``back`` moves the rear feet outwards."""
    spread = {"splayed": 0.22 * top, "tapered": 0.04 * top}.get(style, 0.0)
    tip = {"tapered": 0.65, "splayed": 0.8}.get(style, 1.0) * radius
    for side in (-1, 1):
        for end in (-1, 1):
            foot = (
                side * (x + spread * 0.7),
                0.0,
                end * (z + spread * 0.7) - (back if end < 0 else 0.0),
            )
            s.rod(
                foot,
                (side * x, top, end * z),
                max(tip, s.thin / 2),
                material,
                tip=radius,
                square=style == "straight",
            )


def star_base(
    s: Solids, count: int, reach: float, height: float, material: str, *, casters: bool = False
) -> None:
    """A column on ``count`` feet that spread like a star."""
    t = s.thin
    lift = t * 1.3 if casters else 0.0
    for k in range(count):
        angle = 2 * np.pi * (k + 0.25) / count
        x, z = reach * np.cos(angle), reach * np.sin(angle)
        s.rod((0, lift + t * 1.4, 0), (x, lift + t * 0.7, z), t * 0.8, material, tip=t * 0.6)
        if casters:
            s.ball((x, t * 0.75, z), (t * 0.75,) * 3, "black")
    s.rod((0, lift, 0), (0, height, 0), t * 0.9, material)


def backrest(
    d: Sampler,
    s: Solids,
    style: str,
    w: float,
    y0: float,
    y1: float,
    z: float,
    rake: float,
    material: str,
    text: Description,
) -> None:
    """Fills the space between two raked back posts at (+-w, z); ``rake`` is their lean at the top."""
    t = s.thin

    def at(y: float) -> float:
        return z - rake * (y - y0) / (y1 - y0)

    def rail(y: float, thickness: float) -> None:
        s.rod((-w, y, at(y)), (w, y, at(y)), thickness, material, square=True)

    if style == "slats":
        count = d.integer(2, 4)
        rail(y1 - t, t * 0.8)
        for k in range(count):
            x = w * (2 * (k + 1) / (count + 1) - 1)
            s.rod((x, y0, z), (x, y1, at(y1)), t * 0.5, material, square=True)
        text.features.append(f"a back with {count_phrase(count, 'vertical slat')}")
    elif style == "ladder":
        count = d.integer(2, 4)
        for k in range(count):
            rail(y0 + (y1 - y0) * (k + 1) / count - t, t * 0.75)
        text.features.append(f"a ladder back with {count_phrase(count, 'rung')}")
    elif style == "open":
        rail(y1 - t, t)
        text.features.append("an open back")
    elif style == "cross":
        rail(y1 - t, t * 0.8)
        low = y0 + 0.05
        s.rod((-w, low, at(low)), (w, y1 - t, at(y1 - t)), t * 0.5, material)
        s.rod((w, low, at(low)), (-w, y1 - t, at(y1 - t)), t * 0.5, material)
        text.features.append("a cross back")
    else:
        gap = d.choice([0.0, 0.25]) * (y1 - y0)
        low = y0 + gap
        outline = [(-w, low), (w, low), (w, y1), (-w, y1)]
        if style == "round":
            middle, half = (low + y1) / 2, (y1 - low) / 2
            outline = [(1.12 * w * c, middle + half * v) for c, v in arc(0, 345, 24)]
            text.features.append("a round back")
        else:
            text.features.append("a solid back")
        thick = t * 0.7
        rings = [np.array([(x, y, at(y) + dz) for x, y in outline]) for dz in (-thick, thick)]
        s.loft(rings, material)


def chair(d: Sampler) -> tuple[Solids, Description]:
    s, text = Solids(0.95), Description("chair")
    t = s.thin
    w, depth, seat = d.uniform(0.19, 0.24), d.uniform(0.19, 0.24), d.uniform(0.42, 0.48)
    top = seat + d.choice([d.uniform(0.28, 0.36), d.uniform(0.4, 0.5), d.uniform(0.52, 0.68)])
    material, cloth = d.choice(WOODS), d.choice(FABRICS)
    rounded = d.chance(0.25)
    thick = s.at_least(d.uniform(0.025, 0.04))
    support = d.choice(
        ["straight", "straight", "tapered", "tapered", "splayed", "pedestal", "sled", "cantilever"]
    )
    leg = s.at_least(d.uniform(0.03, 0.045)) / 2
    if rounded:
        s.lathe([(w * 1.08, seat - thick), (w * 1.08, seat)], material)
        text.adjectives.append("round-seated") if d.chance(0.3) else text.features.append(
            "a round seat"
        )
    else:
        s.box(-w, w, seat - thick, seat, -depth, depth, material)
    if d.chance(0.35):
        if rounded:
            s.lathe([(w * 0.9, seat), (w * 1.0, seat + 0.025), (w * 0.85, seat + 0.055)], cloth)
        else:
            s.cushion(
                -w * 0.95,
                w * 0.95,
                seat - 0.01,
                seat + 0.06,
                -depth * 0.9,
                depth * 0.97,
                cloth,
                0.8,
            )
        text.features.append("a seat cushion")
    inset = 0.72 if rounded else 1.0
    x, z = (w - leg) * inset, (depth - leg) * inset
    if support in ("straight", "tapered", "splayed"):
        legs(s, x, z, seat - thick / 2, leg, support, material)
        if support != "straight" or d.chance(0.5):
            text.features.append(f"four {support} legs")
        if support == "straight" and d.chance(0.4):
            y = d.uniform(0.12, 0.22)
            for side in (-1, 1):
                s.rod((side * x, y, -z), (side * x, y, z), t * 0.5, material)
            s.rod((-x, y, 0), (x, y, 0), t * 0.5, material)
            text.features.append("stretchers between the legs")
    elif support == "pedestal":
        if d.chance(0.5):
            s.lathe(
                [(w * 1.05, 0), (w * 1.05, t), (t * 1.1, t * 1.8), (t * 1.1, seat)],
                d.choice(METALS),
            )
            text.features.append("a round pedestal base")
        else:
            star_base(s, 4, w * 1.15, seat, d.choice(METALS))
            text.features.append("a four-star base")
    else:
        metal = d.choice(METALS)
        r = s.at_least(0.026) / 2
        wide, deep = w * inset, depth * inset
        for side in (-1, 1):
            path = [
                (side * wide, seat - r, deep - r),
                (side * wide, r, deep - r),
                (side * wide, r, -deep + r),
            ]
            if support == "sled":
                path += [(side * wide, seat - r, -deep + r)]
            s.tube(_rounded(path), r, metal)
        s.rod((-wide, r, -deep + r), (wide, r, -deep + r), r, metal)
        text.features.append("sled legs" if support == "sled" else "a cantilever frame")
    rake = d.uniform(0.02, 0.1)
    style = d.choice(["solid", "solid", "slats", "ladder", "open", "cross", "round"])
    bx, bz = (w - leg) if not rounded else w * 0.8, -depth + leg if not rounded else -w * 0.75
    if style != "round":
        for side in (-1, 1):
            s.rod(
                (side * bx, seat - thick, bz),
                (side * bx, top, bz - rake),
                leg,
                material,
                square=support == "straight",
            )
    else:
        for side in (-1, 1):
            s.rod(
                (side * bx * 0.6, seat - thick, bz),
                (side * bx * 0.6, seat + (top - seat) * 0.7, bz - rake * 0.7),
                leg,
                material,
            )
    backrest(d, s, style, bx, seat, top, bz, rake, material, text)
    if top - seat > 0.51:
        text.adjectives.insert(0, "high-backed")
    elif top - seat < 0.36:
        text.adjectives.insert(0, "low-backed")
    if d.chance(0.3):
        armrests(s, w, bz, depth * 0.8, seat, seat + d.uniform(0.18, 0.24), material)
        text.features.append("armrests")
        text.synonyms.append("armchair")
    elif d.chance(0.2):
        text.lacks.append("armrests")
    if support != "pedestal":
        text.synonyms.append("dining chair")
    return s, text


def armrests(
    s: Solids, w: float, back: float, front: float, seat: float, y: float, material: str
) -> None:
    r = s.thin * 0.6
    for side in (-1, 1):
        x = side * (w + r * 0.5)
        s.rod((x, y, back), (x, y, front), r, material, square=True)
        s.rod((x, seat - 0.03, front * 0.8), (x, y, front * 0.8), r, material, square=True)


def _rounded(path: list[tuple[float, float, float]], cut: float = 0.15) -> np.ndarray:
    """A path with its corners cut off, so that a tube can follow it."""
    points = [np.array(path[0])]
    for before, corner, after in zip(path, path[1:], path[2:], strict=False):
        b, c, a = map(np.array, (before, corner, after))
        points += [
            c + (b - c) * cut,
            c + (b - c) * cut * 0.3 + (a - c) * cut * 0.3,
            c + (a - c) * cut,
        ]
    return np.array([*points, path[-1]])


def armchair(d: Sampler) -> tuple[Solids, Description]:
    s, text = Solids(0.95), Description("armchair", ["easy chair", "upholstered chair"])
    cloth, wood = d.choice(FABRICS), d.choice(WOODS)
    w, depth = d.uniform(0.36, 0.46), d.uniform(0.36, 0.44)
    foot, seat = d.choice([0.05, 0.12, 0.16]), d.uniform(0.38, 0.45)
    top = d.choice([d.uniform(0.72, 0.82), d.uniform(0.88, 1.05)])
    arm, arm_top = d.uniform(0.09, 0.15), d.uniform(0.54, 0.64)
    style = d.choice(["block", "block", "tub", "wing", "wooden"])
    soft = d.uniform(0.3, 0.7)
    if style == "tub":
        outer, inner = w, w - arm
        turn = arc(-40, 220, 25)
        for low, high, share in ((foot, arm_top, 1.0), (arm_top - 0.05, top, 0.55)):
            part = turn if share == 1.0 else arc(200 - 90 - 75, 200 - 90 + 55 + 20, 17)
            rings = [
                np.array(
                    [
                        (r * c, y, -r * v)
                        for r, y in ((inner, low), (outer, low), (outer, high), (inner, high))
                    ]
                )
                for c, v in part
            ]
            s.loft(rings, cloth)
        s.lathe([(inner * 1.02, foot), (inner * 1.05, seat - 0.03), (inner * 0.9, seat)], cloth)
        text.adjectives.append("round")
        text.synonyms.append("tub chair")
        text.features.append("a curved back")
    elif style == "wooden":
        text.features.append("open wooden armrests")
        s.cushion(-w + arm, w - arm, seat - 0.15, seat, -depth, depth, cloth, soft)
        s.cushion(-w + arm, w - arm, seat - 0.05, top, -depth - 0.04, -depth + 0.1, cloth, soft)
        r = s.at_least(0.045) / 2
        for side in (-1, 1):
            x = side * (w - arm * 0.6)
            for z in (-depth, depth - 0.04):
                s.rod((x, 0, z), (x, arm_top, z), r, wood, square=True)
            s.box(x - r * 1.6, x + r * 1.6, arm_top - r, arm_top + r, -depth - 0.02, depth, wood)
            s.rod((x, seat - 0.1, -depth), (x, seat - 0.1, depth - 0.03), r, wood, square=True)
        for z in (-depth + 0.1, depth - 0.1):
            s.rod(
                (-w + arm * 0.6, seat - 0.1, z),
                (w - arm * 0.6, seat - 0.1, z),
                r,
                wood,
                square=True,
            )
        foot = 0.0
    else:
        s.box(-w + 0.02, w - 0.02, foot, seat - 0.13, -depth, depth - 0.02, cloth)
        s.cushion(-w + arm, w - arm, seat - 0.15, seat, -depth + 0.1, depth, cloth, soft)
        s.cushion(
            -w + arm * 0.6,
            w - arm * 0.6,
            foot + 0.05,
            top,
            -depth,
            -depth + d.uniform(0.14, 0.2),
            cloth,
            soft,
        )
        for side in (-1, 1):
            x0, x1 = sorted((side * w, side * (w - arm)))
            s.cushion(x0, x1, foot, arm_top, -depth, depth - 0.02, cloth, soft)
        if style == "wing":
            top = max(top, 0.92)
            s.cushion(
                -w + arm * 0.6, w - arm * 0.6, arm_top, top, -depth, -depth + 0.14, cloth, soft
            )
            for side in (-1, 1):
                x0, x1 = sorted((side * (w - 0.02), side * (w - 0.09)))
                s.cushion(x0, x1, arm_top - 0.05, top, -depth, -depth + 0.3, cloth, 0.6)
            text.features.append("wings at the back")
            text.synonyms.append("wing chair")
    if style != "wooden":
        if foot > 0.1:
            legs(
                s,
                w * 0.72,
                depth * 0.75,
                foot + 0.03,
                s.at_least(0.04) / 2,
                d.choice(["straight", "tapered"]),
                wood,
            )
            text.features.append("four short legs")
        else:
            s.box(-w * 0.8, w * 0.8, 0, foot + 0.01, -depth * 0.85, depth * 0.85, "black")
    text.features.append("thick armrests" if style != "wooden" and arm > 0.12 else "a padded seat")
    if top > 0.9:
        text.adjectives.insert(0, "high-backed")
    return s, text


def office_chair(d: Sampler) -> tuple[Solids, Description]:
    s, text = (
        Solids(1.05),
        Description("office chair", ["desk chair", "swivel chair", "chair"]),
    )
    cloth, metal = d.choice(["black", "grey", "blue", "red"]), d.choice(["black", "steel"])
    seat, w = d.uniform(0.44, 0.52), d.uniform(0.22, 0.26)
    star_base(s, 5, d.uniform(0.27, 0.33), seat - 0.05, metal, casters=True)
    s.cushion(-w, w, seat - 0.06, seat + 0.03, -w * 0.95, w, cloth, 0.6)
    tall = d.chance(0.5)
    top = seat + (d.uniform(0.62, 0.75) if tall else d.uniform(0.36, 0.48))
    low, lean = seat + d.uniform(0.03, 0.14), d.uniform(0.03, 0.09)
    t = s.thin
    outline = [(x * w * 0.92, (y + 1) / 2) for x, y in arc(0, 345, 24) * 1.0]
    squared = [
        (
            np.sign(x) * abs(x / (w * 0.92)) ** 0.5 * w * 0.92,
            0.5 + np.sign(y - 0.5) * abs(2 * y - 1) ** 0.5 / 2,
        )
        for x, y in outline
    ]
    rings = [
        np.array([(x, low + y * (top - low), -w * 0.95 - lean * y + dz) for x, y in squared])
        for dz in (-t * 1.1, t * 1.1)
    ]
    s.loft(rings, cloth)
    s.rod((0, seat - 0.02, -w * 0.8), (0, low + 0.12, -w * 0.98), t * 0.9, metal)
    text.features += ["a five-star base", "casters", "a high back" if tall else "a low back"]
    if tall and d.chance(0.4):
        s.cushion(
            -w * 0.55,
            w * 0.55,
            top + 0.02,
            top + 0.16,
            -w - lean - 0.04,
            -w - lean + 0.05,
            cloth,
            0.7,
        )
        s.rod((0, top - 0.05, -w - lean), (0, top + 0.06, -w - lean), t * 0.6, metal)
        text.features.append("a headrest")
    if d.chance(0.6):
        for side in (-1, 1):
            x = side * (w + t * 0.7)
            s.rod((side * w * 0.9, seat - 0.02, -0.03), (x, seat + 0.2, -0.03), t * 0.6, metal)
            s.box(
                x - t * 0.8, x + t * 0.8, seat + 0.19, seat + 0.19 + t, -w * 0.7, w * 0.55, "black"
            )
        text.features.append("armrests")
    else:
        text.lacks.append("armrests")
    return s, text

"""Beds and sofas."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.seating import legs
from triform.datasets.parametric.solids import FABRICS, WOODS, Solids, arc


def bed(d: Sampler) -> tuple[Solids, Description]:
    double = d.chance(0.6)
    w, length = (d.uniform(0.7, 0.92) if double else d.uniform(0.45, 0.52)), d.uniform(1.95, 2.1)
    s = Solids(length)
    text = Description(
        "bed", ["double bed" if double else "single bed"], ["double" if double else "single"]
    )
    t, material, half = s.thin, d.choice(WOODS), length / 2
    frame, deep = d.uniform(0.28, 0.38), d.uniform(0.14, 0.24)
    foot = d.choice([0.0, 0.1, 0.16])
    top = frame + deep * 0.6
    s.box(-w, w, foot, frame, -half, half, material)
    s.cushion(-w * 0.96, w * 0.96, frame - 0.04, top, -half + t, half - t * 1.5, "white", 0.5)
    if foot:
        legs(s, w - t, half - t, foot + 0.02, t * 0.9, "straight", material)
        text.features.append("four short legs")
    pillows = 2 if double else 1
    for k in range(pillows):
        x, reach = (k - (pillows - 1) / 2) * w * 0.96, w * (0.42 if double else 0.72)
        s.cushion(
            x - reach, x + reach, top - 0.04, top + 0.1, -half + t * 2, -half + 0.45, "linen", 0.8
        )
    text.features.append("two pillows" if double else "a pillow")
    if d.chance(0.4):
        s.cushion(
            -w * 1.01,
            w * 1.01,
            frame - 0.08,
            top + t * 0.8,
            -half + d.uniform(0.6, 0.9),
            half - t * 1.2,
            d.choice(FABRICS),
            0.4,
        )
        text.features.append("a blanket")
    head = d.choice(["", "solid", "solid", "slatted", "arched", "padded"])
    high = d.uniform(0.85, 1.2)
    if head:
        _board(d, s, head, w, -half, high, material)
        text.features.append(
            {"solid": "a headboard"}.get(
                head, f"{'an' if head == 'arched' else 'a'} {head} headboard"
            )
        )
    else:
        text.lacks.append("a headboard")
    if head and d.chance(0.4):
        _board(d, s, head, w, half, top + d.uniform(0.1, 0.28), material)
        text.features.append("a footboard")
    if d.chance(0.12):
        post = d.uniform(1.75, 2.0)
        for side in (-1, 1):
            for end in (-1, 1):
                s.rod(
                    (side * w, 0, end * half),
                    (side * w, post, end * half),
                    t * 0.7,
                    material,
                    square=True,
                )
            s.rod((side * w, post, -half), (side * w, post, half), t * 0.6, material, square=True)
        for end in (-1, 1):
            s.rod((-w, post, end * half), (w, post, end * half), t * 0.6, material, square=True)
        text.adjectives.append("four-poster")
        text.features.append("four tall posts")
        text.synonyms.append("canopy bed")
    elif foot == 0.0 and d.chance(0.35):
        count = d.integer(2, 3)
        for side in (-1, 1):
            for k in range(count):
                z0, z1 = (-half + 2 * half * (k + share) / count for share in (0.06, 0.94))
                x0, x1 = sorted((side * w, side * (w + t * 0.9)))
                s.box(x0, x1, t, frame - t * 0.6, z0, z1, material)
        text.features.append("drawers under it")
    return s, text


def _board(
    d: Sampler, s: Solids, style: str, w: float, z: float, high: float, material: str
) -> None:
    """A headboard or footboard across the bed at z."""
    t = s.thin
    if style == "slatted":
        for side in (-1, 1):
            s.rod((side * w, 0, z), (side * w, high, z), t * 0.8, material, square=True)
        s.rod((-w, high - t, z), (w, high - t, z), t * 0.8, material, square=True)
        count = max(3, round(2 * w / 0.17))
        for k in range(count):
            x = w * (2 * (k + 1) / (count + 1) - 1)
            s.rod((x, 0.2, z), (x, high - t, z), t * 0.5, material, square=True)
    elif style == "arched":
        outline = [
            (-w, 0.0),
            (w, 0.0),
            *((w * c, high * (0.78 + 0.22 * v)) for c, v in arc(0, 180, 15)),
        ]
        s.prism(outline, "z", z - t * 0.7, z + t * 0.7, material)
    elif style == "padded":
        s.cushion(-w * 1.04, w * 1.04, 0.05, high, z - t * 1.4, z + t * 1.4, d.choice(FABRICS), 0.8)
    else:
        s.box(-w * 1.03, w * 1.03, 0, high, z - t * 0.7, z + t * 0.7, material)


def bunk_bed(d: Sampler) -> tuple[Solids, Description]:
    w, half, top = d.uniform(0.45, 0.52), d.uniform(0.97, 1.05), d.uniform(1.6, 1.8)
    s, text = Solids(half * 2), Description("bunk bed", ["bunk beds", "bed"])
    t, material = s.thin, d.choice(WOODS)
    for side in (-1, 1):
        for end in (-1, 1):
            s.rod(
                (side * w, 0, end * half),
                (side * w, top, end * half),
                t * 0.8,
                material,
                square=True,
            )
    loft = d.chance(0.25)
    for level in [1.15] if loft else [0.28, 1.15]:
        s.box(-w, w, level, level + t * 1.6, -half, half, material)
        s.cushion(-w * 0.94, w * 0.94, level + t, level + 0.17, -half + t, half - t, "white", 0.5)
        s.cushion(
            -w * 0.6, w * 0.6, level + 0.15, level + 0.25, -half + 0.08, -half + 0.4, "linen", 0.8
        )
    for side in (-1, 1):
        s.rod((side * w, 1.45, -half), (side * w, 1.45, half), t * 0.6, material, square=True)
    for end in (-1, 1):
        s.rod((-w, top - t, end * half), (w, top - t, end * half), t * 0.6, material, square=True)
        s.rod((-w, 0.6, end * half), (w, 0.6, end * half), t * 0.6, material, square=True)
    flip, z = d.choice([-1, 1]), half * d.uniform(0.5, 0.75)
    x = flip * (w + t)
    for position in (z - 0.2, z + 0.2):
        s.rod((x + flip * 0.1, 0, position), (x, 1.5, position), t * 0.55, material, square=True)
    for k in range(4):
        y = 0.25 + k * 0.3
        s.rod(
            (x + flip * 0.1 * (1 - y / 1.5), y, z - 0.2),
            (x + flip * 0.1 * (1 - y / 1.5), y, z + 0.2),
            t * 0.55,
            material,
        )
    text.features += ["a ladder", "guard rails"]
    if loft:
        text.noun, text.synonyms = "loft bed", ["mezzanine bed", "bed"]
        text.features.append("free space below")
    else:
        text.features.insert(0, "two levels")
    return s, text


def crib(d: Sampler) -> tuple[Solids, Description]:
    w, half, top = d.uniform(0.32, 0.38), d.uniform(0.6, 0.7), d.uniform(0.85, 1.0)
    s, text = Solids(half * 2), Description("crib", ["baby bed", "cot"])
    t, material, base = s.thin, d.choice(WOODS), d.uniform(0.3, 0.42)
    s.box(-w, w, base - t, base, -half, half, material)
    s.cushion(-w * 0.95, w * 0.95, base - 0.01, base + 0.1, -half * 0.97, half * 0.97, "white", 0.5)
    for side in (-1, 1):
        for end in (-1, 1):
            s.rod(
                (side * w, 0, end * half),
                (side * w, top, end * half),
                t * 0.8,
                material,
                square=True,
            )
        s.rod((side * w, top - t, -half), (side * w, top - t, half), t * 0.7, material, square=True)
        count = d.choice([6, 7, 8])
        for k in range(count):
            z = half * (2 * (k + 1) / (count + 1) - 1)
            s.rod((side * w, base - t, z), (side * w, top - t, z), t * 0.5, material)
    solid = d.chance(0.6)
    for end in (-1, 1):
        if solid:
            s.box(-w, w, base - t, top, end * half - t * 0.6, end * half + t * 0.6, material)
        else:
            s.rod(
                (-w, top - t, end * half), (w, top - t, end * half), t * 0.7, material, square=True
            )
            for k in range(3):
                x = w * (2 * (k + 1) / 4 - 1)
                s.rod((x, base - t, end * half), (x, top - t, end * half), t * 0.5, material)
    text.features += [
        "barred sides",
        "solid end boards" if solid else "barred ends",
        "a mattress",
    ]
    return s, text


def sofa(d: Sampler) -> tuple[Solids, Description]:
    seats = d.choice([2, 2, 2, 3, 3, 3, 3, 4])
    each, arm = d.uniform(0.55, 0.7), d.choice([0.0, d.uniform(0.1, 0.14), d.uniform(0.17, 0.24)])
    w, depth = seats * each / 2 + arm, d.uniform(0.4, 0.48)
    s = Solids(w * 2)
    text = Description("sofa", ["couch", f"{('two', 'three', 'four')[seats - 2]}-seater sofa"])
    if seats == 2:
        text.synonyms.append("loveseat")
    cloth, foot = d.choice(FABRICS), d.choice([0.05, 0.13, 0.17])
    seat, top, arm_top = d.uniform(0.4, 0.46), d.uniform(0.72, 0.95), d.uniform(0.54, 0.66)
    soft, inner = d.uniform(0.3, 0.7), w - arm
    s.box(-w + 0.02, w - 0.02, foot, seat - 0.12, -depth, depth - 0.03, cloth)
    s.cushion(-w + 0.01, w - 0.01, foot, top - 0.06, -depth, -depth + 0.16, cloth, soft)
    groove = s.thin * 0.8
    one_piece = d.chance(0.25)
    count = 1 if one_piece else seats
    for k in range(count):
        x0, x1 = (
            -inner + 2 * inner * k / count + groove,
            -inner + 2 * inner * (k + 1) / count - groove,
        )
        s.cushion(x0, x1, seat - 0.14, seat, -depth + 0.1, depth, cloth, soft)
        s.cushion(
            x0,
            x1,
            seat - 0.03,
            top,
            -depth + 0.1,
            -depth + d.uniform(0.26, 0.3),
            cloth,
            min(0.9, soft + 0.2),
        )
    text.features.append(
        "one long seat cushion" if one_piece else count_phrase(seats, "seat cushion")
    )
    if arm:
        rolled = d.chance(0.3)
        for side in (-1, 1):
            x0, x1 = sorted((side * w, side * (w - arm)))
            s.cushion(
                x0, x1, foot, arm_top - (0.05 if rolled else 0), -depth, depth - 0.02, cloth, soft
            )
            if rolled:
                r = max(arm * 0.62, s.thin)
                s.rod(
                    (side * (w - arm / 2), arm_top - r * 0.6, -depth),
                    (side * (w - arm / 2), arm_top - r * 0.6, depth),
                    r,
                    cloth,
                )
        text.features.append(
            "rolled armrests" if rolled else "wide armrests" if arm > 0.15 else "slim armrests"
        )
    else:
        text.lacks.append("armrests")
    if foot > 0.1:
        legs(
            s,
            w * 0.88,
            depth * 0.8,
            foot + 0.03,
            s.at_least(0.045) / 2,
            d.choice(["straight", "tapered"]),
            d.choice(WOODS),
        )
        text.features.append("four short legs")
    else:
        s.box(-w * 0.95, w * 0.95, 0, foot + 0.01, -depth * 0.9, depth * 0.9, "black")
    return s, text


def corner_sofa(d: Sampler) -> tuple[Solids, Description]:
    w, reach = d.uniform(1.1, 1.35), d.uniform(0.75, 1.1)
    s, text = (
        Solids(w * 2),
        Description("corner sofa", ["L-shaped sofa", "sectional sofa", "sofa"]),
    )
    cloth, depth, seat, top = d.choice(FABRICS), 0.85, d.uniform(0.38, 0.44), d.uniform(0.7, 0.85)
    back, front, flip = -reach, -reach + depth, d.choice([-1, 1])
    arm, soft = d.uniform(0.14, 0.22), d.uniform(0.3, 0.7)

    def block(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> None:
        x0, x1 = sorted((flip * x0, flip * x1))
        s.cushion(x0, x1, y0, y1, z0, z1, cloth, soft)

    chaise = d.chance(0.5)
    block(-w, w, 0.04, seat, back, front)
    block(w - depth, w, 0.04, seat, back, reach)
    block(-w, w, 0.04, top, back, back + 0.22)
    block(-w, -w + arm, 0.04, seat + 0.18, back, front)
    if chaise:
        text.features.append("a chaise longue")
    else:
        block(w - 0.22, w, 0.04, top, back, reach)
        block(w - depth, w, 0.04, seat + 0.18, reach - arm, reach)
        text.features.append("backs along both sides")
    count = d.integer(2, 3)
    low, high = -w + arm, w - (0.0 if chaise else 0.2)
    for k in range(count):
        x0, x1 = (low + (high - low) * (k + share) / count for share in (0.02, 0.98))
        block(x0, x1, seat - 0.02, top + 0.04, back + 0.18, back + 0.38)
    text.features.append(count_phrase(count, "back cushion"))
    s.box(
        -w * 0.94,
        w * 0.94,
        0,
        0.06,
        back * 0.94,
        front * 0.9 if front < 0 else front - 0.06,
        "black",
    )
    x0, x1 = sorted((flip * (w - depth + 0.06), flip * (w - 0.06)))
    s.box(x0, x1, 0, 0.06, back * 0.94, reach - 0.06, "black")
    return s, text


def daybed(d: Sampler) -> tuple[Solids, Description]:
    w = d.uniform(0.7, 1.0)
    s, text = Solids(w * 2), Description("chaise longue", ["daybed", "lounge sofa"])
    cloth, wood, depth, seat = (
        d.choice(FABRICS),
        d.choice(WOODS),
        d.uniform(0.3, 0.42),
        d.uniform(0.34, 0.46),
    )
    flip, soft = d.choice([-1, 1]), d.uniform(0.4, 0.8)
    s.cushion(-w, w, seat - 0.18, seat, -depth, depth, cloth, soft)
    rise = d.uniform(0.25, 0.55)
    rings = [
        np.array(
            [
                (flip * x, y, z)
                for x, y in (
                    (w - 0.28, seat - 0.1),
                    (w + 0.02, seat - 0.1),
                    (w + 0.2, seat + rise),
                    (w + 0.08, seat + rise),
                )
            ]
        )
        for z in (-depth, depth)
    ]
    s.loft(rings, cloth)
    legs(
        s,
        w * 0.85,
        depth * 0.8,
        seat - 0.15,
        s.at_least(0.05) / 2,
        d.choice(["straight", "tapered"]),
        wood,
    )
    text.features += ["one raised end", "four legs"]
    if d.chance(0.4):
        x0, x1 = sorted((flip * w, -flip * w * 0.2))
        s.cushion(x0, x1, seat - 0.1, seat + rise * 0.8, -depth, -depth + 0.13, cloth, soft)
        text.features.append("a half back")
    return s, text


def ottoman(d: Sampler) -> tuple[Solids, Description]:
    rounded = d.chance(0.5)
    w, height = d.uniform(0.25, 0.38), d.uniform(0.36, 0.46)
    s, text = (
        Solids(max(2 * w, height)),
        Description("ottoman", ["pouf", "footstool"], ["round" if rounded else "square"]),
    )
    cloth, foot = d.choice(FABRICS), d.choice([0.0, 0.1])
    if rounded:
        s.lathe([(w * 0.92, foot), (w, foot + 0.06), (w, height - 0.06), (w * 0.9, height)], cloth)
    else:
        s.cushion(-w, w, foot, height, -w, w, cloth, 0.35)
    if foot:
        inset = 0.6 if rounded else 0.85
        legs(s, w * inset, w * inset, foot + 0.02, s.at_least(0.04) / 2, "tapered", d.choice(WOODS))
        text.features.append("four short legs")
    return s, text

"""Cars, vans, trucks, buses, bicycles, motorcycles and aeroplanes, driving to +Z."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.dice import Dice
from triform.datasets.parametric.solids import Solids, arc
from triform.datasets.parametric.wording import Words, number

PAINTS = ("red", "blue", "green", "grey", "white", "black", "steel")


def _hull(s: Solids, sections: list[tuple[float, float, float, float, float]], material: str) -> None:
    """Sheet metal along z: each section is (z, bottom, top, half width below, half width above)."""
    rings = []
    for z, y0, y1, wb, wt in sections:
        h = y1 - y0
        half = [(wb * 0.9, y0), (wb, y0 + h * 0.15), (wb, y0 + h * 0.6), (wt, y1 - h * 0.12), (wt * 0.86, y1)]
        ring = [*half, *((-x, y) for x, y in reversed(half))]
        rings.append(np.array([(x, y, z) for x, y in ring]))
    s.loft(rings, material)


def _wheels(s: Solids, w: float, radius: float, zs: list[float], width: float) -> None:
    for z in zs:
        for side in (-1, 1):
            x0, x1 = side * (w - width), side * (w + s.thin * 0.12)
            ring = radius * arc(0, 340, 18)
            s.loft([np.array([(x, radius + v, z + c) for c, v in ring]) for x in (x0, x1)], "black")
            s.loft([np.array([(x, radius + 0.5 * v, z + 0.5 * c) for c, v in ring]) for x in (x1 - side * 0.01, x1 + side * s.thin * 0.2)], "steel")


def car(d: Dice) -> tuple[Solids, Words]:
    body = d.pick(["sedan", "sedan", "hatchback", "hatchback", "SUV", "sports car", "station wagon", "pickup truck", "convertible"])
    length = {"hatchback": d.between(3.0, 4.2), "SUV": d.between(4.0, 4.9), "pickup truck": d.between(4.8, 5.6)}.get(body, d.between(4.1, 5.1))
    s = Solids(length)
    words = Words("pickup truck", ["pickup", "car"]) if body == "pickup truck" else Words("car", [body, body, "automobile"])
    paint, w = d.pick(PAINTS), d.between(0.8, 0.97)
    tall = {"SUV": d.between(1.62, 1.9), "sports car": d.between(1.1, 1.28), "pickup truck": d.between(1.65, 1.9), "hatchback": d.between(1.42, 1.65)}.get(body, d.between(1.34, 1.55))
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
    _hull(
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
        rings = [np.array([(-base, hood - 0.05, z), (base, hood - 0.05, z), (roof, tall * 0.96, z - 0.32), (-roof, tall * 0.96, z - 0.32)]) for z in (front * h - s.thin, front * h)]
        s.loft(rings, "glass")
        for x in (-0.38, 0.38):
            for z in (-0.05, -0.38):
                s.cushion(x - 0.25, x + 0.25, belt * 0.8, belt + 0.32, z * h - 0.09, z * h + 0.09, "black", 0.5)
        words.features.append("an open top")
        words.synonyms.append("open car")
    else:
        low = min(belt, hood) - 0.08
        # The cabin leans in: its sections shrink from the belt line to the roof.
        corner = [(front, roof_front), (back, roof_back)]
        rings = []
        for y, share, width in ((low, 0.0, base), (tall - 0.09, 0.82, roof * 1.06), (tall, 1.0, roof * 0.94)):
            zf, zb = (h * (a + (b - a) * share) for a, b in corner)
            rings.append(np.array([(-width, y, zb), (width, y, zb), (width, y, zf), (-width, y, zf)]))
        s.loft(rings, "glass" if d.chance(0.3) else paint)
    if body == "pickup truck":
        t, z1, z0 = s.thin * 0.9, back * h, -h * 0.97
        s.box(-w * 0.96, -w * 0.96 + t, belt * 0.7, belt + 0.16, z0, z1, paint)
        s.box(w * 0.96 - t, w * 0.96, belt * 0.7, belt + 0.16, z0, z1, paint)
        s.box(-w * 0.96, w * 0.96, belt * 0.7, belt + 0.16, z0, z0 + t, paint)
        words.features.append("an open bed")
    radius = d.between(0.3, 0.35) * (1.12 if floor > 0.3 else 1.0)
    _wheels(s, w, radius, [-h * d.between(0.56, 0.64), h * d.between(0.58, 0.66)], 0.24)
    words.features += {
        "sedan": ["a separate trunk"], "hatchback": ["a steep rear door"], "SUV": ["a tall body"], "sports car": ["a low roof"],
        "station wagon": ["a long roof"], "pickup truck": [], "convertible": [],
    }[body]  # fmt: skip
    if body in ("sedan", "SUV", "sports car"):
        words.features.append("four wheels")
    if body not in ("convertible", "sports car") and d.chance(0.2):
        for x in (-roof * 0.8, roof * 0.8):
            s.rod((x, tall + 0.05, roof_back * h), (x, tall + 0.05, roof_front * h), s.thin * 0.5, "black")
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
    _hull(s, [(-h, floor, tall * 0.98, w * 0.97, w * 0.88), (-h * 0.96, floor, tall, w, w * 0.9), (zr * h, floor, tall, w, w * 0.9), (zf * h, floor, hood + 0.05, w, w * 0.9), (h * 0.96, floor, hood * 0.85, w * 0.95, w * 0.85), (h, floor + 0.1, hood * 0.7, w * 0.85, w * 0.75)], paint)
    _wheels(s, w, d.between(0.33, 0.38), [-h * 0.6, h * 0.66], 0.26)
    words.features += ["a flat front" if snub else "a short hood", "a high roof" if tall > 2.2 else "a low roof", "four wheels"]
    return s, words


def truck(d: Dice) -> tuple[Solids, Words]:
    load = d.pick(["box", "box", "flatbed", "tank", "dump", "trailer"])
    length, w = (d.between(10.0, 13.0) if load == "trailer" else d.between(6.2, 8.0)), d.between(1.1, 1.25)
    s, words = Solids(length), Words("truck", ["lorry", "cargo truck"])
    h, paint, floor, cab = length / 2, d.pick(PAINTS), 0.55, d.between(1.7, 2.1)
    high, bonnet = d.between(2.6, 3.1), d.chance(0.35)
    front = h - (1.0 if bonnet else 0.0)
    _hull(s, [(front - cab, floor, high, w, w * 0.94), (front - 0.5, floor, high, w, w * 0.94), (front - 0.12, floor, high * 0.62, w, w * 0.95), (front, floor, high * 0.58, w * 0.97, w * 0.92)], paint)
    if bonnet:
        _hull(s, [(front - 0.2, floor, 1.75, w * 0.8, w * 0.7), (h - 0.1, floor, 1.6, w * 0.75, w * 0.66), (h, floor + 0.1, 1.45, w * 0.7, w * 0.6)], paint)
        words.features.append("a long hood")
    else:
        words.features.append("a flat cab")
    back = front - cab - s.thin * 0.7
    s.box(-w * 0.45, w * 0.45, 0.6, 0.6 + s.thin, -h, front - 0.3, "black")
    bed = 0.95
    if load in ("box", "trailer"):
        top = d.between(2.9, 3.6)
        s.box(-w, w, bed, top, -h, back, d.pick(PAINTS))
        words.features.append("a long trailer" if load == "trailer" else "a cargo box")
        if load == "trailer":
            words.synonyms = ["semi-trailer truck", "lorry"]
    elif load == "tank":
        r = d.between(0.9, 1.1)
        rings = [np.array([(r * k * c, bed + r + r * 0.92 * k * v - 0.1, z) for c, v in arc(0, 345, 24)]) for z, k in ((-h, 0.7), (-h + 0.2, 1.0), (back - 0.2, 1.0), (back, 0.7))]
        s.loft(rings, "steel")
        s.box(-w * 0.6, w * 0.6, 0.7, bed + 0.2, -h + 0.1, back - 0.1, "black")
        words.features.append("a tank")
        words.synonyms.append("tanker")
    else:
        s.box(-w, w, bed - s.thin * 0.6, bed + s.thin * 0.5, -h, back, "brown")
        if load == "dump":
            t, rim = s.thin, d.between(1.7, 2.0)
            for side in (-1, 1):
                x0, x1 = sorted((side * w, side * (w - t)))
                s.box(x0, x1, bed, rim, -h, back, "grey")
            s.box(-w, w, bed, rim, -h, -h + t, "grey")
            s.box(-w, w, bed, rim + 0.3, back - t, back, "grey")
            words.features.append("an open dump body")
            words.synonyms.append("dump truck")
        else:
            words.features.append("a flat bed")
    radius = d.between(0.46, 0.54)
    axles = [-h * 0.72, front - cab * 0.55]
    if load == "trailer":
        axles += [-h * 0.72 + 2.3 * radius, front - cab - 0.9]
    elif d.chance(0.4):
        axles.append(-h * 0.72 + 2.2 * radius)
    _wheels(s, w, radius, axles, 0.35)
    words.features.append(f"{number(2 * len(axles), 'wheel')}")
    return s, words


def bus(d: Dice) -> tuple[Solids, Words]:
    length, w, high = d.between(7.0, 12.5), d.between(1.15, 1.3), d.between(2.7, 3.3)
    double = d.chance(0.2)
    if double:
        length, high = d.between(8.5, 10.0), d.between(4.0, 4.3)
    s, words = Solids(length), Words("bus", ["city bus", "coach", "passenger bus"])
    h, paint, floor, t = length / 2, d.pick(PAINTS), 0.4, s.thin
    s.cushion(-w, w, floor, high, -h, h, paint, 0.25)
    for level in ((1.3, 2.0), (2.7, 3.4)) if double else ((1.35, high - 0.75),):
        count = round(length / 1.5)
        for k in range(count):
            z0, z1 = (-h * 0.92 + 1.84 * h * (k + share) / count for share in (0.12, 0.88))
            for side in (-1, 1):
                x0, x1 = sorted((side * w * 0.9, side * (w + t * 0.35)))
                s.box(x0, x1, level[0], level[1], z0, z1, "glass")
        s.box(-w * 0.82, w * 0.82, level[0], level[1] + 0.1, h * 0.9, h + t * 0.3, "glass")
    _wheels(s, w, 0.5, [-h * 0.55, h * 0.62], 0.35)
    words.features += ["two decks"] if double else []
    words.features += ["rows of windows", "four wheels"]
    if double:
        words.adjectives.append("double-decker")
    return s, words


def bicycle(d: Dice) -> tuple[Solids, Words]:
    s, words = Solids(1.7), Words("bicycle", ["bike", "bike", "push bike"])
    t, paint, r = s.thin, d.pick(PAINTS), d.between(0.31, 0.35)
    rear, front = np.array([0, r, -0.52]), np.array([0, r, 0.52])
    for hub in (rear, front):
        s.tube([(0, r + r * v * 0.95, hub[2] + r * c * 0.95) for c, v in arc(0, 348, 30)], t * 0.55, "black", closed=True)
        for angle in (20, 80, 140):
            (c, v), = arc(angle, angle, 1)
            s.rod(hub - (0, r * 0.93 * v, r * 0.93 * c), hub + (0, r * 0.93 * v, r * 0.93 * c), t * 0.3, "steel")
        s.rod(hub - (t * 1.2, 0, 0), hub + (t * 1.2, 0, 0), t * 0.6, "steel")
    pedals, saddle, head = np.array([0, 0.28, -0.08]), np.array([0, 0.78, -0.24]), np.array([0, 0.86, 0.32])
    step_through = d.chance(0.35)
    pairs = [(rear, pedals), (rear, saddle - (0, 0.15, 0)), (pedals, saddle + (0, 0.08, -0.03)), (pedals, head - (0, 0.18, -0.06)), (front, head + (0, 0.1, -0.03))]
    pairs.append((saddle - (0, 0.3, -0.07), head - (0, 0.16, -0.05)) if step_through else (saddle - (0, 0.05, 0), head - (0, 0.04, 0)))
    for a, b in pairs:
        s.rod(a, b, t * 0.55, paint)
    s.cushion(-0.08, 0.08, saddle[1] + 0.06, saddle[1] + 0.06 + t * 1.2, saddle[2] - 0.17, saddle[2] + 0.12, "black", 0.7)
    top = head + (0, 0.12, -0.04)
    style = d.pick(["straight", "curved", "drop"])
    wide = d.between(0.22, 0.3)
    path = {
        "straight": [(-wide, 0, 0), (0, 0, 0), (wide, 0, 0)],
        "curved": [(-wide, 0.06, -0.2), (-wide * 0.9, 0.06, -0.05), (0, 0, 0.03), (wide * 0.9, 0.06, -0.05), (wide, 0.06, -0.2)],
        "drop": [(-wide * 0.8, -0.16, 0.02), (-wide * 0.8, -0.05, 0.12), (-wide * 0.8, 0, 0.02), (0, 0, 0), (wide * 0.8, 0, 0.02), (wide * 0.8, -0.05, 0.12), (wide * 0.8, -0.16, 0.02)],
    }[style]  # fmt: skip
    s.tube(np.array(path) + top, t * 0.55, "steel")
    s.rod(pedals - (0.09, 0.12, 0), pedals + (0.09, 0.12, 0), t * 0.5, "steel")
    for side in (-1, 1):
        end = pedals + (side * 0.11, side * 0.13, 0)
        s.box(end[0] - 0.05, end[0] + 0.05, end[1] - t * 0.5, end[1] + t * 0.5, end[2] - 0.04, end[2] + 0.04, "black")
    words.features += ["two wheels", {"straight": "straight handlebars", "curved": "curved handlebars", "drop": "drop handlebars"}[style]]
    if step_through:
        words.features.append("a low step-through frame")
    if d.chance(0.3):
        s.box(-0.16, 0.16, 0.84, 1.02, 0.42, 0.66, "brown")
        s.rod(head, (0, 0.9, 0.5), t * 0.5, "steel")
        words.features.append("a basket in front")
    if d.chance(0.3):
        s.box(-0.07, 0.07, 0.7, 0.7 + t, -0.75, -0.25, "steel")
        s.rod((0, 0.7, -0.68), rear, t * 0.45, "steel")
        words.features.append("a luggage rack")
    return s, words


def motorcycle(d: Dice) -> tuple[Solids, Words]:
    scooter = d.chance(0.45)
    s = Solids(1.9)
    words = Words("scooter", ["motor scooter", "moped"]) if scooter else Words("motorcycle", ["motorbike", "motorbike"])
    t, paint = s.thin, d.pick(PAINTS)
    r, reach = (0.23, 0.6) if scooter else (0.31, 0.68)
    width = 0.07
    for z in (-reach, reach):
        ring = arc(0, 342, 20)
        s.loft([np.array([(x, r + r * v, z + r * c) for c, v in ring]) for x in (-width, width)], "black")
    grip = np.array([0, 1.0, reach * 0.42])
    for side in (-1, 1):
        s.rod((side * 0.08, r, reach), (side * 0.08, 0.95, grip[2] + 0.05), t * 0.55, "steel")
    bar = d.between(0.28, 0.36)
    s.tube([(-bar, 1.0, grip[2] - 0.1), (-bar * 0.5, 1.02, grip[2]), (bar * 0.5, 1.02, grip[2]), (bar, 1.0, grip[2] - 0.1)], t * 0.55, "steel")
    s.ball((0, 0.86, grip[2] + 0.16), (0.1, 0.1, 0.08), "glass")
    if scooter:
        s.box(-0.17, 0.17, 0.2, 0.2 + t * 1.4, -0.35, 0.4, paint)
        s.loft([np.array([(-0.2, y0, z), (0.2, y0, z), (0.16, y1, z - 0.14), (-0.16, y1, z - 0.14)]) for z, y0, y1 in ((0.36, 0.2, 0.85), (0.36 + t * 1.3, 0.2, 0.85))], paint)
        _hull(s, [(-0.88, 0.42, 0.62, 0.12, 0.1), (-0.6, 0.25, 0.68, 0.2, 0.16), (-0.25, 0.22, 0.66, 0.18, 0.15)], paint)
        s.cushion(-0.15, 0.15, 0.64, 0.78, -0.82, -0.2, "black", 0.7)
        s.cushion(-0.1, 0.1, r * 1.7, r * 2.2, reach - 0.22, reach + 0.22, paint, 0.6)
        words.features += ["a footboard", "a front shield", "two small wheels"]
    else:
        s.ball((0, 0.42, 0.0), (0.17, 0.2, 0.26), "steel")
        s.rod((0, r, -reach), (0, 0.42, -0.1), t * 1.1, "steel")
        s.rod((0, 0.42, 0.1), (0, 0.85, grip[2]), t * 1.2, paint)
        s.ball((0, 0.78, 0.1), (0.15, 0.13, 0.28), paint)
        s.cushion(-0.13, 0.13, 0.68, 0.8, -0.72, -0.1, "black", 0.7)
        s.rod((0, 0.7, -0.5), (0, 0.42, -0.1), t * 1.2, paint)
        s.rod((0.15, 0.3, 0.0), (0.15, 0.36, -0.85), t * 0.9, "steel")
        s.cushion(-0.08, 0.08, r * 1.95, r * 1.95 + t * 1.2, -reach - 0.25, -reach + 0.25, paint, 0.5)
        words.features += ["two wheels", "an exhaust pipe"]
        if d.chance(0.4):
            _hull(s, [(grip[2] - 0.05, 0.6, 1.08, 0.17, 0.12), (grip[2] + 0.3, 0.55, 0.85, 0.14, 0.08)], paint)
            words.features.append("a fairing")
            words.synonyms.append("racing motorcycle")
    return s, words


def airplane(d: Dice) -> tuple[Solids, Words]:
    length = 10.0
    s, words = Solids(length), Words("airplane", ["aeroplane", "aircraft", "plane"])
    t, paint, h = s.thin, d.pick(["white", "steel", "blue", "red"]), length / 2
    jet = d.chance(0.6)
    r = d.between(0.5, 0.65)
    profile = [(-1.0, 0.15, 0.35), (-0.75, 0.6, 0.15), (-0.4, 1.0, 0.0), (0.6, 1.0, 0.0), (0.85, 0.7, -0.05), (0.97, 0.3, -0.1), (1.0, 0.1, -0.1)]
    y = r + 0.9
    s.loft([np.array([(k * r * c, y + r * up + k * r * v, z * h) for c, v in arc(0, 340, 18)]) for z, k, up in profile], paint)
    span = length * d.between(0.42, 0.5)
    sweep = d.between(1.2, 2.2) if jet else d.between(0.0, 0.3)
    high = not jet and d.chance(0.5)
    level = y + (r * 0.8 if high else -r * 0.5)
    chord, tip = d.between(1.6, 2.2) if jet else d.between(1.3, 1.6), d.between(0.6, 1.1)
    for side in (-1, 1):
        rings = []
        for x, z0, z1, k in ((0.0, 0.9, 0.9 - chord, 1.0), (span, 0.8 - sweep, 0.8 - sweep - tip, 0.7)):
            thick = t * 0.7 * k
            rings.append(np.array([(side * x, level - thick + x * 0.05, z0), (side * x, level - thick + x * 0.05, z1), (side * x, level + thick + x * 0.05, z1), (side * x, level + thick + x * 0.05, z0)]))
        s.loft(rings, paint)
        rings = [np.array([(side * x, y + r * 0.35 - t * 0.55, z0), (side * x, y + r * 0.35 - t * 0.55, z1), (side * x, y + r * 0.35 + t * 0.55, z1), (side * x, y + r * 0.35 + t * 0.55, z0)]) for x, z0, z1 in ((0.0, -h * 0.74, -h * 0.98), (span * 0.38, -h * 0.74 - sweep * 0.35, -h * 0.96 - sweep * 0.2))]
        s.loft(rings, paint)
        if jet:
            for k in range(d.pick([1, 1, 2]) if side < 0 else 0):
                for mirrored in (-1, 1):
                    x = mirrored * span * (0.34 + 0.3 * k)
                    z = 0.7 - sweep * abs(x) / span
                    s.rod((x, level - 0.3, z + 0.35), (x, level - 0.3, z - 0.9), 0.36, "steel", tip=0.26)
    fin = d.between(1.4, 1.9)
    s.prism([(-h * 0.68, y + r * 0.3), (-h * 0.98, y + r * 0.3), (-h * 1.02, y + r + fin), (-h * 0.88, y + r + fin)], "x", -t * 0.55, t * 0.55, paint)
    if jet:
        words.features += ["swept wings", "jet engines", "a tail fin"]
        words.synonyms.append("jet airliner")
    else:
        s.ball((0, y - r * 0.15, h), (t * 1.2, t * 1.2, t * 1.4), "steel")
        s.box(-t * 0.5, t * 0.5, y - 1.0, y + 0.8, h * 0.985, h * 0.985 + t * 0.9, "black")
        words.features += ["straight wings" if not high else "high straight wings", "a propeller", "a tail fin"]
    if d.chance(0.4):
        for x, z in ((0, h * 0.62), (-0.7, -0.4), (0.7, -0.4)):
            s.rod((x, 0.25, z), (x * 0.8, level if x else y - r * 0.7, z), t * 0.6, "steel")
            s.ball((x, 0.27, z), (t * 0.7, 0.27, 0.27), "black")
        words.features.append("landing gear")
    return s, words

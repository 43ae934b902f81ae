"""Tables."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.seating import legs
from triform.datasets.parametric.solids import METALS, WOODS, Solids

_EXPONENTS = {"round": 2.0, "oval": 2.0, "square": 24.0, "rectangular": 24.0}


def table(d: Sampler) -> tuple[Solids, Description]:
    shape = d.choice(["round", "oval", "square", "rectangular", "rectangular"])
    width = d.uniform(0.75, 1.25) if shape in ("round", "square") else d.uniform(1.15, 2.0)
    depth = width if shape in ("round", "square") else d.uniform(0.7, 1.0)
    return _table(
        d, Description("table", ["dining table"]), shape, width, depth, d.uniform(0.7, 0.78)
    )


def coffee_table(d: Sampler) -> tuple[Solids, Description]:
    shape = d.choice(["round", "oval", "square", "rectangular", "rectangular"])
    width = d.uniform(0.6, 0.95) if shape in ("round", "square") else d.uniform(0.9, 1.3)
    depth = width if shape in ("round", "square") else d.uniform(0.5, 0.65)
    text = Description("coffee table", ["low table", "table"])
    return _table(d, text, shape, width, depth, d.uniform(0.34, 0.46))


def side_table(d: Sampler) -> tuple[Solids, Description]:
    shape = d.choice(["round", "square"])
    width = d.uniform(0.36, 0.5)
    return _table(
        d,
        Description("side table", ["end table", "small table"]),
        shape,
        width,
        width,
        d.uniform(0.5, 0.62),
    )


def bar_table(d: Sampler) -> tuple[Solids, Description]:
    shape = d.choice(["round", "round", "square"])
    width = d.uniform(0.55, 0.8)
    text = Description("bar table", ["high table", "bistro table"])
    return _table(d, text, shape, width, width, d.uniform(1.0, 1.12))


def _table(
    d: Sampler, text: Description, shape: str, width: float, depth: float, height: float
) -> tuple[Solids, Description]:
    s = Solids(max(width, height))
    t, material = s.thin, d.choice(WOODS)
    text.adjectives.append(shape)
    thick = s.at_least(d.uniform(0.025, 0.05))
    w, dz, under = width / 2, depth / 2, height - thick

    def slab(low: float, high: float, share: float) -> None:
        s.lathe(
            [(1, low), (1, high)],
            material,
            stretch=(w * share, dz * share),
            exponent=_EXPONENTS[shape],
            sides=48,
        )

    slab(under, height, 1.0)
    rounded = shape in ("round", "oval")
    supports = ["legs", "legs", "legs", "pedestal", "cross"]
    if not rounded:
        supports += ["panels", "trestle"] if shape == "rectangular" else ["panels"]
    support = d.choice(supports)
    inset = 0.64 if rounded else 1.0
    if support == "legs":
        count = d.choice([3, 4]) if shape == "round" else 4
        style = d.choice(["straight", "straight", "tapered", "splayed"])
        leg = s.at_least(d.uniform(0.045, 0.085) * min(1.0, width)) / 2
        if count == 3:
            spread = {"splayed": 0.2 * height, "tapered": 0.03}.get(style, 0.0)
            for k in range(3):
                c, v = np.cos(np.pi / 2 + k * 2 * np.pi / 3), np.sin(np.pi / 2 + k * 2 * np.pi / 3)
                r = w * 0.72 - spread * 0.3
                s.rod(
                    ((r + spread) * c, 0, (r + spread) * v),
                    (r * c, under + t / 3, r * v),
                    max(t / 2, leg * 0.75),
                    material,
                    tip=leg,
                )
        else:
            margin = leg + (0.25 * height if style == "splayed" else 0.02) * (
                0.6 if rounded else 1.0
            )
            legs(
                s, (w - margin) * inset, (dz - margin) * inset, under + t / 3, leg, style, material
            )
        text.features.append(
            count_phrase(count, f"{style} leg" if style != "straight" and d.chance(0.8) else "leg")
        )
        x, z = (w - leg) * inset, (dz - leg) * inset
        if style == "straight" and count == 4 and height > 0.6 and d.chance(0.4):
            apron = s.at_least(0.09)
            s.box(-x, x, under - apron, under, z - t / 2, z + t / 2, material)
            s.box(-x, x, under - apron, under, -z - t / 2, -z + t / 2, material)
            for side in (-1, 1):
                s.box(side * x - t / 2, side * x + t / 2, under - apron, under, -z, z, material)
            text.features.append("an apron under the top")
        if style == "straight" and d.chance(0.4):
            y = height * d.uniform(0.18, 0.34)
            if rounded:
                slab(y, y + t, 0.76 if count == 3 else 0.9)
            else:
                s.box(-x, x, y, y + t, -z, z, material)
            text.features.append("a lower shelf")
        elif style == "straight" and count == 4 and not rounded and d.chance(0.3):
            y = height * 0.2
            for side in (-1, 1):
                s.rod((side * x, y, -z), (side * x, y, z), t * 0.55, material, square=True)
            s.rod((-x, y, 0), (x, y, 0), t * 0.55, material, square=True)
            text.features.append("a stretcher between the legs")
    elif support == "pedestal":
        column = s.at_least(d.uniform(0.06, 0.14)) / 2 * (1.3 if width > 1 else 1.0)
        base = min(w, dz) * d.uniform(0.5, 0.75)
        if shape in ("oval", "rectangular") and d.chance(0.6):
            for side in (-1, 1):
                s.lathe(
                    [(dz * 0.6, 0), (dz * 0.55, t), (column, t * 2), (column, under + t / 3)],
                    material,
                    x=side * w * 0.5,
                )
            text.features.append("two pedestals")
        else:
            flared = d.chance(0.4)
            profile = [
                (base, 0),
                (base, t),
                (column, t * (6 if flared else 1.6)),
                (column, under - t),
                (column * 1.6, under + t / 3),
            ]
            s.lathe(profile, d.choice(METALS) if d.chance(0.4) else material)
            text.features.append("a pedestal base" if not flared else "a trumpet base")
            text.synonyms.append("pedestal table")
    elif support == "cross":
        count = d.choice([3, 4])
        column = s.at_least(0.07) / 2
        reach = min(w, dz) * d.uniform(0.6, 0.8)
        s.rod((0, t, 0), (0, under + t / 3, 0), column, material)
        for k in range(count):
            angle = np.pi / 2 + 2 * np.pi * k / count + (np.pi / 4 if count == 4 else 0)
            c, v = np.cos(angle), np.sin(angle)
            s.rod(
                (0, height * 0.28, 0),
                (reach * c, t * 0.6, reach * v),
                column,
                material,
                tip=t * 0.6,
            )
        text.features.append(f"a central column on {count_phrase(count, 'foot', 'feet')}")
    elif support == "panels":
        panel = s.at_least(0.05)
        for side in (-1, 1):
            x0, x1 = sorted((side * w * 0.98, side * (w * 0.98 - panel)))
            s.box(x0, x1, 0, under + t / 3, -dz * 0.96, dz * 0.96, material)
        text.features.append("two panel legs")
        if d.chance(0.3):
            s.box(
                -w * 0.95, w * 0.95, height * 0.3, height * 0.3 + t, -dz * 0.9, dz * 0.9, material
            )
            text.features.append("a lower shelf")
    else:
        x = w * d.uniform(0.6, 0.75)
        for side in (-1, 1):
            for end in (-1, 1):
                s.rod(
                    (side * x, 0, end * dz * 0.9),
                    (side * x, under, end * dz * 0.15),
                    t * 0.7,
                    material,
                    square=True,
                )
            s.rod(
                (side * x, height * 0.35, -dz * 0.65),
                (side * x, height * 0.35, dz * 0.65),
                t * 0.6,
                material,
                square=True,
            )
        s.rod((-x, height * 0.35, 0), (x, height * 0.35, 0), t * 0.6, material, square=True)
        text.features.append("two trestles")
        text.synonyms.append("trestle table")
    return s, text


def picnic_table(d: Sampler) -> tuple[Solids, Description]:
    length = d.uniform(1.5, 1.9)
    s, text = Solids(length), Description("picnic table", ["garden table with benches"])
    t, material, w = s.thin, d.choice(["pine", "oak", "brown"]), length / 2
    planks = 3
    for k in range(planks):
        z = -0.36 + 0.72 * k / planks
        s.box(-w, w, 0.72 - t, 0.72, z, z + 0.72 / planks - t * 0.6, material)
    for side in (-1, 1):
        z0, z1 = sorted((side * 0.55, side * 0.8))
        s.box(-w, w, 0.44 - t, 0.44, z0, z1, material)
        x = side * w * 0.68
        for end in (-1, 1):
            s.rod((x, 0, end * 0.68), (x, 0.7, end * 0.25), t * 0.7, material, square=True)
        s.box(x - t * 0.7, x + t * 0.7, 0.4 - t, 0.42, -0.75, 0.75, material)
        s.box(x - t * 0.7, x + t * 0.7, 0.68 - t, 0.7, -0.34, 0.34, material)
    text.features.append("two benches")
    return s, text

"""Lamps on ceilings and walls."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.lighting import SHADES, lampshade, spokes
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import METALS, Solids, arc


def pendant_lamp(d: Sampler) -> tuple[Solids, Description]:
    high = d.uniform(0.5, 1.0)
    s, text = (
        Solids(high),
        Description("pendant lamp", ["hanging lamp", "ceiling pendant", "hanging light"]),
    )
    t, shade, material = (
        s.thin,
        d.choice(SHADES),
        d.choice(["white", "black", "brass", "red", "green"]),
    )
    radius, tall = d.uniform(0.14, 0.26), d.uniform(0.16, 0.3)
    if shade == "globe":
        tall = radius * 2
    s.rod((0, tall * 0.5, 0), (0, high, 0), t * 0.5, "black")
    s.lathe([(t * 1.6, high - t), (t * 1.6, high)], material)
    lampshade(s, shade, 0, 0, 0, tall, radius, material)
    spokes(s, 0, tall, radius, shade, material)
    text.features += [f"a {shade} shade", "a long cord" if high > 0.75 else "a short cord"]
    return s, text


def ceiling_lamp(d: Sampler) -> tuple[Solids, Description]:
    radius = d.uniform(0.18, 0.26)
    s, text = (
        Solids(radius * 2),
        Description("ceiling lamp", ["ceiling light", "flush ceiling lamp"]),
    )
    style = d.choice(["dome", "drum", "square", "spots"])
    deep = radius * d.uniform(0.3, 0.55)
    if style == "dome":
        s.lathe([(radius * c, deep - deep * v) for c, v in arc(0, 80, 8)][::-1], "glass")
        s.lathe([(radius * 0.8, deep), (radius * 0.8, deep + s.thin)], "steel")
        text.features.append("a domed glass")
    elif style in ("drum", "square"):
        s.lathe([(radius, 0), (radius, deep)], "linen", exponent=2 if style == "drum" else 24)
        s.lathe([(radius * 0.6, deep), (radius * 0.6, deep + s.thin)], "steel")
        text.adjectives.append("round" if style == "drum" else "square")
        text.features.append("a flat shade")
    else:
        count = d.integer(2, 4)
        s.box(
            -radius,
            radius,
            radius * 0.6,
            radius * 0.6 + s.thin * 1.2,
            -s.thin * 1.5,
            s.thin * 1.5,
            "steel",
        )
        for k in range(count):
            x = radius * (2 * (k + 0.5) / count - 1)
            s.rod((x, radius * 0.6, 0), (x, radius * 0.35, 0), s.thin * 0.6, "steel")
            s.rod(
                (x, radius * 0.4, -0.01),
                (x, 0.0, d.uniform(0.0, 0.08)),
                s.thin,
                "steel",
                tip=s.thin * 1.9,
            )
        text.features.append(count_phrase(count, "spotlight"))
        text.synonyms.append("track light")
    return s, text


def wall_lamp(d: Sampler) -> tuple[Solids, Description]:
    high = d.uniform(0.28, 0.4)
    s, text = Solids(high), Description("wall lamp", ["wall light", "sconce"])
    t, metal, shade = s.thin, d.choice(METALS), d.choice(SHADES)
    reach, radius, tall = d.uniform(0.12, 0.18), d.uniform(0.07, 0.11), d.uniform(0.12, 0.18)
    plate = d.choice([2.0, 24.0])
    turn = (
        [(0.05 * c, high * 0.4 + 0.07 * v) for c, v in arc(0, 340, 18)]
        if plate == 2.0
        else [(-0.05, high * 0.2), (0.05, high * 0.2), (0.05, high * 0.6), (-0.05, high * 0.6)]
    )
    s.prism(turn, "z", 0, t * 1.2, metal)
    s.tube(
        [
            (0, high * 0.4, t * 0.5),
            (0, high * 0.36, reach * 0.6),
            (0, high * 0.4, reach),
            (0, high - tall * 0.5, reach),
        ],
        t * 0.6,
        metal,
    )
    lampshade(
        s,
        shade,
        0,
        reach,
        high - tall,
        high,
        min(radius, tall / 2) if shade == "globe" else radius,
        "linen",
    )
    spokes_at(s, reach, high - tall, tall, radius, shade, metal)
    text.features += [
        f"a {shade} shade",
        "a curved arm",
        "a round plate" if plate == 2.0 else "a square plate",
    ]
    return s, text


def spokes_at(
    s: Solids, z: float, low: float, tall: float, radius: float, shade: str, material: str
) -> None:
    if shade not in ("conical", "cylindrical"):
        return
    y, reach = low + tall * 0.5, radius * (0.75 if shade == "conical" else 0.95)
    s.rod((-reach, y, z), (reach, y, z), s.thin * 0.45, material)


def chandelier(d: Sampler) -> tuple[Solids, Description]:
    count, reach, high = d.integer(3, 8), d.uniform(0.28, 0.4), d.uniform(0.6, 0.9)
    s, text = (
        Solids(high),
        Description("chandelier", ["chandelier lamp", "ceiling lamp with arms"]),
    )
    t, metal = s.thin, d.choice(["brass", "black", "steel"])
    hub = d.uniform(0.12, 0.2)
    s.rod((0, hub, 0), (0, high, 0), t * 0.55, metal)
    s.lathe([(t * 1.8, high - t), (t * 1.8, high)], metal)
    s.ball((0, hub, 0), (t * 2, t * 2.2, t * 2), metal)
    style = d.choice(["candles", "globes", "shades"])
    for k in range(count):
        c, v = np.cos(2 * np.pi * k / count + 0.3), np.sin(2 * np.pi * k / count + 0.3)
        path = [
            (c * r, hub + y, v * r)
            for r, y in (
                (0, 0),
                (reach * 0.35, -0.07),
                (reach * 0.75, -0.07),
                (reach, 0.0),
                (reach, 0.06),
            )
        ]
        s.tube(path, t * 0.5, metal)
        x, z, y = c * reach, v * reach, hub + 0.05
        if style == "candles":
            s.lathe(
                [
                    (t * 1.3, y),
                    (t * 1.5, y + t),
                    (t * 0.7, y + t),
                    (t * 0.7, y + 0.14),
                    (t * 0.2, y + 0.18),
                ],
                "white",
                x=x,
                z=z,
                sides=10,
            )
        elif style == "globes":
            s.ball((x, y + 0.05, z), (0.06, 0.06, 0.06), "glass")
        else:
            s.lathe(
                [(0.03, y), (0.065, y + 0.11), (0.05, y + 0.11), (0.02, y + t)],
                "linen",
                x=x,
                z=z,
                sides=12,
            )
    text.features += [
        count_phrase(count, "arm"),
        {"candles": "candle lights", "globes": "round globes", "shades": "small shades"}[style],
    ]
    return s, text

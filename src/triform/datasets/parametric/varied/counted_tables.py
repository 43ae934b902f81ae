"""Tables and stools with three to six legs under a round, oval, square or rectangular top."""

from __future__ import annotations

import dataclasses

import numpy as np

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.desks import drawers
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import FABRICS, WOODS, Solids
from triform.datasets.parametric.varied import held_out

_SQUARED = 24.0
"""Exponent of the superellipse of a top with corners."""
_STYLES = ("straight", "straight", "tapered", "splayed")


@dataclasses.dataclass(frozen=True)
class _Size:
    width: tuple[float, float]
    long_width: tuple[float, float]
    depth: tuple[float, float]
    height: tuple[float, float]


def counted_table(d: Sampler) -> tuple[Solids, Description]:
    size = _Size((0.75, 1.25), (1.15, 2.0), (0.7, 1.0), (0.68, 0.8))
    return _table(d, Description("table", ["dining table"]), size, True)


def counted_coffee_table(d: Sampler) -> tuple[Solids, Description]:
    size = _Size((0.6, 0.95), (0.9, 1.35), (0.5, 0.7), (0.34, 0.48))
    return _table(d, Description("coffee table", ["low table"]), size, True)


def counted_side_table(d: Sampler) -> tuple[Solids, Description]:
    size = _Size((0.36, 0.55), (0.5, 0.7), (0.36, 0.45), (0.48, 0.64))
    return _table(d, Description("side table", ["small table"]), size, False)


def counted_stool(d: Sampler) -> tuple[Solids, Description]:
    form = d.choice(["round", "square"])
    count = _legs(d, "stool", form)
    bar = d.chance(0.4)
    height = d.uniform(0.62, 0.8) if bar else d.uniform(0.36, 0.5)
    half = d.uniform(0.16, 0.21)
    s = Solids(max(height, 2 * half))
    text = Description("bar stool" if bar else "stool", ["stool", "high stool"] if bar else [])
    text.adjectives.append(form)
    material = d.choice(WOODS)
    thick = s.at_least(d.uniform(0.025, 0.05))
    _slab(s, form, half, half, height - thick, height, material)
    if d.chance(0.25):
        _slab(s, form, half * 0.96, half * 0.96, height, height + 0.04, d.choice(FABRICS))
        text.features.append("a padded seat")
    _stand(d, s, text, form, count, half, half, height - thick, material)
    return s, text


def _table(
    d: Sampler, text: Description, size: _Size, has_long: bool
) -> tuple[Solids, Description]:
    forms = ["round", "square", *(["oval", "rectangular"] if has_long else [])]
    form = d.choice(forms)
    count = _legs(d, text.noun, form)
    is_long = form in ("oval", "rectangular")
    width = d.uniform(*(size.long_width if is_long else size.width))
    depth = min(d.uniform(*size.depth), width * 0.8) if is_long else width
    height = d.uniform(*size.height)
    s = Solids(max(width, height))
    text.adjectives.append(form)
    material = d.choice(WOODS)
    thick = s.at_least(d.uniform(0.025, 0.05))
    under = height - thick
    w, dz = width / 2, depth / 2
    _slab(s, form, w, dz, under, height, material)
    num_drawers = d.choice([0, 0, 0, 1, 2, 3]) if form in ("square", "rectangular") else 0
    if num_drawers and height > 0.45:
        low = under - s.at_least(0.11)
        s.box(-w * 0.86, w * 0.86, low, under, -dz * 0.84, dz * 0.84, material)
        drawers(
            d, s, (-w * 0.86, w * 0.86, low, under, dz * 0.84), 1, material, columns=num_drawers
        )
    else:
        num_drawers = 0
    straight = _stand(d, s, text, form, count, w, dz, under, material)
    if num_drawers:
        text.features.append(count_phrase(num_drawers, "drawer"))
    if straight and not num_drawers and d.chance(0.25):
        y = height * d.uniform(0.2, 0.35)
        _slab(s, form, w * 0.84, dz * 0.84, y, y + s.thin, material)
        text.features.append("a lower shelf")
    return s, text


def _legs(d: Sampler, noun: str, form: str) -> int:
    """Three to six legs, of a number that this kind and form may have."""
    excluded = held_out.LEGS.get(noun, frozenset())
    return d.choice([count for count in (3, 4, 4, 5, 6) if (form, count) not in excluded])


def _slab(
    s: Solids, form: str, w: float, dz: float, low: float, high: float, material: str
) -> None:
    exponent = _SQUARED if form in ("square", "rectangular") else 2.0
    s.lathe([(1, low), (1, high)], material, stretch=(w, dz), exponent=exponent, sides=48)


def _stand(
    d: Sampler,
    s: Solids,
    text: Description,
    form: str,
    count: int,
    w: float,
    dz: float,
    top: float,
    material: str,
) -> bool:
    """Legs from the floor to `top` with their words; returns whether they are straight."""
    style = d.choice(_STYLES)
    radius = s.at_least(d.uniform(0.03, 0.06) * min(1.0, 2 * w)) / 2
    spread = 0.12 * min(top, 2 * dz) if style == "splayed" else 0.0
    margin = radius + spread
    for x, z in leg_positions(form, count):
        inner = np.array([x * (w - margin), z * (dz - margin)])
        length = float(np.hypot(x, z)) or 1.0
        outer = inner + spread * np.array([x, z]) / length
        tip = max(radius * 0.65, s.thin / 2) if style == "tapered" else radius
        s.rod(
            (outer[0], 0.0, outer[1]),
            (inner[0], top + s.thin / 3, inner[1]),
            tip,
            material,
            tip=radius,
            square=style == "straight" and form in ("square", "rectangular"),
        )
    named = f"{style} leg" if style != "straight" and d.chance(0.6) else "leg"
    text.features.append(count_phrase(count, named))
    return style == "straight"


def leg_positions(form: str, count: int) -> list[tuple[float, float]]:
    """Positions (x, z) of legs, as shares of half the width and depth of the top.

    On a ring under a round or oval top; at the corners of others, with two of three in front, a
    fifth in the middle and six along the longer sides.
    """
    if form in ("round", "oval"):
        # An even number stands with two legs towards the front, an odd one with one.
        turn = np.pi / 2 + (np.pi / count if count % 2 == 0 else 0.0)
        angles = turn + 2 * np.pi * np.arange(count) / count
        return [(0.8 * float(np.cos(a)), 0.8 * float(np.sin(a))) for a in angles]
    corners = [(-0.94, 0.94), (0.94, 0.94), (-0.94, -0.94), (0.94, -0.94)]
    if count == 3:
        return [*corners[:2], (0.0, -0.94)]
    if count == 5:
        return [*corners, (0.0, 0.0)]
    return [*corners, (0.0, 0.94), (0.0, -0.94)] if count == 6 else corners

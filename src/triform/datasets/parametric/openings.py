"""Doors, windows and mirrors."""

from __future__ import annotations

from triform.datasets.parametric.description import Description, count_phrase
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import WOODS, Solids, arc


def _frame(
    s: Solids,
    w: float,
    low: float,
    high: float,
    dz: float,
    edge: float,
    material: str,
    *,
    sill: bool,
) -> None:
    """Posts and a lintel, and a sill for windows."""
    s.box(-w, -w + edge, low, high, -dz, dz, material)
    s.box(w - edge, w, low, high, -dz, dz, material)
    s.box(-w, w, high - edge, high, -dz, dz, material)
    if sill:
        s.box(-w, w, low, low + edge, -dz, dz, material)


def _panes(
    s: Solids,
    x0: float,
    x1: float,
    y0: float,
    y1: float,
    dz: float,
    rows: int,
    columns: int,
    material: str,
    edge: float,
) -> None:
    """A sash: its frame, bars and a sheet of glass in the middle."""
    t = s.thin
    s.box(x0, x1, y0, y1, -t * 0.4, t * 0.4, "glass")
    for low, high in ((x0, x0 + edge), (x1 - edge, x1)):
        s.box(low, high, y0, y1, -dz, dz, material)
    for low, high in ((y0, y0 + edge), (y1 - edge, y1)):
        s.box(x0, x1, low, high, -dz, dz, material)
    bar = t * 0.55
    for k in range(1, columns):
        x = x0 + (x1 - x0) * k / columns
        s.box(x - bar, x + bar, y0, y1, -dz * 0.9, dz * 0.9, material)
    for k in range(1, rows):
        y = y0 + (y1 - y0) * k / rows
        s.box(x0, x1, y - bar, y + bar, -dz * 0.9, dz * 0.9, material)


def _grid(rows: int, columns: int) -> str:
    if rows * columns == 1:
        return "one pane"
    return count_phrase(rows * columns, "pane")


def door(d: Sampler) -> tuple[Solids, Description]:
    double = d.chance(0.25)
    w, high = d.uniform(0.42, 0.52) * (1.7 if double else 1.0), d.uniform(2.0, 2.2)
    s, text = (
        Solids(high),
        Description("door", ["interior door"], ["double"] if double else []),
    )
    t, material = s.thin, d.choice(WOODS)
    leaf, edge, dz = t * 0.75, t * 1.5, t * 1.5
    framed = d.chance(0.7)
    if framed:
        _frame(s, w, 0, high, dz, edge, material, sill=False)
        text.features.append("a frame")
    inner, top = (w - edge, high - edge) if framed else (w, high)
    style = d.choice(["flat", "panels", "panels", "panels", "glazed", "half glazed"])
    leaves = [(-inner, 0.0), (0.0, inner)] if double else [(-inner, inner)]
    rows, columns = (
        d.choice([(1, 1), (2, 1), (3, 1), (2, 2), (3, 2)])
        if style == "panels"
        else d.choice([(1, 1), (3, 2), (4, 2), (5, 2)])
    )
    if double:
        columns = 1
    flip = d.choice([-1, 1])
    for index, (x0, x1) in enumerate(leaves):
        x0, x1 = x0 + t * 0.3 * (index > 0), x1 - t * 0.3 * (double and index == 0)
        split = 0.05 if style == "glazed" else high * 0.45
        if style in ("glazed", "half glazed"):
            if style == "half glazed":
                s.box(x0, x1, 0.01, split, -leaf, leaf, material)
                s.box(
                    x0 + t * 2,
                    x1 - t * 2,
                    0.2,
                    split - t * 1.5,
                    -leaf - t * 0.8,
                    leaf + t * 0.8,
                    material,
                )
            _panes(
                s,
                x0,
                x1,
                split if style == "half glazed" else 0.01,
                top,
                leaf * 1.3,
                rows,
                columns,
                material,
                t * 2,
            )
        else:
            s.box(x0, x1, 0.01, top, -leaf, leaf, material)
        if style == "panels":
            margin = t * 1.7
            for i in range(rows):
                for j in range(columns):
                    left, right = (
                        x0 + margin / 2 + (x1 - x0 - margin) * (j + share) / columns
                        for share in (0, 1)
                    )
                    low, up = (0.1 + (top - 0.15) * (i + share) / rows for share in (0, 1))
                    s.box(
                        left + margin / 2,
                        right - margin / 2,
                        low + margin / 2,
                        up - margin / 2,
                        -leaf - t * 0.9,
                        leaf + t * 0.9,
                        material,
                    )
        grip = (
            (x1 - t * 1.6 if index == 0 else x0 + t * 1.6) if double else flip * (inner - t * 1.8)
        )
        for side in (-1, 1):
            if d.chance(0.5):
                s.ball((grip, 1.02, side * (leaf + t * 0.9)), (t * 0.8, t * 0.8, t), "brass")
            else:
                s.box(
                    grip - t * 0.6,
                    grip + t * 0.6,
                    0.97,
                    1.1,
                    side * leaf - t * 1.1,
                    side * leaf + t * 1.1,
                    "steel",
                )
    text.features += {
        "flat": ["a smooth leaf" if not double else "two smooth leaves"],
        "panels": [
            count_phrase(rows * columns, "raised panel") + (" on each leaf" if double else "")
        ],
        "glazed": [_grid(rows, columns) + " of glass" + (" on each leaf" if double else "")],
        "half glazed": [
            _grid(rows, columns) + " of glass above" + (" on each leaf" if double else "")
        ],
    }[style]
    if style == "glazed":
        text.adjectives.append("glazed")
        text.synonyms.append("glass door")
    if style == "panels":
        text.adjectives.append("panelled")
    text.features.append("a handle" if not double else "two handles")
    return s, text


def window(d: Sampler) -> tuple[Solids, Description]:
    w, high = (
        d.choice([d.uniform(0.4, 0.5), d.uniform(0.55, 0.75), d.uniform(0.8, 1.0)]),
        d.uniform(1.0, 1.5),
    )
    s, text = Solids(max(2 * w, high)), Description("window")
    t, material = s.thin, d.choice(WOODS)
    edge, dz = t * 1.4, t * 1.7
    style = d.choice(["casement", "casement", "casement", "sash", "arched", "round"])
    if style == "round":
        r = d.uniform(0.35, 0.6)
        s, text.adjectives = Solids(2 * r), ["round"]
        t = s.thin
        s.tube([(r * c, r + r * v, 0) for c, v in arc(0, 350, 36)], t * 1.4, material, closed=True)
        s.prism([(r * c, r + r * v) for c, v in arc(0, 350, 36)], "z", -t * 0.4, t * 0.4, "glass")
        if d.chance(0.7):
            s.box(-r, r, r - t * 0.6, r + t * 0.6, -t, t, material)
            s.box(-t * 0.6, t * 0.6, 0, 2 * r, -t, t, material)
            text.features.append("four panes")
        else:
            text.features.append("one pane")
        return s, text
    columns = 1 if w < 0.52 else 2 if w < 0.78 else 3
    rows_in_sash, columns_in_sash = d.choice([(1, 1), (1, 1), (2, 1), (3, 1), (2, 2), (3, 2)])
    top = high
    if style == "arched":
        text.adjectives.append("arched")
        outer, rise = w, w * d.uniform(0.6, 1.0)
        s.tube(
            [(outer * 0.96 * c, high + rise * v, 0) for c, v in arc(0, 180, 21)], t * 1.2, material
        )
        s.prism(
            [(outer * c * 0.97, high + rise * v) for c, v in arc(0, 180, 21)],
            "z",
            -t * 0.4,
            t * 0.4,
            "glass",
        )
        if d.chance(0.6):
            for angle in (60, 120) if columns > 1 else (90,):
                ((c, v),) = arc(angle, angle, 1)
                s.rod(
                    (0, high, 0),
                    (outer * 0.95 * c, high + rise * 0.97 * v, 0),
                    t * 0.6,
                    material,
                    square=True,
                )
    if style == "sash":
        columns = 1
        text.synonyms += ["sash window", "double-hung window"]
        text.features.append("two sliding sashes")
    _frame(s, w, 0, top, dz, edge, material, sill=True)
    inner = w - edge * 0.7
    if style == "sash":
        middle = high / 2
        _panes(
            s,
            -inner,
            inner,
            edge * 0.6,
            middle + t * 0.6,
            dz * 0.75,
            rows_in_sash,
            columns_in_sash,
            material,
            t * 1.3,
        )
        _panes(
            s,
            -inner,
            inner,
            middle - t * 0.6,
            top - edge * 0.6,
            dz * 0.75,
            rows_in_sash,
            columns_in_sash,
            material,
            t * 1.3,
        )
        text.features.append(f"{_grid(rows_in_sash, columns_in_sash)} in each sash")
    else:
        for k in range(columns):
            x0, x1 = (-inner + 2 * inner * (k + share) / columns for share in (0, 1))
            _panes(
                s,
                x0,
                x1,
                edge * 0.6,
                top - edge * 0.6,
                dz * 0.75,
                rows_in_sash,
                columns_in_sash,
                material,
                t * 1.2,
            )
        if columns > 1:
            text.adjectives.append("double" if columns == 2 else "triple")
            text.features.append(
                f"{_grid(rows_in_sash, columns_in_sash)} in each of {count_phrase(columns, 'sash', 'sashes')}"
            )
        else:
            text.features.append(_grid(rows_in_sash, columns_in_sash))
    if d.chance(0.4):
        s.box(-w - t, w + t, -t, t * 0.3, -dz, dz + t * 2.5, "white")
        text.features.append("a sill")
    if style != "arched" and d.chance(0.15):
        for side in (-1, 1):
            x0, x1 = sorted((side * w, side * (w + w * 0.8)))
            s.box(x0, x1, 0, high, -t * 0.6, t * 0.6, "green")
            count = 6
            for k in range(count):
                y = high * (k + 0.5) / count
                s.box(x0 + t, x1 - t, y - t * 0.7, y + t * 0.7, 0, t * 1.5, "green")
        text.features.append("open shutters")
    return s, text


def french_window(d: Sampler) -> tuple[Solids, Description]:
    leaves = d.choice([2, 2, 2, 3, 4])
    w, high = leaves * d.uniform(0.3, 0.38), d.uniform(2.0, 2.25)
    s, text = (
        Solids(high),
        Description("French window", ["French door", "patio door", "balcony door"]),
    )
    t, material = s.thin, d.choice(WOODS)
    edge, dz = t * 1.3, t * 1.5
    _frame(s, w, 0, high, dz, edge, material, sill=True)
    rows, columns = d.choice([(1, 1), (2, 1), (3, 1), (4, 1), (4, 2), (5, 2)])
    if leaves > 2:
        columns = 1
    inner = w - edge * 0.7
    for k in range(leaves):
        x0, x1 = (-inner + 2 * inner * (k + share) / leaves for share in (0, 1))
        _panes(s, x0, x1, edge * 0.6, high - edge * 0.6, dz * 0.7, rows, columns, material, t * 1.2)
    text.adjectives.append({2: "double", 3: "triple", 4: "quadruple"}[leaves])
    text.features += [
        count_phrase(leaves, "leaf", "leaves"),
        f"{_grid(rows, columns)} in each leaf",
    ]
    return s, text


def mirror(d: Sampler) -> tuple[Solids, Description]:
    shape = d.choice(["round", "oval", "rectangular", "arched"])
    standing = shape != "round" and d.chance(0.4)
    high = d.uniform(1.4, 1.75) if standing else d.uniform(0.6, 1.0)
    w = high / 2 if shape == "round" else high * d.uniform(0.22, 0.36)
    s = Solids(high)
    text = Description("mirror", ["standing mirror" if standing else "wall mirror"], [shape])
    t, material, half = s.thin, d.choice([*WOODS, "brass"]), high / 2
    base = high * 0.08 if standing else 0.0
    if shape in ("round", "oval"):
        outline = [(w * c, base + half + half * v) for c, v in arc(0, 350, 36)]
    elif shape == "arched":
        outline = [
            (-w, base),
            (w, base),
            *((w * c, base + high - w + w * v) for c, v in arc(0, 180, 19)),
        ]
    else:
        outline = [(-w, base), (w, base), (w, base + high), (-w, base + high)]
    s.prism(outline, "z", -t * 0.5, t * 0.5, "glass")
    if shape in ("round", "oval"):
        s.tube([(x, y, 0) for x, y in outline], t * 1.1, material, closed=True)
    else:
        for (xa, ya), (xb, yb) in zip(outline, [*outline[1:], outline[0]], strict=True):
            s.rod((xa, ya, 0), (xb, yb, 0), t * 1.0, material, square=False)
            s.ball((xa, ya, 0), (t, t, t), material)
    text.features.append("a frame")
    if standing:
        for side in (-1, 1):
            x = side * (w + t * 1.2)
            s.rod((x, 0, 0), (x, base + high * 0.62, 0), t * 0.7, material, square=True)
            s.rod((x, t * 0.7, -0.22), (x, t * 0.7, 0.22), t * 0.7, material, square=True)
            s.rod((side * (w - t), base + half, 0), (x, base + half, 0), t * 0.8, material)
        s.rod(
            (-w - t, base * 0.4 + t, 0), (w + t, base * 0.4 + t, 0), t * 0.6, material, square=True
        )
        text.features.append("a stand with two feet")
    return s, text

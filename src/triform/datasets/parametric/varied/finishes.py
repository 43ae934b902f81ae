"""Colours and materials of parametric objects: their words, and the sRGB of faces."""

from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import FABRICS, METALS, WOODS, Solids
from triform.datasets.parametric.varied import held_out
from triform.geometry.mesh import Mesh

Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "red": (196, 40, 38),
    "orange": (236, 128, 32),
    "yellow": (242, 212, 64),
    "green": (62, 138, 66),
    "blue": (52, 92, 184),
    "purple": (118, 62, 156),
    "pink": (238, 148, 182),
    "brown": (106, 70, 46),
    "beige": (216, 200, 168),
    "grey": (132, 132, 134),
    "black": (34, 34, 36),
    "white": (240, 240, 238),
}
MATERIALS: dict[str, dict[str, Color]] = {
    "wood": {
        "oak": (196, 154, 100),
        "pine": (222, 190, 140),
        "walnut": (112, 76, 50),
        "cherry": (146, 76, 48),
        "beech": (206, 164, 118),
        "wooden": (182, 138, 88),
    },
    "metal": {"metal": (168, 172, 178), "steel": (176, 180, 184), "brass": (190, 150, 70)},
    "glass": {"glass": (188, 214, 226)},
    "stone": {"marble": (226, 224, 220), "stone": (160, 156, 148)},
    "wicker": {"wicker": (190, 150, 98), "rattan": (178, 132, 82)},
}
"""Material -> adjectives and their colours."""
FABRIC_WORDS = ("leather", "fabric", "velvet")
PAINTED_WORDS = ("wooden", "metal", "plastic")
UPHOLSTERED = frozenset({"armchair", "sofa", "corner sofa", "daybed", "ottoman", "office chair"})
TABLES = frozenset({"table", "coffee table", "side table", "bar table", "desk"})
UNPAINTED_GROUPS = frozenset({"people"})
MAX_SHIFT = 12
"""Largest random shift of a channel of a colour, of 255."""


def apply_finish(
    d: Sampler, solids: Solids, text: Description, kind: str, group: str
) -> dict[str, Color]:
    """Draw a colour or material of the whole, add its words, and return the colours to use.

    Args:
        d: source of random numbers.
        solids: the object; its largest material gets the new colour.
        text: its description, which gets the words in front of the noun.
        kind: its kind.
        group: its group in the data set.

    Returns:
        Material -> colour, for `colored_mesh`; empty where nothing changes.
    """
    words, color = _draw(d, kind, group)
    material = _main_material(solids, kind)
    if not words or material is None:
        return {}
    text.adjectives += words
    shift = d.rng.integers(-MAX_SHIFT // 4, MAX_SHIFT // 4 + 1, 3) * 4
    r, g, b = np.clip(np.array(color) + shift, 0, 255).tolist()
    return {material: (r, g, b)}


def _draw(d: Sampler, kind: str, group: str) -> tuple[list[str], Color]:
    """Adjectives of a finish and its colour; no words for the design's own."""
    if group in UNPAINTED_GROUPS or d.chance(0.12):
        return [], (0, 0, 0)
    colors = [name for name in COLORS if name not in held_out.COLORS.get(kind, ())]
    if kind in UPHOLSTERED:
        name = d.choice(colors)
        return [name, *([d.choice(FABRIC_WORDS)] if d.chance(0.4) else [])], COLORS[name]
    if group in ("vehicles", "sanitary") or d.chance(0.55):
        name = d.choice(colors)
        avoided = {"wood": "wooden", "metal": "metal"}.get(held_out.MATERIALS.get(kind, ""))
        painted = [word for word in PAINTED_WORDS if word != avoided]
        has_material = group not in ("vehicles", "sanitary") and d.chance(0.3)
        return [name, *([d.choice(painted)] if has_material else [])], COLORS[name]
    materials = ["wood", "wood", "wood", "metal"]
    if kind in TABLES:
        materials += ["glass", "stone"]
    elif kind in ("chair", "sun lounger", "bench"):
        materials.append("wicker")
    material = d.choice([name for name in materials if name != held_out.MATERIALS.get(kind)])
    word = d.choice(list(MATERIALS[material]))
    return [word], MATERIALS[material][word]


def _main_material(solids: Solids, kind: str) -> str | None:
    """The material of the largest surface, of those that a finish is for."""
    mesh = solids.mesh()
    areas: dict[str, float] = {}
    start = 0
    for name, count in solids.materials():
        area = float(mesh.face_areas[start : start + count].sum())
        areas[name] = areas.get(name, 0.0) + area
        start += count
    bedding = {"white", "linen"} if kind in ("bed", "bunk bed", "crib") else set()
    candidates = [
        name
        for name in sorted(areas, key=lambda name: -areas[name])
        if name in {*WOODS, *FABRICS, *METALS, "ceramic"} - bedding
    ]
    return candidates[0] if candidates else None


def colored_mesh(solids: Solids, colors: dict[str, Color]) -> tuple[Mesh, np.ndarray]:
    """The mesh of an object with some materials in other colours, and its face colours (F, 3)."""
    mesh = solids.mesh()
    face_colors = np.array(mesh.face_colors, dtype=np.uint8)
    start = 0
    for name, count in solids.materials():
        if name in colors:
            face_colors[start : start + count] = colors[name]
        start += count
    return Mesh(mesh.vertices, mesh.faces, face_colors), face_colors

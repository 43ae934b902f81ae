"""A builder of closed solids from boxes, lathes, swept tubes and lofts, in plain numpy.

Metres, +Y up, fronts to +Z, the ground at y = 0. Every solid is closed and faces outwards; solids
may overlap. ``Solids.thin`` is the least thickness that survives on a 64^3 grid: the designs pass
every sheet, leg and rail through ``Solids.at_least``.
"""

# ruff: noqa: RUF005 -- sums of arrays, not joined tuples
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from triform.geometry.mesh import Mesh

THINNEST_SHARE = 1 / 38

MATERIALS = {
    "oak": (196, 154, 100),
    "pine": (222, 190, 140),
    "walnut": (106, 72, 48),
    "cherry": (140, 70, 45),
    "white": (238, 238, 234),
    "black": (40, 40, 42),
    "steel": (170, 174, 178),
    "brass": (190, 150, 70),
    "glass": (190, 215, 225),
    "ceramic": (246, 246, 244),
    "red": (170, 50, 45),
    "blue": (60, 90, 150),
    "green": (80, 120, 80),
    "grey": (130, 130, 132),
    "beige": (208, 192, 165),
    "brown": (120, 85, 60),
    "skin": (224, 176, 140),
    "linen": (236, 230, 218),
}
WOODS = ("oak", "pine", "walnut", "cherry", "white", "black")
FABRICS = ("red", "blue", "green", "grey", "beige", "brown", "black", "white")
METALS = ("steel", "black", "brass", "white")

Point = Sequence[float] | np.ndarray


class Solids:
    """Collects solids and gives them as one mesh.

    Args:
        longest: about the longest side of what will be built, in metres; sets ``thin``.
    """

    def __init__(self, longest: float) -> None:
        self.thin = longest * THINNEST_SHARE
        self._vertices: list[np.ndarray] = []
        self._faces: list[np.ndarray] = []
        self._materials: list[tuple[str, int]] = []
        self._count = 0

    def at_least(self, thickness: float) -> float:
        """``thickness``, or the least that survives on a 64^3 grid."""
        return max(thickness, self.thin)

    def mesh(self) -> Mesh:
        """Everything built so far: (V, 3) metres, (F, 3), and a colour for each face."""
        colors = np.concatenate(
            [
                np.tile(np.array(MATERIALS[name], np.uint8), (count, 1))
                for name, count in self._materials
            ]
        )
        return Mesh(np.concatenate(self._vertices), np.concatenate(self._faces), colors)

    def materials(self) -> list[tuple[str, int]]:
        """(material, number of faces) runs, in the order of the faces."""
        return list(self._materials)

    def add(self, vertices: np.ndarray, faces: np.ndarray, material: str) -> None:
        """Adds one closed solid (v, 3), (f, 3), turned outwards if it faces inwards."""
        volume = np.linalg.det((vertices - vertices.mean(axis=0))[faces]).sum()  # six times it
        faces = faces[:, ::-1] if volume < 0 else faces
        self._vertices.append(vertices)
        self._faces.append(faces.astype(np.int64) + self._count)
        self._materials.append((material, len(faces)))
        self._count += len(vertices)

    def move(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Moves or turns everything built so far."""
        self._vertices = [change(points) for points in self._vertices]

    def box(
        self, x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, material: str
    ) -> None:
        """An upright box between two corners."""
        ring = np.array([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], dtype=float)
        self.loft([ring + (0, y0, 0), ring + (0, y1, 0)], material)

    def cushion(
        self,
        x0: float,
        x1: float,
        y0: float,
        y1: float,
        z0: float,
        z1: float,
        material: str,
        softness: float = 0.35,
    ) -> None:
        """A box with rounded edges; ``softness`` is the radius over half of the shortest side."""
        half = np.array([x1 - x0, y1 - y0, z1 - z0]) / 2
        radius = softness * half.min()
        steps = radius * np.array([0.0, 0.293, 1.0])
        axes = [np.concatenate([-h + steps, (h - steps)[::-1]]) for h in half]
        indices, faces = _box_grid(len(axes[0]))
        vertices = np.stack([axes[i][indices[:, i]] for i in range(3)], axis=1)
        core = np.clip(vertices, -half + radius, half - radius)
        away = vertices - core
        length = np.linalg.norm(away, axis=1, keepdims=True)
        vertices = core + away / np.maximum(length, 1e-12) * np.minimum(length, radius)
        self.add(vertices + ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2), faces, material)

    def rod(
        self,
        start: Point,
        end: Point,
        radius: float,
        material: str,
        *,
        tip: float | None = None,
        square: bool = False,
    ) -> None:
        """A straight bar, round or square (``radius`` is then half its side), tapered to ``tip``."""
        tip = radius if tip is None else tip
        start_, end_ = np.asarray(start, float), np.asarray(end, float)
        side, up = _across(end_ - start_)
        angles = np.arange(4) * np.pi / 2 + np.pi / 4 if square else np.arange(10) * np.pi / 5
        circle = (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * up) * (
            2**0.5 if square else 1.0
        )
        self.loft([start_ + radius * circle, end_ + tip * circle], material)

    def tube(
        self,
        path: Sequence[Point] | np.ndarray,
        radius: float,
        material: str,
        *,
        closed: bool = False,
    ) -> None:
        """A round bar swept along a path (n, 3); a closed path gives a ring."""
        points = np.asarray(path, float)
        if closed:
            tangents = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
        else:
            tangents = np.gradient(points, axis=0)
        side, _ = _across(tangents[0])
        angles = np.arange(8) * np.pi / 4
        rings = []
        for point, tangent in zip(points, tangents, strict=True):
            tangent = tangent / np.linalg.norm(tangent)
            side = side - tangent * (side @ tangent)  # carried along, so that the tube never twists
            length = np.linalg.norm(side)
            side = side / length if length > 1e-3 else _across(tangent)[0]
            up = np.cross(tangent, side)
            rings.append(
                point + radius * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * up)
            )
        self.loft(rings, material, closed=closed)

    def lathe(
        self,
        profile: Sequence[tuple[float, float]],
        material: str,
        *,
        x: float = 0.0,
        z: float = 0.0,
        stretch: tuple[float, float] = (1.0, 1.0),
        exponent: float = 2.0,
        closed: bool = False,
        sides: int = 24,
    ) -> None:
        """Turns a profile of (radius, y) about a vertical axis.

        ``stretch`` makes it oval, an ``exponent`` above 2 squares it off, ``closed`` joins the
        profile's end to its start (a lampshade open at both ends).
        """
        ring = superellipse(sides, exponent)
        rings = [
            np.stack(
                [
                    x + stretch[0] * r * ring[:, 0],
                    np.full(sides, y),
                    z + stretch[1] * r * ring[:, 1],
                ],
                axis=1,
            )
            for r, y in profile
        ]
        self.loft(rings, material, closed=closed)

    def ball(self, center: Point, radii: Point, material: str) -> None:
        """An ellipsoid."""
        angles = np.linspace(-np.pi / 2, np.pi / 2, 11)[1:-1]
        profile = [(np.cos(angle), np.sin(angle)) for angle in angles]
        ring = superellipse(14)
        rings = [
            np.stack([r * ring[:, 0], np.full(14, y), r * ring[:, 1]], axis=1) * radii + center
            for r, y in profile
        ]
        self.loft(rings, material)

    def prism(
        self,
        outline: Sequence[tuple[float, float]],
        axis: str,
        low: float,
        high: float,
        material: str,
    ) -> None:
        """A flat outline given thickness along an axis.

        The outline's points are (z, y) for axis "x", (x, z) for "y", (x, y) for "z"; its middle
        must see all of its corners.
        """
        flat = np.asarray(outline, float)
        order = {"x": (2, 1, 0), "y": (0, 2, 1), "z": (0, 1, 2)}[axis]
        rings = []
        for level in (low, high):
            ring = np.empty((len(flat), 3))
            ring[:, order[0]], ring[:, order[1]], ring[:, order[2]] = flat[:, 0], flat[:, 1], level
            rings.append(ring)
        self.loft(rings, material)

    def loft(self, rings: Sequence[np.ndarray], material: str, *, closed: bool = False) -> None:
        """Joins rings of equally many points (n, 3) by a skin, and caps both ends unless closed."""
        stack = np.array(rings, dtype=float)  # (k, n, 3)
        k, n = stack.shape[:2]
        vertices = stack.reshape(-1, 3)
        if not closed:
            vertices = np.concatenate([vertices, stack[[0, -1]].mean(axis=1)])
        self.add(vertices, _loft_faces(k, n, closed), material)


@functools.cache
def _loft_faces(k: int, n: int, closed: bool) -> np.ndarray:
    """Faces (f, 3) of k rings of n points; an open loft has its two middles at k*n and k*n + 1."""
    here = np.arange(k if closed else k - 1)[:, None] * n
    above = (here + n) % (k * n)
    column = np.arange(n)[None]
    following = (column + 1) % n
    a, b, c, d = (here + column, here + following, above + following, above + column)
    faces = [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]
    if not closed:
        ends, turn, top = np.arange(n), (np.arange(n) + 1) % n, (k - 1) * n
        faces.append(np.stack([ends, turn, np.full(n, k * n)], -1))
        faces.append(np.stack([top + turn, top + ends, np.full(n, k * n + 1)], -1))
    return np.concatenate(faces)


def superellipse(sides: int, exponent: float = 2.0) -> np.ndarray:
    """Points (sides, 2) around |x|^e + |z|^e = 1: a circle for 2, nearly a square for 8."""
    angles = np.arange(sides) * 2 * np.pi / sides
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if exponent != 2.0:
        points /= (np.abs(points) ** exponent).sum(axis=1, keepdims=True) ** (1 / exponent)
    return points


def arc(start: float, end: float, count: int) -> np.ndarray:
    """Unit vectors (count, 2) from one angle to another, in degrees."""
    angles = np.radians(np.linspace(start, end, count))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _across(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors at right angles to a direction, the first as level as can be."""
    direction = direction / np.linalg.norm(direction)
    helper = np.array([0.0, 0.0, 1.0]) if abs(direction[1]) > 0.7 else np.array([0.0, 1.0, 0.0])
    side = np.cross(helper, direction)
    side /= np.linalg.norm(side)
    return side, np.cross(direction, side)


@functools.cache
def _box_grid(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The skin of a count x count x count grid: (v, 3) grid places and (f, 3) faces, no seams."""
    index: dict[tuple[int, ...], int] = {}
    faces: list[tuple[int, int, int]] = []
    for axis in range(3):
        for end in (0, count - 1):
            for i in range(count - 1):
                for j in range(count - 1):
                    corners = []
                    for du, dv in ((0, 0), (1, 0), (1, 1), (0, 1)):
                        corner = [0, 0, 0]
                        corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = (
                            end,
                            i + du,
                            j + dv,
                        )
                        corners.append(index.setdefault(tuple(corner), len(index)))
                    corners = corners if end else corners[::-1]
                    faces += [
                        (corners[0], corners[1], corners[2]),
                        (corners[0], corners[2], corners[3]),
                    ]
    return np.array(list(index)), np.array(faces)

"""A pen that draws outlined shapes into a place of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import ImageDraw

Point = tuple[float, float]
Color = tuple[int, int, int]

OUTLINE: Color = (45, 40, 50)
LINE_WIDTH = 0.09
"""Width of outlines, in half sides of the place."""
CURVE_POINTS = 40


class Pen:
    """Draws in coordinates from -1 to 1, x to the right and y down.

    Args:
        draw: Of the image.
        center: Pixel of the place's centre.
        half: Pixels from there to its sides.
        angle: Rotation in radians, clockwise.
        stretch: Factor of all widths.
    """

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        center: Point,
        half: float,
        angle: float = 0.0,
        stretch: float = 1.0,
    ):
        self._draw, self._center, self._half, self._stretch = draw, center, half, stretch
        self._cos, self._sin = math.cos(angle), math.sin(angle)

    def _pixel(self, point: Point) -> Point:
        x, y = point[0] * self._stretch, point[1]
        return (
            self._center[0] + self._half * (self._cos * x - self._sin * y),
            self._center[1] + self._half * (self._sin * x + self._cos * y),
        )

    def polygon(self, points: Sequence[Point], color: Color, *, outline: bool = True) -> None:
        """A filled polygon."""
        pixels = [self._pixel(point) for point in points]
        self._draw.polygon(pixels, fill=color)
        if outline:
            self._stroke([*pixels, *pixels[:2]], LINE_WIDTH, OUTLINE)

    def ellipse(
        self, center: Point, rx: float, ry: float, color: Color, *, outline: bool = True
    ) -> None:
        """A filled ellipse."""
        self.polygon(arc(center, rx, ry, 0, 360), color, outline=outline)

    def rectangle(self, left: float, top: float, right: float, bottom: float, color: Color) -> None:
        """A filled rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], color)

    def line(
        self, points: Sequence[Point], color: Color = OUTLINE, width: float = LINE_WIDTH
    ) -> None:
        """A line through points."""
        self._stroke([self._pixel(point) for point in points], width, color)

    def _stroke(self, pixels: Sequence[Point], width: float, color: Color) -> None:
        self._draw.line(
            list(pixels), fill=color, width=max(1, round(width * self._half)), joint="curve"
        )


def arc(center: Point, rx: float, ry: float, start: float, end: float) -> list[Point]:
    """Points of an elliptic arc, from one angle in degrees to another, clockwise from the right."""
    points = []
    for step in range(CURVE_POINTS + 1):
        angle = math.radians(start + (end - start) * step / CURVE_POINTS)
        points.append((center[0] + rx * math.cos(angle), center[1] + ry * math.sin(angle)))
    return points


def star(count: int, inner: float, outer: float = 1.0) -> list[Point]:
    """Points of a star with so many rays, one of which points up."""
    points = []
    for step in range(2 * count):
        radius = inner if step % 2 else outer
        angle = math.pi * (step / count - 0.5)
        points.append((radius * math.cos(angle), radius * math.sin(angle)))
    return points

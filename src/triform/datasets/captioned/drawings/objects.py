"""Drawings of 24 things in a colour, each a little different every time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

from triform.datasets.captioned.drawings.pen import OUTLINE, Color, Pen, arc, star

WHITE: Color = (250, 250, 250)
GREY: Color = (150, 155, 165)
BROWN: Color = (135, 90, 55)
LEAF: Color = (70, 165, 75)
GLASS: Color = (190, 225, 245)
CREAM: Color = (245, 230, 200)

Draw = Callable[[Pen, Color, random.Random], None]


def lighter(color: Color, share: float = 0.45) -> Color:
    """A colour nearer to white."""
    red, green, blue = (round(part + (255 - part) * share) for part in color)
    return red, green, blue


def darker(color: Color, share: float = 0.3) -> Color:
    """A colour nearer to black."""
    red, green, blue = (round(part * (1 - share)) for part in color)
    return red, green, blue


def _circle(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.ellipse((0, 0), 0.92, 0.92, color)


def _square(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.rectangle(-0.85, -0.85, 0.85, 0.85, color)


def _triangle(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.polygon([(0, -0.9), (0.98, 0.8), (-0.98, 0.8)], color)


def _five_pointed_star(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.polygon(star(5, rng.uniform(0.42, 0.52)), color)


def _heart(pen: Pen, color: Color, rng: random.Random) -> None:
    left = arc((-0.45, -0.32), 0.47, 0.47, 160, 345)
    right = arc((0.45, -0.32), 0.47, 0.47, 195, 380)
    pen.polygon([*left, *right, (0, rng.uniform(0.85, 0.95))], color)


def _moon(pen: Pen, color: Color, rng: random.Random) -> None:
    depth = rng.uniform(0.15, 0.35)
    pen.polygon([*arc((0, 0), 0.95, 0.95, 60, 300), *arc((depth, 0), 0.6, 0.82, 280, 80)], color)


def _sun(pen: Pen, color: Color, rng: random.Random) -> None:
    rays = rng.choice((8, 9, 10))
    for number in range(rays):
        angle = 2 * math.pi * number / rays
        x, y = math.cos(angle), math.sin(angle)
        pen.line([(0.7 * x, 0.7 * y), (x, y)], darker(color, 0.1), 0.17)
    pen.ellipse((0, 0), 0.56, 0.56, color)


def _cumulus(pen: Pen, color: Color, rng: random.Random) -> None:
    top = rng.uniform(-0.3, -0.1)
    outline = [
        *arc((-0.6, 0.25), 0.36, 0.36, 90, 250),
        *arc((-0.15, top), 0.46, 0.46, 180, 320),
        *arc((0.55, 0.2), 0.42, 0.42, 260, 450),
    ]
    pen.polygon(outline, color)


def _flower(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.line([(0, 0), (0, 1)], LEAF, 0.16)
    pen.polygon([(0, 0.8), (0.5, 0.4), (0.4, 0.8)], LEAF, outline=False)
    petals = rng.choice((5, 6))
    for number in range(petals):
        angle = 2 * math.pi * number / petals - math.pi / 2
        center = (0.42 * math.cos(angle), -0.3 + 0.42 * math.sin(angle))
        pen.ellipse(center, 0.28, 0.28, color)
    pen.ellipse((0, -0.3), 0.22, 0.22, (255, 225, 90) if color[2] > 90 or color[1] < 150 else WHITE)


def _tree(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.rectangle(-0.16, 0.2, 0.16, 1, BROWN)
    if rng.random() < 0.5:
        pen.ellipse((0, -0.3), 0.72, 0.68, color)
    else:
        pen.polygon([(0, -0.45), (0.75, 0.5), (-0.75, 0.5)], color)
        pen.polygon([(0, -1), (0.58, -0.1), (-0.58, -0.1)], color)


def _house(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.rectangle(-0.7, -0.15, 0.7, 0.95, color)
    pen.polygon([(0, -0.95), (0.95, -0.1), (-0.95, -0.1)], darker(color, 0.4))
    door = rng.choice((-0.35, 0.35))
    pen.rectangle(door - 0.17, 0.35, door + 0.17, 0.95, BROWN)
    pen.rectangle(-door - 0.2, 0.15, -door + 0.2, 0.55, GLASS)


def _car(pen: Pen, color: Color, rng: random.Random) -> None:
    roof = rng.uniform(-0.6, -0.5)
    pen.polygon([(-0.65, -0.02), (-0.4, roof), (0.35, roof), (0.62, -0.02)], color)
    pen.polygon([(-0.48, -0.05), (-0.32, roof + 0.12), (-0.06, roof + 0.12), (-0.06, -0.05)], GLASS)
    pen.polygon([(0.08, -0.05), (0.08, roof + 0.12), (0.28, roof + 0.12), (0.46, -0.05)], GLASS)
    pen.polygon([(-1, 0), (0.8, 0), (1, 0.2), (1, 0.5), (-1, 0.5)], color)
    for x in (-0.55, 0.55):
        pen.ellipse((x, 0.5), 0.25, 0.25, (70, 70, 75))
        pen.ellipse((x, 0.5), 0.09, 0.09, GREY, outline=False)


def _boat(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.line([(0, -1), (0, 0.4)], BROWN, 0.1)
    pen.polygon([(0.08, -0.95), (0.08, 0.2), (rng.uniform(0.65, 0.85), 0.2)], WHITE)
    pen.polygon([(-0.08, -0.7), (-0.08, 0.2), (-0.6, 0.2)], WHITE)
    pen.polygon([(-1, 0.35), (1, 0.35), (0.65, 0.9), (-0.65, 0.9)], color)


def _fish(pen: Pen, color: Color, rng: random.Random) -> None:
    side = rng.choice((-1, 1))
    pen.polygon([(-side * 0.4, 0), (-side, -0.5), (-side * 0.85, 0), (-side, 0.5)], darker(color))
    pen.ellipse((side * 0.15, 0), 0.75, 0.48, color)
    pen.line(arc((side * 0.25, 0), 0.12, 0.3, 120, 240), darker(color), 0.07)
    pen.ellipse((side * 0.55, -0.12), 0.14, 0.14, WHITE)
    pen.ellipse((side * 0.57, -0.12), 0.06, 0.06, OUTLINE, outline=False)


def _apple(pen: Pen, color: Color, rng: random.Random) -> None:
    side = rng.choice((-1, 1))
    pen.line([(0, -0.5), (side * 0.08, -0.95)], BROWN, 0.14)
    pen.polygon([(0.05 * side, -0.6), (0.35 * side, -1), (0.7 * side, -0.75)], LEAF)
    left = arc((-0.36, 0.15), 0.52, 0.72, 70, 300)
    right = arc((0.36, 0.15), 0.52, 0.72, 240, 470)
    pen.polygon([*left, (0, -0.4), *right], color)
    pen.ellipse((-0.42, -0.1), 0.1, 0.18, lighter(color, 0.6), outline=False)


def _mushroom(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.polygon([(-0.22, 0), (0.22, 0), (0.32, 0.95), (-0.32, 0.95)], CREAM)
    pen.polygon(arc((0, 0.15), 0.95, 1.0, 180, 360), color)
    for x, y in ((-0.45, -0.2), (0.05, -0.5), (0.5, -0.15)):
        pen.ellipse((x + rng.uniform(-0.05, 0.05), y), 0.15, 0.15, WHITE, outline=False)


def _cup(pen: Pen, color: Color, rng: random.Random) -> None:
    side = rng.choice((-1, 1))
    pen.line(arc((side * 0.6, 0.05), 0.35, 0.35, 0, 360), OUTLINE, 0.3)
    pen.line(arc((side * 0.6, 0.05), 0.35, 0.35, 0, 360), color, 0.16)
    pen.polygon([(-0.7, -0.55), (0.7, -0.55), (0.55, 0.85), (-0.55, 0.85)], color)
    pen.ellipse((0, -0.55), 0.7, 0.2, lighter(color))


def _umbrella(pen: Pen, color: Color, rng: random.Random) -> None:
    pen.line([(0, -0.3), (0, 0.8), *arc((0.18, 0.8), 0.18, 0.16, 180, 0)], BROWN, 0.13)
    scallops = [
        *arc((0.66, 0), 0.32, 0.16, 360, 180),
        *arc((0, 0), 0.34, 0.16, 360, 180),
        *arc((-0.66, 0), 0.32, 0.16, 360, 180),
    ]
    pen.polygon([*arc((0, 0), 0.98, 0.9, 180, 360), *scallops], color)
    for x in (-0.33, 0.33):
        pen.line([(0, -0.9), (x, -0.05)], darker(color), 0.07)


def _balloon(pen: Pen, color: Color, rng: random.Random) -> None:
    sway = rng.uniform(-0.2, 0.2)
    pen.line([(0, 0.4), (sway, 0.7), (-sway / 2, 1)], GREY, 0.08)
    pen.polygon([(0, 0.3), (0.16, 0.52), (-0.16, 0.52)], color)
    pen.ellipse((0, -0.3), 0.6, 0.68, color)
    pen.ellipse((-0.22, -0.52), 0.1, 0.16, lighter(color, 0.7), outline=False)


def _face(pen: Pen, color: Color, rng: random.Random) -> None:
    ink = OUTLINE if sum(color) > 250 else WHITE
    pen.ellipse((0, 0), 0.92, 0.92, color)
    for x in (-0.33, 0.33):
        pen.ellipse((x, -0.22), 0.13, 0.19, ink, outline=False)
    pen.line(arc((0, 0.1), 0.5, rng.uniform(0.35, 0.48), 15, 165), ink, 0.13)


def _cat(pen: Pen, color: Color, rng: random.Random) -> None:
    ink = OUTLINE if sum(color) > 250 else WHITE
    for side in (-1, 1):
        pen.polygon([(side * 0.8, -0.95), (side * 0.82, -0.1), (side * 0.2, -0.55)], color)
    pen.ellipse((0, 0.12), 0.88, 0.75, color)
    for side in (-1, 1):
        pen.ellipse((side * 0.36, 0), 0.14, 0.19, ink, outline=False)
        for end in (0.2, 0.45):
            pen.line([(side * 0.45, 0.36), (side * 1.0, end)], ink, 0.05)
    pen.polygon([(-0.12, 0.25), (0.12, 0.25), (0, 0.4)], (240, 150, 160), outline=False)


def _butterfly(pen: Pen, color: Color, rng: random.Random) -> None:
    spread = rng.uniform(0.48, 0.56)
    for side in (-1, 1):
        pen.ellipse((side * spread, -0.35), 0.45, 0.45, color)
        pen.ellipse((side * spread * 0.85, 0.42), 0.34, 0.38, color)
        pen.ellipse((side * spread, -0.35), 0.17, 0.17, lighter(color, 0.65), outline=False)
        pen.line([(0, -0.5), (side * 0.22, -0.95)])
    pen.ellipse((0, 0.05), 0.11, 0.62, BROWN)


def _rocket(pen: Pen, color: Color, rng: random.Random) -> None:
    flame = rng.uniform(0.9, 1.05)
    pen.polygon([(-0.2, 0.55), (0, flame), (0.2, 0.55)], (255, 170, 50), outline=False)
    for side in (-1, 1):
        pen.polygon([(side * 0.3, 0.1), (side * 0.7, 0.7), (side * 0.25, 0.55)], darker(color))
    body = [(0, -1), *arc((0, 0), 0.4, 0.55, -40, 60), *arc((0, 0), 0.4, 0.55, 120, 220)]
    pen.polygon(body, color)
    pen.ellipse((0, -0.18), 0.17, 0.17, GLASS)


def _gift(pen: Pen, color: Color, rng: random.Random) -> None:
    ribbon = (250, 235, 170) if sum(color) < 560 else (240, 90, 100)
    for side in (-1, 1):
        pen.ellipse((side * 0.25, -0.62), 0.26, 0.2, ribbon)
    pen.rectangle(-0.8, -0.35, 0.8, 0.9, color)
    pen.rectangle(-0.92, -0.45, 0.92, -0.1, color)
    width = rng.uniform(0.13, 0.18)
    pen.polygon(
        [(-width, -0.42), (width, -0.42), (width, 0.88), (-width, 0.88)], ribbon, outline=False
    )


OBJECTS: Mapping[str, Draw] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _five_pointed_star,
    "heart": _heart,
    "moon": _moon,
    "sun": _sun,
    "cloud": _cumulus,
    "flower": _flower,
    "tree": _tree,
    "house": _house,
    "car": _car,
    "boat": _boat,
    "fish": _fish,
    "apple": _apple,
    "mushroom": _mushroom,
    "cup": _cup,
    "umbrella": _umbrella,
    "balloon": _balloon,
    "face": _face,
    "cat": _cat,
    "butterfly": _butterfly,
    "rocket": _rocket,
    "gift": _gift,
}

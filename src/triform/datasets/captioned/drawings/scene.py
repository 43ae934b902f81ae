"""Scenes of drawn objects: what is in them, and their images.

A scene has one to four equal objects, or two different ones beside or above each other, in one of
five settings. Its content has six attributes (`ATTRIBUTES`); of a scene with one kind of object
the second colour and noun are empty.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from triform.datasets.captioned.drawings.objects import OBJECTS
from triform.datasets.captioned.drawings.pen import Color, Pen, Point

SIDE = 48
SUPERSAMPLING = 4
COLORS: Mapping[str, Color] = {
    "red": (225, 45, 50),
    "orange": (250, 145, 40),
    "yellow": (255, 220, 60),
    "green": (55, 175, 70),
    "blue": (50, 105, 225),
    "purple": (150, 75, 200),
    "black": (50, 48, 55),
}
COUNTS = ("one", "two", "three", "four")
PAIRS = {"left-right": ("left", "right"), "above-below": ("above", "below")}
LAYOUTS = (*COUNTS, *PAIRS)
LAYOUT_WEIGHTS = (0.28, 0.08, 0.08, 0.08, 0.24, 0.24)
SETTINGS = ("plain", "meadow", "beach", "night", "snow")
SETTING_WEIGHTS = (0.48, 0.13, 0.13, 0.13, 0.13)
HELD_OUT_SHARE = 0.15
COLOR_JITTER = 14
MAX_ANGLE = math.radians(9)


class Scene(NamedTuple):
    """Attributes of a scene."""

    layout: str
    color: str
    noun: str
    second_color: str
    second_noun: str
    setting: str


ATTRIBUTES = Scene._fields


def parts(scene: Scene) -> list[tuple[str, str, str]]:
    """Each kind of object as (colour, noun, role); the role is its count or where it stands."""
    roles = PAIRS.get(scene.layout, (scene.layout, ""))
    objects = [(scene.color, scene.noun, roles[0])]
    if scene.layout in PAIRS:
        objects.append((scene.second_color, scene.second_noun, roles[1]))
    return objects


def is_held_out(color: str, noun: str, role: str) -> bool:
    """Whether this combination never occurs in training."""
    return zlib.crc32(f"{noun} {color} {role}".encode()) / 2**32 < HELD_OUT_SHARE


def sample_scene(rng: random.Random, *, held_out: bool) -> Scene:
    """Draw a scene: without combinations that are held out, or with one at least."""
    while True:
        layout = rng.choices(LAYOUTS, LAYOUT_WEIGHTS)[0]
        first = (rng.choice(list(COLORS)), rng.choice(list(OBJECTS)))
        second = ("", "")
        if layout in PAIRS:
            second = (rng.choice(list(COLORS)), rng.choice(list(OBJECTS)))
        scene = Scene(layout, *first, *second, rng.choices(SETTINGS, SETTING_WEIGHTS)[0])
        if first != second and held_out == any(is_held_out(*part) for part in parts(scene)):
            return scene


def render(scene: Scene, rng: random.Random) -> np.ndarray:
    """An image of a scene, (SIDE, SIDE, 3) uint8."""
    size = SIDE * SUPERSAMPLING
    image = Image.new("RGB", (size, size), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    _draw_setting(draw, scene.setting, size, rng)
    for (x, y, half), (color, noun) in zip(_positions(scene, rng), _objects(scene), strict=True):
        jitter = rng.uniform(-COLOR_JITTER, COLOR_JITTER)
        red, green, blue = (min(255, max(0, round(part + jitter))) for part in COLORS[color])
        pen = Pen(
            draw,
            (x * size, y * size),
            half * size,
            rng.uniform(-MAX_ANGLE, MAX_ANGLE),
            rng.uniform(0.9, 1.05),
        )
        OBJECTS[noun](pen, (red, green, blue), rng)
    return np.asarray(image.reduce(SUPERSAMPLING))


def _objects(scene: Scene) -> list[tuple[str, str]]:
    """Colour and noun of each object, in the order of `_positions`."""
    if scene.layout in PAIRS:
        return [(color, noun) for color, noun, _ in parts(scene)]
    return [(scene.color, scene.noun)] * (COUNTS.index(scene.layout) + 1)


def _positions(scene: Scene, rng: random.Random) -> list[tuple[float, float, float]]:
    """Centre and half side of each object, in sides of the image."""
    if scene.layout == "one":
        half = rng.uniform(0.29, 0.4)
        room = 0.47 - half
        return [(0.5 + rng.uniform(-room, room), 0.5 + rng.uniform(-room, room), half)]
    centers: Mapping[str, tuple[Point, ...]] = {
        "left-right": ((0.26, 0.5), (0.74, 0.5)),
        "above-below": ((0.5, 0.26), (0.5, 0.74)),
        "two": rng.choice((((0.26, 0.5), (0.74, 0.5)), ((0.5, 0.26), (0.5, 0.74)))),
        "three": rng.choice(
            (
                ((0.26, 0.28), (0.74, 0.28), (0.5, 0.74)),
                ((0.5, 0.27), (0.26, 0.73), (0.74, 0.73)),
            )
        ),
        "four": ((0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74)),
    }
    is_pair = scene.layout in PAIRS
    shift = rng.uniform(-0.16, 0.16) if is_pair or scene.layout == "two" else 0.0
    horizontal = centers[scene.layout][0][1] == centers[scene.layout][-1][1]
    positions = []
    for x, y in centers[scene.layout]:
        half = rng.uniform(0.19, 0.23)
        dx, dy = rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)
        positions.append(
            (x + dx + (0 if horizontal else shift), y + dy + (shift if horizontal else 0), half)
        )
    return positions


def _draw_setting(draw: ImageDraw.ImageDraw, setting: str, size: int, rng: random.Random) -> None:
    """Sky and ground, or nothing."""
    if setting == "plain":
        return
    sky, ground = {
        "meadow": ((185, 225, 250), (150, 210, 120)),
        "beach": ((185, 225, 250), (245, 222, 165)),
        "night": ((72, 82, 155), (95, 105, 140)),
        "snow": ((205, 215, 230), (245, 248, 252)),
    }[setting]
    horizon = rng.uniform(0.5, 0.68) * size
    draw.rectangle((0, 0, size, size), fill=sky)
    draw.rectangle((0, horizon, size, size), fill=ground)
    if setting == "beach":
        draw.rectangle((0, horizon - 0.1 * size, size, horizon), fill=(90, 165, 215))
    if setting in ("night", "snow"):
        limit, radius = (horizon, 0.012) if setting == "night" else (size, 0.016)
        dot = (255, 250, 200) if setting == "night" else (255, 255, 255)
        for _ in range(14):
            x, y = rng.uniform(0, size), rng.uniform(0, limit)
            r = radius * size
            draw.ellipse((x - r, y - r, x + r, y + r), fill=dot)

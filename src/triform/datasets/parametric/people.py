"""People: men, women and children in a few poses, faces to +Z."""

# ruff: noqa: RUF005 -- sums of arrays, not joined tuples
from __future__ import annotations

import numpy as np

from triform.datasets.parametric.description import Description
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import FABRICS, Solids, superellipse

POSES = ("standing", "standing", "standing", "walking", "sitting", "sitting", "lying")


def person(d: Sampler) -> tuple[Solids, Description]:
    who = d.choice(["man", "woman", "man", "woman", "boy", "girl"])
    child, female = who in ("boy", "girl"), who in ("woman", "girl")
    pose = d.choice(POSES)
    high = d.uniform(1.05, 1.35) if child else d.uniform(1.6, 1.9)
    text = Description(
        who,
        ["person", "person", "human figure", "child" if child else "female" if female else "male"],
        [{"lying": "lying down"}.get(pose, pose)],
    )
    s = Solids(high * (0.8 if pose == "sitting" else 1.0))
    stout = d.uniform(0.9, 1.2)
    head = high * (0.1 if child else 0.075)  # half its height
    neck = high - 2.15 * head
    hip, shoulder = high * (0.45 if child else 0.49), neck - high * 0.02
    legs, arms = d.choice(FABRICS), d.choice(FABRICS)
    wide = high * 0.13 * (0.92 if female else 1.04) * (0.92 if child else 1.0)

    _torso(s, high, hip, shoulder, neck, wide, stout, female, arms)
    s.rod(
        (0, neck - high * 0.03, 0),
        (0, neck + head * 0.6, 0),
        max(high * 0.03, s.thin * 0.8),
        "skin",
    )
    s.ball((0, high - head, high * 0.005), (head * 0.74, head, head * 0.86), "skin")
    s.ball((0, high - head, head * 0.85), (head * 0.16, head * 0.2, head * 0.25), "skin")
    s.ball((0, high - head * 0.85, -head * 0.12), (head * 0.8, head * 0.92, head * 0.85), "brown")

    dress = female and d.chance(0.5)
    _legs(d, s, high, hip, pose, stout, legs if not dress else "skin", text)
    if dress:
        long = d.chance(0.4)
        _skirt(s, high, hip, pose, stout, long, arms)
        text.features.append("a long dress" if long else "a skirt")
    _arms(d, s, high, hip, shoulder, wide, pose, arms, text)
    if female and d.chance(0.6):
        s.ball(
            (0, high - head * 1.7, -head * 0.75), (head * 0.62, head * 1.1, head * 0.42), "brown"
        )
        text.features.append("long hair")
    if d.chance(0.2):
        y = high - head * 0.35
        s.lathe(
            [
                (head * 1.35, y),
                (head * 1.35, y + s.thin * 0.8),
                (head * 0.8, y + s.thin * 0.8),
                (head * 0.75, y + head * 0.75),
            ],
            "black",
        )
        text.features.append("a hat")
    if pose == "lying":
        _lay_down(s, high)
    return s, text


def _torso(
    s: Solids,
    high: float,
    hip: float,
    shoulder: float,
    neck: float,
    wide: float,
    stout: float,
    female: bool,
    cloth: str,
) -> None:
    span = shoulder - hip
    rings = []
    ring = superellipse(20, 2.4)
    hips, waist = (0.105, 0.078) if female else (0.097, 0.09)
    for y, rx, rz in (
        (hip - high * 0.045, high * hips * 0.75, high * 0.06 * stout),
        (hip + high * 0.01, high * hips * stout**0.5, high * 0.075 * stout),
        (hip + span * 0.42, high * waist * stout, high * 0.06 * stout),
        (hip + span * 0.75, wide * 0.84, high * (0.082 if female else 0.072)),
        (hip + span * 0.95, wide * 0.95, high * 0.055),
        (shoulder + high * 0.015, wide * 0.55, high * 0.045),
        (neck, high * 0.04, high * 0.036),
    ):
        rings.append(np.stack([rx * ring[:, 0], np.full(20, y), rz * ring[:, 1]], axis=1))
    s.loft(rings, cloth)


def _limb(s: Solids, joints: list[np.ndarray], radii: list[float], material: str) -> None:
    for (a, ra), (b, rb) in zip(
        zip(joints, radii, strict=True), list(zip(joints, radii, strict=True))[1:], strict=False
    ):
        s.rod(a, b, ra, material, tip=rb)
    for joint, radius in list(zip(joints, radii, strict=True))[:-1]:
        s.ball(joint, (radius,) * 3, material)


def _legs(
    d: Sampler,
    s: Solids,
    high: float,
    hip: float,
    pose: str,
    stout: float,
    cloth: str,
    text: Description,
) -> None:
    thigh, shin = hip * 0.48, hip * 0.44
    radii = [high * r for r in (0.056 * stout, 0.04, 0.028)]
    stance = d.uniform(0.0, 0.035) * high
    stride = d.uniform(18, 30)
    flip = d.choice([-1, 1])
    spread = d.uniform(0.0, 0.04) * high
    for side in (-1, 1):
        start = np.array([side * high * 0.052, hip, 0.0])
        if pose == "sitting":
            knee = start + (side * spread, -thigh * 0.05, thigh)
            ankle = knee + (0, -shin, -shin * d.uniform(-0.15, 0.15))
        elif pose == "walking":
            angle = np.radians(stride * side * flip)
            knee = start + thigh * np.array([0, -np.cos(angle), np.sin(angle)])
            bend = angle - (np.radians(22) if side * flip < 0 else np.radians(4))
            ankle = knee + shin * np.array([0, -np.cos(bend), np.sin(bend)])
        else:
            knee = start + (side * stance / 2, -thigh, 0.0)
            ankle = knee + (side * stance / 2, -shin, 0.0)
        _limb(s, [start, knee, ankle], radii, cloth)
        toe = np.array([0, -hip * 0.05, high * 0.085])
        r = max(high * 0.026, s.thin * 0.9)
        s.ball(ankle + toe * (0.35, 0.6, 0.4), (r, r * 0.9, high * 0.065), "black")
    if pose == "sitting":
        text.features.append("bent knees")


def _skirt(
    s: Solids, high: float, hip: float, pose: str, stout: float, long: bool, cloth: str
) -> None:
    ring = superellipse(20)
    if pose == "sitting":
        reach = hip * 0.46
        rings = [
            np.stack([rx * ring[:, 0], hip + ry * ring[:, 1] - drop, np.full(20, z)], axis=1)
            for z, rx, ry, drop in (
                (-high * 0.05, high * 0.1, high * 0.06, 0.0),
                (reach * 0.6, high * 0.125, high * 0.065, 0.0),
                (reach, high * 0.125, high * 0.06, 0.0),
            )
        ]
        s.loft(rings, cloth)
        return
    hem = hip * (0.12 if long else 0.48)
    rings = [
        np.stack([rx * ring[:, 0], np.full(20, y), rz * ring[:, 1]], axis=1)
        for y, rx, rz in (
            (hip + high * 0.05, high * 0.09, high * 0.065),
            (hip - high * 0.03, high * 0.115 * stout, high * 0.095),
            (hem, high * (0.17 if long else 0.15), high * 0.14),
        )
    ]
    s.loft(rings, cloth)


def _arms(
    d: Sampler,
    s: Solids,
    high: float,
    hip: float,
    shoulder: float,
    wide: float,
    pose: str,
    cloth: str,
    text: Description,
) -> None:
    upper, fore = high * 0.165, high * 0.145
    radii = [max(high * r, s.thin * 0.62) for r in (0.031, 0.026, 0.02)]
    gestures = {
        "standing": ["down", "down", "out", "hips", "raised", "forward"],
        "walking": ["swing"],
        "sitting": ["knees", "knees", "crossed"],
        "lying": ["down"],
    }[pose]
    gesture = d.choice(gestures)
    lifted = d.choice([-1, 1])
    swing = d.uniform(15, 30)
    for side in (-1, 1):
        start = np.array([side * wide * 0.92, shoulder - high * 0.012, 0.0])
        mine = gesture if gesture != "raised" or side == lifted else "down"
        first, second = {
            "down": ((0.16, -1, 0), (0.06, -1, 0.12)),
            "out": ((1, -0.05, 0), (1, 0.0, 0)),
            "hips": ((0.75, -0.85, -0.25), (-0.75, -0.6, 0.35)),
            "raised": ((0.55, 0.8, 0.1), (0.15, 1, 0.1)),
            "forward": ((0.1, -0.35, 1), (0, 0.05, 1)),
            "knees": ((0.2, -1, 0.25), (-0.1, -0.45, 1)),
            "crossed": ((0.3, -1, 0.3), (-1.0, -0.1, 0.8)),
            "swing": ((0.2, -1, np.tan(np.radians(swing)) * side), (0.05, -1, 0.3 + 0.5 * side)),
        }[mine]
        elbow = start + upper * _unit((side * first[0], *first[1:]))
        hand = elbow + fore * _unit((side * second[0], *second[1:]))
        _limb(s, [start, elbow, hand], radii, cloth)
        s.ball(hand, (radii[2] * 1.3,) * 3, "skin")
    phrases = {
        "out": "outstretched arms",
        "hips": "hands on the hips",
        "raised": "one raised arm",
        "forward": "arms held forward",
        "crossed": "folded hands",
        "knees": "hands on the knees",
    }
    if gesture in phrases:
        text.features.append(phrases[gesture])


def _unit(vector: tuple[float, ...]) -> np.ndarray:
    unit: np.ndarray = np.asarray(vector, float) / np.linalg.norm(vector)
    return unit


def _lay_down(s: Solids, high: float) -> None:
    """Turns a standing figure onto its back, head to -Z."""
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    s.move(lambda points: points @ turn.T + (0, high * 0.09, high / 2))

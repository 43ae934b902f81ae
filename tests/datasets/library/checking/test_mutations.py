"""Two hundred damaged files in one run: each is prepared or refused, none stops the rest."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimesh

COUNT = 200
WORDS = [b"nan", b"inf", b"-1", b"1e30", b"1e-320", b"99999999999", b"0", b"", b"//", b"\0"]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Damage of the kinds that are seen: flipped bytes, cuts, doubled parts, wrong numbers."""
    whole = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        at = chance.randrange(max(1, len(whole)))
        end = min(len(whole), at + chance.randrange(1, 40))
        match chance.randrange(5):
            case 0:
                whole[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
            case 1:
                del whole[at:end]
            case 2:
                whole[at:at] = whole[at:end] * chance.randrange(1, 50)
            case 3:
                words = bytes(whole).split(b" ")
                words[chance.randrange(len(words))] = chance.choice(WORDS)
                whole = bytearray(b" ".join(words))
            case 4:
                del whole[at + (len(whole) - at) // 2 :]
    return bytes(whole)


@pytest.mark.slow
def test_mutated_files(
    tmp_path: Path, run: Callable[..., dict[str, Any]], box: Callable[..., str]
) -> None:
    ball = trimesh.creation.icosphere(1)
    sound: dict[str, bytes] = {
        kind: data if isinstance(data := ball.export(file_type=kind), bytes) else data.encode()
        for kind in ("obj", "off", "stl", "stl_ascii", "ply", "glb")
    }
    sound["boxes.obj"] = box(1, 2, 3).encode()
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    for number in range(COUNT):
        chance = random.Random(number)
        kind = sorted(sound)[number % len(sound)]
        suffix = {"stl_ascii": "stl", "boxes.obj": "obj"}.get(kind, kind)
        (meshes / f"m{number}.{suffix}").write_bytes(mutate(sound[kind], chance))
    summary = run(meshes, tmp_path / "library", workers=2, timeout=60)
    assert summary["objects"] + summary["failed"] == COUNT
    assert summary["failed"] > 20 and summary["objects"] > 20
    with (tmp_path / "library" / "failed.csv").open(encoding="utf-8") as stream:
        reasons = {row["source"]: row["reason"] for row in csv.DictReader(stream)}
    assert len(reasons) == summary["failed"]
    for source, reason in reasons.items():
        assert reason and reason.isprintable(), source
        assert "longer than" not in reason and "died" not in reason, f"{source}: {reason}"
        # A name of an exception means that nobody had thought of it.
        assert "Error:" not in reason.partition("(")[0], f"{source}: {reason}"

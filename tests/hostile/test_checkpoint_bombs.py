"""Checkpoints that ask for more memory or time than their size: refused in a line, and cheaply.

What is measured runs in one other process (`checkpoint_bombs.py`), where nothing else has used
memory before.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoint_bombs
import pytest
import torch
from checkpoint_bombs import BOMBS, HUGE

from triform import systems
from triform.base.errors import UserError

MEGABYTES = 200
SECONDS = 20
"""A bomb guard, not a speed: each takes a tenth of a second on an idle machine."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Name of a bomb -> what happened when it was opened."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the memory of a process is measured by /proc")
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / "checkpoint_bombs.py", tmp_path_factory.mktemp("bombs")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(BOMBS), done.stderr[-2000:]
    return {line["name"]: line for line in lines}


def test_every_system_is_there() -> None:
    assert set(HUGE) == set(systems.names())


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_cheaply(opened: dict[str, dict[str, Any]], name: str) -> None:
    actual = opened[name]
    assert name in actual["said"] and "\n" not in actual["said"] and len(actual["said"]) < 500, (
        actual
    )
    assert actual["grown"] < MEGABYTES and actual["seconds"] < SECONDS, actual


REASONS = {
    **{f"{name}.pth": "its weights do not fit its settings: " for name in HUGE},
    "many_layers.pth": "far more parts than the file's 0 tensors",
    "a_million_layers.pth": "far more parts than the file's 0 tensors",
    "a_thousand_million_layers.pth": "model.prior_layers is 1000000000",
    "expanded.pth": "more memory than the file has numbers",
    "shared.pth": "more memory than the file has numbers",
    "without_numbers.pth": "not a plain dense one",
    "compressed.pth": "'archive/data/0' in it is compressed",
    "laughs.pth": "nested too deep",
    "long_header.safetensors": "its header says that it has 48,000,001 bytes",
}


@pytest.mark.parametrize("name", REASONS)
def test_bombs_are_refused_for_the_right_reason(
    opened: dict[str, dict[str, Any]], name: str
) -> None:
    assert REASONS[name] in opened[name]["said"]


@pytest.mark.parametrize("system", ["dcgan", "vae"])
def test_a_verb_says_it_in_one_line(refused: Callable[..., str], place: Path, system: str) -> None:
    path = place / f"{system}.pth"
    checkpoint_bombs.huge(system)(path)
    refused(
        system,
        "generate",
        "--checkpoint",
        path.name,
        "--output",
        "x.png",
        status=1,
        names=f"{path.name}: its weights do not fit its settings",
    )


def test_a_compressed_member_is_refused_before_it_is_read(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint_bombs.compressed(place / "a.pth")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch has read it"))
    with pytest.raises(UserError, match=r"a\.pth: 'archive/data/0' in it is compressed"):
        systems.from_checkpoint(place / "a.pth", "cpu")

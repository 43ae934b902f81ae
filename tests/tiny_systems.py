"""Every system with its tiny presets, for the tests that run over all of them."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from triform import systems
from triform.base.settings.config import parse

NAMES = systems.names()
TINY = [
    (name, path.stem) for name in NAMES for path in systems.load(name).presets.glob("tiny*.yaml")
]


@dataclass(frozen=True)
class Tiny:
    """One system with one of its tiny presets, in a folder that its tests share."""

    name: str
    preset: str
    folder: Path

    @cached_property
    def entry(self) -> systems.Entry:
        return systems.load(self.name)

    def config(self, *flags: str) -> Any:
        """The preset's settings with checkpoints nowhere but in the run, changed by flags."""
        quiet = ["--config", self.preset, "--device", "cpu", "--checkpoint", ""]
        return parse(self.entry.config.Config, [*quiet, *flags], self.entry.presets)

    def system(self, *flags: str) -> Any:
        return self.entry.system.System(self.config(*flags))

    def train(self, *flags: str) -> tuple[Path, list[dict[str, Any]]]:
        """Train as the verb does; returns the run directory and the logged numbers."""
        before = set(self.folder.glob("runs/*/run_*"))
        self.entry.verb("train")(self.config("--log_every", "1", *flags))
        (run,) = set(self.folder.glob("runs/*/run_*")) - before
        return run, numbers(run)


@pytest.fixture(scope="module", params=TINY, ids="-".join)
def tiny(request, tmp_path_factory) -> Iterator[Tiny]:
    """A tiny system; everything it writes goes to a temporary folder."""
    folder = tmp_path_factory.mktemp("-".join(request.param))
    before = Path.cwd()
    os.chdir(folder)
    yield Tiny(*request.param, folder)
    os.chdir(before)


def numbers(run: Path) -> list[dict[str, Any]]:
    """Lines of `metrics.jsonl` that hold a training loss."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "train/loss" in line]


def losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["train/loss"] for line in lines]

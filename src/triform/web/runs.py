"""Training runs for the pages: those of the command line and those of the page Train alike."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from triform.engine.runs.commands import UNFINISHED, describe, find_runs
from triform.engine.runs.tracking import read_metrics
from triform.web.record import KINDS
from triform.web.results import is_regular

MAX_POINTS = 2000
"""Points of a curve that are sent; of a longer one every n-th."""
MAX_SAMPLES = 60


class RunList:
    """The runs in a folder; the summary of a run is read again only where its file has changed.

    Args:
        folder: Folder of the runs of all systems.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._rows: dict[Path, tuple[tuple[int, int], dict[str, Any]]] = {}

    def all(self) -> list[dict[str, Any]]:
        """All runs, the newest first; with `name` as SYSTEM/NAME, `is_finished`, `has_weights`."""
        rows: dict[Path, tuple[tuple[int, int], dict[str, Any]]] = {}
        for path in reversed(find_runs(self._folder)):
            version = _version(path / "summary.json")
            known = self._rows.get(path)
            row = known[1] if known and known[0] == version else describe(path)
            rows[path] = version, row
        self._rows = rows
        return [
            {
                **row,
                "name": f"{path.parent.name}/{path.name}",
                "is_finished": row["ended"] != UNFINISHED,
                "has_weights": has_weights(path),
                "created": path.stat().st_mtime,
            }
            for path, (_, row) in rows.items()
        ]

    def last_sample(self, name: str) -> str:
        """Name of the last image that a run drew; empty if there is none."""
        samples = sample_files(self._folder / name)
        return samples[-1].name if samples else ""


def _version(path: Path) -> tuple[int, int]:
    """What changes when a file is written anew; zeros where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


def show_run(path: Path) -> dict[str, Any]:
    """One run: its summary, samples, and whether it can be resumed."""
    checkpoints = sorted(path.glob("checkpoints/*"))
    row = describe(path)
    return {
        **row,
        "is_finished": row["ended"] != UNFINISHED,
        "name": f"{path.parent.name}/{path.name}",
        "samples": [each.name for each in sample_files(path)][-MAX_SAMPLES:],
        "checkpoints": [each.name for each in checkpoints if each.name[0] != "."],
        "has_weights": has_weights(path),
        "can_resume": any(each.name.startswith("last") for each in checkpoints),
    }


def has_weights(path: Path) -> bool:
    """Whether a run has kept weights that can be used: its best ones until now."""
    return next(path.glob("checkpoints/best*"), None) is not None


def sample_files(path: Path) -> list[Path]:
    """Images that the run drew, in order of their steps."""
    return [
        each
        for each in sorted((path / "samples").glob("*"))
        if KINDS.get(each.suffix.lower()) == "image" and is_regular(each)
    ]


def curves(path: Path) -> dict[str, list[list[float]]]:
    """Every number that was logged, by name: points of step and value."""
    result: dict[str, list[list[float]]] = {}
    for line in read_metrics(path / "metrics.jsonl"):
        for name, value in line.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name in ("step", "epoch") or not is_number or not math.isfinite(value):
                continue
            result.setdefault(name, []).append([line["step"], value])
    return {
        name: points[:: max(1, len(points) // MAX_POINTS)]
        for name, points in result.items()
        if name not in ("time", "seconds")
    }

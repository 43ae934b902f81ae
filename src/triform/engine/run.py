"""The folder of one run, and what is in it.

runs/SYSTEM/run_2026-01-31_12-00-00/
  config.yaml  environment.json  training.log  metrics.jsonl  summary.json  MODEL_CARD.md
  samples/     checkpoints/{best,last,epoch_001}.pth
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triform.base.config import read_yaml, write_yaml
from triform.base.errors import UserError
from triform.base.files import atomic_write, read_regular
from triform.base.plain_data import check_plain, read_json
from triform.engine.config import SystemConfig

CARD_MARK = "<!-- Written anew when training ends. Remove this line to keep your changes. -->"


class Run:
    """A run directory.

    Attributes:
        path: The folder.
        checkpoint_dir: Where its checkpoints are.
    """

    def __init__(self, path: Path, config: SystemConfig):
        self.path, self._training = path, config.training
        chosen = config.training.checkpoint_dir
        self.checkpoint_dir = Path(chosen) if chosen else path / "checkpoints"

    def checkpoint(self, name: str) -> Path:
        """File of the checkpoint `best`, `last` or `epoch_001`."""
        return self.checkpoint_dir / self._training.checkpoint_file(name)

    @property
    def samples(self) -> Path:
        """Folder for samples; made when asked for."""
        folder = self.path / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_config(self, config: SystemConfig) -> None:
        """Write the resolved settings; without `resume_from`, so that they can start a new run."""
        training = config.training.model_copy(update={"resume_from": None})
        write_yaml(config.model_copy(update={"training": training}), self.path / "config.yaml")

    def write_environment(self, machine: Mapping[str, Any]) -> None:
        """Write what the run was made with; a resumed run adds to the list."""
        path = self.path / "environment.json"
        try:
            before = list(read_json(path)["sessions"])
        except (UserError, KeyError, TypeError):
            before = []
        session = {"started": time.strftime("%Y-%m-%d %H:%M:%S"), **machine}
        with atomic_write(path, "w") as file:
            json.dump({"sessions": [*before, session]}, file, indent=2, ensure_ascii=False)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write what the run has come to: best and last numbers, and why it ended."""
        with atomic_write(self.path / "summary.json", "w") as file:
            json.dump(summary, file, indent=2, ensure_ascii=False)

    def write_model_card(
        self, system: str, metrics: Mapping[str, float], best: Mapping[str, Any] | None, reason: str
    ) -> None:
        """Write the skeleton of a model card, unless somebody has made it their own."""
        path = self.path / "MODEL_CARD.md"
        if path.is_file() and not _has_mark(path):
            return
        rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in sorted(metrics.items()))
        which = (
            f"Best {best['monitor']}: {best['value']:.6g}, after epoch {best['epoch']}."
            if best
            else "Nothing was evaluated."
        )
        with atomic_write(path, "w") as file:
            file.write(
                CARD.format(
                    mark=CARD_MARK,
                    system=system,
                    run=self.path.name,
                    which=which,
                    rows=rows,
                    reason=reason or "still training",
                    best=self.checkpoint("best").name,
                )
            )


def read_summary(path: Path) -> dict[str, Any]:
    """What a run has come to; without what cannot be read, or is of another kind than ours."""
    try:
        content = read_json(path / "summary.json")
    except UserError:
        return {}
    return _known_parts(content, SUMMARY)


def _known_parts(content: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a mapping whose values are of the kinds that they should have."""
    if not isinstance(content, dict):
        return {}
    known: dict[str, Any] = {}
    for name, kind in kinds.items():
        value = content.get(name)
        if isinstance(kind, Mapping):
            known[name] = _known_parts(value, kind)
        elif isinstance(value, kind) and not isinstance(value, bool):
            known[name] = value
    return known


SUMMARY: dict[str, Any] = {
    "system": str, "epoch": int, "step": int, "minutes": int | float, "reason": str,
    "best": {"value": int | float, "monitor": str, "epoch": int, "step": int},
}  # fmt: skip
"""Name -> kind of what is read of a summary."""
MAX_CARD_BYTES = 1_000_000


def _has_mark(path: Path) -> bool:
    """Whether a model card is still ours; one that cannot be read is somebody's own."""
    try:
        return read_regular(path, MAX_CARD_BYTES).startswith(CARD_MARK.encode())
    except UserError:
        return False


def new_run(config: SystemConfig, system: str) -> Run:
    """Make the folder of a new run, named after the time; two at once get two folders.

    Raises:
        UserError: The folder cannot be made.
    """
    parent = Path(config.logging.runs_dir) / system
    stamp = time.strftime("run_%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        path = parent / (stamp if number == 1 else f"{stamp}_{number}")
        try:
            path.mkdir(parents=True)
            return Run(path, config)
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(
                f"--runs_dir {config.logging.runs_dir}: {path} cannot be made: {error.strerror}"
            ) from error
    raise UserError(f"--runs_dir {config.logging.runs_dir}: full of runs named {stamp}")


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a run as plain data; empty where they cannot be read."""
    try:
        content = read_yaml(path / "config.yaml")
        check_plain(content)
    except (UserError, ValueError):
        return {}
    return content


CARD = """{mark}
# {system}: {run}

## Model

Trained by `triform {system} train`; all settings are in `config.yaml`, versions and machine in
`environment.json`. Weights: `{best}`.

## Results

{which} Training ended: {reason}.

| number | last value |
|---|---|
{rows}

## Data

To be filled in: what it was trained on, under which licence, what is missing from it.

## Use and limits

To be filled in: what it is for, what it is not for, where it fails.
"""

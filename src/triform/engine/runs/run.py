"""Run directory: its layout, and reading and writing its files.

runs/SYSTEM/run_2026-01-31_12-00-00/
  config.yaml  environment.json  training.log  metrics.jsonl  summary.json  MODEL_CARD.md
  samples/     checkpoints/{best,last,epoch_001}.pth
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.files import atomic_write, read_regular
from triform.base.plain_data import check_plain, read_json
from triform.base.settings.config import write_yaml
from triform.base.settings.yaml_file import read_yaml
from triform.engine.config import SystemConfig

GENERATED_MARK = "<!-- Written anew when training ends. Remove this line to keep your changes. -->"


class Run:
    """A run directory.

    Attributes:
        path: The folder.
        checkpoint_dir: Folder that the settings name for checkpoints; its own by default.
    """

    def __init__(self, path: Path, config: SystemConfig):
        self.path, self._training = path, config.training
        checkpoint_dir = config.training.checkpoint_dir
        self.checkpoint_dir = Path(checkpoint_dir) if checkpoint_dir else path / "checkpoints"

    def checkpoint(self, name: str) -> Path:
        """File of the checkpoint `best`, `last` or `epoch_001` in the run directory."""
        return self.path / "checkpoints" / self._training.checkpoint_file(name)

    def checkpoint_files(self, name: str) -> list[Path]:
        """Every file that a checkpoint is written to.

        Other runs replace what is in a folder that the settings name, so the run keeps its own.
        """
        file_in_run = self.checkpoint(name)
        files = [file_in_run, self.checkpoint_dir / file_in_run.name]
        if name == "best" and self._training.checkpoint:
            files.append(Path(self._training.checkpoint))
        return list({file.absolute(): file for file in files}.values())

    @property
    def samples(self) -> Path:
        """Folder for samples; created on access."""
        folder = self.path / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_config(self, config: SystemConfig) -> None:
        """Write the resolved settings; without `resume_from`, so that they can start a new run."""
        training = config.training.model_copy(update={"resume_from": None})
        write_yaml(config.model_copy(update={"training": training}), self.path / "config.yaml")

    def write_environment(self, machine: Mapping[str, Any]) -> None:
        """Write versions and hardware; a resumed run appends to the list."""
        path = self.path / "environment.json"
        try:
            before = list(read_json(path)["sessions"])
        except (UserError, KeyError, TypeError):
            before = []
        session = {"started": time.strftime("%Y-%m-%d %H:%M:%S"), **machine}
        with atomic_write(path, "w") as file:
            json.dump({"sessions": [*before, session]}, file, indent=2, ensure_ascii=False)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write best and last metrics and the reason of the end."""
        with atomic_write(self.path / "summary.json", "w") as file:
            json.dump(summary, file, indent=2, ensure_ascii=False)

    def write_model_card(
        self, system: str, metrics: Mapping[str, float], best: Mapping[str, Any] | None, reason: str
    ) -> None:
        """Write the skeleton of a model card, unless the user has edited it."""
        path = self.path / "MODEL_CARD.md"
        if path.is_file() and not _is_generated(path):
            return
        # The numbers of the weights that are kept, which need not be the last ones.
        numbers = best.get("metrics") if best else None
        rows = "\n".join(
            f"| {name} | {value:.6g} |" for name, value in sorted((numbers or metrics).items())
        )
        best_line = (
            f"Best {best['monitor']}: {best['value']:.6g}, after epoch {best['epoch']}, with these "
            "weights."
            if best
            else "Nothing was evaluated."
        )
        with atomic_write(path, "w") as file:
            file.write(
                CARD.format(
                    mark=GENERATED_MARK,
                    system=system,
                    run=self.path.name,
                    which=best_line,
                    rows=rows,
                    reason=reason or "still training",
                    best=self.checkpoint("best").name,
                )
            )


def read_summary(path: Path) -> dict[str, Any]:
    """Read the summary of a run, without entries that are unreadable or of a wrong type."""
    try:
        content = read_json(path / "summary.json")
    except UserError:
        return {}
    return _valid_entries(content, SUMMARY)


def _valid_entries(content: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a mapping whose values have the expected types."""
    if not isinstance(content, dict):
        return {}
    valid: dict[str, Any] = {}
    for name, kind in kinds.items():
        value = content.get(name)
        if isinstance(kind, Mapping):
            valid[name] = _valid_entries(value, kind)
        elif isinstance(value, kind) and not isinstance(value, bool):
            valid[name] = value
    return valid


SUMMARY: dict[str, Any] = {
    "system": str,
    "epoch": int,
    "step": int,
    "minutes": int | float,
    "reason": str,
    "best": {"value": int | float, "monitor": str, "epoch": int, "step": int},
}
"""Name -> type of every entry of a summary that is read."""
MAX_CARD_BYTES = 1_000_000


def _is_generated(path: Path) -> bool:
    """Whether a model card is unedited; an unreadable one counts as edited."""
    try:
        return read_regular(path, MAX_CARD_BYTES).startswith(GENERATED_MARK.encode())
    except UserError:
        return False


def new_run(config: SystemConfig, system: str) -> Run:
    """Create the directory of a new run, named after the time and unique.

    Raises:
        UserError: The folder cannot be created.
    """
    parent = Path(config.logging.runs_dir) / system
    stamp = time.strftime("run_%Y-%m-%d_%H-%M-%S")
    for index in range(1, 1000):
        path = parent / (stamp if index == 1 else f"{stamp}_{index}")
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
    """Read the settings of a run as plain data; empty if they are unreadable."""
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

| number | value |
|---|---|
{rows}

## Data

To be filled in: what it was trained on, under which licence, what is missing from it.

## Use and limits

To be filled in: what it is for, what it is not for, where it fails.
"""

"""`triform runs list | compare | open | export`: training runs and their results."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from triform.base.errors import UsageError, UserError
from triform.base.settings.command import CommandResult, Verb, run_command
from triform.base.settings.config import Settings, differences
from triform.base.settings.nearest import nearest
from triform.engine.runs.run import read_config, read_summary
from triform.engine.runs.tracking import read_metrics

SUMMARY = "training runs: list, compare, open, export"
UNFINISHED = "not yet, or killed"
"""End of a run that goes on, was stopped or was killed."""


class RunsSettings(Settings):
    """Look at training runs."""

    runs_dir: str = Field(default="runs", description="Folder of the run directories.")


class ListSettings(RunsSettings):
    """All runs, the newest last."""


class CompareSettings(RunsSettings):
    """Settings that differ between runs, and their results."""

    positional = ("runs",)

    runs: tuple[str, ...] = Field(
        min_length=2, description="Two runs or more: folders, names or parts of them, or last."
    )


class RunSettings(RunsSettings):
    """Look at one run."""

    positional = ("run",)

    run: str = Field(
        default="last", description="A folder, the name of a run or a part of it, or last."
    )


class OpenSettings(RunSettings):
    """Show one run, and its folder in a file manager where there is a screen."""

    show: bool = Field(default=True, description="Open a file manager.")


class ExportSettings(RunSettings):
    """Write the best weights of a run, with its config, to a file for sharing."""

    checkpoint: Literal["best", "last"] = Field(
        default="best", description="Which weights: the best by the monitored metric, or the last."
    )
    output: Path = Field(default=Path("weights.safetensors"), description="Output file.")
    half: bool = Field(default=False, description="Half precision: half the size.")
    eight_bit: bool = Field(
        default=False,
        description="Eight bits and a scale per output: a quarter of the size, less exact.",
    )
    networks: tuple[str, ...] = Field(default=(), description="Networks to keep; none means all.")


def main(argv: Sequence[str]) -> int:
    """Run `triform runs`; returns the exit status."""
    return run_command("runs", SUMMARY, VERBS, argv)


def list_runs(settings: ListSettings) -> CommandResult:
    """One row per run."""
    folder = Path(settings.runs_dir)
    rows = [describe(run) for run in find_runs(folder)]
    return CommandResult(rows, None if rows else f"no runs in {folder}")


def compare_runs(settings: CompareSettings) -> CommandResult:
    """One row per setting that differs and per metric."""
    folder = Path(settings.runs_dir)
    rows = compare([find_run(name, folder) for name in settings.runs])
    return CommandResult(rows, None if rows else "the same settings and the same numbers")


def open_run(settings: OpenSettings) -> dict[str, Any]:
    """Contents of a run directory."""
    run = find_run(settings.run, Path(settings.runs_dir))
    if settings.show and sys.stdout.isatty():
        show_folder(run)
    return contents(run)


def export(settings: ExportSettings) -> dict[str, Any]:
    """Export the weights of a run's best or last checkpoint.

    Raises:
        UsageError: The output is no `.safetensors` file, or a network is not there.
        UserError: The run has no readable checkpoint.
    """
    from triform.engine.checkpoints.checkpoint import export_weights, load_weights
    from triform.engine.checkpoints.quantization import quantize_int8

    if settings.output.suffix != ".safetensors":
        raise UsageError(f"--output {settings.output}: must end in .safetensors")
    if settings.eight_bit and settings.half:
        raise UsageError("--eight_bit: --half says otherwise; choose one")
    run = find_run(settings.run, Path(settings.runs_dir))
    folder = run / "checkpoints"
    checkpoints = sorted(folder.glob(f"{settings.checkpoint}*"))
    if not checkpoints:
        raise UserError(f"{run}: there is no {settings.checkpoint} checkpoint in {folder}")
    networks, config, system, metadata = load_weights(checkpoints[0])
    missing = [name for name in settings.networks if name not in networks]
    if missing:
        raise UsageError(
            f"--networks {missing[0]}: the run has {', '.join(networks)}"
            f"{nearest(missing[0], networks)}"
        )
    selected = {name: networks[name] for name in settings.networks or networks}
    if settings.eight_bit:
        selected = {name: quantize_int8(weights) for name, weights in selected.items()}
    elif settings.half:
        selected = {
            name: {k: t.half() if t.is_floating_point() else t for k, t in weights.items()}
            for name, weights in selected.items()
        }
    settings.output.parent.mkdir(parents=True, exist_ok=True)
    export_weights(settings.output, selected, config, system=system, metadata=metadata)
    return {
        "run": str(run),
        "networks": " ".join(selected),
        "file": str(settings.output),
        "megabytes": round(settings.output.stat().st_size / 1e6, 2),
    }


def find_runs(folder: Path) -> list[Path]:
    """All run directories, the newest last."""
    runs = [path.parent for path in folder.glob("*/*/config.yaml")]
    return sorted(runs, key=lambda run: (run.name, run.parent.name))


def find_run(name: str, folder: Path) -> Path:
    """Find a run by its folder, its name, a part of its name, or `last`.

    Raises:
        UserError: No run fits, or several do.
    """
    if (Path(name) / "config.yaml").is_file():
        return Path(name)
    runs = find_runs(folder)
    if not runs:
        raise UserError(f"no runs in {folder}; --runs_dir says where they are")
    if name == "last":
        return runs[-1]
    exact = [run for run in runs if name in (run.name, f"{run.parent.name}/{run.name}")]
    matching = exact or [run for run in runs if name in f"{run.parent.name}/{run.name}"]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UserError(
            f"{name!r} means {len(matching)} runs: "
            f"{', '.join(f'{run.parent.name}/{run.name}' for run in matching[-3:])}"
        )
    raise UserError(f"no run {name!r} in {folder}{nearest(name, [run.name for run in runs])}")


def describe(run: Path) -> dict[str, Any]:
    """Summary of a run in one row."""
    summary = read_summary(run)
    best = summary.get("best") or {}
    return {
        "system": run.parent.name,
        "run": run.name,
        "epoch": summary.get("epoch"),
        "step": summary.get("step"),
        "best": best.get("value"),
        "monitor": best.get("monitor"),
        "at epoch": best.get("epoch"),
        "minutes": summary.get("minutes"),
        "ended": summary.get("reason") or UNFINISHED,
    }


def compare(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Settings that differ between the runs, then the last value of every metric."""
    configs = [read_config(run) for run in runs]
    changed = dict.fromkeys(
        name for config in configs[1:] for name in differences(configs[0], config)
    )
    rows = [
        {
            "": name,
            **{
                run.name: _get_setting(config, name)
                for run, config in zip(runs, configs, strict=True)
            },
        }
        for name in changed
    ]
    last: list[dict[str, Any]] = [{} for _ in runs]
    for values, run in zip(last, runs, strict=True):
        for line in read_metrics(run / "metrics.jsonl"):
            values.update(line)
    for name in dict.fromkeys(name for values in last for name in values):
        rows.append(
            {
                "": name,
                **{run.name: values.get(name) for run, values in zip(runs, last, strict=True)},
            }
        )
    return rows


def contents(run: Path) -> dict[str, Any]:
    """Contents of a run directory, and commands to resume it and to plot it."""
    files = sorted(path for path in run.rglob("*") if path.is_file())
    curves = any("tfevents" in path.name for path in files)
    return {
        "folder": str(run),
        **{name: value for name, value in describe(run).items() if value is not None},
        "checkpoints": [path.name for path in files if path.parent.name == "checkpoints"],
        "samples": sum((run / "samples") in path.parents for path in files),
        "go on": f"triform {run.parent.name} train --resume_from {run}",
        **({"curves": f"tensorboard --logdir {run}"} if curves else {}),
    }


def show_folder(run: Path) -> None:
    """Open a folder in the file manager of the desktop, if there is one."""
    if sys.platform == "win32":
        os.startfile(run)
        return
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        try:
            subprocess.Popen(
                [opener, str(run)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            return  # the path has been printed; a desktop without the program changes nothing


def _get_setting(config: Any, name: str) -> Any:
    """A setting by its dotted name; None if the run does not have it."""
    for part in name.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return json.dumps(config) if isinstance(config, list | bool) else config


VERBS = {
    "list": Verb(ListSettings, list_runs),
    "compare": Verb(CompareSettings, compare_runs),
    "open": Verb(OpenSettings, open_run),
    "export": Verb(ExportSettings, export),
}

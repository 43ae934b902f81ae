"""`triform runs list | compare | open | export`: what was trained here, and how well."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from triform.base.config import Settings, differences, parse
from triform.base.errors import UsageError, UserError
from triform.base.flags import nearest
from triform.base.logging import write_answer
from triform.base.tables import table
from triform.engine.run import read_config, read_summary
from triform.engine.tracking import read_metrics

USAGE = """triform runs list                 all runs, the newest last
triform runs compare RUN RUN ...  settings that differ, and the numbers they led to
triform runs open [RUN]           one run: what is in it, and its folder in a file manager
triform runs export [RUN]         its best weights alone, as safetensors, for sharing

RUN is a folder, the name of a run or a part of it, or `last`. Flags of each: --help"""


class RunsSettings(Settings):
    """Look at training runs."""

    runs_dir: str = Field(default="runs", description="Folder of the run directories.")


class OpenSettings(RunsSettings):
    """Show one run, and its folder in a file manager where there is a screen."""

    show: bool = Field(default=True, description="Open a file manager.")


class ExportSettings(RunsSettings):
    """Write the best weights of a run, with its config, to a file for sharing."""

    checkpoint: Literal["best", "last"] = Field(
        default="best",
        description="Which weights: the best by what was watched, or those of the last step.",
    )
    output: Path = Field(default=Path("weights.safetensors"), description="The file to write.")
    half: bool = Field(default=False, description="Half precision: half the size.")
    eight_bit: bool = Field(
        default=False,
        description="Eight bits and a scale per output: a quarter of the size, less exact.",
    )
    networks: tuple[str, ...] = Field(default=(), description="Networks to keep; none means all.")


def main(argv: Sequence[str]) -> int:
    """Run `triform runs`.

    Returns:
        Exit status 0.

    Raises:
        UsageError: Unknown verb or flag, or a wrong number of runs.
        UserError: No such run.
    """
    verb, *rest = argv or ["--help"]
    if verb in ("-h", "--help", "help"):
        write_answer(USAGE)
        return 0
    verbs = {
        "list": RunsSettings,
        "compare": RunsSettings,
        "open": OpenSettings,
        "export": ExportSettings,
    }
    if verb not in verbs:
        raise UsageError(
            f"unknown verb of runs {verb!r}{nearest(verb, verbs)}; there are: {', '.join(verbs)}"
        )
    as_json = "--json" in rest
    rest = [word for word in rest if word != "--json"]
    num_names = next((i for i, word in enumerate(rest) if word.startswith("-")), len(rest))
    names, flags = rest[:num_names], rest[num_names:]
    settings = parse(verbs[verb], flags, prog=f"triform runs {verb}")
    folder = Path(settings.runs_dir)
    match verb:
        case "list":
            answer: Any = [describe(run) for run in find_runs(folder)]
            empty = f"no runs in {folder}"
        case "compare":
            if len(names) < 2:
                raise UsageError(
                    "triform runs compare needs two runs or more; `triform runs list` names them"
                )
            answer = compare([find_run(name, folder) for name in names])
            empty = "the same settings and the same numbers"
        case _:
            if len(names) > 1:
                raise UsageError(f"triform runs {verb} takes one run, seen {' '.join(names)}")
            run = find_run(names[0] if names else "last", folder)
            empty = ""
            answer = export(run, settings) if verb == "export" else contents(run)
            if isinstance(settings, OpenSettings) and settings.show and not as_json:
                show_folder(run)
    if as_json:
        write_answer(answer, as_json=True)
    else:
        write_answer(table(answer) if answer else empty)
    return 0


def export(run: Path, settings: RunsSettings) -> dict[str, Any]:
    """Write the weights of a run's best or last checkpoint.

    Raises:
        UsageError: The output is no `.safetensors` file, or a network is not there.
        UserError: The run has no readable checkpoint.
    """
    from triform.engine.checkpoint import export_weights, load_weights
    from triform.engine.eight_bit import to_eight_bit

    if not isinstance(settings, ExportSettings):
        raise TypeError(f"export needs ExportSettings, not {type(settings).__name__}")
    if settings.output.suffix != ".safetensors":
        raise UsageError(f"--output {settings.output}: must end in .safetensors")
    if settings.eight_bit and settings.half:
        raise UsageError("--eight_bit: --half says otherwise; choose one")
    config = read_config(run)
    training = config.get("training")
    chosen = training.get("checkpoint_dir") if isinstance(training, dict) else None
    folder = Path(chosen) if chosen and isinstance(chosen, str) else run / "checkpoints"
    found = sorted(folder.glob(f"{settings.checkpoint}*"))
    if not found:
        raise UserError(f"{run}: there is no {settings.checkpoint} checkpoint in {folder}")
    networks, config = load_weights(found[0])
    system = config.pop("system")
    missing = [name for name in settings.networks if name not in networks]
    if missing:
        raise UsageError(
            f"--networks {missing[0]}: the run has {', '.join(networks)}"
            f"{nearest(missing[0], networks)}"
        )
    kept = {name: networks[name] for name in settings.networks or networks}
    if settings.eight_bit:
        kept = {name: to_eight_bit(weights) for name, weights in kept.items()}
    elif settings.half:
        kept = {
            name: {k: t.half() if t.is_floating_point() else t for k, t in weights.items()}
            for name, weights in kept.items()
        }
    settings.output.parent.mkdir(parents=True, exist_ok=True)
    export_weights(settings.output, kept, config, system=system)
    return {
        "run": str(run),
        "networks": " ".join(kept),
        "file": str(settings.output),
        "megabytes": round(settings.output.stat().st_size / 1e6, 2),
    }


def find_runs(folder: Path) -> list[Path]:
    """All run directories, the newest last."""
    runs = [path.parent for path in folder.glob("*/*/config.yaml")]
    return sorted(runs, key=lambda run: (run.name, run.parent.name))


def find_run(name: str, folder: Path) -> Path:
    """The run that a word means: a folder, a name, a part of one, or `last`.

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
    fitting = exact or [run for run in runs if name in f"{run.parent.name}/{run.name}"]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(
            f"{name!r} means {len(fitting)} runs: "
            f"{', '.join(f'{run.parent.name}/{run.name}' for run in fitting[-3:])}"
        )
    raise UserError(f"no run {name!r} in {folder}{nearest(name, [run.name for run in runs])}")


def describe(run: Path) -> dict[str, Any]:
    """A run in one line."""
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
        "ended": summary.get("reason") or "not yet, or killed",
    }


def compare(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Settings that are not the same in all runs, then the last value of every number."""
    configs = [read_config(run) for run in runs]
    changed = dict.fromkeys(
        name for config in configs[1:] for name in differences(configs[0], config)
    )
    rows = [
        {
            "": name,
            **{run.name: _look_up(config, name) for run, config in zip(runs, configs, strict=True)},
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
    """What is in a run directory, and what can be done with it."""
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
    """Open a folder in the desktop's file manager, where there is a desktop."""
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


def _look_up(config: Any, name: str) -> Any:
    """A setting by its dotted name; None where the run does not have it."""
    for part in name.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return json.dumps(config) if isinstance(config, list | bool) else config

"""Metric loggers: JSON lines, TensorBoard, Weights & Biases."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from triform.base.errors import UserError
from triform.base.files import atomic_write, open_append, read_regular
from triform.engine.config import LoggingConfig

MAX_METRICS_BYTES = 2**28


class Tracker(Protocol):
    """Interface of metric loggers."""

    def log(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Log values by name."""

    def close(self) -> None:
        """Close the logger."""


class JsonLines:
    """`metrics.jsonl`: one JSON object per line; a number that is not finite is null.

    Args:
        path: The file. Lines beyond `step`, which a killed run wrote after its last checkpoint,
            are removed, since the resumed run writes them again.
        step: Steps done when writing starts.
    """

    def __init__(self, path: Path, step: int = 0):
        earlier = [line for line in read_metrics(path) if line["step"] <= step] if step else []
        with atomic_write(path, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in earlier)
        self._file = open_append(path, text=True)

    def log(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Write one line and flush it."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, "epoch": epoch, **finite}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard:
    """TensorBoard's event files."""

    def __init__(self, folder: Path, step: int = 0):
        from torch.utils.tensorboard import SummaryWriter  # late: it takes a second

        # Like the lines of metrics.jsonl, curves beyond the checkpoint are drawn again.
        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def log(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the writer."""
        self._writer.close()


class Wandb:
    """Weights & Biases.

    Raises:
        UserError: The package is missing.
    """

    def __init__(self, config: LoggingConfig, run_dir: Path, settings: Mapping[str, Any]):
        try:
            import wandb
        except ImportError as error:
            raise UserError(
                "--use_wandb needs the package wandb: pip install wandb, then wandb login"
            ) from error
        # The run's name as id: a resumed run goes on with the same curves.
        self._run: Any = wandb.init(
            project=config.wandb.project,
            entity=config.wandb.entity,
            name=run_dir.name,
            id=run_dir.name,
            resume="allow",
            dir=str(run_dir),
            config=dict(settings),
        )

    def log(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Log values."""
        self._run.log({"epoch": epoch, **values}, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a `metrics.jsonl`; a last line cut short by a crash is dropped.

    Raises:
        UserError: It is larger than any run writes, or not a regular file.
    """
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    for text in read_regular(path, MAX_METRICS_BYTES).decode("utf-8", "replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(
                {k: v for k, v in line.items() if v is None or isinstance(v, int | float | str)}
            )
    return lines

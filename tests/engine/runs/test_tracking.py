"""Numbers on disk."""

import json
import math
from pathlib import Path

from triform.engine.runs.tracking import JsonLines, TensorBoard, read_metrics


def test_lines_beyond_the_checkpoint_are_removed(tmp_path: Path) -> None:
    """A resumed run writes them again; a line cut short by a crash goes too."""
    path = tmp_path / "metrics.jsonl"
    lines = JsonLines(path)
    for step in (4, 8, 12):
        lines.log(step, 0, {"loss": 1 / step, "bad": math.nan})
    lines.close()
    with path.open("a") as file:
        file.write('{"step": 16, "epo')
    assert [line["step"] for line in read_metrics(path)] == [4, 8, 12]
    resumed = JsonLines(path, step=8)
    resumed.log(12, 1, {"loss": 2.0})
    resumed.close()
    assert [line["step"] for line in read_metrics(path)] == [4, 8, 12]
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert read_metrics(path)[0]["bad"] is None and read_metrics(path)[2]["loss"] == 2.0


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    """Nor has something else."""
    assert read_metrics(tmp_path / "none") == []
    (tmp_path / "other").write_text('[1]\n"x"\n{"step": "x"}\n')
    assert read_metrics(tmp_path / "other") == []


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    """With TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path)
    board.log(3, 0, {"val/loss": 0.5})
    board.log(6, 1, {"val/loss": 0.25})
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    points = [(event.step, event.value) for event in events.Scalars("val/loss")]
    assert points == [(3, 0.5), (6, 0.25)]

"""Run directories that no run has written."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from triform import cli
from triform.base.errors import UserError
from triform.engine.checkpoints import checkpoint

DEEP = "[" * 50_000 + "]" * 50_000
SUMMARIES: dict[str, str] = {
    "a list": "[1, 2]",
    "a number": "5",
    "a word": '"best"',
    "deep": DEEP,
    "deep within": '{"best": ' + DEEP + "}",
    "cut short": '{"best": {',
    "empty": "",
    "a number for best": '{"best": 5, "epoch": 1}',
    "lists for numbers": '{"best": {"value": [1], "monitor": {}}, "epoch": [], "reason": 3}',
    "infinite": '{"epoch": 1e999}',
    "a long number": '{"step": 1' + "0" * 4200 + "}",
    "true": '{"epoch": true}',
}


@pytest.fixture
def run(place: Path) -> Path:
    """A run directory as small as can be."""
    folder = place / "runs" / "vae" / "run_1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 3\n")
    return folder


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command that has to work says."""
    status = cli.main(["runs", *words])
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    return out


@pytest.mark.parametrize("name", SUMMARIES)
def test_odd_summaries_are_empty(run: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (run / "summary.json").write_text(SUMMARIES[name])
    rows = json.loads(answer(capsys, "list", "--json"))
    best = {key: rows[0][key] for key in ("best", "monitor", "at epoch", "step")}
    assert best == {"best": None, "monitor": None, "at epoch": None, "step": None}
    assert rows[0]["epoch"] == (1 if name == "a number for best" else None)
    assert "not yet, or killed" in answer(capsys, "list")
    assert "run_1" in answer(capsys, "open", "--no_show")


def test_summaries_that_are_no_files(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(run / "summary.json")
    assert "not yet, or killed" in answer(capsys, "list")


SETTINGS: dict[str, str] = {
    "no training": "seed: 3\n",
    "training is a number": "training: 5\n",
    "folder is a number": "training: {checkpoint_dir: 5}\n",
    "no mapping": "- 1\n",
    "a date": "training: 2020-01-01\n",
    "deep": "a: " + "[" * 300 + "]" * 300,
    "references": "a: &a [1]\nb: [*a, *a]\n",
    "python object": "a: !!python/object/apply:os.system ['touch executed']\n",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_odd_settings(
    run: Path, capsys: pytest.CaptureFixture[str], refused: Callable[..., str], name: str
) -> None:
    (run / "config.yaml").write_text(SETTINGS[name])
    other = run.with_name("run_2")
    other.mkdir()
    (other / "config.yaml").write_text("seed: 4\n")
    answer(capsys, "compare", "run_1", "run_2")
    answer(capsys, "compare", "run_2", "run_1", "--json")
    refused("runs", "export", "run_1", status=1, names="there is no best checkpoint in")


def test_metrics_of_another_kind(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = run.with_name("run_2")
    other.mkdir()
    (other / "config.yaml").write_text("seed: 4\n")
    lines = ['{"step": 1, "loss": 0.5, "odd": [1], "deep": {}}', '{"step": 2, "x": ' + DEEP + "}"]
    (run / "metrics.jsonl").write_text("\n".join(lines))
    rows = json.loads(answer(capsys, "compare", "run_1", "run_2", "--json"))
    assert {row[""]: row["run_1"] for row in rows} == {"seed": 3, "step": 1, "loss": 0.5}


def test_metrics_that_are_no_file(run: Path, refused: Callable[..., str]) -> None:
    other = run.with_name("run_2")
    other.mkdir()
    (other / "config.yaml").write_text("seed: 4\n")
    os.mkfifo(run / "metrics.jsonl")
    refused("runs", "compare", "run_1", "run_2", status=1, names="metrics.jsonl")


def test_a_checkpoint_replaces_no_other_file(trained: dict[str, object], place: Path) -> None:
    """`training.checkpoint` in the settings of a run that is continued names a file to write."""
    mine, good = place / "thesis.txt", place / "good.pth"
    mine.write_text("years of work")
    checkpoint.save(good, trained)
    with zipfile.ZipFile(place / "archive.zip", "w") as archive:
        archive.writestr("thesis.txt", "years of work")
    for name in ("thesis.txt", "archive.zip"):
        before = (place / name).read_bytes()
        with pytest.raises(UserError, match=f"{name}: is there and no checkpoint"):
            checkpoint.save(place / name, trained)
        with pytest.raises(UserError, match=f"{name}: is there and no checkpoint"):
            checkpoint.copy(good, place / name)
        assert (place / name).read_bytes() == before
    checkpoint.save(good, {**trained, "step": 2})
    (place / "empty.pth").touch()
    checkpoint.copy(good, place / "empty.pth")
    assert checkpoint.load(place / "empty.pth")["step"] == 2

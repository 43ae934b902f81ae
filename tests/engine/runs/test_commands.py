"""`triform runs`."""

import json
from pathlib import Path

import pytest
import torch
from toy_systems import Supervised, TwoPlayers, toy_config

from triform.base.errors import UsageError, UserError
from triform.engine.checkpoints.checkpoint import load_weights
from triform.engine.fit import fit
from triform.engine.runs.commands import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs and one that never came to an evaluation."""
    folder = tmp_path_factory.mktemp("runs")
    fit(Supervised(toy_config(folder, {"training.epochs": 1})))
    fit(TwoPlayers(toy_config(folder, {"training.epochs": 2, "training.lr": 0.05})))
    killed = folder / "runs" / "two_players" / "run_9999-01-01_00-00-00"
    killed.mkdir()
    (killed / "config.yaml").write_text("seed: 3\n")
    return folder / "runs"


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The answer of a command."""
    assert main(words) == 0
    return capsys.readouterr().out


def test_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every run in one line, the newest last; the same as data."""
    text = ask(capsys, "list", "--runs_dir", str(folder))
    lines = text.splitlines()
    assert len(lines) == 4 and lines[0].startswith("system")
    assert "1 of 1 epochs done" in lines[1] and "not yet, or killed" in lines[3]
    data = json.loads(ask(capsys, "list", "--json", "--runs_dir", str(folder)))
    assert [run["epoch"] for run in data] == [1, 2, None]
    assert data[0]["monitor"] == "val/loss" and data[0]["best"] > 0


def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What differs in the settings, and the numbers."""
    flags = ["--runs_dir", str(folder), "--json"]
    rows = json.loads(ask(capsys, "compare", "supervised", "9999", *flags))
    by_name = {row[""]: row for row in rows}
    assert by_name["seed"]["run_9999-01-01_00-00-00"] == 3
    text = ask(capsys, "compare", "supervised", "9999", "--runs_dir", str(folder))
    assert "val/loss" in text and "training.lr" in text


def test_open(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is in a run and what can be done with it."""
    text = ask(capsys, "open", "supervised", "--no_show", "--runs_dir", str(folder))
    assert "best.pth, last.pth" in text and "triform supervised train --resume_from" in text
    newest = json.loads(ask(capsys, "open", "--json", "--runs_dir", str(folder)))
    assert newest["run"].startswith("run_9999")
    by_path = json.loads(ask(capsys, "open", newest["folder"], "--json"))
    assert by_path["folder"] == newest["folder"]


def test_export(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The best weights with their config, whole or rounded to half precision."""
    flags = ["--runs_dir", str(folder), "--json"]
    for half in (False, True):
        path = tmp_path / f"{half}.safetensors"
        words = ["supervised", *flags, "--output", str(path), *(["--half"] if half else [])]
        answer = json.loads(ask(capsys, "export", *words))
        assert answer["file"] == str(path)
        best, config, *_ = load_weights(next(Path(answer["run"]).glob("checkpoints/best*")))
        weights, noted, *_ = load_weights(path)
        # Where it was trained is nobody's business.
        assert str(folder) in json.dumps(config) and str(folder) not in json.dumps(noted)
        config["logging"]["runs_dir"] = folder.name
        assert noted == config and weights.keys() == best.keys()
        for name, tensors in best.items():
            for key, tensor in tensors.items():
                expected = tensor.half() if half and tensor.is_floating_point() else tensor
                assert torch.equal(weights[name][key], expected)
    ask(capsys, "export", "supervised", *flags, "--output", str(path), "--eight_bit")
    weights = load_weights(path).networks
    for name, tensors in best.items():
        assert weights[name].keys() == tensors.keys()
        for key, tensor in tensors.items():
            close = 0.51 * float(tensor.abs().max()) / 127 if tensor.is_floating_point() else 0
            assert torch.allclose(weights[name][key].float(), tensor.float(), rtol=1e-3, atol=close)
    with pytest.raises(UsageError, match="--eight_bit: --half says otherwise"):
        main(["export", "supervised", *flags, "--output", str(path), "--eight_bit", "--half"])
    last = load_weights(next(Path(answer["run"]).glob("checkpoints/last*"))).networks
    ask(capsys, "export", "supervised", *flags, "--output", str(path), "--checkpoint", "last")
    weights = load_weights(path).networks
    for name, tensors in last.items():
        assert all(torch.equal(weights[name][key], tensor) for key, tensor in tensors.items())
    with pytest.raises(UsageError, match=r"--output a\.pth: must end in \.safetensors"):
        main(["export", "supervised", "--runs_dir", str(folder), "--output", "a.pth"])
    with pytest.raises(UsageError, match=r"--networks models: the run has .*perhaps you meant"):
        out = str(tmp_path / "x.safetensors")
        main(["export", "supervised", *flags, "--output", out, "--networks", "models"])


def test_mistakes_are_one_line(folder: Path, tmp_path: Path) -> None:
    """With what there is."""
    flags = ["--runs_dir", str(folder)]
    cases = [
        (["lst"], UsageError, "unknown verb of runs 'lst'; perhaps you meant list"),
        (["compare", "supervised", *flags], UsageError, "--runs: .* must be at least 2 values"),
        (
            ["open", "a", "b", *flags],
            UsageError,
            "unexpected 'b': what comes before the flags is RUN",
        ),
        (["open", "nothing", *flags], UserError, "no run 'nothing' in"),
        (["open", "run_", *flags], UserError, "'run_' means 3 runs"),
        (["list", "--runs_dr", "x"], UsageError, "perhaps you meant --runs_dir"),
        (["open", "--runs_dir", str(tmp_path)], UserError, "no runs in"),
    ]
    for words, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            main(words)
        assert "\n" not in str(caught.value)


def test_help_and_emptiness(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing yet is no error."""
    screen = ask(capsys)
    assert all(f"  {verb} " in screen for verb in ("list", "compare", "open", "export"))
    assert ask(capsys, "list", "--runs_dir", str(tmp_path)) == f"no runs in {tmp_path}\n"
    assert ask(capsys, "list", "--json", "--runs_dir", str(tmp_path)) == "[]\n"

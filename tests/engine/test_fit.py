"""The loop: it learns, in every way of learning, and does what the settings say."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from toy_systems import TOYS, Acting, Supervised, TwoPlayers, toy_config

from triform.base.errors import UserError
from triform.engine.checkpoints import checkpoint
from triform.engine.checkpoints.finding import find_checkpoint
from triform.engine.fit import fit
from triform.engine.protocol import Context, Hook
from triform.engine.runs.tracking import read_metrics


@pytest.mark.parametrize(
    ("name", "changes", "target"),
    [
        ("supervised", {"training.epochs": 60}, lambda first, last: last < 0.4 * first),
        ("inner_loop", {"training.epochs": 60}, lambda first, last: last < 0.3 * first),
        ("acting", {"training.epochs": 12, "training.lr": 0.1}, lambda first, last: last > 0.85),
        ("two_players", {"training.epochs": 30}, lambda first, last: last < 0.5),
    ],
)
def test_every_way_of_learning_learns(
    name: str, changes: dict[str, Any], target: Any, tmp_path: Path
) -> None:
    """The same loop for one optimizer, two, handed-over gradients, and acting."""
    changes = {"training.lr": 0.03, "scheduler.type": "CosineAnnealingLR", **changes}
    changes |= {"early_stopping.enabled": False, "logging.sample_every": 0}
    toy = TOYS[name](toy_config(tmp_path, changes))
    result = fit(toy)
    lines = [line for line in read_metrics(result.run_dir / "metrics.jsonl") if toy.monitor in line]
    assert len(lines) == changes["training.epochs"]
    assert result.best is not None
    assert target(lines[0][toy.monitor], result.best["value"])
    values = [line[toy.monitor] for line in lines]
    best = (min if toy.monitor_mode == "min" else max)(values)
    assert result.best["value"] == best
    assert result.best["epoch"] == values.index(best) + 1


def test_the_run_directory(tmp_path: Path) -> None:
    """Everything that was promised is in it."""
    changes = {
        "training.save_every_epoch": True,
        "training.checkpoint": str(tmp_path / "best_copy.pth"),
        "logging.tensorboard": True,
        "logging.tensorboard_dir": str(tmp_path / "runs"),
    }
    config = toy_config(tmp_path, changes)
    result = fit(Supervised(config))
    run = result.run_dir
    assert run.parent == tmp_path / "runs" / "supervised" and run.name.startswith("run_20")
    written = yaml.safe_load((run / "config.yaml").read_text())
    assert type(config).model_validate(written) == config
    (session,) = json.loads((run / "environment.json").read_text())["sessions"]
    assert session["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert session["threads"] == 1 and session["processor"] and "git_revision" in session
    assert "saved best, last at step" in (run / "training.log").read_text().replace(
        "epoch_003, ", ""
    ).replace("best, epoch_001, last", "best, last")
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == ["best.pth", "epoch_001.pth", "epoch_002.pth", "epoch_003.pth", "last.pth"]
    assert sorted(path.stem for path in (run / "samples").iterdir()) == ["0", "12", "24", "36"]
    assert list(run.glob("events.out.tfevents.*"))
    card = (run / "MODEL_CARD.md").read_text()
    assert "3 of 3 epochs done" in card and "val/loss" in card and "{" not in card
    summary = json.loads((run / "summary.json").read_text())
    assert summary["best"] == result.best and summary["reason"] == "3 of 3 epochs done"
    best = (run / "checkpoints/best.pth").read_bytes()
    assert (tmp_path / "best_copy.pth").read_bytes() == best
    assert not list(tmp_path.rglob("*.part"))


def test_checkpoints_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """`checkpoint_dir` is obeyed, and a run keeps its own, whoever writes there after it."""
    changes = {"training.checkpoint_dir": str(tmp_path / "mine"), "training.epochs": 2}
    result = fit(Supervised(toy_config(tmp_path, changes)))
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["best.pth", "last.pth"]
    for name in ("best.pth", "last.pth"):
        assert (tmp_path / "mine" / name).samefile(result.run_dir / "checkpoints" / name)
    own = (result.run_dir / "checkpoints" / "last.pth").read_bytes()
    fit(Supervised(toy_config(tmp_path, {**changes, "training.epochs": 1})))
    assert (result.run_dir / "checkpoints" / "last.pth").read_bytes() == own
    assert checkpoint.load(tmp_path / "mine" / "last.pth")["step"] == 12
    assert find_checkpoint(str(tmp_path / "mine"), "supervised") == tmp_path / "mine" / "best.pth"
    more = {**changes, "training.epochs": 3, "training.resume_from": str(result.run_dir)}
    assert fit(Supervised(toy_config(tmp_path, more))).run_dir == result.run_dir
    assert checkpoint.load(tmp_path / "mine" / "last.pth")["step"] == 36


def test_two_runs_at_once_get_two_folders(tmp_path: Path) -> None:
    """Also within a second."""
    changes = {"training.epochs": 1}
    runs = {fit(Supervised(toy_config(tmp_path, changes))).run_dir for _ in range(3)}
    assert len(runs) == 3


def test_best_is_the_best_and_holds_the_averages(tmp_path: Path) -> None:
    """Not the last, where the last is worse; evaluated with the averaged weights."""
    toy = Supervised(toy_config(tmp_path, {"training.ema_decay": 0.9}))
    actual: list[torch.Tensor] = []
    values = iter([3.0, 1.0, 2.0])

    def evaluate(split: str = "val") -> dict[str, float]:
        assert not toy.networks["model"].training and not torch.is_grad_enabled()
        if split == "train":
            return {}
        actual.append(toy.networks["model"][0].weight.clone())
        return {"loss": next(values)}

    toy.evaluate = evaluate  # type: ignore[method-assign]
    result = fit(toy)
    assert result.best == {
        "value": 1.0,
        "monitor": "val/loss",
        "epoch": 2,
        "step": 24,
        "metrics": {"val/loss": 1.0},
    }
    assert result.weights == result.run_dir / "checkpoints/best.pth"
    card = (result.run_dir / "MODEL_CARD.md").read_text()
    assert "| val/loss | 1 |" in card and "after epoch 2, with these weights" in card
    weights = checkpoint.load_weights(result.run_dir / "checkpoints/best.pth").networks
    assert torch.equal(weights["model"]["0.weight"], actual[1])
    state = checkpoint.load(result.run_dir / "checkpoints/best.pth")
    assert not torch.equal(state["networks"]["model"]["0.weight"], actual[1])


def test_a_run_has_a_card_from_the_beginning(tmp_path: Path) -> None:
    """Also one that is killed says what it is."""

    class Card(Hook):
        text = ""

        def on_epoch_end(self, context: Context) -> None:
            self.text = (context.run_dir / "MODEL_CARD.md").read_text()

    toy, hook = Supervised(toy_config(tmp_path, {"training.epochs": 1})), Card()
    toy.hooks = [hook]
    fit(toy)
    assert "supervised" in hook.text and "epochs done" not in hook.text


def test_a_lower_learning_rate_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once for each reduction, and not where the value improves."""
    changes = {"scheduler.type": "ReduceLROnPlateau", "scheduler.patience": 0}
    toy = Supervised(toy_config(tmp_path, changes))
    values = iter([3.0, 2.0, 2.5])
    toy.evaluate = lambda split="val": {} if split == "train" else {"loss": next(values)}  # type: ignore[method-assign, assignment, misc]
    fit(toy)
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if "learning rate" in line] == [
        "no improvement: learning rate times 0.5"
    ]


@pytest.mark.parametrize(("loss_values", "epochs"), [(1, 3), (100, 5)])
def test_the_overfitting_gap_is_per_value(tmp_path: Path, loss_values: int, epochs: int) -> None:
    """A loss that is a sum over an image has gaps that grow with the image."""
    changes = {"training.epochs": 5, "early_stopping.overfitting_gap_threshold": 0.5}
    toy = Supervised(toy_config(tmp_path, changes))
    toy.loss_values = loss_values
    values = iter(range(10, 0, -1))
    toy.evaluate = lambda split="val": {"loss": next(values) if split == "val" else 1.0}  # type: ignore[method-assign]
    result = fit(toy)
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").open()]
    gaps = [line["overfitting_gap"] for line in lines if "overfitting_gap" in line]
    assert gaps == pytest.approx([(1 - val) / loss_values for val in (10, 9, 8, 7, 6)][:epochs])


def test_nan_is_never_the_best(tmp_path: Path) -> None:
    """And is null in the metrics, which stay valid JSON."""
    toy = Supervised(toy_config(tmp_path))
    values = iter([float("nan"), 2.0, float("nan")])
    toy.evaluate = lambda split="val": {"loss": next(values)} if split == "val" else {}  # type: ignore[method-assign]
    result = fit(toy)
    assert result.best is not None and result.best["epoch"] == 2
    text = (result.run_dir / "metrics.jsonl").read_text()
    assert "NaN" not in text and '"val/loss": null' in text
    assert "NaN" not in (result.run_dir / "summary.json").read_text()


def test_a_system_without_evaluation_keeps_its_newest_weights(tmp_path: Path) -> None:
    """There is nothing to choose by."""
    toy = Supervised(toy_config(tmp_path))
    toy.evaluate = lambda split="val": {}  # type: ignore[method-assign]
    result = fit(toy)
    assert result.best is None
    assert checkpoint.load(result.run_dir / "checkpoints/best.pth")["step"] == 36


def test_a_wrong_monitor_is_named(tmp_path: Path) -> None:
    """With what there is."""
    toy = Acting(toy_config(tmp_path))
    toy.monitor = "val/loss"
    with pytest.raises(UserError, match=r"monitors val/loss, but .* gives only val/payout"):
        fit(toy)


@pytest.mark.parametrize(
    ("changes", "steps", "reason"),
    [
        ({"training.max_steps": 17}, 17, "17 of 17 steps done"),
        ({"training.epochs": 2}, 24, "2 of 2 epochs done"),
    ],
)
def test_limits(changes: dict[str, Any], steps: int, reason: str, tmp_path: Path) -> None:
    """Steps and minutes end a run within an epoch, evaluated and saved."""
    result = fit(Supervised(toy_config(tmp_path, changes)))
    assert result.reason == reason and result.best is not None
    assert checkpoint.load(result.run_dir / "checkpoints/last.pth")["step"] == steps
    if "training.max_steps" in changes:
        more = {"training.resume_from": str(result.run_dir), "training.max_steps": 30}
        fit(Supervised(toy_config(tmp_path, more)))
        assert checkpoint.load(result.run_dir / "checkpoints/last.pth")["step"] == 30


def test_time_is_a_limit_too(tmp_path: Path) -> None:
    """Counted over a resume as well. Two seconds, so that a busy machine gets to its first step."""
    toy = Supervised(toy_config(tmp_path, {"training.max_minutes": 0.04}))
    step = toy.step

    def slow(batch: Any, update: Any) -> Any:
        time.sleep(0.2)
        return step(batch, update)

    toy.step = slow  # type: ignore[method-assign]
    result = fit(toy)
    assert result.reason == "0.04 minutes are over" and result.best is not None
    state = checkpoint.load(result.run_dir / "checkpoints/last.pth")
    assert 1 <= state["step"] <= 12 and state["seconds"] >= 2.4
    more = {"training.max_minutes": 0.04, "training.resume_from": str(result.run_dir)}
    fit(Supervised(toy_config(tmp_path, more)))
    repeated = checkpoint.load(result.run_dir / "checkpoints/last.pth")
    assert repeated["step"] == state["step"]


def test_frozen_networks_stay_frozen(tmp_path: Path) -> None:
    """Never trained, never in training mode, never saved."""
    toy = Supervised(toy_config(tmp_path))
    toy.frozen["judge"] = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    before = {name: t.clone() for name, t in toy.frozen["judge"].state_dict().items()}
    step = toy.step

    def checked(batch: Any, update: Any) -> Any:
        assert not toy.frozen["judge"].training and toy.networks["model"].training
        toy.frozen["judge"](batch["targets"])
        return step(batch, update)

    toy.step = checked  # type: ignore[method-assign]
    result = fit(toy)
    after = toy.frozen["judge"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in toy.frozen["judge"].parameters())
    assert list(checkpoint.load(result.run_dir / "checkpoints/last.pth")["networks"]) == ["model"]


class Notes(Hook):
    """Writes down what it was told."""

    def __init__(self) -> None:
        self.epochs: list[Context] = []
        self.ends: list[str] = []

    def on_epoch_end(self, context: Context) -> None:
        """After each epoch."""
        assert (context.checkpoint_dir / "last.pth").is_file()
        assert not context.system.networks["model"].training
        torch.rand(5)
        self.epochs.append(context)

    def on_end(self, context: Context) -> None:
        """At the end."""
        self.ends.append(context.reason)


def test_hooks_see_every_epoch_and_the_end(tmp_path: Path) -> None:
    """And do not disturb training."""
    plain = Supervised(toy_config(tmp_path))
    watched = Supervised(toy_config(tmp_path))
    notes = Notes()
    watched.hooks = [notes]
    fit(plain)
    fit(watched)
    assert [context.epoch for context in notes.epochs] == [1, 2, 3]
    assert notes.ends == ["3 of 3 epochs done"]
    assert notes.epochs[0].is_best and "val/loss" in notes.epochs[0].metrics
    one, other = plain.networks["model"].state_dict(), watched.networks["model"].state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_names_the_number_to_lower(error: Exception, tmp_path: Path) -> None:
    """In one line; other errors stay what they are."""
    toy = Supervised(toy_config(tmp_path))

    def fail(batch: Any, update: Any) -> Any:
        raise error

    toy.step = fail  # type: ignore[method-assign]
    with pytest.raises(UserError) as caught:
        fit(toy)
    assert str(caught.value) == "out of memory on cpu: try --batch_size 4 (it is 8)"
    small = Supervised(toy_config(tmp_path, {"data.batch_size": 1}))
    small.step = fail  # type: ignore[method-assign]
    with pytest.raises(UserError, match="try --precision bf16, a smaller preset"):
        fit(small)


def test_other_errors_are_not_disguised(tmp_path: Path) -> None:
    """A mistake in a system keeps its name, and its traceback is in the log."""
    toy = TwoPlayers(toy_config(tmp_path))

    def fail(batch: Any, update: Any) -> Any:
        raise RuntimeError("shapes do not match")

    toy.step = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(toy)
    (log,) = tmp_path.glob("runs/*/*/training.log")
    assert "Traceback" in log.read_text()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """One line with the flag."""
    (tmp_path / "runs").write_text("a file in the way")
    with pytest.raises(UserError, match=r"--runs_dir .* cannot be made"):
        fit(Supervised(toy_config(tmp_path)))


def test_wandb_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, it is one line; there, it gets the numbers under the run's name."""
    changes = {"logging.use_wandb": True, "logging.wandb": {"project": "p", "entity": "e"}}
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(UserError, match="--use_wandb needs the package wandb: pip install wandb"):
        fit(Supervised(toy_config(tmp_path, changes)))
    calls: list[Any] = []

    class Fake:
        """Takes what wandb takes."""

        def init(self, **options: Any) -> "Fake":
            calls.append(options)
            return self

        def log(self, values: dict[str, float], step: int) -> None:
            calls.append((step, values))

        def finish(self) -> None:
            calls.append("finished")

    monkeypatch.setitem(__import__("sys").modules, "wandb", Fake())
    result = fit(Supervised(toy_config(tmp_path, changes)))
    assert calls[0]["project"] == "p" and calls[0]["entity"] == "e"
    assert calls[0]["id"] == result.run_dir.name and calls[0]["config"]["seed"] == 42
    assert calls[-1] == "finished" and calls[-2][0] == 36
    assert any("val/loss" in call[1] for call in calls[1:-1])


def test_several_threads_are_set(tmp_path: Path) -> None:
    """num_threads reaches torch."""
    before = torch.get_num_threads()
    try:
        fit(Supervised(toy_config(tmp_path, {"training.num_threads": 2, "training.epochs": 1})))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert os.cpu_count()

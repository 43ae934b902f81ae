"""What a run carries along: its place in time, its numbers, its modes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy_systems import Supervised, toy_config

from triform.engine.fit import fit
from triform.engine.runs.tracking import read_metrics
from triform.engine.session import Session


def session(folder: Path, changes: dict[str, Any] | None = None) -> Session:
    """A session that has not begun."""
    config = toy_config(folder, changes)
    return Session(Supervised(config))


@pytest.mark.parametrize(
    ("changes", "total"),
    [
        # 96 samples in batches of 8 are 12 steps an epoch.
        ({}, 36),
        ({"training.epochs": 5}, 60),
        ({"training.max_steps": 7}, 7),
        ({"training.max_steps": 70}, 36),
    ],
)
def test_steps_of_the_whole_run(changes: dict[str, Any], total: int, tmp_path: Path) -> None:
    """The smaller of both limits; nobody can say without a number of batches."""
    one = session(tmp_path, changes)
    assert one.total_steps == total and one.schedule.total_steps == total
    assert one.schedule.epochs == changes.get("training.epochs", 3)
    type(one.system).num_batches, stored = property(lambda self: 0), type(one.system).num_batches
    try:
        assert one.total_steps == changes.get("training.max_steps", 0)
    finally:
        type(one.system).num_batches = stored


def test_which_limit_is_reached(tmp_path: Path) -> None:
    """Epochs, steps, minutes, at the very number."""
    one = session(tmp_path, {"training.max_steps": 7, "training.max_minutes": 2.0})
    assert one.limit() == ""
    one.step = 6
    assert one.limit() == ""
    one.step = 7
    assert one.limit() == "7 of 7 steps done"
    one.epoch = 2
    assert one.limit() == "7 of 7 steps done"
    one.epoch = 3
    assert one.limit() == "3 of 3 epochs done"
    one.epoch, one.step, one.seconds_before = 0, 0, 119.0 - 60
    assert one.limit() == "" and one.minutes == pytest.approx(59 / 60, abs=0.1)
    one.seconds_before = 120.0
    assert one.limit() == "2 minutes are over"


def test_modes_are_set_before_the_first_step(tmp_path: Path) -> None:
    """Whatever mode networks were built in: trained ones learn, frozen ones do not."""
    system = Supervised(toy_config(tmp_path))
    system.networks["model"].eval()
    system.frozen["judge"] = nn.Dropout().train()
    Session(system)
    assert system.networks["model"].training and not system.frozen["judge"].training


def test_evaluation_disturbs_nothing(tmp_path: Path) -> None:
    """Own random numbers for each purpose, evaluation mode, no gradients, averaged weights."""
    one = session(tmp_path, {"training.ema_decay": 0.9})
    model = one.system.networks["model"]
    one.system.frozen["judge"] = nn.Dropout()
    one.ema.averages["model"]["0.weight"].fill_(7.0)
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = torch.rand(())
    drawn = []
    for purpose in (("evaluate", "val"), ("evaluate", "test"), ("evaluate", "val")):
        with one.evaluation(*purpose):
            drawn.append(float(torch.rand(())))
            assert not model.training and not torch.is_grad_enabled()
            assert bool((model[0].weight == 7).all())
        assert model.training and torch.is_grad_enabled()
        assert not one.system.frozen["judge"].training
        assert not bool((model[0].weight == 7).any())
    assert drawn[0] == drawn[2] != drawn[1]
    assert torch.equal(torch.stack([first, torch.rand(())]), expected)
    with pytest.raises(KeyError), one.evaluation("sample"):
        raise KeyError
    assert model.training and not bool((model[0].weight == 7).any())


@pytest.mark.parametrize(("split", "prefix"), [("train", "train_eval"), ("val", "val")])
def test_numbers_are_named_after_their_split(split: str, prefix: str, tmp_path: Path) -> None:
    """But for those that have a group already."""
    one, requested = session(tmp_path), []

    def evaluate(split: str) -> dict[str, float]:
        requested.append(split)
        return {"loss": 2, "other/loss": 3}

    one.system.evaluate = evaluate  # type: ignore[method-assign]
    assert one.measure(split) == {f"{prefix}/loss": 2.0, "other/loss": 3.0}
    assert requested == [split]


def test_logged_numbers_are_means_of_the_steps_since_the_last_line(tmp_path: Path) -> None:
    """Step n brings n and 10 n; the second nan of every four is left out of its mean."""
    config = toy_config(tmp_path, {"training.epochs": 1})
    toy, done = Supervised(config), [0]
    step = toy.step

    def counted(batch: Any, update: Any) -> dict[str, Any]:
        step(batch, update)
        done[0] += 1
        number = done[0]
        return {"n": number, "ten": torch.tensor(math.nan if number % 4 == 2 else 10.0 * number)}

    toy.step = counted  # type: ignore[method-assign,assignment]
    result = fit(toy)
    lines = [line for line in read_metrics(result.run_dir / "metrics.jsonl") if "train/n" in line]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert [line["train/n"] for line in lines] == [2.5, 6.5, 10.5]
    assert [line["train/ten"] for line in lines] == pytest.approx([80 / 3, 200 / 3, 320 / 3])
    assert all(line["steps_per_second"] > 0 and line["skipped_steps"] == 0 for line in lines)
    assert all(line["learning_rate/main"] == 0.01 and line["grad_norm/main"] > 0 for line in lines)


def test_a_summary_is_valid_json(tmp_path: Path) -> None:
    """What is not finite is null; minutes have three digits."""
    with session(tmp_path) as one:
        one.step, one.epoch, one.best = 5, 2, {"value": 0.5, "epoch": 1, "step": 3}
        one.best["metrics"] = {"a": 0.5, "b": math.inf}
        one.metrics = {"a": 1.5, "b": math.nan, "c": math.inf}
        one.seconds_before = 60 * 1.23456 - 0.0
        one.write_summary("because")
        (file,) = one.run.path.glob("summary*.json")
        context = one.context(is_best=True, reason="why")
    actual = json.loads(file.read_text())
    minutes = actual.pop("minutes")
    assert minutes == round(minutes, 3) and 1.234 <= minutes < 1.4
    assert actual == {
        "system": "supervised",
        "epoch": 2,
        "step": 5,
        "best": {**one.best, "metrics": {"a": 0.5, "b": None}},
        "metrics": {"a": 1.5, "b": None, "c": None},
        "reason": "because",
    }
    assert (context.step, context.epoch, context.is_best, context.reason) == (5, 2, True, "why")
    assert context.metrics == one.metrics and context.metrics is not one.metrics
    assert context.run_dir == one.run.path and context.system is one.system


def test_a_split_may_be_named_at_run_time(tmp_path: Path) -> None:
    one = session(tmp_path)
    one.system.evaluate = lambda split: {"loss": 1.0}  # type: ignore[method-assign, assignment, misc]
    assert one.measure("".join(["tr", "ain"])) == {"train_eval/loss": 1.0}

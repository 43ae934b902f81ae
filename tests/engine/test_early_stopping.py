"""When to stop early: the documented cases."""

from pathlib import Path
from typing import Any

import pytest
from toy_systems import Supervised, toy_config

from triform.engine.config import EarlyStoppingConfig, SchedulerConfig
from triform.engine.early_stopping import EarlyStopping, patience_warning
from triform.engine.fit import fit


def make(mode: Any = "min", **settings: Any) -> EarlyStopping:
    """Early stopping with a few settings changed."""
    return EarlyStopping(EarlyStoppingConfig.model_validate(settings), mode)


def stops_at(stopping: EarlyStopping, values: list[float]) -> int | None:
    """Number of the evaluation that stops."""
    for number, value in enumerate(values, 1):
        if stopping.on_evaluation(value):
            return number
    return None


def test_patience() -> None:
    """After so many evaluations without improvement; an improvement starts anew."""
    assert stops_at(make(patience=3), [5, 4, 4, 4, 4]) == 5
    assert stops_at(make(patience=3), [5, 4, 4, 4, 3, 3, 3]) is None
    assert stops_at(make(patience=3, enabled=False), [5] * 9) is None
    assert stops_at(make("max", patience=2), [1, 2, 3, 2, 2.5]) == 5


def test_min_delta_as_documented() -> None:
    """2.5000 -> 2.4999 is no improvement, 2.5000 -> 2.4998 is one."""
    assert stops_at(make(patience=1), [2.5000, 2.4999]) == 2
    assert stops_at(make(patience=1), [2.5000, 2.4998]) is None


def test_small_improvements_add_up() -> None:
    """Slow progress is progress: compared with the last counted best, not with the last value."""
    assert stops_at(make(patience=3, min_delta=0.1), [1 - 0.05 * n for n in range(20)]) is None


def test_the_overfitting_watch_as_documented() -> None:
    """train 2.0, val 2.6 overfits; train 2.0, val 2.3 does not; three in a row stop."""
    stopping = make(patience=50, overfitting_patience=3)
    for val, count in ((2.6, 1), (2.6, 2), (2.3, 0), (2.6, 1), (2.6, 2)):
        assert not stopping.on_evaluation(val, 2.0 - val)
        assert stopping.num_overfitting == count
    reason = stopping.on_evaluation(2.6, 2.0 - 2.6)
    assert reason == ("overfitting: train_loss - val_loss below -0.5 in 3 evaluations in a row")
    for settings in ({"track_overfitting": False}, {"enabled": False}):
        quiet = make(patience=50, overfitting_patience=1, **settings)
        assert not quiet.watches_overfitting
        assert not quiet.on_evaluation(9.0, 0.0 - 9.0)


def test_a_gap_of_exactly_the_threshold_is_no_overfitting() -> None:
    """Below, not at."""
    stopping = make(overfitting_patience=1)
    assert not stopping.on_evaluation(2.5, 2.0 - 2.5)


def test_nan_counts_as_no_improvement() -> None:
    """A run that has gone wrong ends."""
    assert stops_at(make(patience=2), [1.0, float("nan"), float("nan")]) == 3


def test_counters_survive() -> None:
    """Saved and put back."""
    one = make(patience=3)
    stops_at(one, [5, 4, 4, 4])
    other = make(patience=3)
    other.load_state_dict(one.state_dict())
    assert stops_at(other, [4]) == 1


def test_the_count_of_overfitting_survives() -> None:
    """Two before the stop and one after it are three."""
    one, other = (make(patience=50, overfitting_patience=3) for _ in range(2))
    for _ in range(2):
        assert not one.on_evaluation(2.6, 2.0 - 2.6)
    assert one.state_dict() == {"best": 2.6, "num_bad": 1, "num_overfitting": 2}
    other.load_state_dict(one.state_dict())
    assert "overfitting" in other.on_evaluation(2.6, 2.0 - 2.6)


def test_the_warning_about_two_patiences() -> None:
    """Only where the schedule could never act."""
    plateau = SchedulerConfig(type="ReduceLROnPlateau", patience=5)
    assert patience_warning(plateau, EarlyStoppingConfig(patience=5)) == (
        "--scheduler.patience 5 is not below --early_stopping.patience 5: training would stop "
        "before the learning rate is ever reduced"
    )
    assert patience_warning(plateau, EarlyStoppingConfig(patience=6)) == ""
    assert patience_warning(plateau, EarlyStoppingConfig(patience=5, enabled=False)) == ""
    cosine = SchedulerConfig(type="CosineAnnealingLR", patience=9)
    assert patience_warning(cosine, EarlyStoppingConfig(patience=5)) == ""


def test_a_run_stops_and_remembers_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Frozen in place by a tiny rate, it ends after patience + 1 evaluations, for good."""
    changes = {
        "training.lr": 1e-12,
        "training.epochs": 30,
        "scheduler.patience": 3,
        "early_stopping.patience": 3,
    }
    result = fit(Supervised(toy_config(tmp_path, changes)))
    assert result.reason.startswith("early stopping: no improvement of more than 0.0001 in 3")
    assert "is not below --early_stopping.patience 3" in caplog.text
    repeated = {**changes, "training.resume_from": str(result.run_dir)}
    resumed = fit(Supervised(toy_config(tmp_path, repeated)))
    assert resumed.reason == result.reason and "nothing to do" in caplog.text
    more = {**repeated, "early_stopping.enabled": False, "training.epochs": 8}
    assert fit(Supervised(toy_config(tmp_path, more))).reason == "8 of 8 epochs done"


def test_what_a_fresh_one_holds_and_says() -> None:
    stopping = make(patience=1, min_delta=0.25)
    assert stopping.state_dict() == {"best": float("inf"), "num_bad": 0, "num_overfitting": 0}
    assert stopping.on_evaluation(4.0, None) == ""
    assert stopping.on_evaluation(3.75) == (
        "early stopping: no improvement of more than 0.25 in 1 evaluations"
    )
    assert stopping.best == 4.0 and stopping.on_evaluation(3.5) == "" and stopping.num_bad == 0

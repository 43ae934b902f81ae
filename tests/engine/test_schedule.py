"""Learning rates: ours against torch's."""

import math
from typing import Any

import pytest
import torch

from triform.engine.config import SchedulerConfig
from triform.engine.schedule import Schedule

BASE = 0.1


def torch_rates(make: Any, steps: int, values: list[float] | None = None) -> list[float]:
    """What torch's scheduler does to an optimizer."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = make(optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*([values[step]] if values else []))
    return rates


def test_cosine_is_torch_s() -> None:
    """By steps, down to min_lr, where it stays."""
    config = SchedulerConfig(type="CosineAnnealingLR", min_lr=1e-3)
    ours = Schedule(config, total_steps=50)
    theirs = torch_rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=50, eta_min=1e-3), 51
    )
    assert [ours.rate(BASE, step, 0) for step in range(51)] == pytest.approx(theirs, rel=1e-9)
    assert ours.rate(BASE, 70, 0) == pytest.approx(1e-3)
    by_epoch = Schedule(config, epochs=50)
    assert [by_epoch.rate(BASE, 0, epoch) for epoch in range(51)] == pytest.approx(theirs)


def test_steps_are_torch_s() -> None:
    """Every three epochs, but never below min_lr."""
    config = SchedulerConfig(type="StepLR", factor=0.3, step_size=3, min_lr=1e-3)
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, 3, gamma=0.3), 20)
    ours = [Schedule(config).rate(BASE, 0, epoch) for epoch in range(20)]
    assert ours == pytest.approx([max(1e-3, rate) for rate in theirs])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_is_torch_s(mode: Any) -> None:
    """On a long bumpy series of values, nan among them."""
    values = [math.cos(step / 3) + 0.01 * (step % 5) - step / 40 for step in range(60)]
    values[7] = math.nan
    values = values if mode == "min" else [-value for value in values]
    config = SchedulerConfig(type="ReduceLROnPlateau", factor=0.5, patience=2, min_lr=1e-3)
    theirs = torch_rates(
        lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(
            o, mode=mode, factor=0.5, patience=2, min_lr=1e-3, threshold=0, eps=0
        ),
        60,
        values,
    )
    schedule, ours = Schedule(config, mode=mode), []
    for value in values:
        ours.append(schedule.rate(BASE, 0, 0))
        schedule.on_evaluation(value)
    assert ours == pytest.approx(theirs) and len(set(ours)) > 3
    repeated = Schedule(config, mode=mode)
    repeated.load_state_dict(schedule.state_dict())
    assert repeated.rate(BASE, 0, 0) == schedule.rate(BASE, 0, 0)


def test_warm_up_rises_from_the_first_step() -> None:
    """In equal steps to the full rate, times the schedule."""
    schedule = Schedule(SchedulerConfig(type="none"), warmup_steps=4)
    rates = [schedule.rate(BASE, step, 0) for step in range(6)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_warm_up_goes_below_min_lr() -> None:
    """min_lr is the floor of the schedule, and warming up scales all of it."""
    schedule = Schedule(SchedulerConfig(type="none", min_lr=0.05), warmup_steps=4)
    assert [schedule.rate(BASE, step, 0) for step in range(3)] == pytest.approx(
        [0.025, 0.05, 0.075]
    )
    steps = SchedulerConfig(type="StepLR", factor=0.1, step_size=1, min_lr=0.05)
    assert Schedule(steps, warmup_steps=4).rate(BASE, 0, 3) == pytest.approx(0.05 / 4)


def test_the_plateau_goes_on_counting_where_it_stopped() -> None:
    """Best 1.0 and one bad value before the stop; 2.0 after it is the second bad one."""
    config = SchedulerConfig(type="ReduceLROnPlateau", factor=0.5, patience=1, min_lr=0)
    before, after = Schedule(config), Schedule(config)
    assert not any(before.on_evaluation(value) for value in (1.0, 1.5))
    after.load_state_dict(before.state_dict())
    assert after.on_evaluation(2.0) and after.rate(BASE, 0, 0) == pytest.approx(0.05)
    assert not after.on_evaluation(2.0) and not after.on_evaluation(0.9) and after.best == 0.9


def test_a_rate_below_min_lr_is_left_alone() -> None:
    """min_lr must not raise anybody's rate."""
    for kind in ("none", "ReduceLROnPlateau", "StepLR", "CosineAnnealingLR"):
        config = SchedulerConfig.model_validate({"type": kind, "min_lr": 1e-3})
        assert Schedule(config, epochs=9).rate(1e-5, 5, 5) == 1e-5


def test_only_the_plateau_listens() -> None:
    """The others do not change with what is measured."""
    schedule = Schedule(SchedulerConfig(type="StepLR", patience=0))
    assert not any(schedule.on_evaluation(1.0) for _ in range(5))


def test_a_cosine_over_nothing_is_at_its_end_after_one() -> None:
    """Neither steps nor epochs are known: no division by zero."""
    schedule = Schedule(SchedulerConfig(type="CosineAnnealingLR", min_lr=1e-3))
    assert schedule.rate(BASE, 5, 0) == pytest.approx(BASE)
    assert [schedule.rate(BASE, 0, epoch) for epoch in (1, 2)] == pytest.approx([1e-3] * 2)


def test_what_a_fresh_schedule_holds() -> None:
    """The first value is an improvement whatever it is; the count of bad ones begins at none."""
    schedule = Schedule(SchedulerConfig(type="ReduceLROnPlateau", patience=1))
    assert schedule.state_dict() == {"num_reductions": 0, "num_bad": 0, "best": math.inf}
    assert not schedule.on_evaluation(1e300) and schedule.best == 1e300
    assert [schedule.on_evaluation(1e300) for _ in range(5)] == [False, True, False, True, False]
    assert schedule.num_reductions == 2 and schedule.num_bad == 1


def test_names_may_be_made_at_run_time() -> None:
    """As those of a file are: equal is enough."""
    mode: Any = "".join(["m", "in"])
    config = SchedulerConfig.model_construct(
        **{**SchedulerConfig().model_dump(), "type": "".join(["ReduceLR", "OnPlateau"])}
    )
    schedule = Schedule(config, mode=mode)
    schedule.on_evaluation(2.0)
    schedule.on_evaluation(1.0)
    assert schedule.best == 1.0

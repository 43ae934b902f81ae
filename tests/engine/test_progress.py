"""Progress without a terminal: one line a minute."""

import logging
from types import SimpleNamespace

import pytest

from triform.base.logging import NOTICE
from triform.engine import progress
from triform.engine.progress import Progress


@pytest.fixture
def clock(monkeypatch, caplog):
    """A clock that the test sets, and the lines that were logged."""
    seconds = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(logging.getLogger("triform"), "propagate", True)
    caplog.set_level(NOTICE, "triform")
    return seconds, caplog


def test_a_line_a_minute_with_the_time_that_is_left(clock):
    """Ten steps a minute, of 100 steps, of which 20 were done before a resume."""
    seconds, log = clock
    with Progress(100, 20) as bar:
        for step in range(80):
            seconds[0] += 6
            bar.step(step // 40, {"loss": 1 / (step + 1)})
    assert len(log.messages) == 8
    assert log.messages[0] == "epoch 1, step 30 of 100, loss 0.1, about 7 min left"
    assert log.messages[6] == "epoch 2, step 90 of 100, loss 0.01429, about 1 min left"
    assert log.messages[7].endswith("step 100 of 100, loss 0.0125, less than a minute left")


def test_many_hours_are_counted_in_minutes(clock):
    """Two minutes a step, 600 more of them."""
    seconds, log = clock
    with Progress(601) as bar:
        seconds[0] += 120
        bar.step(0)
    assert log.messages == ["epoch 1, step 1 of 601, about 1200 min left"]


def test_slow_steps_of_unknown_number(clock):
    seconds, log = clock
    with Progress(0) as bar:
        for _ in range(3):
            seconds[0] += 100
            bar.step(0)
    assert log.messages == ["epoch 1, step 1", "epoch 1, step 2", "epoch 1, step 3"]


def test_only_the_main_process_writes(clock):
    seconds, log = clock
    with Progress(10, show=False) as bar:
        seconds[0] += 100
        bar.step(0)
    assert log.messages == []


@pytest.mark.parametrize(("is_terminal", "show"), [(True, True), (True, False), (False, True)])
def test_a_bar_on_a_terminal(is_terminal, show, clock, monkeypatch):
    """It stands at the steps that are done and shows epoch and loss; elsewhere it is off."""
    calls = []

    class Bar:
        def __init__(self, **options):
            calls.append(options)

        def set_postfix(self, values, refresh):
            calls.append((values, refresh))

        def update(self):
            calls.append("step")

        def close(self):
            calls.append("closed")

    seconds, log = clock
    terminal = SimpleNamespace(isatty=lambda: is_terminal)
    monkeypatch.setattr(progress, "tqdm", Bar)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))
    with Progress(10, 4, show=show) as bar:
        bar.step(2, {"loss": 0.123456, "other": 3.0})
        bar.step(2)
        seconds[0] += 59
        bar.step(2)
        assert log.messages == []
        seconds[0] += 1
        bar.step(3, {"other": 2.0})
    assert calls == [
        {
            "total": 10,
            "initial": 4,
            "unit": "step",
            "dynamic_ncols": True,
            "leave": False,
            "smoothing": 0.1,
            "disable": not (is_terminal and show),
            "file": terminal,
        },
        ({"epoch": 3, "loss": "0.1235"}, False),
        *["step"] * 3,
        ({"epoch": 4}, False),
        "step",
        "closed",
    ]
    lines = [] if is_terminal else ["epoch 4, step 8 of 10, less than a minute left"]
    assert log.messages == lines

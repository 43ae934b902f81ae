"""Progress without a terminal: one line a minute."""

import logging

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

"""Signals: who handles them during and after training."""

import signal
import threading
from types import SimpleNamespace

import pytest

from triform.base.errors import Terminated
from triform.engine import interrupts as interrupts_module
from triform.engine.epoch_loader import _ignore_interrupt
from triform.engine.interrupts import Interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def restored():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_handlers_are_those_of_before_afterwards():
    handlers = [lambda *_: None, lambda *_: None]
    for number, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(number, handler)
    with Interrupts() as interrupts:
        assert all(signal.getsignal(number) == interrupts._handle for number in SIGNALS)
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_the_first_is_recorded_and_the_second_stops(number, error):
    with Interrupts() as interrupts:
        assert not interrupts.requested
        signal.raise_signal(number)
        assert interrupts.requested
        with pytest.raises(error) as caught:
            signal.raise_signal(number)
    assert caught.type is interrupts.error is error


def test_loading_workers_leave_ctrl_c_to_the_main_process():
    _ignore_interrupt(0)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_the_first_is_answered_by_a_line(caplog):
    caplog.set_level("INFO", "triform")
    interrupts = Interrupts()
    interrupts._handle(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        interrupts._handle(signal.SIGINT, None)
    assert caplog.messages == ["stopping after this step; once more to stop at once"]


@pytest.mark.parametrize(
    ("count", "seconds", "stops"), [(1, 0.0, True), (2, 1.9, False), (2, 2.0, True), (2, 9.0, True)]
)
def test_what_a_launcher_passes_on_is_no_second_one(count, seconds, stops, monkeypatch):
    """Only with several processes, and only within two seconds."""
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(interrupts_module, "time", clock)
    monkeypatch.setattr(interrupts_module, "process_count", lambda: count)
    interrupts = Interrupts()
    assert interrupts.error is KeyboardInterrupt
    interrupts._handle(signal.SIGINT, None)
    now[0] += seconds
    if stops:
        with pytest.raises(Terminated):
            interrupts._handle(signal.SIGTERM, None)
    else:
        interrupts._handle(signal.SIGTERM, None)
        assert interrupts.error is KeyboardInterrupt


def test_other_threads_leave_the_handlers_alone():
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []

    def enter():
        with Interrupts() as interrupts:
            seen.append((interrupts, [signal.getsignal(number) for number in SIGNALS]))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen[0][1] == before and isinstance(seen[0][0], Interrupts)


def test_loading_workers_leave_sigterm_to_the_main_process_too():
    _ignore_interrupt(0)
    assert [signal.getsignal(number) for number in SIGNALS] == [signal.SIG_IGN] * 2

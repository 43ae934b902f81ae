"""Signals: who handles them during and after training."""

import signal

import pytest

from triform.base.errors import Terminated
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

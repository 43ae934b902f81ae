"""The precision of a run: which of two is faster, what is kept, and that nothing moves."""

import copy
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from toy_systems import TOYS, Supervised, Toy, TwoPlayers, toy_config

from triform.base.logging import NOTICE
from triform.engine import session as session_module
from triform.engine.checkpoints import checkpoint
from triform.engine.config import TrainingConfig
from triform.engine.diagnostics import step_time
from triform.engine.diagnostics.step_time import (
    choose_precision,
    initial_precision,
    is_measured,
    measure_step,
    step_key,
)
from triform.engine.fit import fit
from triform.engine.processes import Processes
from triform.engine.session import Session

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
OPEN = {"training.use_amp": True, "training.precision": "auto"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and a processor that has bf16."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(step_time, "has_fast_bf16", lambda device: True)
    return tmp_path / "cache" / "precision"


def measured(monkeypatch: pytest.MonkeyPatch, float32: float, bf16: float) -> list[int]:
    """Let a measurement find these seconds; the list grows with each."""
    calls: list[int] = []

    def measure(*words: Any) -> dict[str, float]:
        calls.append(1)
        return {"float32": float32, "bf16": bf16}

    monkeypatch.setattr(step_time, "measure_step", measure)
    return calls


def choose(session: Session) -> str:
    """The choice for a session."""
    return choose_precision(
        session.system, session.networks, session._make_update, session.processes
    )


@pytest.mark.parametrize(
    ("settings", "device", "fast", "expected"),
    [
        ({}, CPU, True, True),
        ({}, CPU, False, False),
        ({}, GPU, True, False),
        ({"use_amp": False}, CPU, True, False),
        ({"precision": "bf16"}, CPU, True, False),
        ({"precision": "float32"}, CPU, True, False),
    ],
)
def test_when_a_measurement_decides(
    settings: dict[str, Any],
    device: torch.device,
    fast: bool,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a processor with instructions for bf16, where nobody has said which format to take."""
    monkeypatch.setattr(step_time, "has_fast_bf16", lambda device: fast)
    assert is_measured(TrainingConfig.model_validate(settings), device) is expected


@pytest.mark.parametrize(
    ("settings", "saved", "expected"),
    [
        ({}, None, "picked"),
        ({}, {}, "picked"),  # a checkpoint of before there was a choice
        ({}, {"precision": "float32"}, "float32"),
        ({}, {"precision": "bf16"}, "bf16"),
        ({}, {"precision": "fp16"}, "picked"),  # that of a GPU
        ({"use_amp": False}, {"precision": "bf16"}, "picked"),
        ({"precision": "float32"}, {"precision": "bf16"}, "picked"),
    ],
)
def test_a_resumed_run_keeps_its_choice(
    settings: dict[str, Any], saved: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any device; a format that the new settings name is obeyed."""
    monkeypatch.setattr(step_time, "pick_precision", lambda training, device: "picked")
    training = TrainingConfig.model_validate(settings)
    assert initial_precision(training, CPU, saved) == expected


@pytest.mark.parametrize(
    ("float32", "bf16", "expected"),
    [(1.1, 1.0, "bf16"), (1.09, 1.0, "float32"), (1.0, 1.0, "float32"), (1.0, 2.0, "float32")],
)
def test_bf16_has_to_be_faster_by_a_tenth(
    float32: float,
    bf16: float,
    expected: str,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The choice is logged and kept for the machine, so that the next run has it at once."""
    caplog.set_level(logging.INFO, "triform")
    session = Session(Supervised(toy_config(tmp_path)))
    calls = measured(monkeypatch, float32, bf16)
    assert choose(session) == expected
    text = f"precision: {expected}; a step takes {float32:.3g} s in float32, {bf16:.3g} s in bf16"
    assert [(r.getMessage(), r.levelno) for r in caplog.records] == [(text, NOTICE)]
    (file,) = cache.iterdir()
    seconds = {"float32": float32, "bf16": bf16}
    key = step_key(session.system, session.processes)
    assert json.loads(file.read_text()) == {"precision": expected, "seconds": seconds, **key}
    assert choose(session) == expected and len(calls) == 1
    known = f"precision: {expected}, as measured before on this machine ({file})"
    assert caplog.messages[1:] == [known]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"precision": "fp16"}', "\x00"])
def test_a_damaged_note_is_measured_again(
    content: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(Supervised(toy_config(tmp_path)))
    calls = measured(monkeypatch, 2.0, 1.0)
    choose(session)
    (file,) = cache.iterdir()
    file.write_text(content)
    assert choose(session) == "bf16" and len(calls) == 2
    assert json.loads(file.read_text())["precision"] == "bf16"


def test_a_cache_is_never_required(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.mkdir()
    cache.write_text("a file in the way")
    session = Session(Supervised(toy_config(tmp_path)))
    calls = measured(monkeypatch, 2.0, 1.0)
    assert choose(session) == choose(session) == "bf16" and len(calls) == 2


def test_what_a_choice_holds_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine, batch or model is measured anew; another seed or length is not."""
    monkeypatch.setattr(step_time, "processor_name", lambda: "Chip")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)

    def key(kind: type[Toy] = Supervised, **changes: Any) -> dict[str, Any]:
        return step_key(kind(toy_config(tmp_path, changes)), Processes(CPU))

    assert key() == {
        "system": "supervised",
        "processor": "Chip",
        "threads": 3,
        "processes": 1,
        "torch": torch.__version__,
        "settings": {"data": {"batch_size": 8, "num_workers": 0}, "training": {}},
    }
    same = {"seed": 7, "training.lr": 0.5, "training.epochs": 9, "scheduler.type": "none"}
    assert key(**same) == key()
    assert key(TwoPlayers) != key() and key(**{"data.batch_size": 4}) != key()


def counted(session: Session, monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> list[str]:
    """Let a step take so many seconds of a clock that the test sets, and note its format."""
    now, formats, system = [0.0], [], session.system
    monkeypatch.setattr(step_time, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    times = iter(seconds)

    def step(batch: Any, update: Any) -> dict[str, float]:
        is_bf16 = torch.is_autocast_enabled("cpu")
        assert not is_bf16 or torch.get_autocast_dtype("cpu") == torch.bfloat16
        formats.append("bf16" if is_bf16 else "float32")
        now[0] += next(times)
        batch["inputs"].zero_()  # a step may spoil its batch
        return {}

    monkeypatch.setattr(system, "step", step)
    return formats


def measure(session: Session) -> dict[Any, float]:
    """The seconds of a session's step."""
    return measure_step(session.system, session.networks, session._make_update, session.processes)


def test_the_fastest_of_three_steps_after_one_that_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(Supervised(toy_config(tmp_path)))
    formats = counted(session, monkeypatch, [0.1, 0.1, 3.0, 2.0, 1.0, 4.0, 2.0, 5.0])
    assert measure(session) == {"float32": 1.0, "bf16": 2.0}
    assert formats == ["float32", "bf16"] * 4


@pytest.mark.parametrize(("seconds", "rounds"), [(5.0, 2), (5.1, 2), (4.9, 3), (40.0, 2)])
def test_slow_steps_are_measured_less_often(
    seconds: float, rounds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each at least; after more than twenty seconds no more."""
    session = Session(Supervised(toy_config(tmp_path)))
    rounds += seconds == 5.0  # at twenty seconds, not beyond
    formats = counted(session, monkeypatch, [seconds] * 8)
    assert measure(session) == {"float32": pytest.approx(seconds), "bf16": pytest.approx(seconds)}
    assert len(formats) == 2 * rounds


def essence(run: Path) -> dict[str, Any]:
    """What a run learned, and the random numbers that it would go on with."""
    state = checkpoint.load(run / "checkpoints" / "last.pth")
    names = ("networks", "optimizers", "stateful", "random", "update", "step", "best")
    return {name: state[name] for name in names}


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("name", [*TOYS, "worker"])
def test_a_measurement_leaves_no_trace(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in float32 after it ends with the very weights of one that was told float32."""
    changes: dict[str, Any] = {"training.epochs": 2, "training.warmup_steps": 3}
    if name == "worker":
        name, changes["data.num_workers"] = "supervised", 1
    kind = TOYS[name]
    expected = fit(
        kind(toy_config(tmp_path / "told", {**changes, "training.precision": "float32"}))
    )
    monkeypatch.setattr(step_time, "MIN_GAIN", float("inf"))
    toy, steps = kind(toy_config(tmp_path / "measured", {**changes, **OPEN})), [0]
    step = toy.step

    def counting(batch: Any, update: Any) -> Any:
        steps[0] += 1
        return step(batch, update)

    toy.step = counting  # type: ignore[method-assign]
    found = fit(toy)
    total = checkpoint.load(found.run_dir / "checkpoints/last.pth")["step"]
    assert steps[0] == total + 8
    assert same(essence(found.run_dir), essence(expected.run_dir))


def test_a_step_that_fails_leaves_no_trace_either(tmp_path: Path) -> None:
    toy = TwoPlayers(toy_config(tmp_path, OPEN))
    session, step, done = Session(toy), toy.step, [0]
    before = session.state_dict([session_module.random_state()])

    def failing(batch: Any, update: Any) -> Any:
        done[0] += 1
        result = step(batch, update)
        if done[0] == 3:
            raise KeyError
        return result

    toy.step = failing  # type: ignore[method-assign]
    names = ("networks", "optimizers", "stateful", "random")
    copied = copy.deepcopy({name: before[name] for name in names})
    with pytest.raises(KeyError):
        session.settle_precision()
    after = session.state_dict([session_module.random_state()])
    assert same(copied, {name: after[name] for name in copied})


@pytest.mark.parametrize("chosen", ["float32", "bf16"])
def test_a_run_trains_in_what_was_chosen_and_resumes_in_it(
    chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a checkpoint; a resumed run measures nothing, whatever the machine has by then."""
    caplog.set_level(logging.INFO, "triform")
    measured(monkeypatch, 1.0, 0.5 if chosen == "bf16" else 2.0)
    formats: list[bool] = []

    class Noting(Supervised):
        """Notes the format of each step."""

        def step(self, batch: Any, update: Any) -> Any:
            formats.append(torch.is_autocast_enabled("cpu"))
            return super().step(batch, update)

    run = fit(Noting(toy_config(tmp_path, {**OPEN, "training.epochs": 1}))).run_dir
    assert formats == [chosen == "bf16"] * 12
    assert any("; precision by measurement; 1 process" in text for text in caplog.messages)
    assert checkpoint.load(run / "checkpoints" / "last.pth")["precision"] == chosen
    monkeypatch.setattr(step_time, "measure_step", lambda *words: pytest.fail("measured again"))
    monkeypatch.setattr(step_time, "has_fast_bf16", lambda device: chosen != "bf16")
    resumed = {**OPEN, "training.epochs": 2, "training.resume_from": str(run)}
    assert fit(Noting(toy_config(tmp_path, resumed))).run_dir == run
    assert formats == [chosen == "bf16"] * 24
    assert any(f"; {chosen}; 1 process(es)" in text for text in caplog.messages)
    other = {**resumed, "training.epochs": 3, "training.precision": "float32"}
    fit(Noting(toy_config(tmp_path, other)))
    assert formats[24:] == [False] * 12


def test_all_processes_take_the_choice_of_the_first(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they have measured something else, or know something else."""
    session = Session(Supervised(toy_config(tmp_path)))
    measured(monkeypatch, 1.0, 2.0)
    first: list[Any] = [None, {"float32": 2.0, "bf16": 1.0}]
    monkeypatch.setattr(session.processes, "gather", lambda value: [first.pop(0), value])
    session.processes.is_main = False
    assert choose(session) == "bf16" and not cache.exists()
    first[:] = ["bf16"]
    assert choose(session) == "bf16"

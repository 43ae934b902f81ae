"""What the loop says, when it saves and evaluates, and what other processes leave alone."""

import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from toy_systems import Supervised, toy_config

from triform.base.errors import UserError
from triform.base.logging import NOTICE
from triform.engine import fit as fit_module
from triform.engine import session as session_module
from triform.engine.fit import (
    call_hooks,
    describe_best,
    draw_samples,
    fit,
    handle_interrupt,
    is_better,
    log_summary,
    resume_command,
    user_errors,
)
from triform.engine.interrupts import Interrupts
from triform.engine.processes import Processes
from triform.engine.protocol import Context, Hook
from triform.engine.session import Session
from triform.engine.update import NonFiniteError


def scripted(folder: Path, losses: list[float], **changes: Any) -> Supervised:
    """A toy whose evaluations give these numbers."""
    toy = Supervised(toy_config(folder, changes))
    values = iter(losses)
    toy.evaluate = lambda split="val": {} if split == "train" else {"loss": next(values)}  # type: ignore[method-assign, assignment, misc]
    return toy


class Bar:
    """Writes down what the loop shows."""

    calls: list[Any]

    def __init__(self, *words: Any, **options: Any):
        type(self).calls = [(words, options)]

    def step(self, epoch: int, values: Any) -> None:
        """A step with or without new values."""
        self.calls.append((epoch, values and sorted(values)))

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("closed")


def test_every_step_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With new numbers where a line of them is logged, every fourth step of the toy."""
    monkeypatch.setattr(fit_module, "Progress", Bar)
    fit(Supervised(toy_config(tmp_path, {"training.epochs": 1})))
    quiet, due = (0, None), (0, ["loss"])
    steps = [*[quiet] * 3, due] * 3
    assert Bar.calls == [((12, 0), {"show": True}), *steps, "closed"]


def test_what_a_run_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "triform")
    toy = scripted(tmp_path, [3.0, 1.23456, 2.0])
    run = fit(toy).run_dir
    levels = {record.getMessage(): record.levelno for record in caplog.records}
    best = run / "checkpoints" / "best.pth"
    expected = {
        f"run: {run}; 36 steps": NOTICE,
        "epoch 1: val/loss 3": logging.INFO,
        "epoch 2: val/loss 1.235": logging.INFO,
        "epoch 3: val/loss 2": logging.INFO,
        f"finished: 3 of 3 epochs done; best val/loss 1.23456 after epoch 2, in {best}": NOTICE,
    }
    assert {message: levels.get(message) for message in expected} == expected
    (device,) = [message for message in levels if message.startswith("device: ")]
    assert device.startswith("device: cpu (") and device.endswith("; float32; 1 process(es)")


def test_what_a_run_without_numbers_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTICE, "triform")

    class Endless(Supervised):
        """Nobody knows how many batches."""

        @property
        def num_batches(self) -> None:  # type: ignore[override]
            return None

        def evaluate(self, split: str = "val") -> dict[str, float]:
            return {}

    run = fit(Endless(toy_config(tmp_path, {"training.epochs": 1}))).run_dir
    assert f"run: {run}; steps not known yet" in caplog.messages
    last = f"finished: 1 of 1 epochs done; last weights in {run / 'checkpoints' / 'best.pth'}"
    assert last in caplog.messages
    assert describe_best({"monitor": "m", "value": 0.123456789, "epoch": 3}) == (
        "m 0.123457 after epoch 3"
    )


def test_how_often_it_evaluates_and_draws(tmp_path: Path) -> None:
    """Every second epoch, and at the end in any case; samples also before the first step."""
    changes = {"training.evaluate_every": 2, "logging.sample_every": 2, "training.epochs": 5}
    toy, epochs = Supervised(toy_config(tmp_path, changes)), []
    toy.evaluate = lambda split="val": epochs.append((split, toy.num_steps)) or {}  # type: ignore[method-assign, assignment, misc, func-returns-value]
    run = fit(toy).run_dir
    assert epochs == [("val", 24), ("val", 48), ("val", 60)]
    assert sorted(int(path.stem) for path in (run / "samples").iterdir()) == [0, 24, 48, 60]


def test_no_samples_where_none_are_wanted(tmp_path: Path) -> None:
    run = fit(Supervised(toy_config(tmp_path, {"logging.sample_every": 0}))).run_dir
    assert not list((run / "samples").glob("*"))


@pytest.mark.parametrize(
    ("minutes", "seconds", "healthy", "saves"),
    [
        (2.0, 120.0, True, 0),
        (2.0, 120.5, True, 12),
        (2.0, 120.5, False, 0),
        (0.0, 1e9, True, 0),
        (0.5, 30.5, True, 12),
    ],
)
def test_when_it_saves_within_an_epoch(
    minutes: float,
    seconds: float,
    healthy: bool,
    saves: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After more than the minutes of the settings, where the last step was a good one."""
    toy, names = Supervised(toy_config(tmp_path, {"training.save_every_minutes": minutes})), []
    session = Session(toy)
    session.last_save = 1000.0
    monkeypatch.setattr(session, "save", lambda *words: names.append(words))
    clock = SimpleNamespace(monotonic=lambda: 1000.0 + seconds)
    monkeypatch.setattr(fit_module, "time", clock)
    monkeypatch.setattr(type(session.update), "is_healthy", healthy)
    fit_module.train_epoch(session, Bar(), Interrupts())  # type: ignore[arg-type]
    assert names == [("last",)] * saves and session.epoch == 1


def test_checkpoints_of_an_epoch_and_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`last` comes last, so that a kill in between loses nothing."""
    saved: list[tuple[str, ...]] = []
    save = Session.save

    def recorded(self: Session, *names: str) -> None:
        saved.append(names)
        save(self, *names)

    monkeypatch.setattr(Session, "save", recorded)
    fit(scripted(tmp_path, [1.0, 2.0], **{"training.epochs": 2, "training.save_every_epoch": True}))
    assert saved == [("last",), ("best", "epoch_001", "last"), ("epoch_002", "last")]


class Counts(Hook):
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_epoch_end(self, context: Context) -> None:
        """After an epoch."""
        self.calls.append("epoch")

    def on_end(self, context: Context) -> None:
        """At the end."""
        self.calls.append(context.reason)


@pytest.mark.parametrize("is_main", [True, False])
def test_what_only_the_main_process_does(
    is_main: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It draws, calls hooks, writes and logs; the others wait for it each time."""
    caplog.set_level(logging.DEBUG, "triform")
    waits: list[int] = []
    monkeypatch.setattr(Processes, "barrier", lambda self: waits.append(1))
    toy, hook = Supervised(toy_config(tmp_path)), Counts()
    toy.hooks = [hook]
    with Session(toy) as session:
        card = session.run.path / "MODEL_CARD.md"
        card.unlink()
        session.processes.is_main = is_main
        assert not waits
        draw_samples(session)
        assert len(waits) == 1 and len(toy_samples(session)) == is_main
        call_hooks(session, is_best=False, reason="")
        assert len(waits) == 2 and hook.calls == ["epoch"] * is_main
        call_hooks(session, is_best=True, reason="why")
        assert len(waits) == 3 and hook.calls == ["epoch", "epoch", "why"] * is_main
        session.save("last", "best")
        assert len(waits) == 4
        files = [session.run.checkpoint(name).is_file() for name in ("last", "best")]
        assert files == [is_main] * 2
        assert ("saved last, best at step 0" in caplog.messages) is is_main
        log_summary(session, "why")
        assert card.is_file() is is_main
        session.write_summary("why")
        assert (session.run.path / "summary.json").is_file() is is_main
        handle_interrupt(session)
        command = f"triform supervised train --resume_from {session.run.path}"
        line = f"stopped at step 0; to go on: {command}"
        assert (line in caplog.messages) is is_main and len(waits) == 5
        session.processes.is_main = True


def toy_samples(session: Session) -> list[Path]:
    """Files that the toy has drawn."""
    return list(session.run.samples.glob("*.txt"))


def test_an_interrupted_run_after_a_bad_step_keeps_its_last_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Session(Supervised(toy_config(tmp_path))) as session:
        for healthy in (False, True):
            monkeypatch.setattr(type(session.update), "is_healthy", healthy)
            handle_interrupt(session)
            assert session.run.checkpoint("last").is_file() is healthy


@pytest.mark.parametrize(
    ("count", "program"), [(1, "triform"), (3, "torchrun --nproc_per_node 3 -m triform")]
)
def test_the_command_that_resumes(count: int, program: str) -> None:
    session: Any = SimpleNamespace(
        processes=SimpleNamespace(count=count),
        run=SimpleNamespace(path=Path("/runs/one two")),
        system=SimpleNamespace(name="toy"),
    )
    assert resume_command(session) == f"{program} toy train --resume_from '/runs/one two'"


def test_the_first_process_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which folder, and when it is over; what another thinks does not count."""
    toy, step, steps = Supervised(toy_config(tmp_path, {"training.epochs": 1})), [], [0]
    step.append(toy.step)

    def bounded(batch: Any, update: Any) -> Any:
        steps[0] += 1
        assert steps[0] <= 12
        return step[0](batch, update)

    toy.step = bounded  # type: ignore[method-assign]
    monkeypatch.setattr(Processes, "gather", lambda self, value: [value, None])
    assert fit(toy).reason == "1 of 1 epochs done"


@pytest.mark.parametrize("exists", [True, False])
def test_advice_after_bad_gradients(exists: bool, tmp_path: Path) -> None:
    """With the checkpoint, where there is one."""
    last = tmp_path / "last.pth"
    if exists:
        last.touch()
    training = SimpleNamespace(lr=0.02)
    session: Any = SimpleNamespace(
        step=5,
        run=SimpleNamespace(checkpoint={"last": last}.__getitem__),
        config=SimpleNamespace(training=training),
    )
    with pytest.raises(UserError) as caught, user_errors(session):
        raise NonFiniteError("bad")
    place = f"the last good checkpoint is {last}; " if exists else ""
    assert str(caught.value) == (
        f"stopped at step 5: bad; {place}try --lr 0.002, --grad_clip 1 or --precision float32"
    )


def test_what_is_better() -> None:
    best = {"value": 2.0}
    assert is_better(1.0, None, "min") and not is_better(math.nan, None, "min")
    assert [is_better(value, best, "min") for value in (1.0, 2.0, 3.0)] == [True, False, False]
    assert [is_better(value, best, "max") for value in (1.0, 2.0, 3.0)] == [False, False, True]


def test_running_statistics_are_averaged_and_counters_are_not(tmp_path: Path) -> None:
    session = Session(Supervised(toy_config(tmp_path)))
    averaged: list[list[torch.Tensor]] = []
    session.processes.average_ = averaged.append  # type: ignore[method-assign, assignment]
    fit_module.average_statistics(session)
    norm = session.networks["model"][1]
    (buffers,) = averaged
    assert [id(each) for each in buffers] == [id(norm.running_mean), id(norm.running_var)]


def test_speed_is_that_since_the_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps in two seconds, six in one, and what nothing measured."""
    now, logged = [50.0], []
    monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    session = Session(Supervised(toy_config(tmp_path)))
    monkeypatch.setattr(session, "log", lambda values: logged.append(values))
    session.collect({"loss": torch.tensor(3.0)})
    session.step, now[0] = 4, 52.0
    assert session.log_training() == {"loss": 3.0}
    session.step, now[0] = 10, 53.0
    assert session.log_training() == {}
    assert session.log_training() == {}
    session.step = 11
    session.log_training()
    assert [line["steps_per_second"] for line in logged] == [2.0, 6.0, pytest.approx(1e9)]
    assert logged[0]["train/loss"] == 3.0 and logged[0]["learning_rate/main"] == 0.01
    now[0] = 50.0 + 90
    assert session.minutes == 1.5
    session.seconds_before = 30.0
    assert session.minutes == 2.0
    assert session.state_dict([])["seconds"] == 120.0


def test_random_numbers_of_a_run_follow_from_its_seed(tmp_path: Path) -> None:
    """And cuDNN takes kernels that give the same numbers each time."""
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    Session(Supervised(toy_config(tmp_path, {"seed": 7})))
    drawn = torch.rand(3)
    session_module.seed_everything(session_module.hash_seed(7, "fit", 0))
    assert torch.equal(drawn, torch.rand(3))
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark


def test_an_error_and_its_traceback_are_in_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "triform")
    with pytest.raises(ZeroDivisionError), Session(Supervised(toy_config(tmp_path))):
        raise ZeroDivisionError
    (record,) = [each for each in caplog.records if each.getMessage().startswith("ended by")]
    assert record.getMessage() == "ended by ZeroDivisionError" and record.exc_info
    assert record.levelno == logging.DEBUG

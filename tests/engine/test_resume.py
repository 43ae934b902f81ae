"""A run that stops, however rudely, ends with the very weights of one that did not."""

import contextlib
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from toy_systems import InnerLoop, Supervised, Toy, TwoPlayers, toy_config

from triform.base.errors import UserError
from triform.engine.checkpoints import checkpoint
from triform.engine.fit import fit
from triform.engine.resume import resume_point
from triform.engine.runs.tracking import read_metrics
from triform.engine.update import Update

PROGRAM = str(Path(__file__).with_name("train_toy.py"))
SETTINGS = {
    "training.ema_decay": 0.9,
    "training.warmup_steps": 5,
    "training.epochs": 4,
    "training.save_every_minutes": 0.0003,
    "early_stopping.patience": 50,
}


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def essence(path: Path) -> dict[str, Any]:
    """All of a checkpoint but the time it took and where the run was."""
    state = checkpoint.load(path)
    leave_out = ("seconds", "config", "metrics")
    return {key: value for key, value in state.items() if key not in leave_out}


class Server:
    """Starts toy trainings in processes that can be killed."""

    def __init__(self) -> None:
        command = [sys.executable, PROGRAM, "--serve"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, *words: str) -> int:
        """Start a training; returns its process id."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(shlex.join(words) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """Exit status of the training; negative for a signal."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


def num_sessions(folder: Path) -> int:
    """How often a run in a folder has been started or resumed."""
    return sum(log.read_text().count(" device: ") for log in folder.glob("runs/*/*/training.log"))


def wait_for_session(folder: Path, number: int) -> None:
    """Wait until training begins; not for ever, since it may be over already."""
    deadline = time.monotonic() + 10
    while num_sessions(folder) < number and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that goes away with the test."""
    server = Server()
    yield server
    assert server.process.stdin is not None
    server.process.stdin.close()
    server.process.wait(timeout=60)


@pytest.mark.parametrize("num_kills", [4, pytest.param(25, marks=pytest.mark.slow)])
def test_kill_minus_nine_at_any_moment_changes_nothing(
    num_kills: int, server: Server, tmp_path: Path
) -> None:
    """Two optimizers, dropout, averaged weights, shuffling and augmentation, killed often."""
    words = [f"{name}={value}" for name, value in SETTINGS.items()]
    pause = ["delay=0.004", *words]
    server.start("two_players", str(tmp_path / "whole"), *pause)
    wait_for_session(tmp_path / "whole", 1)
    began = time.monotonic()
    assert server.wait() == 0
    duration = time.monotonic() - began
    (whole,) = (tmp_path / "whole").glob("runs/*/*")
    expected = essence(whole / "checkpoints/last.pth")
    assert expected["step"] == 48

    moments, kills, finished, steps_seen = random.Random(num_kills), 0, 0, set()
    while kills < num_kills or not finished:
        folder = tmp_path / f"killed{finished}"
        runs = list(folder.glob("runs/*/*"))
        resume = [f"training.resume_from={runs[0]}"] if runs else []
        process = server.start("two_players", str(folder), *pause, *resume)
        if kills < num_kills:
            if moments.random() < 0.8:  # otherwise it may hit the beginning, too
                wait_for_session(folder, num_sessions(folder) + 1)
            time.sleep(moments.uniform(0, 0.8 * duration))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        status = server.wait()
        assert status in (0, -signal.SIGKILL)
        for left_over in folder.glob("runs/*/*/checkpoints/*.pth"):
            steps_seen.add(checkpoint.load(left_over)["step"])  # always whole, whenever killed
        if status:
            kills += 1
            continue
        (run,) = folder.glob("runs/*/*")
        for name in ("last", "best"):
            path = Path("checkpoints") / f"{name}.pth"
            assert same(essence(run / path), essence(whole / path))
        steps = [line["step"] for line in read_metrics(run / "metrics.jsonl")]
        assert steps == sorted(steps)
        finished += 1
    assert kills == num_kills
    # The kills hit the middles of epochs (12 steps each) as well as their ends.
    assert any(step % 12 for step in steps_seen)


class Stopped(Exception):
    """Stands for whatever ends a run in the middle of an epoch."""


def stop_after(toy: Toy, steps: int) -> None:
    """Let a toy fail after some steps."""
    step, done = toy.step, [0]

    def counted(batch: Any, update: Update) -> Any:
        if done[0] == steps:
            raise Stopped
        done[0] += 1
        return step(batch, update)

    toy.step = counted  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Supervised, {"scheduler.type": "ReduceLROnPlateau", "scheduler.patience": 0}),
        (Supervised, {"training.precision": "bf16", "data.num_workers": 1}),
        (TwoPlayers, {"scheduler.type": "CosineAnnealingLR", "training.grad_clip": 0.1}),
        (TwoPlayers, {"training.precision": "fp16", "scheduler.type": "StepLR"}),
        (InnerLoop, {"scheduler.type": "none"}),
    ],
    ids=["plateau", "bf16-worker", "two-cosine-clipped", "two-fp16-steps", "inner"],
)
def test_resume_in_the_middle_of_an_epoch_is_exact(
    kind: type[Toy], changes: dict[str, Any], tmp_path: Path
) -> None:
    """17 steps, a stop, and the rest, in every number format and with every schedule."""
    # Every step saves, so that the stop comes right after a checkpoint within an epoch.
    changes = {**SETTINGS, **changes, "training.save_every_minutes": 1e-9}
    whole = fit(kind(toy_config(tmp_path / "whole", changes)))
    toy = kind(toy_config(tmp_path / "parts", changes))
    stop_after(toy, 17)
    with pytest.raises(Stopped):
        fit(toy)
    (run,) = (tmp_path / "parts").glob("runs/*/*")
    assert checkpoint.load(run / "checkpoints/last.pth")["step"] == 17
    repeated = {**changes, "training.resume_from": str(run)}
    parts = fit(kind(toy_config(tmp_path / "parts", repeated)))
    assert parts.run_dir == run and parts.best == whole.best
    for name in ("checkpoints/last.pth", "checkpoints/best.pth"):
        assert same(essence(run / name), essence(whole.run_dir / name))


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    """The comparisons above would be worth nothing if every run ended alike."""
    ends = []
    for seed in (1, 1, 2):
        result = fit(TwoPlayers(toy_config(tmp_path, {"seed": seed})))
        ends.append(essence(result.run_dir / "checkpoints/last.pth")["networks"])
    assert same(ends[0], ends[1]) and not same(ends[0], ends[2])


def test_evaluation_and_samples_do_not_disturb_training(tmp_path: Path) -> None:
    """How often one looks must not change what is learned."""
    changes = {"scheduler.type": "none"}
    often = fit(TwoPlayers(toy_config(tmp_path, changes)))
    rare = {**changes, "training.evaluate_every": 3, "logging.sample_every": 0}
    seldom = fit(TwoPlayers(toy_config(tmp_path, rare)))
    one, other = (essence(r.run_dir / "checkpoints/last.pth") for r in (often, seldom))
    assert same(one["networks"], other["networks"]) and same(one["random"], other["random"])


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_names_the_command(
    server: Server, tmp_path: Path, signal_number: int
) -> None:
    """The first Ctrl-C or SIGTERM finishes the step; the log holds the command that goes on."""
    words = ["delay=0.02", "training.save_every_minutes=0", "training.epochs=30"]
    process = server.start("two_players", str(tmp_path), *words)
    logs: list[Path] = []
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any("epoch 1" in log.read_text() for log in logs):
        logs = list(tmp_path.glob("runs/*/*/training.log"))
        time.sleep(0.02)
    time.sleep(0.1)
    os.kill(process, signal_number)
    assert server.wait() == 1  # the program of the test turns KeyboardInterrupt into 1
    (run,) = tmp_path.glob("runs/*/*")
    text = (run / "training.log").read_text()
    found = re.search(r"stopped at step (\d+); to go on: (.*)", text)
    assert found is not None
    assert found[2] == f"triform two_players train --resume_from {run}"
    state = checkpoint.load(run / "checkpoints/last.pth")
    assert state["step"] == int(found[1]) > 12

    changes = {"training.epochs": 4, "training.resume_from": str(run)}
    resumed = fit(TwoPlayers(toy_config(tmp_path, changes)))
    whole = fit(TwoPlayers(toy_config(tmp_path / "whole", {"training.epochs": 4})))
    one, other = (essence(r.run_dir / "checkpoints/last.pth") for r in (resumed, whole))
    assert same(one["networks"], other["networks"])


def test_resuming_a_finished_run_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is trained, and the weights stay."""
    first = fit(Supervised(toy_config(tmp_path)))
    before = essence(first.run_dir / "checkpoints/last.pth")
    changes = {"training.resume_from": str(first.run_dir)}
    repeated = fit(Supervised(toy_config(tmp_path, changes)))
    assert repeated.run_dir == first.run_dir and repeated.best == first.best
    assert same(before, essence(first.run_dir / "checkpoints/last.pth"))
    assert "is finished (3 of 3 epochs done): nothing to do" in caplog.text
    more = fit(Supervised(toy_config(tmp_path, {**changes, "training.epochs": 4})))
    assert essence(more.run_dir / "checkpoints/last.pth")["epoch"] == 4


def test_changed_settings_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A resumed run says what is different, and does it."""
    first = fit(Supervised(toy_config(tmp_path)))
    changes = {
        "training.resume_from": str(first.run_dir / "checkpoints/last.pth"),
        "training.lr": 0.5,
        "training.epochs": 4,
        "scheduler.type": "none",
    }
    toy = Supervised(toy_config(tmp_path, changes))
    result = fit(toy)
    assert result.run_dir == first.run_dir
    assert (
        "resuming with changed settings: training.epochs 3 -> 4, training.lr 0.01 -> 0.5, "
        "scheduler.type ReduceLROnPlateau -> none"
    ) in caplog.text
    assert toy.optimizers["main"].param_groups[0]["lr"] == 0.5


def test_every_setting_of_an_optimizer_is_that_of_the_new_run(tmp_path: Path) -> None:
    """What it remembers comes from the checkpoint, what it does from whoever builds it."""
    first = fit(Supervised(toy_config(tmp_path)))
    changes = {"training.resume_from": str(first.run_dir), "training.epochs": 4}
    toy = Supervised(toy_config(tmp_path, changes))
    (group,) = toy.optimizers["main"].param_groups
    assert (group["weight_decay"], group["betas"]) == (0.01, (0.9, 0.999))
    group["weight_decay"], group["betas"] = 0.5, (0.5, 0.6)
    fit(toy)
    (group,) = toy.optimizers["main"].param_groups
    assert (group["weight_decay"], group["betas"]) == (0.5, (0.5, 0.6))
    # 3 epochs of the first run and one of this one, 12 steps each.
    assert {int(own["step"]) for own in toy.optimizers["main"].state.values()} == {48}


@pytest.mark.parametrize("beside", [[], ["config.yaml"], ["training.log"]])
def test_a_folder_that_is_no_run_is_not_taken_over(beside: list[str], tmp_path: Path) -> None:
    """Checkpoints that somebody keeps beside a config.yaml of their own begin a new run."""
    config = toy_config(tmp_path)
    last = tmp_path / "mine" / "checkpoints" / config.training.checkpoint_file("last")
    last.parent.mkdir(parents=True)
    last.touch()
    for name in beside:
        (tmp_path / "mine" / name).touch()
    assert resume_point(last, config) == (None, last)
    for name in ("config.yaml", "training.log"):
        (tmp_path / "mine" / name).touch()
    assert resume_point(last, config) == (tmp_path / "mine", last)
    elsewhere = tmp_path / "mine" / "weights" / last.name
    elsewhere.parent.mkdir()
    elsewhere.touch()
    assert resume_point(elsewhere, config) == (None, elsewhere)


def test_schedule_and_stopping_go_on_counting(tmp_path: Path) -> None:
    """A rate so small that nothing improves: both counters run on over the stop."""
    settings = {
        "training.lr": 1e-12,
        "scheduler.min_lr": 0.0,
        "scheduler.patience": 2,
        "early_stopping.patience": 9,
        "early_stopping.overfitting_patience": 9,
    }
    states = []
    for folder, stops in (("whole", [6]), ("parted", [2, 6])):
        changes: dict[str, Any] = dict(settings)
        for epochs in stops:
            result = fit(
                Supervised(toy_config(tmp_path / folder, {**changes, "training.epochs": epochs}))
            )
            changes["training.resume_from"] = str(result.run_dir)
        state = checkpoint.load(result.run_dir / "checkpoints/last.pth")
        states.append({name: state[name] for name in ("schedule", "stopping", "best")})
    assert same(*states)
    # The first of six is the best; of the five after it every third one lowers the rate.
    assert states[0]["schedule"]["num_reductions"] == 1 and states[0]["schedule"]["num_bad"] == 2
    assert states[0]["stopping"]["num_bad"] == 5


def test_going_on_from_best_starts_a_new_run(tmp_path: Path) -> None:
    """What the run did after its best checkpoint is not overwritten."""
    first = fit(Supervised(toy_config(tmp_path, {"training.save_every_epoch": True})))
    before = essence(first.run_dir / "checkpoints/last.pth")
    source = first.run_dir / "checkpoints/epoch_002.pth"
    result = fit(Supervised(toy_config(tmp_path, {"training.resume_from": str(source)})))
    assert result.run_dir != first.run_dir
    assert same(before, essence(first.run_dir / "checkpoints/last.pth"))
    # Epoch 3 from the checkpoint of epoch 2 is epoch 3 of the first run.
    assert same(before, essence(result.run_dir / "checkpoints/last.pth"))


def test_what_cannot_be_resumed_is_one_line(tmp_path: Path) -> None:
    """Missing, foreign, another system's, another shape."""
    result = fit(Supervised(toy_config(tmp_path)))
    (tmp_path / "empty").mkdir()
    cases = [
        (Supervised, str(tmp_path / "nowhere"), "no such file or run directory"),
        (Supervised, str(tmp_path / "empty"), "neither a run directory nor a checkpoint"),
        (TwoPlayers, str(result.run_dir), "a checkpoint of supervised, not of two_players"),
    ]
    for kind, source, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            fit(kind(toy_config(tmp_path, {"training.resume_from": source})))
        assert "\n" not in str(caught.value)

    wider = Supervised(toy_config(tmp_path, {"training.resume_from": str(result.run_dir)}))
    wider.networks["model"][4] = torch.nn.Linear(16, 2)
    with pytest.raises(
        UserError, match=r"does not fit this system: model.4.weight has shape 1x16"
    ) as caught:
        fit(wider)
    assert "\n" not in str(caught.value)


def test_metadata_must_be_the_same_but_for_what_may_vary(tmp_path: Path) -> None:
    class Described(Supervised):
        variable_metadata = ("captions",)
        described: ClassVar[dict[str, Any]] = {"classes": ["a"], "captions": ["b"]}

        def metadata(self) -> dict[str, Any]:
            return self.described

    result = fit(Described(toy_config(tmp_path)))
    resumed = toy_config(tmp_path, {"training.resume_from": str(result.run_dir)})
    Described.described = {"classes": ["a"], "captions": ["c"]}
    fit(Described(resumed))
    Described.described = {"classes": ["d"], "captions": ["b"]}
    with pytest.raises(UserError, match="trained with another classes"):
        fit(Described(resumed))

"""One process and two processes come to the same weights."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from toy_systems import NUM_SAMPLES

from triform.engine.checkpoints import checkpoint
from triform.engine.runs.tracking import read_metrics

PROGRAM = str(Path(__file__).with_name("train_toy.py"))

TOLERANCE = 1e-5
"""Largest difference of a weight after 12 steps of Adam.

The two halves of a batch are summed in another order than the whole, which changes gradients in
their last bit (6e-8 relative). Adam divides by the gradient's own size, so a step of 1e-2 carries
that over; a little more for entries near zero. A forgotten average would show as 1e-2.
"""


def train(folder: Path, launcher: list[str], *words: str) -> Path:
    """Train in a subprocess; returns the run directory."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *launcher, PROGRAM, words[0], str(folder), *words[1:]]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    (run,) = folder.glob("runs/*/*")  # several processes, one run directory
    return run


def launcher(kind: str, port: int) -> list[str]:
    """Start two processes the way users do."""
    if kind == "torchrun":
        return ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    # Without a GPU this is accelerate's way to several processes on one processor; its own
    # `--cpu --num_processes 2` starts a single one.
    return [
        *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"),
        "--num_machines=1",
        "--mixed_precision=no",
        "--dynamo_backend=no",
        f"--main_process_port={port}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("toy", "kind"),
    [
        ("supervised", "torchrun"),
        ("two_players", "torchrun"),
        ("inner_loop", "torchrun"),
        ("two_players", "accelerate"),
    ],
)
def test_one_process_equals_two(toy: str, kind: str, tmp_path: Path) -> None:
    """Same samples per step, shared by two: same weights, same numbers in the log."""
    words = ["plain=true", "training.epochs=2", "training.ema_decay=0.5", "training.grad_clip=1"]
    port = 29500 + os.getpid() % 1000
    one = train(tmp_path / "one", [], toy, "data.batch_size=16", *words)
    two = train(tmp_path / "two", launcher(kind, port), toy, "data.batch_size=8", *words)
    states = [checkpoint.load(run / "checkpoints/last.pth") for run in (one, two)]
    assert [state["step"] for state in states] == [2 * NUM_SAMPLES // 16] * 2
    assert len(states[1]["random"]) == 2
    for kind_of_weights in ("networks", "ema"):
        for name, weights in states[0][kind_of_weights].items():
            for key, tensor in weights.items():
                other = states[1][kind_of_weights][name][key]
                torch.testing.assert_close(tensor, other, atol=TOLERANCE, rtol=0)
    lines = [read_metrics(run / "metrics.jsonl") for run in (one, two)]
    losses = [[line["train/loss"] for line in each if "train/loss" in line] for each in lines]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and len(losses[0]) == 4


@pytest.mark.slow
def test_the_printed_command_goes_on(tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches launcher and processes; what is printed is run as it is."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    folder = str(Path(sys.executable).parent)
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    port = f"--master_port={29500 + os.getpid() % 1000}"
    words = ["--config", "tiny", "--device", "cpu", "--epochs", "30", "--log_every", "1"]
    process = subprocess.Popen(
        ["torchrun", "--nproc_per_node=2", port, "-m", "triform", "protonet", "train", *words],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        logs = list(tmp_path.glob("runs/*/*/metrics.jsonl"))
        if logs and read_metrics(logs[0]):
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    printed = process.communicate(timeout=200)[1]
    (command,) = re.findall(r"stopped at step \d+; to go on: (.*)", printed)
    done = subprocess.run(
        shlex.split(command),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("runs/protonet/run_*")
    state = checkpoint.load(run / "checkpoints/last.pth")
    assert state["epoch"] == 30 and len(state["random"]) == 2


@pytest.mark.slow
def test_two_processes_resume_exactly(tmp_path: Path) -> None:
    """Dropout differs between the processes, and each gets its own random numbers back."""
    port = 29500 + os.getpid() % 1000
    whole = train(
        tmp_path / "whole", launcher("torchrun", port), "two_players", "training.epochs=4"
    )
    parts = train(
        tmp_path / "parts", launcher("torchrun", port), "two_players", "training.epochs=2"
    )
    repeated = train(
        tmp_path / "parts",
        launcher("torchrun", port),
        "two_players",
        "training.epochs=4",
        f"training.resume_from={parts}",
    )
    assert repeated == parts
    states = [checkpoint.load(run / "checkpoints/last.pth") for run in (whole, parts)]
    for name, weights in states[0]["networks"].items():
        for key, tensor in weights.items():
            assert torch.equal(tensor, states[1]["networks"][name][key])

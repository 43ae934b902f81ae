"""One process and two processes come to the same weights."""

import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from toy_systems import NUM_SAMPLES

from triform.base.errors import UserError
from triform.engine import processes as processes_module
from triform.engine.checkpoints import checkpoint
from triform.engine.processes import Processes, replaced_networks
from triform.engine.runs.tracking import read_metrics
from triform.engine.synchronized_batch_norm import SynchronizedBatchNorm

CPU = torch.device("cpu")
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
    if kind in ("torchrun", "fsdp"):
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
        ("two_players", "fsdp"),
    ],
)
def test_one_process_equals_two(toy: str, kind: str, tmp_path: Path) -> None:
    """Same samples per step, shared by two: same weights, same numbers in the log."""
    words = ["plain=true", "training.epochs=2", "training.ema_decay=0.5", "training.grad_clip=1"]
    port = 29500 + os.getpid() % 1000
    one = train(tmp_path / "one", [], toy, "data.batch_size=16", *words)
    fsdp = ["training.fsdp=true"] * (kind == "fsdp")
    two = train(tmp_path / "two", launcher(kind, port), toy, "data.batch_size=8", *words, *fsdp)
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


@pytest.mark.slow
def test_sharded_runs_resume_across_numbers_of_processes(tmp_path: Path) -> None:
    """One process, then two with slices, then one: as one process all the way."""
    port, words = 29500 + os.getpid() % 1000, ["plain=true", "training.ema_decay=0.5"]
    one, two = "data.batch_size=16", "data.batch_size=8"
    whole = train(tmp_path / "whole", [], "two_players", one, *words)
    parts = tmp_path
    for epochs, launch, batch in ((1, [], one), (2, launcher("fsdp", port), two), (3, [], one)):
        resume = [f"training.resume_from={parts}"] if epochs > 1 else []
        fsdp = f"training.fsdp={'true' if launch else 'false'}"
        limit = f"training.epochs={epochs}"
        parts = train(
            tmp_path / "parts", launch, "two_players", batch, limit, fsdp, *words, *resume
        )
    states = [checkpoint.load(run / "checkpoints/last.pth") for run in (whole, parts)]
    for kind in ("networks", "ema"):
        for name, weights in states[0][kind].items():
            for key, tensor in weights.items():
                other = states[1][kind][name][key]
                torch.testing.assert_close(tensor, other, atol=TOLERANCE, rtol=0)


def two_networks() -> dict[str, nn.Module]:
    """One that is trained and one that is not."""
    frozen = nn.BatchNorm1d(2).requires_grad_(False)
    return {"model": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "frozen": frozen}


SYSTEM = SimpleNamespace(name="toy", optimizers={}, why_not_sharded="its step needs them whole")


def check_a_group_of_two(rank: int) -> None:
    """What each of two processes with ranks 0 and 1 finds."""

    def prepare(network: nn.Module) -> nn.Module:
        warnings.warn("renamed", FutureWarning, stacklevel=1)
        return nn.Sequential(network)

    accelerator = SimpleNamespace(device=torch.device("cpu", 0), prepare=prepare)
    processes_module._connect = lambda device: accelerator
    group = Processes(CPU)
    assert (group.index, group.count, group.is_main) == (rank, 2, rank == 0)
    assert group.device is accelerator.device and not group.shards
    tensors = [torch.tensor([1.0 + 4 * rank, 2.0]), torch.tensor([[[5.0], [-3.0 * rank]]])]
    group.average_(tensors)
    assert [tensor.tolist() for tensor in tensors] == [[3.0, 2.0], [[[5.0], [-1.5]]]]
    group.average_([])
    assert group.average_scalars({"a": 1.0 + 2 * rank, "b": 5.0}) == {"a": 2.0, "b": 5.0}
    assert group.any(rank == 0, False, rank == 1, True) == (True, False, True, True)
    assert group.gather([rank, "x"]) == [[0, "x"], [1, "x"]]
    networks = two_networks()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared = group.prepare(networks, SYSTEM)
    assert prepared["model"][0] is networks["model"] and prepared["frozen"] is networks["frozen"]
    assert type(networks["model"][1]) is type(networks["frozen"]) is SynchronizedBatchNorm
    group.shards = True
    with pytest.raises(UserError, match="--fsdp: toy: its step needs them whole; train without it"):
        group.prepare(networks, SYSTEM)


def one_of_two(rank: int, folder: str) -> None:
    """A process of the group; it writes down what is wrong."""
    try:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
        store = f"file://{folder}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
        check_a_group_of_two(rank)
        written = Path(folder, "written")
        if rank == 0:
            time.sleep(0.2)
            written.touch()
        Processes(CPU).barrier()
        assert written.exists()
        Path(folder, f"{rank}.txt").write_text("right")
    except BaseException:
        Path(folder, f"{rank}.txt").write_text(traceback.format_exc())
    os._exit(0)


def test_two_processes_tell_each_other(tmp_path: Path) -> None:
    """Means, votes, values by rank, and waiting for each other, over real connections."""
    fork = multiprocessing.get_context("fork")
    children = [
        fork.Process(target=one_of_two, args=(rank, str(tmp_path)), daemon=True) for rank in (0, 1)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=60)
        child.kill()
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)] == ["right", "right"]


def test_a_single_process_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """And connects to nobody."""
    monkeypatch.setattr(processes_module, "_connect", lambda device: pytest.fail("connected"))
    one, networks = Processes(CPU), two_networks()
    assert (one.index, one.count, one.is_main, one.device) == (0, 1, True, CPU)
    assert one.prepare(networks, SYSTEM) is networks and not Processes(CPU, fsdp=True).shards
    assert type(networks["frozen"]) is nn.BatchNorm1d
    tensor = torch.tensor([1.0, 3.0])
    one.average_([tensor])
    assert tensor.tolist() == [1.0, 3.0]
    scalars = {"a": 2.0}
    assert one.average_scalars(scalars) == scalars
    assert one.average_scalars(scalars) is not scalars
    assert one.any(True, False) == (True, False) and one.gather("x") == ["x"]
    one.barrier()


@pytest.mark.parametrize(
    ("device", "kind", "is_supported"),
    [
        ("cpu", "MULTI_CPU", True),
        ("cuda", "MULTI_GPU", True),
        ("cuda", "FSDP", True),
        ("cpu", "TPU", False),
    ],
)
def test_how_processes_connect(
    device: str, kind: str, is_supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the device that was picked, in float32, without sending buffers around."""
    import accelerate

    asked: dict[str, Any] = {}

    def accelerator(**options: Any) -> Any:
        asked.update(options)
        return SimpleNamespace(
            distributed_type=getattr(accelerate.DistributedType, names.get(kind, kind))
        )

    names = {"TPU": "XLA"}
    monkeypatch.setattr(accelerate, "Accelerator", accelerator)
    if is_supported:
        processes_module._connect(torch.device(device))
    else:
        with pytest.raises(UserError, match=r"several processes of the kind XLA are not supported"):
            processes_module._connect(torch.device(device))
    (handler,) = asked.pop("kwargs_handlers")
    assert asked == {"cpu": device == "cpu", "mixed_precision": "no"}
    assert handler.to_kwargs() == {"broadcast_buffers": False}


@pytest.mark.parametrize(("version", "shards"), [("2", True), ("1", None)])
def test_accelerate_launches_for_fsdp(
    version: str, shards: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`accelerate launch --use_fsdp --fsdp_version 2` is enough; version 1 is refused."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", version)
    monkeypatch.setattr(processes_module, "_connect", lambda device: SimpleNamespace(device=device))
    if shards:
        assert Processes(CPU).shards
    else:
        with pytest.raises(UserError, match="fsdp_version is 1, Triform needs 2"):
            Processes(CPU)


def test_networks_are_replaced_for_a_while() -> None:
    """Also where something goes wrong in between."""
    mine, other = two_networks(), nn.Linear(1, 1)
    before = dict(mine)
    with pytest.raises(KeyError), replaced_networks(mine, {"model": other}):
        assert mine["model"] is other and mine["frozen"] is before["frozen"]
        raise KeyError
    assert mine == before

"""Two processes with a slice of each parameter come to what one process with all of them does."""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.fsdp  # before processes are forked, so that they need not import it
from torch import nn

from triform.base.errors import UserError
from triform.engine import processes as processes_module
from triform.engine import sharding
from triform.engine.config import SystemConfig
from triform.engine.ema import ExponentialMovingAverage
from triform.engine.processes import Processes
from triform.engine.resume import load_optimizer
from triform.engine.schedule import Schedule
from triform.engine.sharding import (
    full_tensor,
    gather_parameters,
    gathered,
    is_sharded,
    load_network,
    shard_like,
    shard_networks,
)
from triform.engine.update import Update

CPU = torch.device("cpu")
SIZE = 7  # odd, so that the two slices differ


class Blocks(nn.Module):
    """A list of blocks, one of them frozen, and parameters of its own around them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 1.5))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(SIZE, SIZE), nn.Tanh()) for _ in range(3)
        )
        self.blocks[1].requires_grad_(False)
        self.last = nn.Linear(SIZE, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.scale
        for block in self.blocks:
            x = block(x)
        output: torch.Tensor = self.last(x)
        return output

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """A method that is not the forward pass."""
        return torch.nn.functional.linear(x, self.last.weight)


def two_networks() -> dict[str, nn.Module]:
    """The same at every call."""
    torch.manual_seed(0)
    return {"maker": Blocks(), "judge": nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1))}


def optimizers(networks: dict[str, nn.Module]) -> dict[str, torch.optim.Optimizer]:
    """One for each network, as systems make them."""
    return {
        name: torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad], lr=0.01, fused=True
        )
        for name, network in networks.items()
    }


class Training:
    """Two players, by the engine's update; the loss of one passes through the other."""

    def __init__(self, processes: Processes, *, sharded: bool) -> None:
        self.processes = processes
        self.networks = two_networks()
        self.optimizers = optimizers(self.networks)
        self.ema = ExponentialMovingAverage({}, 0.0)
        if sharded:
            shard_networks(self.networks, self.optimizers, CPU, 2)
        config = SystemConfig()
        schedule = Schedule(config.scheduler, warmup_steps=0, total_steps=0, epochs=1, mode="min")
        training = config.training.model_copy(update={"grad_clip": 0.05})
        self.update = Update(
            self.networks, self.optimizers, schedule, training, "float32", processes
        )
        self.ema = ExponentialMovingAverage(self.networks, 0.5)

    def step(self, number: int, part: slice = slice(None)) -> list[float]:
        """Train both on a part of the batch; in two halves for the maker."""
        batch = torch.randn(8, SIZE, generator=torch.Generator().manual_seed(number))[part]
        maker, judge = self.networks["maker"], self.networks["judge"]
        loss = judge(maker(batch).detach()).square().mean()
        norms = [self.update(loss, "judge")]
        first, second = batch.chunk(2)
        self.update.accumulate(-judge(maker(first)).mean() / 2, "maker")
        norms.append(self.update(-judge(maker(second)).mean() / 2, "maker"))
        self.ema.update(number)
        return norms

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "ema": self.ema.state_dict(),
            "optimizers": [opt.state_dict() for opt in self.optimizers.values()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore it."""
        for name, network in self.networks.items():
            load_network(network, state["networks"][name])
        self.ema.load_state_dict(state["ema"])
        for optimizer, each in zip(self.optimizers.values(), state["optimizers"], strict=True):
            load_optimizer(optimizer, each)


def assert_same(left: Any, right: Any) -> None:
    """Dicts and lists of tensors that agree to rounding, and in shape, strides and format."""
    if isinstance(left, torch.Tensor):
        assert not is_sharded(left) and not is_sharded(right)
        assert left.stride() == right.stride()
        torch.testing.assert_close(left, right, atol=1e-6, rtol=0)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list):
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def check_training(rank: int, folder: Path) -> None:
    """Norms, weights, averages and moments of whole batches and of halves."""
    sharding.MIN_PARAMETERS = 1
    two = Processes(CPU, fsdp=True)
    assert two.shards
    alone = Processes.__new__(Processes)
    alone.index, alone.count, alone.shards, alone.device = 0, 1, False, CPU
    whole, shared = Training(alone, sharded=False), Training(two, sharded=True)
    own = shared.networks["maker"].blocks[0][0].weight
    assert is_sharded(own) and own.to_local().shape == (4 - rank, SIZE)
    half = slice(4 * rank, 4 * rank + 4)
    for number in range(1, 4):
        expected = whole.step(number)
        assert shared.step(number, half) == pytest.approx(expected, rel=1e-4)
    assert all(p.grad is None for p in shared.networks["judge"].parameters())
    with gathered(shared.state(), folder, keep=rank == 0) as state:
        assert (state is None) == (rank == 1)
        if rank == 0:
            assert_same(whole.state(), state)
            torch.save(state, folder / "sharded.pt")
    torch.distributed.barrier()
    assert list(folder.glob(".gathered*")) == []

    # A new one goes on from what the others saved, in either direction.
    for repeated in (Training(two, sharded=True), Training(alone, sharded=False)):
        repeated.load(torch.load(folder / "sharded.pt", mmap=True))
        repeated.step(4, half if repeated.update.processes.shards else slice(None))
        torch.distributed.barrier()
        if repeated.update.processes.shards:
            first = repeated
    whole.step(4)
    assert_same(whole.state(), repeated.state())
    with gathered(first.state(), folder, keep=True) as state:
        assert_same(whole.state(), state)


def check_whole_parameters(rank: int, folder: Path) -> None:
    """One process alone computes with whole parameters, by any method, and slices come back."""
    sharding.MIN_PARAMETERS = 1
    networks, expected = two_networks(), two_networks()
    shard_networks(networks, optimizers(networks), CPU, 2)
    maker, whole = networks["maker"], expected["maker"]
    x = torch.randn(3, SIZE)
    before = dict(maker.named_parameters())
    with pytest.raises(RuntimeError, match=r"got mixed torch\.Tensor and DTensor"):
        maker.hidden(x)
    maker(x)  # its hooks have run
    restore = gather_parameters(networks)
    if rank == 0:
        assert torch.equal(maker(x), whole(x)) and torch.equal(maker.hidden(x), whole.hidden(x))
        assert_same(dict(maker.state_dict()), dict(whole.state_dict()))
        assert [p.requires_grad for p in maker.parameters()] == [
            p.requires_grad for p in whole.parameters()
        ]
    restore()
    torch.distributed.barrier()
    after = dict(maker.named_parameters())
    assert all(after[name] is before[name] for name in before)
    torch.testing.assert_close(maker(x), whole(x))


def check_shared_parameters(rank: int, folder: Path) -> None:
    """A parameter that two layers share stays one; one that two networks share is refused."""
    sharding.MIN_PARAMETERS = 1
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    tied[1].weight = tied[0].weight
    shard_networks({"tied": tied}, optimizers({"tied": tied}), CPU, 2)
    assert tied[0].weight is tied[1].weight and is_sharded(tied[0].weight)
    gather_parameters({"tied": tied})
    assert tied[0].weight is tied[1].weight and not is_sharded(tied[0].weight)

    one, other = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))
    other[0].weight = one.weight
    with pytest.raises(UserError, match=r"--fsdp: the networks a and b share 0\.weight"):
        shard_networks({"a": one, "b": other}, {}, CPU, 2)
    stray = torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=1.0)
    with pytest.raises(UserError, match=r"--fsdp: the optimizer main trains a tensor \(3,\) that"):
        shard_networks({"a": nn.Linear(2, 2)}, {"main": stray}, CPU, 2)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    shard_networks({"frozen": frozen}, {}, CPU, 2)
    assert not is_sharded(frozen.weight)


def check_changes_in_place(rank: int, folder: Path) -> None:
    """They raise, where torch would give wrong gradients without a word."""
    sharding.MIN_PARAMETERS = 1
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Linear(3, 3))
    shard_networks({"a": network}, optimizers({"a": network}), CPU, 2)
    x = torch.randn(2, 4, 3)
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace") as caught:
        network(x)
    assert [text for text in sharding.REFUSALS if text in str(caught.value)]
    with torch.no_grad():
        network(x).add_(1)


def check_own_gradients(rank: int, folder: Path) -> None:
    """A system that computes its gradients itself is refused."""
    training = Training(Processes(CPU, fsdp=True), sharded=True)
    with pytest.raises(UserError, match="--fsdp: this system computes gradients"):
        training.update.apply_gradients([], "judge")


Check = Callable[[int, Path], None]


def one_of_two(rank: int, folder: str, check: Check) -> None:
    """A process of the group; it writes down what is wrong."""
    try:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
        store = f"file://{folder}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
        processes_module._connect = lambda device: _Group()
        check(rank, Path(folder))
        torch.distributed.barrier()
        Path(folder, f"{rank}.txt").write_text("right")
    except BaseException:
        Path(folder, f"{rank}.txt").write_text(traceback.format_exc())
    os._exit(0)


class _Group:
    """What connects them; here they are connected already."""

    device = CPU


@pytest.mark.parametrize(
    "check",
    [
        check_changes_in_place,
        check_training,
        check_whole_parameters,
        check_shared_parameters,
        check_own_gradients,
    ],
)
def test_two_processes(check: Check, tmp_path: Path) -> None:
    """Each check runs in two processes, over real connections."""
    fork = multiprocessing.get_context("fork")
    children = [
        fork.Process(target=one_of_two, args=(rank, str(tmp_path), check), daemon=True)
        for rank in (0, 1)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=120)
        child.kill()
    results = [tmp_path / f"{rank}.txt" for rank in (0, 1)]
    for result in results:
        assert result.is_file() and result.read_text() == "right", result.read_text()


def test_a_single_process_has_whole_tensors() -> None:
    """Nothing is a slice, and nothing is copied."""
    tensor, network = torch.ones(3), nn.Linear(2, 2)
    assert full_tensor(tensor) is tensor and shard_like(tensor, tensor) is tensor
    load_network(network, {"weight": torch.eye(2), "bias": torch.ones(2)})
    assert torch.equal(network.weight, torch.eye(2))
    with pytest.raises(RuntimeError, match="bias"):
        load_network(network, {"weight": torch.eye(2)})
    load_network(network, {"weight": torch.zeros(2, 2)}, strict=False)
    assert network.weight.sum() == 0 and network.bias.sum() == 2


def test_freed_memory_is_returned_on_a_processor_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(sharding, "return_freed_memory", lambda: calls.append("returned"))
    sharding.release_memory(torch.device("meta"))
    assert not calls
    sharding.release_memory(CPU)
    assert calls == ["returned"]

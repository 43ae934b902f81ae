"""Two processes with a part of the batch each are one process with all of it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from triform import systems
from triform.base.settings.config import parse
from triform.engine.synchronized_batch_norm import SynchronizedBatchNorm, synchronize_batch_norm

SPLIT = 3
"""Samples of the first process; the second has the rest of the batch."""
CASES: dict[str, tuple[type[nn.Module], tuple[int, ...], dict[str, object]]] = {
    "1d": (nn.BatchNorm1d, (8, 5), {}),
    "1d, sequences": (nn.BatchNorm1d, (8, 5, 7), {"momentum": None}),
    "2d": (nn.BatchNorm2d, (8, 5, 4, 3), {"affine": False}),
    "3d": (nn.BatchNorm3d, (8, 5, 2, 3, 2), {"momentum": 0.3}),
    "no running statistics": (nn.BatchNorm2d, (8, 5, 4, 3), {"track_running_stats": False}),
}


def passes(rows: slice, *, synchronized: bool) -> dict[str, dict[str, Tensor]]:
    """Outputs, gradients and statistics of every case after two steps, for rows of the batch.

    The input has a large mean, where a variance by differences of squares would be wrong; one
    weight is shared by two layers, and a network is called twice before its backward pass.
    """
    results = {}
    for name, (kind, shape, options) in CASES.items():
        torch.manual_seed(1)
        network = nn.Sequential(kind(5, **options), nn.Tanh(), kind(5, **options))
        if synchronized:
            synchronize_batch_norm(network)
            assert sum(isinstance(each, SynchronizedBatchNorm) for each in network) == 2
        batches, weights = torch.randn(2, *shape) * 3 + 100, torch.randn(2, *shape)
        inputs = [batch[rows].clone().requires_grad_() for batch in batches]
        outputs = [network(batch) for batch in inputs]
        loss = sum((out * weight[rows]).sum() for out, weight in zip(outputs, weights, strict=True))
        loss.backward()
        results[name] = {
            "outputs": torch.stack(outputs, 1),
            "gradients": torch.stack([batch.grad for batch in inputs], 1),
            **{f"of {key}": p.grad[None] for key, p in network.named_parameters()},
            **{f"buffer {key}": value for key, value in network.named_buffers()},
            "evaluation": network.eval()(batches[0][rows]),
        }
    return results


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_two_processes_are_one(tmp_path: Path) -> None:
    """Outputs and gradients by row, gradients of weights as a sum, and the same statistics."""
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    children = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path / f"{rank}.pt")],
            env={**os.environ, **environment, "RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    whole = passes(slice(None), synchronized=False)
    for name, expected in whole.items():
        for key, value in expected.items():
            parts = [each[name][key] for each in (one, two)]
            if key.startswith("buffer"):
                torch.testing.assert_close(parts[0], parts[1], atol=0, rtol=0)
                torch.testing.assert_close(parts[0], value, msg=f"{name}: {key}")
            elif key.startswith("of "):
                torch.testing.assert_close(sum(parts), value, atol=1e-4, rtol=1e-4)
            elif (name, key) != ("no running statistics", "evaluation"):
                torch.testing.assert_close(torch.cat(parts), value, atol=1e-4, rtol=1e-4)


def test_one_process_is_torch_itself() -> None:
    """Outputs, gradients and statistics of every case."""
    whole, alone = (passes(slice(None), synchronized=each) for each in (False, True))
    for name, expected in whole.items():
        assert alone[name].keys() == expected.keys()
        for key, value in expected.items():
            # Without running statistics torch takes those of the batch, also in evaluation.
            torch.testing.assert_close(
                alone[name][key], value, atol=1e-4, rtol=1e-4, msg=f"{name}: {key}"
            )


def test_a_single_value_by_hand() -> None:
    """Its variance is 0, where torch gives up; statistics move by a tenth."""
    norm = nn.BatchNorm1d(2)
    synchronize_batch_norm(norm)
    assert norm(torch.tensor([[3.0, -5.0]])).tolist() == [[0.0, 0.0]]
    torch.testing.assert_close(norm.running_mean, torch.tensor([0.3, -0.5]))
    torch.testing.assert_close(norm.running_var, torch.tensor([0.9, 0.9]))
    assert norm.num_batches_tracked.item() == 1
    # Two values 0 and 2: deviation 1 with the whole number, variance 2 with one less.
    norm(torch.tensor([[0.0, 0.0], [2.0, 2.0]]))
    torch.testing.assert_close(norm.running_var, torch.tensor([1.01, 1.01]))


def test_low_precision_is_normalized_in_float32() -> None:
    norm = nn.BatchNorm1d(1)
    synchronize_batch_norm(norm)
    output = norm(torch.tensor([[256.0], [258.0]], dtype=torch.bfloat16))
    assert output.dtype == torch.bfloat16 and output.flatten().tolist() == [-1.0, 1.0]


def test_a_vector_is_refused() -> None:
    norm = nn.BatchNorm1d(3).eval()
    synchronize_batch_norm(norm)
    with pytest.raises(ValueError, match=r"expected \(B, C, ...\), seen \(3,\)"):
        norm(torch.ones(3))
    assert norm(torch.ones(1, 3)).shape == (1, 3)


@pytest.mark.parametrize("kind", [nn.SyncBatchNorm, nn.LayerNorm, nn.GroupNorm])
def test_other_norms_stay(kind: type[nn.Module]) -> None:
    norm = kind(1, 4) if kind is nn.GroupNorm else kind(4)
    synchronize_batch_norm(norm)
    assert type(norm) is kind


@pytest.mark.slow
@pytest.mark.parametrize("name", systems.names())
def test_no_batch_norm_of_any_system_sees_a_part_alone(name: str, tmp_path: Path) -> None:
    """Of all that are in training mode, those of libraries included."""
    entry = systems.load(name)
    folders = ["--runs_dir", str(tmp_path)]
    config = parse(
        entry.config.Config, ["--config", "tiny", "--device", "cpu", *folders], entry.presets
    )
    system = entry.system.System(config)
    for network in system.networks.values():
        network.train()
        synchronize_batch_norm(network)
        for module in network.modules():
            if isinstance(module, _BatchNorm) and module.training:
                assert isinstance(module, SynchronizedBatchNorm)


if __name__ == "__main__":
    rank = int(os.environ["RANK"])
    torch.distributed.init_process_group("gloo")
    rows = slice(None, SPLIT) if rank == 0 else slice(SPLIT, None)
    torch.save(passes(rows, synchronized=True), sys.argv[1])
    torch.distributed.destroy_process_group()

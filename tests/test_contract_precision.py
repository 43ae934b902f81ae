"""A measurement of the faster precision leaves no trace in any system."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_systems import Tiny, tiny
from triform.engine.checkpoints import checkpoint
from triform.engine.diagnostics import step_time
from triform.engine.fit import fit

__all__ = ["tiny"]
FLAGS = ["--sample_every", "0", "--epochs", "1", "--max_steps", "3"]


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def trained(tiny: Tiny, *flags: str) -> tuple[dict[str, Any], int]:
    """What a run of three steps learned, and how many steps its system took."""
    system, steps = tiny.system(*FLAGS, *flags), 0
    step = system.step

    def counting(batch: Any, update: Any) -> Any:
        nonlocal steps
        steps += 1
        return step(batch, update)

    system.step = counting
    run: Path = fit(system).run_dir
    last = system.config.training.checkpoint_file("last")
    state = checkpoint.load(run / "checkpoints" / last)
    names = ("networks", "optimizers", "stateful", "random", "update", "step")
    return {name: state[name] for name in names}, steps


@pytest.mark.slow
def test_a_measured_run_is_one_that_was_told(tiny, tmp_path, monkeypatch):
    """In float32, with both formats measured before it: the same weights and random numbers."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path))
    monkeypatch.setattr(step_time, "has_fast_bf16", lambda device: True)
    monkeypatch.setattr(step_time, "MIN_GAIN", float("inf"))
    monkeypatch.setattr(step_time, "REPEATS", 1)
    told, steps = trained(tiny, "--precision", "float32")
    measured, more = trained(tiny, "--precision", "auto", "--use_amp", "true")
    assert more == steps + 4
    assert same(told, measured)

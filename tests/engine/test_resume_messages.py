"""What is said where a state does not fit, and what is restored where it does."""

import copy
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from toy_systems import Supervised, toy_config

from triform.base.errors import UserError
from triform.base.seeding import hash_seed, random_state, seed_everything
from triform.engine.checkpoints import checkpoint
from triform.engine.fit import fit
from triform.engine.resume import (
    describe_changes,
    load_optimizer,
    mismatch_errors,
    restore_random_state,
    resume_point,
    trains_other_parameters,
)

CHANGES = {"training.lr": (0.1, 0.2), "seed": (1, 2)}


@pytest.mark.parametrize(
    ("error", "changes", "reason"),
    [
        (KeyError("weight"), {}, "it lacks 'weight'"),
        (RuntimeError("Error(s) in loading:\n\tfirst.\n\tsecond.\n\tlast. \n"), {}, "last."),
        (ValueError("one line"), {}, "one line"),
        (TypeError(""), {}, ""),
        (
            AttributeError("no such thing"),
            CHANGES,
            "no such thing; changed settings: training.lr 0.1 -> 0.2, seed 1 -> 2",
        ),
    ],
)
def test_the_last_line_of_an_error_is_the_reason(
    error: Exception, changes: Any, reason: str
) -> None:
    with pytest.raises(UserError) as caught, mismatch_errors("a.pth", changes):
        raise error
    assert str(caught.value) == f"a.pth: does not fit this system: {reason}".strip()
    assert caught.value.__cause__ is error


def test_other_errors_of_loading_stay() -> None:
    with pytest.raises(OSError, match="disk"), mismatch_errors("a.pth", {}):
        raise OSError("disk")
    assert describe_changes({}) == ""


def test_random_states_are_those_of_each_process(caplog: pytest.LogCaptureFixture) -> None:
    """With another number of processes there are none; then numbers follow from seed and step."""
    states = []
    for seed in (1, 2):
        seed_everything(seed)
        states.append(random_state())
    expected = torch.rand(3)
    processes: Any = SimpleNamespace(index=1, count=2)
    restore_random_state(states, processes, seed=5, step=7)
    assert torch.equal(torch.rand(3), expected) and not caplog.messages
    one: Any = SimpleNamespace(index=0, count=1)
    restore_random_state(states, one, seed=5, step=7)
    found = torch.rand(3)
    seed_everything(hash_seed(5, "fit", 0, 7))
    assert torch.equal(found, torch.rand(3))
    assert caplog.messages == ["resuming with 1 process(es) after 2: random numbers start anew"]


def test_an_optimizer_keeps_its_own_options_and_takes_the_moments() -> None:
    layer = nn.Linear(1, 1)

    def make(**options: Any) -> torch.optim.Optimizer:
        groups = [{"params": [layer.weight], **options}, {"params": [layer.bias], "lr": 0.5}]
        return torch.optim.Adam(groups, lr=0.25, betas=options.get("betas", (0.9, 0.99)))

    old, new = make(lr=0.125), make(lr=1.0, betas=(0.5, 0.75))
    layer(torch.ones(1, 1)).sum().backward()
    old.step()
    load_optimizer(new, copy.deepcopy(old.state_dict()))
    first, second = new.param_groups
    assert (first["lr"], first["betas"]) == (1.0, (0.5, 0.75)) and second["lr"] == 0.5
    assert first["params"] == [layer.weight] and second["params"] == [layer.bias]
    assert new.state[layer.weight]["exp_avg"].item() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [([[1, 2]], False), ([[1]], True), ([[1], [2]], True), ([[1, 2], []], True), (None, False)],
)
def test_whether_other_parameters_are_trained(groups: Any, expected: bool) -> None:
    """By how many there are in each group; a state without them is told apart by loading."""
    layer = nn.Linear(1, 1)
    system: Any = SimpleNamespace(optimizers={"main": torch.optim.SGD(layer.parameters(), lr=1)})
    saved = {"main": {"param_groups": [{"params": each} for each in groups or []]}}
    state: Any = {"optimizers": saved if groups else {}}
    assert trains_other_parameters(state, system) is expected
    assert not trains_other_parameters({"optimizers": None}, system)


def test_where_a_run_goes_on(tmp_path: Path) -> None:
    """A folder with settings but without a checkpoint begins anew in the same place."""
    config = toy_config(tmp_path)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="neither a run directory nor a checkpoint"):
        resume_point(run, config)
    (run / "config.yaml").touch()
    assert resume_point(run, config) == (run, None)
    (run / "checkpoints" / "last.pth").touch()
    assert resume_point(run, config) == (run, run / "checkpoints" / "last.pth")
    (run / "config.yaml").unlink()
    assert resume_point(run, config) == (run, run / "checkpoints" / "last.pth")
    (run / "training.log").touch()
    (run / "config.yaml").touch()
    best = run / "checkpoints" / "best.pth"
    best.touch()
    assert resume_point(best, config) == (None, best)


class Widened(Supervised):
    """Trains its last bias with a rate of its own: other groups than the toy has."""

    def __init__(self, config: Any):
        super().__init__(config)
        *others, bias = self.networks["model"].parameters()
        self.optimizers["main"] = torch.optim.AdamW(
            [{"params": others}, {"params": [bias], "lr": 0.5}], lr=config.training.lr
        )


def test_other_parameters_begin_a_run_of_their_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the best weights, averaged ones, and the best value; the old run stays as it is."""
    first = fit(Supervised(toy_config(tmp_path, {"training.ema_decay": 0.5})))
    last = first.run_dir / "checkpoints" / "last.pth"
    before = last.read_bytes()
    changes = {"training.resume_from": str(first.run_dir), "training.lr": 1e-12}
    result = fit(Widened(toy_config(tmp_path, {**changes, "training.epochs": 1})))
    assert result.run_dir != first.run_dir and last.read_bytes() == before
    assert first.best is not None and result.best is not None
    message = (
        f"other parameters are trained than in {first.run_dir}: weights and best value are taken "
        "from it; optimizer, learning rates, epochs and early stopping begin anew"
    )
    assert message in caplog.messages
    state, old = (checkpoint.load(run.run_dir / "checkpoints/last.pth") for run in (result, first))
    assert (state["step"], state["epoch"]) == (12, 1)
    weights = checkpoint.best_weights(old)["model"]["0.weight"]
    torch.testing.assert_close(state["networks"]["model"]["0.weight"], weights)
    assert result.best["value"] <= first.best["value"]


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    result = fit(Supervised(toy_config(tmp_path, {"training.epochs": 1})))
    source = str(result.run_dir / "checkpoints" / "best.pth")
    wrong = Supervised(toy_config(tmp_path, {"training.resume_from": source}))
    wrong.networks["model"][4] = torch.nn.Linear(16, 2)
    wrong.optimizers["main"] = torch.optim.AdamW(wrong.networks["model"].parameters())
    message = re.escape(f"{source}: does not fit this system: model.4.weight has shape 1x16")
    with pytest.raises(UserError, match=message):
        fit(wrong)
    assert list((tmp_path / "runs" / "supervised").iterdir()) == [result.run_dir]

"""A new run that begins with the weights of another one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import Field
from torch import nn
from toy_systems import Supervised, TwoPlayers, toy_config

from triform.base.errors import UserError
from triform.engine.checkpoints.checkpoint import Weights, load_weights
from triform.engine.checkpoints.initial_weights import find_initial_weights, load_networks
from triform.engine.config import SystemConfig
from triform.engine.fit import fit
from triform.engine.protocol import Batch, Scalars, System
from triform.engine.update import Update
from triform.pretrained.shipped_weights import shipped

INITIAL = "training.initial_weights"


def weights(*names: str) -> Weights:
    """Weights of linear networks, all ones, trained with `width` 2."""
    state = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    return Weights(dict.fromkeys(names, state), {"model": {"width": 2}}, "toy", {})


def test_a_run_begins_with_the_weights_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its first step they are as they were saved; optimizer and counts are new."""
    first = fit(Supervised(toy_config(tmp_path)))
    begins = {INITIAL: str(first.run_dir), "seed": 7, "training.max_steps": 1}
    begun: list[dict[str, torch.Tensor]] = []
    step = Supervised.step

    def recorded(self: Supervised, batch: Batch, update: Update) -> Scalars:
        assert self.num_steps == 0 and not self.optimizers["main"].state
        begun.append({k: v.clone() for k, v in self.networks["model"].state_dict().items()})
        return step(self, batch, update)

    monkeypatch.setattr(Supervised, "step", recorded)
    assert fit(Supervised(toy_config(tmp_path, begins))).run_dir != first.run_dir
    kept = load_weights(first.weights).networks["model"]
    assert kept.keys() == begun[0].keys()
    assert all(torch.equal(kept[name], begun[0][name]) for name in kept)


def test_a_resumed_run_needs_its_initial_weights_no_more(tmp_path: Path) -> None:
    first = fit(Supervised(toy_config(tmp_path)))
    source = tmp_path / "first.pth"
    source.write_bytes(first.weights.read_bytes())
    begins = {INITIAL: str(source)}
    whole = fit(Supervised(toy_config(tmp_path, begins)))
    part = fit(Supervised(toy_config(tmp_path, {**begins, "training.max_steps": 14})))
    source.unlink()
    resumed = {**begins, "training.resume_from": str(part.run_dir)}
    rest = fit(Supervised(toy_config(tmp_path, resumed)))
    expected, found = (load_weights(each.weights).networks["model"] for each in (whole, rest))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_wrong_name_is_refused_before_data_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--initial_weights nowhere: not there"):
        Supervised(toy_config(tmp_path, {INITIAL: "nowhere"}))
    with pytest.raises(UserError, match="no weights of supervised ship"):
        Supervised(toy_config(tmp_path, {INITIAL: "shipped"}))
    other = fit(TwoPlayers(toy_config(tmp_path)))
    system = Supervised(toy_config(tmp_path, {INITIAL: str(other.run_dir)}))
    with pytest.raises(UserError, match="weights of system two_players, not of supervised"):
        fit(system)
    assert len(list((tmp_path / "runs").glob("supervised/*"))) == 0


def test_what_ships_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_initial_weights("shipped", "vae") == shipped("vae")
    assert find_initial_weights("shipped", "maml", "maml_glyphs") == shipped("maml_glyphs")
    with pytest.raises(UserError, match="no weights of maml ship"):
        find_initial_weights("shipped", "maml")
    Path("shipped/checkpoints").mkdir(parents=True)
    Path("shipped/checkpoints/best.pth").touch()
    assert find_initial_weights("shipped", "vae") == Path("shipped/checkpoints/best.pth")


def test_networks_that_do_not_fit() -> None:
    """The message names the setting; what may begin anew does, and keeps its own weights."""
    networks = {"a": nn.Linear(2, 2), "b": nn.Linear(3, 2)}
    config = SystemConfig.model_construct(training=SystemConfig().training)
    path = Path("w.pth")
    with pytest.raises(UserError, match=r"w\.pth: there is no b in it"):
        load_networks(networks, weights("a"), path, config)
    with pytest.raises(UserError, match=r"b\.weight has shape 2x2 in place of 2x3.* --width 2$"):
        load_networks(networks, weights("a", "b"), path, config)
    before = networks["b"].weight.clone()
    load_networks(networks, weights("a", "b"), path, config, optional=("b",))
    assert torch.equal(networks["a"].weight, torch.ones(2, 2))
    assert torch.equal(networks["b"].weight, before)
    load_networks(networks, weights("a"), path, config, optional=("b",))


class LaterConfig(SystemConfig):
    """Settings of a model, one of which came after the weights."""

    model: dict[str, int] = Field(default_factory=lambda: {"width": 3, "depth": 1})


def test_a_setting_that_the_weights_do_not_know_is_not_named() -> None:
    networks = {"a": nn.Linear(3, 2)}
    with pytest.raises(UserError, match=r"; it was trained with --width 2$"):
        load_networks(networks, weights("a"), Path("w.pth"), LaterConfig())


def test_tensors_of_a_pretrained_part_may_be_missing() -> None:
    network, path = nn.Linear(2, 2), Path("w.pth")
    given = weights("a")
    given.networks["a"] = {"weight": torch.ones(2, 2)}
    with pytest.raises(UserError, match=r"a\.bias is missing"):
        load_networks({"a": network}, given, path, SystemConfig())
    load_networks({"a": network}, given, path, SystemConfig(), pretrained=("a.bias",))
    assert torch.equal(network.weight, torch.ones(2, 2))


def test_rows_that_stand_for_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(System, "metadata", lambda self: {"merges": ["a b"]})
    first = fit(Supervised(toy_config(tmp_path)))
    monkeypatch.setattr(System, "metadata", lambda self: {"merges": ["a c"]})
    system = Supervised(toy_config(tmp_path, {INITIAL: str(first.run_dir)}))
    system.load_initial_weights()
    monkeypatch.setattr(Supervised, "shared_metadata", ("merges",))
    with pytest.raises(UserError, match="its merges are not those of this data"):
        system.load_initial_weights()

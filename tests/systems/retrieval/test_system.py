"""Training that begins from weights."""

import pytest
import torch

from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.engine.checkpoints.checkpoint import load_weights
from triform.engine.fit import fit
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.system import System

from .conftest import preset


def test_training_begins_from_weights(tiny_run, folders, library):
    """A run's networks, sizes and weights, whatever the settings of the models say."""
    flags = ["--initial_weights", str(tiny_run), "--emb_dim", "16", "--text_shape_weight", "0"]
    config = preset("tiny", *folders, *flags, "--text_image_weight", "0", "--points", "96")
    system = System(config)
    saved = load_weights(next(tiny_run.glob("checkpoints/best*"))).networks
    assert system.config.model.emb_dim == 32 and system.config.data.points == 96
    assert set(saved) <= set(system.networks)
    for name, tensors in saved.items():
        state = system.networks[name].state_dict()
        assert state.keys() == tensors.keys()
        assert all(torch.equal(state[key], tensors[key]) for key in tensors), name
    # No loss trains the texts, but they stay: a search by words goes on working.
    assert not any(p.requires_grad for p in system.networks["texts"].parameters())


def test_weights_to_begin_from_that_are_none(folders, tmp_path):
    with pytest.raises(UserError, match=r"--initial_weights .*not there"):
        System(preset("tiny", *folders, "--initial_weights", str(tmp_path / "none.pth")))


def test_a_run_goes_on_without_the_weights_that_it_began_with(tiny_run, folders, tmp_path):
    """Its text tower, which no loss trains, is there as well."""
    source = tmp_path / "first.pth"
    source.write_bytes(next(tiny_run.glob("checkpoints/best*")).read_bytes())
    flags = ["--initial_weights", str(source), "--text_shape_weight", "0"]
    flags += ["--text_image_weight", "0", "--points", "96", "--epochs", "1"]
    run = fit(System(preset("tiny", *folders, *flags, "--max_steps", "1"))).run_dir
    source.unlink()
    config = parse(Config, ["--resume_from", str(run), "--max_steps", "2"])
    assert config.training.initial_weights == str(source)
    system = System(config)
    assert "texts" in system.networks and system.config.model.emb_dim == 32
    assert fit(system).run_dir == run

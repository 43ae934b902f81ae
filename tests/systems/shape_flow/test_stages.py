"""The three stages one after the other: what each trains, keeps, and needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from triform import systems
from triform.base.errors import UsageError
from triform.base.settings.config import parse
from triform.engine.checkpoints.checkpoint import load_weights
from triform.engine.verbs import train
from triform.systems.shape_flow.config import Config
from triform.systems.shape_flow.system import System
from triform.systems.shape_flow.trained import Trained

from .conftest import preset

# The surfaces of untrained networks are everywhere: drawing them takes longer than all else.
NO_SAMPLES = ("--sample_every", "0")


def weights(run: Path) -> dict[str, dict[str, torch.Tensor]]:
    return load_weights(run / "checkpoints" / "last.pth").networks


@pytest.fixture(scope="module")
def runs(folders: list[str]) -> dict[str, Path]:
    """One run of each stage, each from the weights of the one before."""
    found: dict[str, Path] = {}
    initial: list[str] = []
    for stage in ("autoencoder", "layout", "decoder", "flow"):
        flags = ["--stage", stage, "--epochs", "1", *initial, *NO_SAMPLES]
        config = preset("tiny", *folders, *flags)
        found[stage] = Path(train(System, config)["run"])
        initial = ["--initial_weights", str(found[stage])]
    return found


def test_each_stage_adds_networks_and_leaves_the_others_alone(runs: dict[str, Path]) -> None:
    before = {name: weights(run) for name, run in runs.items()}
    assert set(before["autoencoder"]) == {"autoencoder"}
    assert set(before["layout"]) == {"autoencoder", "layout", "layout_flow"}
    assert set(before["flow"]) == {"autoencoder", "layout", "layout_flow", "cell_flow"}
    best = load_weights(next((runs["autoencoder"] / "checkpoints").glob("best*"))).networks
    for name, tensor in best["autoencoder"].items():
        assert torch.equal(before["layout"]["autoencoder"][name], tensor), name
    best = load_weights(next((runs["layout"] / "checkpoints").glob("best*"))).networks
    for network, tensors in before["decoder"].items():
        for name, tensor in tensors.items():
            same = torch.equal(best[network][name], tensor)
            assert same == (not name.startswith("decoder.")), (network, name)
    best = load_weights(next((runs["decoder"] / "checkpoints").glob("best*"))).networks
    for network, tensors in best.items():
        for name, tensor in tensors.items():
            assert torch.equal(before["flow"][network][name], tensor), (network, name)


def test_the_code_of_the_layout_stays_that_of_the_principal_components(
    runs: dict[str, Path],
) -> None:
    directions = weights(runs["layout"])["layout"]["components"]
    torch.testing.assert_close(
        directions @ directions.T, torch.eye(len(directions)), rtol=0, atol=1e-4
    )


def test_a_stage_without_what_it_begins_with_says_so(
    runs: dict[str, Path], folders: list[str]
) -> None:
    with pytest.raises(UsageError, match="--stage layout: it begins with a trained autoencoder"):
        System(preset("tiny", *folders, "--stage", "layout"))
    flags = ["--stage", "flow", "--initial_weights", str(runs["autoencoder"])]
    with pytest.raises(UsageError, match="there is no layout in it"):
        System(preset("tiny", *folders, *flags))


def test_a_refinement_is_added_to_weights_without_one(
    runs: dict[str, Path], folders: list[str]
) -> None:
    flags = ["--stage", "decoder", "--initial_weights", str(runs["layout"])]
    system = System(preset("tiny", *folders, *flags, "--refine_width", "4"))
    before = load_weights(next((runs["layout"] / "checkpoints").glob("best*"))).networks
    after = system.networks["autoencoder"].state_dict()
    for name, tensor in before["autoencoder"].items():
        assert torch.equal(after[name], tensor), name
    assert not after["decoder.refine.out.weight"].any()
    with pytest.raises(UsageError, match=r"its autoencoder does not fit .*sizes of its tensors"):
        System(preset("tiny", *folders, *flags, "--decoder_widths", "8", "24"))
    with pytest.raises(UsageError, match=r"its autoencoder does not fit .*coarse"):
        System(preset("tiny", *folders, *flags, "--decoder_blocks", "2", "1"))


def test_a_stage_is_resumed_without_the_run_that_it_began_with(
    runs: dict[str, Path], folders: list[str], tmp_path: Path
) -> None:
    initial = tmp_path / "autoencoder"
    shutil.copytree(runs["autoencoder"], initial)
    flags = ["--stage", "layout", "--epochs", "2", "--initial_weights", str(initial)]
    flags += NO_SAMPLES
    begun = train(System, preset("tiny", *folders, *flags, "--max_steps", "1"))
    whole = train(System, preset("tiny", *folders, *flags))
    shutil.rmtree(initial)
    resume = ["--resume_from", str(begun["run"]), "--max_steps", "0"]
    resumed = train(System, parse(Config, resume, systems.load("shape_flow").presets))
    assert resumed["run"] == begun["run"]
    expected, actual = weights(Path(whole["run"])), weights(Path(resumed["run"]))
    for network, tensors in expected.items():
        for name, tensor in tensors.items():
            assert torch.equal(actual[network][name], tensor), (network, name)


def test_layouts_alone_are_shapes_too(runs: dict[str, Path]) -> None:
    trained = Trained.choose(str(runs["layout"]), "cpu")
    assert trained.cell_flow is None and trained.layout is not None
    code, cells = torch.randn(2, 16), torch.randn(2, 4, 4, 4, 4)
    system = Trained.choose(str(runs["flow"]), "cpu")
    from triform.systems.shape_flow.texts import load_token_encoder, prompt_condition

    condition = prompt_condition(load_token_encoder("minilm"), ["a chair", ""], 8)
    options = {"guidance": 2.0, "cell_guidance": 2.0, "num_steps": 3, "cell_steps": 3}
    layout = trained.sample(condition, code, cells, **options)
    detailed = system.sample(condition, code, cells, **options)
    assert layout.shape == detailed.shape == (2, 4, 4, 4, 4)
    assert not torch.allclose(layout, detailed)

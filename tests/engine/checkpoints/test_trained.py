"""What `--checkpoint` means, and whose weights are taken."""

from pathlib import Path

import pytest
import torch
from torch import nn

from triform.base.errors import UserError
from triform.engine.checkpoints.checkpoint import StateDicts, export_weights
from triform.engine.checkpoints.finding import find_checkpoint
from triform.engine.checkpoints.trained import TrainedModel, read_trained
from triform.engine.config import SystemConfig


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def best_of(run: str) -> Path:
    path = Path("runs", "painter", run, "checkpoints", "best.pth")
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_file_or_a_run_is_what_it_says() -> None:
    path = best_of("run_1")
    for inputs in (path, path.parents[1]):
        assert find_checkpoint(str(inputs), "painter") == path
    with pytest.raises(UserError, match=r"--checkpoint other\.pth: not there"):
        find_checkpoint("other.pth", "painter")
    with pytest.raises(UserError, match=r"--checkpoint runs: no run directory"):
        find_checkpoint("runs", "painter")


def test_nothing_given_means_the_documented_file_then_the_shipped_one_then_the_newest_run() -> None:
    with pytest.raises(UserError, match="no weights of painter ship"):
        find_checkpoint(None, "painter")
    newest = [best_of(run) for run in ("run_1", "run_2")][1]
    assert find_checkpoint(None, "painter") == newest
    shipped = find_checkpoint(None, "painter", shipped="voxel_gan", documented="painter.pth")
    assert shipped.name == "voxel_gan.safetensors"
    Path("painter.pth").touch()
    found = find_checkpoint(None, "painter", shipped="voxel_gan", documented="painter.pth")
    assert found == Path("painter.pth")


def test_weights_come_with_their_settings_or_are_refused(here: Path) -> None:
    path = here / "a.safetensors"
    config = SystemConfig(seed=7).model_dump(mode="json")
    export_weights(path, {"a": {"b": torch.ones(2)}}, config, system="painter")
    weights, settings = read_trained(path, "painter", SystemConfig)
    assert settings.seed == 7 and torch.equal(weights.networks["a"]["b"], torch.ones(2))
    with pytest.raises(UserError, match="weights of system painter, not of writer"):
        read_trained(path, "writer", SystemConfig)
    export_weights(path, {"a": {"b": torch.ones(2)}}, {"seed": -1}, system="painter")
    with pytest.raises(UserError, match="its settings do not fit this version"):
        read_trained(path, "painter", SystemConfig)
    with pytest.raises(UserError, match=r"version: seed: .* 0, seen -1$"):
        read_trained(path, "painter", SystemConfig)
    export_weights(path, {}, {"seed": {"a": 1}, "x": "y" * 5000}, system="painter")
    with pytest.raises(UserError) as caught:
        read_trained(path, "painter", SystemConfig)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


class Painter(TrainedModel[SystemConfig]):
    """A model of one layer."""

    system, documented, config_class = "painter", "painter.safetensors", SystemConfig

    def build(self, tensors: StateDicts) -> dict[str, nn.Module]:
        self.layer = nn.Linear(tensors["layer"]["weight"].shape[1], 2)
        return {"layer": self.layer}


def test_a_trained_model_is_found_built_and_loaded(here: Path) -> None:
    weights = nn.Linear(3, 2).state_dict()
    config = SystemConfig(seed=7).model_dump(mode="json")
    export_weights(here / Painter.documented, {"layer": weights}, config, system="painter")
    for model in (
        Painter.choose(None, "cpu"),
        Painter.choose(str(here / Painter.documented), "cpu"),
        Painter(here / Painter.documented, torch.device("cpu")),
    ):
        assert model.config.seed == 7 and model.source.name == "painter.safetensors"
        assert model.networks == {"layer": model.layer} and not model.layer.training
        assert torch.equal(model.layer.weight, weights["weight"])
    export_weights(here / Painter.documented, {"other": weights}, config, system="painter")
    with pytest.raises(UserError, match="its weights do not fit its settings: it lacks 'layer'"):
        Painter.choose(None, "cpu")

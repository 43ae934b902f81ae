"""A tiny model with random weights, and folders of photos."""

import json
import sys
from pathlib import Path

import pytest
import torch

from triform import systems
from triform.base.settings.config import parse
from triform.cli import main
from triform.engine.checkpoints.checkpoint import export_weights
from triform.systems.clip.config import Config
from triform.systems.clip.model import CLIP
from triform.text.bpe import BytePairEncoding

sys.path.insert(0, str(Path(__file__).parent))

from photo_folder import make_photos

FLAGS = ["--config", "tiny", "--device", "cpu"]


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Weights of the preset `tiny`, not trained."""
    torch.manual_seed(0)
    config = parse(Config, FLAGS, systems.load("clip").presets)
    bpe = BytePairEncoding.train(["a photo of a dog", "a cat on the beach"], 300)
    model = CLIP(config.model, config.data.image_size, bpe.vocab_size, 0.07, has_bias=False)
    path = tmp_path_factory.mktemp("weights") / "clip.safetensors"
    export_weights(
        path,
        {"clip": model.state_dict()},
        config.model_dump(mode="json"),
        system="clip",
        metadata={"merges": list(bpe.merges)},
    )
    return path


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of twelve photos, and an empty folder to work in."""
    make_photos(tmp_path / "photos")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "photos"


@pytest.fixture
def run(weights, capsys):
    """Runs a verb of the command line; returns its answer, or status and standard error."""

    def call(verb, *words, json_answer=True, model=True):
        flags = ["--checkpoint", str(weights), "--device", "cpu"] if model else []
        extra = ["--json"] if json_answer else []
        status = main(["clip", verb, *map(str, words), *flags, *extra])
        out, err = capsys.readouterr()
        call.err = err
        if status:
            assert "Traceback" not in err and out == ""
            return status, err
        return json.loads(out) if json_answer else out

    return call

"""Which weights the flags mean: photographs are never embedded by weights that nobody named."""

import json
from pathlib import Path

import pytest

from triform.base.errors import UsageError
from triform.pretrained import shipped_weights
from triform.systems.clip.model_choice import model_path
from triform.systems.clip.verb_config import (
    DEFAULT_MODEL,
    SHIPPED_MODEL,
    AnalyzeConfig,
    ClassifyConfig,
    EvaluateConfig,
    IndexConfig,
    SearchConfig,
)

PHOTO_VERBS = {
    "index": lambda **flags: IndexConfig(folders=("photos",), **flags),
    "search": lambda **flags: SearchConfig(query=("a dog",), **flags),
    "classify": lambda **flags: ClassifyConfig(images=("photos",), **flags),
}
OTHER_VERBS = {"evaluate": EvaluateConfig, "analyze": AnalyzeConfig}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The best weights of the newest of two runs in the working folder."""
    for name in ("run_1", "run_2"):
        path = tmp_path / "runs" / "clip" / name / "checkpoints" / "best.pth"
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return path.relative_to(tmp_path)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Weights that ship under the name of the system."""
    folder = tmp_path / "weights"
    folder.mkdir()
    path = folder / "clip.safetensors"
    path.write_bytes(b"weights")
    digest = shipped_weights.file_sha256(path)
    (folder / shipped_weights.CHECKSUMS).write_text(json.dumps({"clip": digest}), "utf-8")
    monkeypatch.setattr(shipped_weights, "FOLDER", folder)
    return path


@pytest.fixture
def nothing_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_weights, "FOLDER", tmp_path / "none")


@pytest.mark.parametrize("verb", PHOTO_VERBS)
def test_photographs_are_for_the_model_of_photographs(verb, run, shipped):
    """Neither the emoji weights that ship nor a run that lies here change an index."""
    assert model_path(PHOTO_VERBS[verb]()) == DEFAULT_MODEL == "ViT-B-32/openai"


@pytest.mark.parametrize("verb", PHOTO_VERBS)
def test_other_weights_for_photographs_are_named(verb, run, shipped):
    settings = PHOTO_VERBS[verb]
    assert model_path(settings(model="ViT-L-14/openai")) == "ViT-L-14/openai"
    assert model_path(settings(checkpoint="runs/clip/run_1")) == Path(
        "runs/clip/run_1/checkpoints/best.pth"
    )
    assert model_path(settings(model=SHIPPED_MODEL)) == shipped


@pytest.mark.parametrize("verb", OTHER_VERBS)
def test_measuring_takes_the_weights_that_ship(verb, run, shipped):
    settings = OTHER_VERBS[verb]
    assert model_path(settings()) == shipped
    assert model_path(settings(checkpoint=str(run))) == run
    assert model_path(settings(model="ViT-L-14/openai")) == "ViT-L-14/openai"


@pytest.mark.parametrize("verb", OTHER_VERBS)
def test_measuring_takes_the_newest_run_where_none_ship(verb, run, nothing_shipped):
    assert model_path(OTHER_VERBS[verb]()) == run


@pytest.mark.parametrize("verb", [*PHOTO_VERBS, *OTHER_VERBS])
def test_one_of_model_and_checkpoint(verb, run, shipped):
    settings = (PHOTO_VERBS | OTHER_VERBS)[verb](checkpoint=str(run), model=SHIPPED_MODEL)
    with pytest.raises(UsageError, match="name one of them"):
        model_path(settings)

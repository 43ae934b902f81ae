"""One file of settings for training and inference: each verb takes what it uses, in one line."""

import logging
from pathlib import Path

import pytest

from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.systems.retrieval import config
from triform.systems.retrieval.config import VERBS

PRESETS = Path(config.__file__).parent / "presets"
SHARED = """
data:
  library: parts
  download_path: elsewhere
  image_embeddings: images.npz
  views: 3
model:
  image_encoder: eva02_tiny
  text_encoder: ""
training:
  epochs: 3
metrics:
  k_list_for_recalls: [1, 3]
seed: 5
device: cpu
output: answers.csv
top_k: 7
"""
USED = {
    "embed": {"library": "parts", "image_encoder": "eva02_tiny", "download_path": "elsewhere"},
    "submit": {"image_encoder": "eva02_tiny", "top_k": 7},
    "evaluate": {
        "library": "parts",
        "download_path": "elsewhere",
        "image_embeddings": "images.npz",
        "k_list_for_recalls": (1, 3),
        "text_encoder": None,
        "seed": 5,
    },
    "search": {"gallery": ("parts",), "image_encoder": "eva02_tiny", "top_k": 7},
}


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger("triform"), "propagate", True)
    path = tmp_path / "config.yaml"
    path.write_text(SHARED)
    return ["--config", str(path)]


@pytest.mark.parametrize("verb", USED)
def test_each_verb_takes_what_it_uses(shared, verb, caplog):
    words = ["--model", "a.pth:b.pth"] if verb == "submit" else []
    settings = parse(VERBS[verb], [*shared, *words])
    assert {name: getattr(settings, name) for name in USED[verb]} == USED[verb]
    assert settings.device == "cpu"
    (line,) = caplog.messages
    assert "not used here" in line and "data." in line and "\n" not in line
    flag = ["--top_k", "2"] if verb in ("submit", "search") else ["--download_path", "mine"]
    changed = parse(VERBS[verb], [*shared, *words, *flag])
    assert getattr(changed, flag[0][2:]) in (2, "mine")  # a flag is above the file


def test_the_embeddings_go_where_training_reads_them(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("data:\n  image_embeddings: images.npz\nmodel:\n  image_encoder: small\n")
    settings = parse(VERBS["embed"], ["--config", str(path)])
    assert str(settings.output) == "images.npz"
    assert settings.image_encoder.startswith("eva02_large")  # the small one embeds nothing


def test_the_settings_of_a_run_name_no_folder(tmp_path):
    """Somebody else's run: an encoder that is not known needs the user's own flag."""
    path = tmp_path / "config.yaml"
    path.write_text("model:\n  image_encoder: ./theirs\n")
    words = ["--config", str(path)]
    assert parse(VERBS["embed"], words).image_encoder == "./theirs"  # a file of the user's own
    (tmp_path / "training.log").touch()
    with pytest.raises(UserError, match="--image_encoder"):
        parse(VERBS["embed"], words)
    assert parse(VERBS["embed"], [*words, "--image_encoder", "mine"]).image_encoder == "mine"


def test_training_leaves_the_other_verbs_out(shared, caplog):
    settings = parse(VERBS["train"], shared)
    assert (settings.data.library, settings.training.epochs, settings.seed) == ("parts", 3, 5)
    (line,) = caplog.messages
    assert "output, top_k: not used here" in line


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_name_is_still_refused(verb, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("top_kk: 3\n")
    with pytest.raises(UsageError, match="top_kk"):
        parse(VERBS[verb], ["--config", str(path), "--device", "cpu"])


@pytest.mark.parametrize(
    ("verb", "presets"),
    [
        ("train", ["documented", "furniture", "tiny"]),
        ("embed", ["documented", "furniture", "tiny"]),
        ("submit", ["documented"]),
    ],
)
def test_presets_are_offered_where_they_work(verb, presets, capsys):
    with pytest.raises(SystemExit):
        parse(VERBS[verb], ["--help"], PRESETS)
    words = (
        capsys.readouterr()
        .out.partition("--config")[2][:200]
        .replace(",", " ")
        .replace(".", " ")
        .split()
    )
    assert [word for word in words if word in ("documented", "furniture", "tiny")] == presets

"""What of a model's folder a library gets to see."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from triform.base.errors import UserError
from triform.pretrained import model_folder
from triform.pretrained.model_folder import check_folder, checked_copy

TENSORS = {"a": torch.arange(3.0)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    files = {
        "config.json": {"model_type": "bert", "_name_or_path": "/home/somebody/x", "hidden": 3},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "vocab_file": "/etc/passwd"},
        "tokenizer.json": {"model": {"vocab": {"auto_map": 1, "file": 2}}},
        "modules.json": [{"idx": 0, "type": "sentence_transformers.models.Normalize"}],
        "generation_config.json": {"max_length": 3},
        "1_Pooling/config.json": {"pooling_mode_cls_token": True},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "vocab.txt").write_text("[PAD]\n")
    save_file(TENSORS, folder / "model.safetensors")
    return folder


def names(copy: Path) -> list[str]:
    return sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())


NEEDED = [
    "1_Pooling/config.json",
    "config.json",
    "model.safetensors",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]


def test_settings_words_and_weights_alone(folder):
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text("1/0")
    for name in ("modeling.py", "vocab.pkl", "chat_template.jinja", "pytorch_model.bin"):
        (folder / name).write_text("not for a library")
    os.mkfifo(folder / "weights.txt.part")
    with checked_copy(folder, pickled=True) as copy:
        assert names(copy) == NEEDED
        assert json.loads((copy / "config.json").read_text()) == {
            "model_type": "bert",
            "hidden": 3,
        }
        assert json.loads((copy / "tokenizer_config.json").read_text()) == {
            "tokenizer_class": "BertTokenizer"
        }
        for name in ("tokenizer.json", "vocab.txt"):
            assert (copy / name).read_bytes() == (folder / name).read_bytes()
        assert load_file(copy / "model.safetensors")["a"].tolist() == [0, 1, 2]
    assert not copy.exists() and (folder / "model.safetensors").is_file()


def test_links_of_the_hub_are_followed(folder, tmp_path):
    """The hub's cache keeps files elsewhere and links to them."""
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(f"../{name}")
    with checked_copy(folder, pickled=False) as copy:
        assert names(copy) == NEEDED
        assert load_file(copy / "model.safetensors")["a"].tolist() == [0, 1, 2]


def test_copies_where_links_cannot_be_made(folder, monkeypatch):
    monkeypatch.setattr(Path, "symlink_to", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    with checked_copy(folder, pickled=False) as copy:
        assert load_file(copy / "model.safetensors")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer_config.json",
        "open_clip_config.json",
        "preprocessor_config.json",
        "generation_config.json",
        "special_tokens_map.json",
        "sentence_bert_config.json",
        "config.4.0.0.json",
        "1_Pooling/config.json",
    ],
)
def test_every_file_of_settings_is_checked(folder, name):
    (folder / name).write_text(json.dumps({"deep": [{"auto_map": {"AutoModel": "a.B"}}]}))
    with (
        pytest.raises(UserError, match=rf"{name}: 'deep\.auto_map' is refused"),
        checked_copy(folder, pickled=True),
    ):
        pytest.fail("handed on")


@pytest.mark.parametrize("name", ["adapter_config.json", "model_index.json"])
def test_adapters_and_pipelines_are_refused(folder, name):
    (folder / name).write_text('{"base_model_name_or_path": ""}')
    with pytest.raises(UserError, match=name), checked_copy(folder, pickled=True):
        pytest.fail("handed on")
    with pytest.raises(UserError, match=name):
        check_folder(folder)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("[" * 100_000, "no JSON"),
        ("{", "no JSON"),
        ("3", "settings by name"),
        ("\udcff", "no JSON"),
        (f'{{"a": {"9" * 5000}}}', "no JSON"),
    ],
)
def test_what_is_no_settings(folder, content, match):
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with (
        pytest.raises(UserError, match=rf"config\.json: .*{match}") as actual,
        checked_copy(folder, pickled=True),
    ):
        pytest.fail("handed on")
    assert "\n" not in str(actual.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocab.txt"])
def test_sizes_are_limited(folder, name, monkeypatch):
    monkeypatch.setattr(model_folder, "MAX_SETTINGS", 1000)
    monkeypatch.setattr(model_folder, "MAX_DATA", 1000)
    (folder / name).write_text(" " * 1001)
    with pytest.raises(UserError, match=name), checked_copy(folder, pickled=True):
        pytest.fail("handed on")


def test_a_fifo_is_no_settings(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(UserError, match=r"config\.json"), checked_copy(folder, pickled=True):
        pytest.fail("waited for a writer")


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/x.safetensors", "a/b.safetensors", "x.bin", 3]
)
def test_an_index_names_files_of_its_folder(folder, name):
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "model.safetensors"}}))
    with checked_copy(folder, pickled=False) as copy:
        assert "model.safetensors.index.json" in names(copy)
    path.write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": name}}))
    with (
        pytest.raises(UserError, match=r"index\.json: .* is no"),
        checked_copy(folder, pickled=False),
    ):
        pytest.fail("handed on")


def test_pickled_weights_become_safetensors_where_that_is_wanted(folder):
    (folder / "model.safetensors").unlink()
    for name, value in (("aaa.pth", 1.0), ("pytorch_model.bin", 2.0), ("model.pth", 3.0)):
        torch.save({"a": torch.tensor(value)}, folder / name)
    with checked_copy(folder, pickled=True) as copy:
        assert names(copy) == NEEDED
        assert load_file(copy / "model.safetensors")["a"] == 2
    with checked_copy(folder, pickled=False) as copy:
        assert not list(copy.glob("*.safetensors"))
    os.mkfifo(folder / "open_clip_pytorch_model.bin")  # nobody waits for a writer
    with checked_copy(folder, pickled=True) as copy:
        assert load_file(copy / "model.safetensors")["a"] == 2

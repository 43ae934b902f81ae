"""Names of encoders that a file may give, and those that only the user may."""

import ast

import pytest

from triform import systems
from triform.base.errors import UserError
from triform.pretrained.named_models import (
    IMAGE_ENCODERS,
    TEXT_ENCODERS,
    check_named_file,
    is_known,
    select_model,
)
from triform.systems.retrieval.verb_config import DOCUMENTED_ENCODER

FOREIGN = (
    "./folder",
    "folder",
    "/tmp/folder",
    "~/folder",
    "../minilm",
    "hf-hub:minilm",
    "minilm/",
    "somebody/model",
    "local-dir:minilm",
    "MINILM",
    "minilm ",
    "",
    "clip\n",
    "open_clip:./folder",
    "random:hf-hub:a/b",
    "random:/tmp",
    "timm:hf-hub:a/b",
    "https://example.org/minilm",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_names_need_the_user(name):
    for kind, flag in (("text encoder", "--text_encoder"), ("image encoder", "--image_encoder")):
        assert not is_known(name, kind)
        with pytest.raises(UserError, match=f"model.pth: names the {kind} .*{flag}") as actual:
            select_model(None, name, kind, source="model.pth")
        assert "\n" not in str(actual.value)
        assert select_model(name or "x", "minilm", kind, source="model.pth") == (name or "x")
        if name:
            assert select_model(name, "anything", kind, source="model.pth") == name


def test_known_names_are_the_files_to_choose():
    for name in TEXT_ENCODERS:
        assert select_model("", name, "text encoder", source="model.pth") == name
    for name in (*IMAGE_ENCODERS, f"timm:{DOCUMENTED_ENCODER}", "random:resnet18", "small"):
        assert select_model(None, name, "image encoder", source="model.pth") == name
    assert not is_known("minilm", "image encoder") and not is_known("resnet50", "text encoder")


def test_what_will_be_loaded_is_said(caplog, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("triform"), "propagate", True)
    caplog.set_level("INFO")
    select_model(None, "clip", "text encoder", source="model.pth")
    select_model("./mine", "clip", "text encoder", source="model.pth")
    assert list(dict.fromkeys(caplog.messages)) == [  # pytest may hear them twice
        "text encoder 'clip': to be loaded as model.pth says",
        "text encoder './mine': to be loaded as --text_encoder says",
    ]


def test_long_names_are_cut():
    with pytest.raises(UserError) as actual:
        select_model(None, "x" * 10_000, "text encoder", source="model.pth")
    assert len(str(actual.value)) < 400


def test_files_of_weights():
    check_named_file("", source="model.pth", flag="--encoder_weights")
    with pytest.raises(UserError, match=r"names the file of weights 'a\.pth'.*--encoder_weights"):
        check_named_file("a.pth", source="model.pth", flag="--encoder_weights")


LOADERS = ("load_text_encoder", "load_image_encoder", "load_feature_maps")
BY_THE_USER = {
    ("voxel_gan/system.py", "__init__"): "settings of train, see Config.named_models",
    ("voxel_gan/analysis.py", "analyze"): "--text_encoder",
    ("retrieval/system.py", "__init__"): "settings of train, see Config.named_models",
    ("retrieval/documented/embed_images.py", "embed"): "--image_encoder",
    ("captioner/encoders.py", "load_encoder"): "settings of train, or what load_frozen selected",
    ("clip/data.py", "make_text_inputs"): "settings of train, see Config.named_models",
    ("shape_flow/texts.py", "load_token_encoder"): "settings of train, or what trained selected",
    ("shap_e/conditions.py", "__init__"): "settings of train, or what trained selected",
    ("shap_e/data.py", "load_conditions"): "settings of train, see Config.named_models",
    ("text_to_image/text_embedding.py", "load_encoder"): "settings of train, or what "
    "load_trained_encoder selected",
}
"""Functions that load an encoder without asking `select_model`: whose word the name is."""


def called(node: ast.AST) -> set[str]:
    """Names of the functions that are called, but those that make a network without weights."""
    return {
        call.func.id
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and not any(word.arg in ("empty", "pretrained") for word in call.keywords)
    }


def test_every_system_asks_before_it_loads():
    unasked, actual = set(), set()
    for path in systems.FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and called(node) & set(LOADERS):
                position = (path.relative_to(systems.FOLDER).as_posix(), node.name)
                actual.add(position)
                if "select_model" not in called(node):
                    unasked.add(position)
    assert unasked == set(BY_THE_USER) and len(actual) > len(unasked)


@pytest.mark.parametrize(
    ("system", "group", "name"),
    [
        ("voxel_gan", "model", "text_encoder"),
        ("retrieval", "model", "text_encoder"),
        ("captioner", "model", "encoder"),
        ("captioner", "model", "encoder_weights"),
        ("clip", "model", "text_encoder"),
        ("shape_flow", "model", "text_encoder"),
        ("shap_e", "model", "text_encoder"),
        ("shap_e", "model", "image_encoder"),
        ("text_to_image", "model", "text_encoder"),
        ("text_to_image", "model", "clip"),
    ],
)
def test_settings_that_name_a_model_are_declared(system, group, name):
    """So that a run that is gone on with cannot name one; the flag is the one of train."""
    config = systems.load(system).config.Config
    kind, flag = config.named_models[group, name]
    assert flag == f"--{name}" and kind
    assert name in config.model_fields[group].annotation.model_fields

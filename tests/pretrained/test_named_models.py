"""Names of encoders that a file may give, and those that only the user may."""

import pytest

from triform.base.errors import UserError
from triform.pretrained.named_models import (
    IMAGE_ENCODERS,
    TEXT_ENCODERS,
    check_named_file,
    is_known,
    select_model,
)
from triform.systems.retrieval.verbs import DOCUMENTED_ENCODER

FOREIGN = (
    "./folder", "folder", "/tmp/folder", "~/folder", "../minilm", "hf-hub:minilm", "minilm/",
    "somebody/model", "local-dir:minilm", "MINILM", "minilm ", "", "clip\n", "open_clip:./folder",
    "random:hf-hub:a/b", "random:/tmp", "timm:hf-hub:a/b", "https://example.org/minilm",
)  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_names_need_the_user(name):
    for kind, flag in (("text encoder", "--text_encoder"), ("image encoder", "--image_encoder")):
        assert not is_known(name, kind)
        with pytest.raises(UserError, match=f"model.pth: names the {kind} .*{flag}") as seen:
            select_model(None, name, kind, source="model.pth")
        assert "\n" not in str(seen.value)
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
    assert caplog.messages == [
        "text encoder 'clip': to be loaded as model.pth says",
        "text encoder './mine': to be loaded as --text_encoder says",
    ]


def test_long_names_are_cut():
    with pytest.raises(UserError) as seen:
        select_model(None, "x" * 10_000, "text encoder", source="model.pth")
    assert len(str(seen.value)) < 400


def test_files_of_weights():
    check_named_file("", source="model.pth", flag="--encoder_weights")
    with pytest.raises(UserError, match=r"names the file of weights 'a\.pth'.*--encoder_weights"):
        check_named_file("a.pth", source="model.pth", flag="--encoder_weights")

"""Which settings of other people's models are refused, wherever they stand."""

import json
from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.pretrained.model_settings import (
    DROPPED,
    MAX_DEPTH,
    REFUSED,
    check_model_type,
    check_settings,
)

PATH = Path("folder/config.json")


def nested(key, value):
    return [{key: value}, {"text_cfg": {key: value}}, {"parts": [{"a": 1}, {"deep": {key: value}}]}]


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_refused_at_any_depth_by_name(key):
    for settings in nested(key, {"AutoModel": "code.Model"}):
        with pytest.raises(
            UserError, match=rf"folder/config\.json: '.*{key}' is refused"
        ) as actual:
            check_settings(settings, PATH)
        assert "\n" not in str(actual.value)


@pytest.mark.parametrize("key", sorted(REFUSED))
@pytest.mark.parametrize("empty", [None, False, "", [], {}])
def test_what_is_empty_asks_for_nothing(key, empty):
    for settings in nested(key, empty):
        assert check_settings(settings, PATH) == settings


@pytest.mark.parametrize(
    "key",
    [
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "experts_implementation",
        "_experts_implementation_internal",
    ],
)
def test_attention_may_be_named_but_not_fetched(key):
    for value in ("sdpa", "eager", {"text_config": "flex_attention"}, None):
        assert check_settings({key: value}, PATH) == {key: value}
    for value in ("somebody/kernel", "flash_attention_2", {"text_config": "a/b"}, "other"):
        with pytest.raises(UserError, match="compiled code"):
            check_settings({"text_config": {key: value}}, PATH)


@pytest.mark.parametrize(
    "value",
    [
        "hf-hub:somebody/model",
        "local-dir:/tmp/x",
        "/tmp/x",
        "../x",
        "https://a.b/c",
        "a/b/c",
        ["a:b"],
    ],
)
def test_names_are_names(value):
    for key in ("timm_model_name", "hf_tokenizer_name", "architecture", "tokenizer_class"):
        with pytest.raises(UserError, match=f"{key}' is refused"):
            check_settings({"vision_cfg": {key: value}}, PATH)
    for settings in (
        {"timm_model_name": "vit_base_patch16_224.augreg"},
        {"hf_tokenizer_name": "somebody/model"},
        {"tokenizer_class": "BertTokenizer"},
    ):
        assert check_settings(settings, PATH) == settings


def test_where_timm_looks_for_weights():
    for key in ("url", "file", "source", "hf_hub_id", "hf_hub_filename"):
        for settings in (
            {"architecture": "resnet18", "pretrained_cfg": {key: "somewhere"}},
            {"architecture": "resnet18", key: "somewhere"},
        ):
            with pytest.raises(UserError, match=f"{key}' is refused"):
                check_settings(settings, PATH)
    # The same words mean other things elsewhere.
    for settings in ({"label2id": {"file": 1, "url": 2}}, {"model_type": "bert", "source": "x"}):
        assert check_settings(settings, PATH) == settings


def test_words_for_the_constructor_of_timm():
    plain = {"img_size": [32, 32], "global_pool": "", "act_layer": "quick_gelu", "scale": 0.5}
    settings = {"architecture": "x", "pretrained_cfg": {}, "model_args": plain}
    assert check_settings(settings, PATH) == settings
    for value in ("hf-hub:a/b", "/tmp", {"deep": ["a", "x:y"]}):
        with pytest.raises(UserError, match="model_args' is refused"):
            check_settings({**settings, "model_args": {"word": value}}, PATH)


def test_places_on_somebodys_disk_are_left_out():
    """Published models have them: `special_tokens_map_file` of sentence-transformers, for one."""
    settings = {name: "/somewhere/file" for name in DROPPED}
    assert check_settings({"model_type": "bert", **settings}, PATH) == {"model_type": "bert"}


def test_depth_is_bounded():
    deep: dict = {}
    for _ in range(MAX_DEPTH + 2):
        deep = {"a": deep}
    with pytest.raises(UserError, match="deep"):
        check_settings(deep, PATH)
    with pytest.raises(UserError, match="settings by name"):
        check_settings("text", PATH)


def test_kinds_of_text_models():
    for kind in ("bert", "mpnet", "xlm-roberta", "clip", "siglip", "t5"):
        check_model_type({"model_type": kind}, PATH)
    for kind in (
        "rag",
        "yoso",
        "mra",
        "transfo-xl",
        "timm_wrapper",
        "lightglue",
        "encoder-decoder",
        None,
        ["bert"],
    ):
        with pytest.raises(UserError, match="model_type"):
            check_model_type(json.loads(json.dumps({"model_type": kind})), PATH)

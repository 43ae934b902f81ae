"""Settings of downloaded models that must not reach a library.

The effect of each key was read in the sources of transformers, open_clip, timm, diffusers and PEFT.
"""

import re
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.printable import shorten

CODE = "it makes a library run code that comes with the model"
FETCH = "it makes a library fetch another model"
ELSEWHERE = "it names a file or an address elsewhere"
_CODE_KEYS = (
    # transformers, diffusers, PEFT: Python files of the folder or of a repository
    *("auto_map", "trust_remote_code", "custom_pipeline", "custom_pipelines", "custom_generate"),
    *("custom_tokenizers", "custom_object", "code_revision", "auto_mapping", "remote_code"),
    # open_clip hands these to a tokenizer of transformers as they are
    *("tokenizer_kwargs", "processor_kwargs"),
    # transformers: how a tokenizer is made, position by position
    *("init_inputs", "sp_model_kwargs"),
    # transformers: compiled kernels from the hub, code of other packages
    *("use_kernels", "kernel_config", "kernel_mapping", "fusion_config", "quantization_config"),
    *("compression_config", "model_kwargs"),
    "_from_pipeline",
)
_FETCH_KEYS = (
    # open_clip, transformers, timm: another model inside this one
    *("hf_model_name", "timm_model_pretrained", "backbone", "use_pretrained_backbone"),
    *("use_timm_backbone", "backbone_kwargs", "base_model_name_or_path", "text_model_name_or_path"),
    *("vision_model_name_or_path", "peft_type"),
    # timm: where its weights lie, and formats of others
    *("hf_hub_id", "hf_hub_filename"),
)
_ELSEWHERE_KEYS = (
    # timm, transformers: weights by another way, or in the format of another program
    *("custom_load", "state_dict", "checkpoint_path", "transformers_weights", "gguf_file"),
)
REFUSED: dict[str, str] = {
    **dict.fromkeys(_CODE_KEYS, CODE),
    **dict.fromkeys(_FETCH_KEYS, FETCH),
    **dict.fromkeys(_ELSEWHERE_KEYS, ELSEWHERE),
    "_class_name": "it is a part of a pipeline of diffusers",
}
"""Key -> what it does; refused unless empty (None, false, "", [], {})."""
SOURCES = ("url", "file", "source", "hf_hub_id", "hf_hub_filename")
"""Refused in what timm calls a `pretrained_cfg`; elsewhere the words mean other things."""
_DROPPED = """
    _name_or_path name_or_path _commit_hash tokenizer_file vocab_file merges_file spm_file
    special_tokens_map_file added_tokens_file tokenizer_config_file chat_template_file
    chat_template fast_tokenizer_files configuration_files
"""
DROPPED = frozenset(_DROPPED.split())
"""Removed from settings: paths on the disk of whoever saved them."""
ATTENTION = ("eager", "sdpa", "flex_attention", "batched_mm", "grouped_mm")
"""Implementations of attention that come with transformers and torch.

Names with a slash are repositories of compiled code, and for those that begin with `flash` the
library looks there too where their package is not installed.
"""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]*")
_MODEL_TYPES = """
    albert align altclip bart bert bert-generation big_bird bigbird_pegasus bloom camembert
    canine chinese_clip clap clip clip_text_model clipseg clvp codegen cohere cohere2 convbert
    ctrl data2vec-text deberta deberta-v2 distilbert dpr electra ernie esm eurobert falcon
    flaubert flava fnet funnel gemma gemma2 gemma3_text glm glm4 gpt2 gpt_neo gpt_neox gptj
    granite groupvit gte ibert jina_embeddings_v3 led lilt llama longformer longt5 luke m2m_100
    marian mbart megatron-bert metaclip_2 ministral mistral mixtral mobilebert modernbert
    modernbert-decoder mpnet mpt mt5 mvp nllb-moe nomic_bert nystromformer olmo olmo2 olmo3
    openai-gpt opt owlv2 owlvit pegasus pegasus_x phi phi3 plbart prophetnet qwen2 qwen2_moe
    qwen3 qwen3_moe reformer rembert roberta roberta-prelayernorm roc_bert roformer siglip
    siglip2 siglip2_text_model siglip_text_model splinter squeezebert stablelm
    switch_transformers t5 t5gemma umt5 xglm xlm xlm-roberta xlm-roberta-xl xlnet xmod
"""
MODEL_TYPES = frozenset(_MODEL_TYPES.split())
"""Text models of transformers that use only the library's code and their own weights.

`mra` and `yoso` are not among them: they bring compiled code from the hub.
"""
MAX_DEPTH = 50


def check_settings(content: Any, path: Path) -> Any:
    """Check settings read from JSON; returns them without paths of former files.

    Args:
        content: What the file holds.
        path: The file, for messages.

    Raises:
        UserError: A key asks for code, for another model or for a file elsewhere.
    """
    if not isinstance(content, dict | list):
        raise UserError(f"{path}: expected settings by name")
    if isinstance(content, dict):
        _check_timm(content, path)
    return _check(content, path, "", 0)


def check_model_type(settings: Any, path: Path) -> None:
    """Refuse models of transformers other than plain text models.

    Some read pickles beside their weights, some load other models by name.

    Raises:
        UserError: Another kind of model, or none is named.
    """
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        raise UserError(
            f"{path}: model_type {str(kind)[:60]!r} is not among the text models that are loaded, "
            "such as bert, roberta, mpnet, t5, clip or siglip"
        )


def _check(value: Any, path: Path, key_path: str, depth: int) -> Any:
    """Check one value and everything below it."""
    if depth > MAX_DEPTH:
        raise UserError(f"{path}: settings more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return [_check(each, path, key_path, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    checked = {}
    for key, each in value.items():
        path_of_key = f"{key_path}.{key}" if key_path else key
        _check_key(key, each, path, path_of_key)
        if key not in DROPPED:
            checked[key] = _check(each, path, path_of_key, depth + 1)
    return checked


def _check_key(key: str, value: Any, path: Path, key_path: str) -> None:
    if value in (None, False, "", [], {}):
        return
    if key in REFUSED:
        _refuse(path, key_path, REFUSED[key])
    if "_implementation" in key and not _is_plain_attention(value):
        _refuse(path, key_path, f"{shorten(repr(value))} is a repository of compiled code")
    is_name = key in ("timm_model_name", "hf_tokenizer_name", "architecture", "tokenizer_class")
    if is_name and not _is_plain(value, slash=key == "hf_tokenizer_name"):
        _refuse(path, key_path, f"{shorten(repr(value))}: {ELSEWHERE}")


def _check_timm(content: dict[str, Any], path: Path) -> None:
    """Check timm's `config.json`: sources of weights, and arguments of its constructors."""
    pretrained_cfg = content.get("pretrained_cfg")
    # Older files hold the same keys without the group.
    if pretrained_cfg is None and "architecture" in content and "model_type" not in content:
        pretrained_cfg = content
    if isinstance(pretrained_cfg, dict):
        for key in SOURCES:
            if pretrained_cfg.get(key):
                _refuse(path, key, ELSEWHERE)
    arguments = content.get("model_args")
    if arguments and not (
        isinstance(arguments, dict) and all(_is_plain(each) for each in arguments.values())
    ):
        _refuse(path, "model_args", ELSEWHERE)


def _is_plain(value: Any, *, slash: bool = False) -> bool:
    """Whether a value is plain: numbers, booleans, names without a path, and lists of these."""
    if isinstance(value, list):
        return all(_is_plain(each) for each in value)
    if isinstance(value, dict):
        return all(_is_plain(each) for each in value.values())
    if isinstance(value, str):
        parts = value.split("/") if slash else [value]
        return not value or (len(parts) <= 2 and all(map(PLAIN_NAME.fullmatch, parts)))
    return value is None or isinstance(value, bool | int | float)


def _is_plain_attention(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain_attention(each) for each in value.values())
    return value in (None, True, False, "") or value in ATTENTION


def _refuse(path: Path, key_path: str, reason: str) -> None:
    raise UserError(f"{path}: {shorten(key_path, 120)!r} is refused: {reason}")

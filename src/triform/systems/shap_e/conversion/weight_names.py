"""Names of tensors in the files of Shap-E, of diffusers and here; each way loses nothing.

The prior: `transformer.NAME` here is `NAME` of diffusers; Shap-E keeps queries, keys and values of
a head together (`wrapped.backbone.resblocks.0.attn.c_qkv`).

| encoder and decoder here | `transmitter.pt` (`vector_decoder.pt` lacks the first `encoder.`) |
|---|---|
| `encoder.NAME` | `encoder.NAME` |
| `decoder.params_proj.0.NAME` | `encoder.params_proj.projections.nerstf__mlp__0__weight.NAME` |
| `decoder.biases.0` | `renderer.nerstf.mlp.0.bias` |
| `decoder.layers.0.NAME` | `renderer.nerstf.mlp.4.NAME` |

What has no counterpart (initial values of generated weights, the background) is kept apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

Tensors = dict[str, Tensor]

_PRIOR = {
    "time_embed.c_fc": "time_embedding.linear_1",
    "time_embed.c_proj": "time_embedding.linear_2",
    "input_proj": "proj_in",
    "ln_pre": "norm_in",
    "ln_post": "norm_out",
    "output_proj": "proj_to_clip_embeddings",
}
_BLOCK = {
    "ln_1": "norm1",
    "ln_2": "norm3",
    "attn.c_proj": "attn1.to_out.0",
    "mlp.c_fc": "ff.net.0.proj",
    "mlp.c_proj": "ff.net.2",
}
_QKV = ("attn1.to_q", "attn1.to_k", "attn1.to_v")
_ADDED = ("clip_mean", "clip_std")
_WRAPPED = "wrapped."


def is_original_prior(tensors: Mapping[str, object]) -> bool:
    """Whether a file of Shap-E holds a prior."""
    return "wrapped.pos_emb" in tensors


def prior_from_original(tensors: Mapping[str, Tensor], heads: int) -> Tensors:
    """Tensors of diffusers' prior from those of Shap-E's.

    Args:
        tensors: Of `text_cond.pt` or `image_cond.pt`.
        heads: Attention heads.

    Raises:
        ValueError: A name that no prior has.
    """
    image = "wrapped.clip_embed.1.weight" in tensors
    result: Tensors = {}
    for name, tensor in tensors.items():
        key = name.removeprefix(_WRAPPED)
        stem, _, leaf = key.rpartition(".")
        if key == "pos_emb":
            result["positional_embedding"] = tensor[None]
        elif match := re.fullmatch(r"backbone\.resblocks\.(\d+)\.(.+)", stem):
            prefix = f"transformer_blocks.{match[1]}"
            if match[2] == "attn.c_qkv":
                parts = tensor.unflatten(0, (heads, 3, -1)).unbind(1)
                for target, part in zip(_QKV, parts, strict=True):
                    result[f"{prefix}.{target}.{leaf}"] = part.flatten(0, 1).contiguous()
            else:
                result[f"{prefix}.{_renamed(_BLOCK, match[2], name)}.{leaf}"] = tensor
        elif image and stem in ("clip_embed.0", "clip_embed.1"):
            target = "embedding_proj_norm" if stem.endswith("0") else "embedding_proj"
            result[f"{target}.{leaf}"] = tensor
        elif stem == "clip_embed":
            result[f"embedding_proj.{leaf}"] = tensor
        else:
            result[f"{_renamed(_PRIOR, stem, name)}.{leaf}"] = tensor
    width = result["proj_to_clip_embeddings.bias"].shape[0]
    return {**result, **{name: torch.zeros(1, width) for name in _ADDED}}


def prior_to_original(tensors: Mapping[str, Tensor], heads: int) -> Tensors:
    """Tensors of Shap-E's prior from those of diffusers'; see `prior_from_original`."""
    image = "embedding_proj_norm.weight" in tensors
    names = {new: old for old, new in _PRIOR.items()}
    blocks = {new: old for old, new in _BLOCK.items()}
    result: Tensors = {}
    for name, tensor in tensors.items():
        stem, _, leaf = name.rpartition(".")
        if name in _ADDED:
            continue
        if name == "positional_embedding":
            result["wrapped.pos_emb"] = tensor[0]
        elif match := re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", stem):
            prefix = f"wrapped.backbone.resblocks.{match[1]}"
            if match[2] == _QKV[0]:
                parts = [
                    tensors[f"transformer_blocks.{match[1]}.{each}.{leaf}"].unflatten(
                        0, (heads, -1)
                    )
                    for each in _QKV
                ]
                result[f"{prefix}.attn.c_qkv.{leaf}"] = torch.stack(parts, 1).flatten(0, 2)
            elif match[2] not in _QKV:
                result[f"{prefix}.{_renamed(blocks, match[2], name)}.{leaf}"] = tensor
        elif stem == "embedding_proj_norm":
            result[f"wrapped.clip_embed.0.{leaf}"] = tensor
        elif stem == "embedding_proj":
            result[f"wrapped.clip_embed{'.1' * image}.{leaf}"] = tensor
        else:
            result[f"wrapped.{_renamed(names, stem, name)}.{leaf}"] = tensor
    return result


def transmitter_from_original(tensors: Mapping[str, Tensor]) -> tuple[Tensors, Tensors]:
    """Our tensors of encoder and decoder from those of Shap-E, and those that have no counterpart.

    Raises:
        ValueError: It is neither `transmitter.pt` nor `vector_decoder.pt`.
    """
    generated = len(_generated(tensors))
    if not generated:
        raise ValueError("it has no params_proj of a transmitter")
    result: Tensors = {}
    rest: Tensors = {}
    for name, tensor in tensors.items():
        projection = re.fullmatch(
            r"(?:encoder\.)?params_proj\.projections\.nerstf__mlp__(\d+)__weight\.(.+)", name
        )
        layer = re.fullmatch(r"renderer\.nerstf\.mlp\.(\d+)\.(weight|bias)", name)
        if projection:
            result[f"decoder.params_proj.{projection[1]}.{projection[2]}"] = tensor
        elif layer and int(layer[1]) >= generated:
            result[f"decoder.layers.{int(layer[1]) - generated}.{layer[2]}"] = tensor
        elif layer and layer[2] == "bias":
            result[f"decoder.biases.{layer[1]}"] = tensor
        elif name.startswith("encoder."):
            result[_encoder_name(name)] = tensor
        else:
            rest[name] = tensor
    return result, rest


def transmitter_to_original(tensors: Mapping[str, Tensor], rest: Mapping[str, Tensor]) -> Tensors:
    """Tensors of Shap-E from ours and those without counterpart."""
    generated = sum(name.startswith("decoder.biases.") for name in tensors)
    has_encoder = any(name.startswith("encoder.") for name in tensors)
    prefix = "encoder." * has_encoder
    single = "encoder.encoder.1.resblocks.0.ln_1.weight" not in tensors
    result: Tensors = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"decoder\.params_proj\.(\d+)\.(.+)", name):
            key = f"nerstf__mlp__{match[1]}__weight.{match[2]}"
            result[f"{prefix}params_proj.projections.{key}"] = tensor
        elif match := re.fullmatch(r"decoder\.biases\.(\d+)", name):
            result[f"renderer.nerstf.mlp.{match[1]}.bias"] = tensor
        elif match := re.fullmatch(r"decoder\.layers\.(\d+)\.(.+)", name):
            result[f"renderer.nerstf.mlp.{int(match[1]) + generated}.{match[2]}"] = tensor
        else:
            key = name.replace("encoder.view_tokens.", "encoder.")
            result[
                re.sub(r"^encoder\.encoder\.0\.", "encoder.encoder.", key) if single else key
            ] = tensor
    return {**result, **rest}


def _generated(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the projections of a transmitter."""
    pattern = r"(encoder\.)?params_proj\.projections\.nerstf__mlp__\d+__weight\.proj\.weight"
    return [name for name in tensors if re.fullmatch(pattern, name)]


def _encoder_name(name: str) -> str:
    """Our name of a tensor of the encoder."""
    if name.startswith(("encoder.mv_pcl_embed.", "encoder.patch_emb.")):
        return name.replace("encoder.", "encoder.view_tokens.", 1)
    return re.sub(r"^encoder\.encoder\.resblocks", "encoder.encoder.0.resblocks", name)


def _renamed(names: Mapping[str, str], stem: str, name: str) -> str:
    if stem not in names:
        raise ValueError(f"{name} belongs to no prior of Shap-E")
    return names[stem]

"""Settings of encoder and decoder from Shap-E's `transmitter_config.yaml`, or from tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
from torch import Tensor

from triform.base.errors import UserError
from triform.systems.shap_e.config import TransmitterConfig

ENCODER = "PointCloudPerceiverChannelsEncoder"
_INPUTS = {"pcl": "points", "pcl_and_multiview_pcl": "points_and_views"}
_ENCODER_NAMES = {
    "width": "encoder_width",
    "layers": "encoder_layers",
    "xattn_layers": "cross_layers",
    "heads": "encoder_heads",
    "data_ctx": "data_tokens",
    "max_unrolls": "unrolls",
    "d_latent": "latent_width",
    "use_pointconv": "use_point_conv",
    "pointconv_radius": "point_conv_radius",
    "pointconv_samples": "point_conv_samples",
    "pointconv_hidden": "point_conv_hidden",
    "pointconv_patch_size": "point_conv_patch",
    "pointconv_stride": "point_conv_stride",
    "fps_method": "fps_method",
    "image_size": "view_size",
    "patch_size": "view_patch",
    "max_depth": "max_depth",
}
_IGNORED = {
    *("name", "min_unrolls", "init_scale", "latent_bottleneck", "latent_warp", "use_depth"),
    *("params_proj", "cross_attention_dataset", "inner_batch_size", "pos_emb", "pose_dropout"),
    *("input_channels", "device", "pointconv_padding_mode"),
}
_NETWORK_NAMES = {
    "d_hidden": "hidden",
    "n_hidden_layers": "hidden_layers",
    "n_meta_layers": "generated_layers",
    "insert_direction_at": "direction_layer",
    "density_activation": "density_activation",
}
_RENDERER_NAMES = {
    "grid_size": "grid_size",
    "n_coarse_samples": "coarse_samples",
    "n_fine_samples": "fine_samples",
}


def transmitter_config(content: Mapping[str, Any], path: Path) -> TransmitterConfig:
    """Settings by Shap-E's own file.

    Raises:
        UserError: It describes networks that are not offered here.
    """
    encoder, renderer = content.get("encoder"), content.get("renderer")
    if not isinstance(encoder, Mapping) or not isinstance(renderer, Mapping):
        raise UserError(f"{path}: no encoder and renderer in it, expected a Transmitter of Shap-E")
    network = renderer.get("nerstf")
    kind = encoder.get("cross_attention_dataset", "pcl")
    sizes = encoder.get("inner_batch_size", 1)
    sizes = sizes if isinstance(sizes, list) else [sizes]
    _require(path, "encoder.name", encoder.get("name"), (ENCODER,))
    _require(path, "encoder.cross_attention_dataset", kind, tuple(_INPUTS))
    _require(path, "encoder.latent_warp", _name(encoder.get("latent_warp")), ("identity",))
    _require(path, "encoder.params_proj", _name(encoder.get("params_proj")), ("channels",))
    _require(
        path,
        "encoder.pointconv_padding_mode",
        encoder.get("pointconv_padding_mode", "zeros"),
        ("zeros",),
    )
    _require(path, "renderer.name", renderer.get("name"), ("NeRSTFRenderer",))
    if not isinstance(network, Mapping):
        raise UserError(f"{path}: renderer.nerstf is missing, other renderers are not offered")
    unknown = encoder.keys() - _ENCODER_NAMES.keys() - _IGNORED
    if unknown:
        raise UserError(f"{path}: encoder.{min(unknown)} is not known here")
    projection = encoder.get("params_proj", {})
    values: dict[str, Any] = {
        "encoder_input": _INPUTS[str(kind)],
        "inner_points": sizes[0],
        "position_encoding": encoder.get("pos_emb") is not None,
        "projection_scale": projection.get("learned_scale") or 1.0,
    }
    if len(sizes) > 1:
        values["inner_views"] = sizes[1]
    for source, names in (
        (encoder, _ENCODER_NAMES),
        (network, _NETWORK_NAMES),
        (renderer, _RENDERER_NAMES),
    ):
        values |= {
            ours: source[name] for name, ours in names.items() if source.get(name) is not None
        }
    try:
        return TransmitterConfig.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {where}: {first['msg']}") from None


def transmitter_from_shapes(tensors: Mapping[str, Tensor]) -> TransmitterConfig:
    """Settings of a decoder alone, which all follow from the shapes of its tensors.

    Raises:
        ValueError: A tensor is missing.
    """
    generated = sum(name.startswith("decoder.biases.") for name in tensors)
    rest = sum(name.startswith("decoder.layers.") and name.endswith(".weight") for name in tensors)
    hidden = len(tensors["decoder.biases.0"])
    widths = [tensors[f"decoder.layers.{index}.weight"].shape[1] for index in range(rest)]
    direction = next((i for i, width in enumerate(widths) if width != hidden), None)
    if direction is None:
        raise ValueError("its network gets no direction")
    return TransmitterConfig(
        hidden=hidden,
        hidden_layers=generated + rest - 1,
        generated_layers=generated,
        direction_layer=generated + direction,
        latent_width=tensors["decoder.params_proj.0.proj.weight"].shape[1],
    )


def _require(path: Path, name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{path}: {name} is {value!r}, here {' or '.join(allowed)}")


def _name(value: object) -> object:
    """Name in a part of the settings; the identity where it is left out."""
    return value.get("name") if isinstance(value, Mapping) else "identity"

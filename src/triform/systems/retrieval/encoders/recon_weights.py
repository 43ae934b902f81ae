"""Reads published ReCon++ weights, and those of the original retrieval program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from triform.base.errors import UserError
from triform.systems.retrieval.encoders.recon import SHAPES, ReCon, ReConShape

PRETRAINING_ONLY = re.compile(r"model\.(decoder|decoder_pos_embed|norm)\.")
"""Modules of a published file that the encoder lacks: the decoder, and a norm that is not used."""
HEAD_DIM = 64
"""Channels of an attention head, the same at every published size."""


def official_state(content: object, source: Path | str) -> dict[str, Tensor]:
    """Extract the encoder's state dict from the content of a file.

    Supported are the published files (`base_model`, prefix `module.`), bare state dicts of the
    original program, and our own `pc_encoder_recall@K_*.pth`.

    Raises:
        UserError: There is no ReCon++ encoder in it.
    """
    for key in ("base_model", "model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise UserError(f"{source}: no ReCon++ weights in it (neither base_model nor tensors)")
    state = {key.removeprefix("module."): value for key, value in content.items()}
    if "model.global_query" not in state or "img_proj.weight" not in state:
        raise UserError(f"{source}: no ReCon++ weights in it (no model.global_query)")
    return {key: value for key, value in state.items() if not PRETRAINING_ONLY.match(key)}


def shape_of(state: Mapping[str, Tensor], source: Path | str) -> ReConShape:
    """Infer the sizes from the tensors; groups and queries, which no tensor shows, as published.

    Raises:
        UserError: Tensors are missing.
    """
    layers = [int(m[1]) for key in state if (m := re.search(r"local_blocks\.(\d+)\.", key))]
    try:
        width = state["model.global_query"].shape[2]
        queries = state["model.global_query"].shape[1]
        hidden_dim = state["model.encoder.blocks.local_blocks.0.mlp.fc1.weight"].shape[0]
        channels = state["model.embed.first_conv.0.weight"].shape[1]
        return replace(
            SHAPES["large"],
            embed_dim=width,
            depth=_depth(layers, len(state)),
            num_heads=max(1, width // HEAD_DIM),
            mlp_ratio=hidden_dim / width,
            layer_scale=1e-5 if "model.encoder.blocks.local_blocks.0.ls1.gamma" in state else 0.0,
            img_queries=queries - 3 if queries > 3 else queries,
            text_queries=3 if queries > 3 else 0,
            out_dim=state["img_proj.weight"].shape[0],
            with_color=channels == 6,
            patch_widths=(
                state["model.embed.first_conv.0.weight"].shape[0],
                state["model.embed.first_conv.3.weight"].shape[0],
                state["model.embed.second_conv.0.weight"].shape[0],
            ),
        )
    except (KeyError, IndexError, ValueError, ArithmeticError) as error:
        raise UserError(f"{source}: ReCon++ weights with parts missing ({error})") from error


def _depth(layers: list[int], tensors: int) -> int:
    """Number of blocks, from their indices in the names of `tensors` tensors."""
    depth = max(layers) + 1
    if depth > tensors:
        raise ValueError(f"block {depth - 1} of {tensors} tensors")
    return depth


def load_into(encoder: ReCon, state: Mapping[str, Tensor], source: Path | str) -> None:
    """Load weights into an encoder; every tensor must be present and of the right shape.

    Raises:
        UserError: A tensor is missing, unknown or of another shape.
    """
    current = encoder.state_dict()
    for key, tensor in current.items():
        if key not in state:
            raise UserError(f"{source}: lacks {key}, which the point encoder has")
        if state[key].shape != tensor.shape:
            raise UserError(
                f"{source}: {key} is {tuple(state[key].shape)}, the point encoder's is "
                f"{tuple(tensor.shape)}; --point_encoder, --emb_dim and the numbers of queries "
                "must be those of the file"
            )
    if extra := sorted(set(state) - set(current)):
        raise UserError(f"{source}: holds {extra[0]}, which the point encoder lacks")
    encoder.load_state_dict(
        {key: one.float() if one.is_floating_point() else one for key, one in state.items()}
    )

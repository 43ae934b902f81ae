"""Published ReCon++ weights, and those of the retrieval project, read into our encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.engine.building import build_network
from triform.engine.checkpoint import read
from triform.systems.retrieval.recon import SHAPES, ReCon, ReConShape

PRETRAINING_ONLY = re.compile(r"model\.(decoder|decoder_pos_embed|norm)\.")
"""What a published file holds beyond the encoder: the decoder of hidden groups, a norm that
nothing calls."""
HEAD_DIM = 64
"""Channels of an attention head, the same at every published size."""


def official_state(content: object, source: Path | str) -> dict[str, Tensor]:
    """The encoder's weights out of what a file holds.

    Understood are the published files (`base_model`, prefix `module.`), bare state dicts as the
    retrieval project saves them, and our own `pc_encoder_recall@K_*.pth`.

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
    """Sizes read off the tensors; groups and queries, which leave no trace, as published.

    Raises:
        UserError: Tensors are missing.
    """
    layers = [int(m[1]) for key in state if (m := re.search(r"local_blocks\.(\d+)\.", key))]
    try:
        width = state["model.global_query"].shape[2]
        queries = state["model.global_query"].shape[1]
        hidden = state["model.encoder.blocks.local_blocks.0.mlp.fc1.weight"].shape[0]
        channels = state["model.embed.first_conv.0.weight"].shape[1]
        return replace(
            SHAPES["large"],
            embed_dim=width,
            depth=_depth(layers, len(state)),
            num_heads=max(1, width // HEAD_DIM),
            mlp_ratio=hidden / width,
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
    """How many blocks there are, by their numbers in the names of so many tensors."""
    depth = max(layers) + 1
    if depth > tensors:
        raise ValueError(f"block {depth - 1} of {tensors} tensors")
    return depth


def load_into(encoder: ReCon, state: Mapping[str, Tensor], source: Path | str) -> None:
    """Put weights into an encoder; every tensor has to be there and to fit.

    Raises:
        UserError: Names the first that does not.
    """
    mine = encoder.state_dict()
    for key, tensor in mine.items():
        if key not in state:
            raise UserError(f"{source}: lacks {key}, which the point encoder has")
        if state[key].shape != tensor.shape:
            raise UserError(
                f"{source}: {key} is {tuple(state[key].shape)}, the point encoder's is "
                f"{tuple(tensor.shape)}; --point_encoder, --emb_dim and the numbers of queries "
                "must be those of the file"
            )
    if extra := sorted(set(state) - set(mine)):
        raise UserError(f"{source}: holds {extra[0]}, which the point encoder lacks")
    encoder.load_state_dict({key: state[key].float() if state[key].is_floating_point()
                             else state[key] for key in mine})  # fmt: skip


def load_recon(path: Path | str, device: torch.device | str = "cpu", **options: float) -> ReCon:
    """A ReCon++ encoder from a published file, sizes and all, frozen and in evaluation mode.

    This is the backbone of a second stage: `load_recon(path).tokens(points, colors)`.

    Raises:
        UserError: The file cannot be read or holds something else.
    """
    state = official_state(read(path), path)
    shape = shape_of(state, path)
    encoder = build_network(lambda: ReCon(shape, **options), state, path)  # type: ignore[arg-type]
    return encoder.to(device).eval().requires_grad_(False)

"""The documented pair of files: `moe_recall@K_*.pth` and `pc_encoder_recall@K_*.pth`.

The first holds the picture side, the second the point encoder under the published names
(`base_model`), so that it serves as the frozen backbone of a second stage:

    encoder = load_recon("pc_encoder_recall@3_img2pc.pth")
    local_tokens, global_tokens = encoder.tokens(points, colors)

Both hold plain tensors and settings, and load with `weights_only=True`. Files of the original
program, which are bare state dicts, are understood as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.engine.building import build_network
from triform.engine.checkpoint import read
from triform.engine.protocol import Context, Hook
from triform.engine.trained import read_settings
from triform.systems.retrieval.config import Config, ModelConfig
from triform.systems.retrieval.model import ImageTower, build_image_tower
from triform.systems.retrieval.moe import MoEImgHead
from triform.systems.retrieval.recon import ReCon
from triform.systems.retrieval.recon_weights import official_state, shape_of

DIRECTIONS = ("img2pc", "pc2img")
ORIGINAL_TEXT_RATIO = 0.3


class SaveBestRecall(Hook):
    """Keeps the documented pair of files at the best Recall@K of each direction."""

    def __init__(self, ks: tuple[int, ...]):
        self.ks = ks

    def on_epoch_end(self, context: Context) -> None:
        for k in self.ks:
            for direction in DIRECTIONS:
                value = context.metrics.get(f"val/{direction}_recall@{k}")
                if value is None:
                    continue
                moe = context.checkpoint_dir / f"moe_recall@{k}_{direction}.pth"
                points = context.checkpoint_dir / f"pc_encoder_recall@{k}_{direction}.pth"
                # What lies there decides, not what this process remembers: a resumed run goes on.
                if value > max(recall_of(moe), recall_of(points)):
                    facts = {"recall": value, "k": k, "direction": direction,
                             "epoch": context.epoch}  # fmt: skip
                    save_towers(moe, points, context.system, facts)


def recall_of(path: Path) -> float:
    """What a file of this run reached; -1 where there is none."""
    try:
        return float(read(path)["recall"])
    except (UserError, KeyError, TypeError, ValueError):
        return -1.0


def save_towers(moe: Path, pc_encoder: Path, system: Any, facts: Mapping[str, Any]) -> None:
    """Write the pair; networks as the system has them now."""
    config = system.config.model_dump(mode="json")
    image: ImageTower = system.image_tower
    content = {
        "moe": _cpu(image.head.state_dict()),
        "encoder": _cpu(image.encoder.state_dict()) if image.encoder is not None else {},
        "features": dict(system.features_by),
    }
    for path, kind, tensors in (
        (moe, "images", content),
        (pc_encoder, "points", {"base_model": _cpu(system.point_encoder.state_dict())}),
    ):
        with atomic_write(path) as file:
            torch.save({"tower": kind, **tensors, "config": config, **facts}, file)


def _cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.detach().cpu().clone() for key, tensor in state.items()}


@dataclass(frozen=True)
class LoadedImages:
    """The picture side of a file.

    Attributes:
        tower: In evaluation mode.
        model: Its settings.
        image_size: Pixels along each side that the small encoder was trained with.
        features_by: Who made the features of a frozen encoder: model, weights, transform.
        config: All settings of the training; None for a file of the original program.
    """

    tower: ImageTower
    model: ModelConfig
    image_size: int
    features_by: dict[str, str] = field(default_factory=dict)
    config: Config | None = None


def load_image_tower(path: Path | str, device: torch.device | str = "cpu") -> LoadedImages:
    """Read a `moe_recall@K_*.pth` file, ours or the original program's.

    Raises:
        UserError: It cannot be read or is no such file.
    """
    content = read(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: no picture side of a retrieval model in it")
    if content.get("tower") == "points":
        raise UserError(f"{path}: a point encoder, where MOE:PC has the picture side first")
    if "moe" not in content:
        tower = _original_head(content, path)
        model = ModelConfig(image_encoder="frozen", image_head="moe", emb_dim=tower.head.out_dim)
        return LoadedImages(tower.to(device).eval(), model, 0)
    head, encoder = content["moe"], content.get("encoder", {})
    features = content.get("features", {})
    if not all(isinstance(each, dict) for each in (head, encoder, features)):
        raise UserError(f"{path}: no picture side of a retrieval model in it")
    width = _feature_dim(head, path)
    state = {f"head.{key}": value for key, value in head.items()}
    state |= {f"encoder.{key}": value for key, value in encoder.items()}
    state = tensors_only(state, path)
    config = read_config(content, state, path)
    tower = build_network(lambda: build_image_tower(config.model, width), state, path)
    features = {str(key): str(value) for key, value in features.items()}
    size = config.data.image_size
    return LoadedImages(tower.to(device).eval(), config.model, size, features, config)


def load_point_encoder(path: Path | str, device: torch.device | str = "cpu") -> tuple[ReCon, int]:
    """Read a `pc_encoder_recall@K_*.pth` file, ours, the original program's, or a published one.

    Returns:
        The encoder in evaluation mode, and how many points it was trained with.

    Raises:
        UserError: It cannot be read or is no such file.
    """
    content = read(path)
    if isinstance(content, dict) and content.get("tower") == "images":
        raise UserError(f"{path}: the picture side, where MOE:PC has the point encoder second")
    state = official_state(content, path)
    if isinstance(content, dict) and "config" in content and "tower" in content:
        from triform.systems.retrieval.model import build_point_encoder

        config = read_config(content, state, path)
        points = config.data.points
        encoder = build_network(lambda: build_point_encoder(config.model), state, path)
    else:
        shape, points = shape_of(state, path), ORIGINAL_POINTS
        encoder = build_network(lambda: ReCon(shape, text_ratio=ORIGINAL_TEXT_RATIO), state, path)
    return encoder.to(device).eval().requires_grad_(False), points


ORIGINAL_POINTS = 10_000


def read_config(
    content: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path | str
) -> Config:
    """The settings that a file keeps beside its tensors.

    Raises:
        UserError: They do not fit this version, or not the tensors.
    """
    return read_settings(content.get("config"), Config, {"": dict(tensors)}, path)


def tensors_only(state: Mapping[Any, Any], path: Path | str) -> dict[str, Tensor]:
    """The same, where all of it is tensors by name.

    Raises:
        UserError: Something in it is not.
    """
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise UserError(f"{path}: {str(key)[:80]!r} in it is no tensor")
    return dict(state)


def _feature_dim(head: Mapping[str, Tensor], path: Path | str) -> int:
    for key in ("experts.0.weight", "linear.weight"):
        if isinstance(head, Mapping) and isinstance(head.get(key), Tensor):
            return int(head[key].shape[1])
    raise UserError(f"{path}: no picture head in it (neither experts nor linear)")


def _original_head(state: Mapping[str, Any], path: Path | str) -> ImageTower:
    """A bare state dict of the mixture of experts."""
    width = _feature_dim(state, path)
    count = sum(key.startswith("experts.") and key.endswith(".weight") for key in state)
    tensors = tensors_only(state, path)
    if "experts.0.weight" not in tensors:
        raise UserError(f"{path}: no picture head in it (no experts)")
    out_dim = int(tensors["experts.0.weight"].shape[0])
    head = build_network(lambda: MoEImgHead(width, out_dim, count), tensors, path)
    return ImageTower(None, head)

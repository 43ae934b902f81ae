"""The documented pair of files: `moe_recall@K_*.pth` and `pc_encoder_recall@K_*.pth`.

The first holds the image side, the second the point encoder under the published names
(`base_model`), so that it serves as the frozen backbone of a second stage:

    encoder, num_points = load_point_encoder("pc_encoder_recall@3_img2pc.pth")
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
from triform.engine.checkpoints.building import build_network
from triform.engine.checkpoints.checkpoint import read
from triform.engine.checkpoints.trained import read_settings
from triform.engine.protocol import Context, Hook
from triform.systems.retrieval.config import Config, ModelConfig
from triform.systems.retrieval.encoders.recon import ReCon
from triform.systems.retrieval.encoders.recon_weights import official_state, shape_of
from triform.systems.retrieval.model import (
    ImageTower,
    MoEImgHead,
    build_image_tower,
    build_point_encoder,
)

DIRECTIONS = ("img2pc", "pc2img")
ORIGINAL_TEXT_RATIO = 0.3
ORIGINAL_POINTS = 10_000
NO_IMAGE_TOWER = "no image side of a retrieval model in it"


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
                # The files themselves are compared with, so that a resumed run continues.
                if value > max(recall_of(moe), recall_of(points)):
                    metadata = {"recall": value, "k": k, "direction": direction}
                    metadata["epoch"] = context.epoch
                    save_pair(moe, points, context.system, metadata)


def split_pair(text: str) -> list[tuple[Path, Path]]:
    """Every way to read `MOE:PC` as two files that exist; paths of Windows have colons too."""
    cuts = [index for index, letter in enumerate(text) if letter == ":"]
    pairs = [(Path(text[:cut]), Path(text[cut + 1 :])) for cut in cuts]
    return [pair for pair in pairs if all(path.is_file() for path in pair)]


def recall_of(path: Path) -> float:
    """The recall that a file was saved with; -1 where there is none."""
    try:
        return float(read(path)["recall"])
    except (UserError, KeyError, TypeError, ValueError):
        return -1.0


def save_pair(moe: Path, pc_encoder: Path, system: Any, metadata: Mapping[str, Any]) -> None:
    """Write the pair with the present weights of a system."""
    config = system.config.model_dump(mode="json")
    image: ImageTower = system.image_tower
    content = {
        "moe": _cpu(image.head.state_dict()),
        "encoder": _cpu(image.encoder.state_dict()) if image.encoder is not None else {},
        "features": dict(system.feature_source),
    }
    for path, kind, tensors in (
        (moe, "images", content),
        (pc_encoder, "points", {"base_model": _cpu(system.point_encoder.state_dict())}),
    ):
        with atomic_write(path) as file:
            torch.save({"tower": kind, **tensors, "config": config, **metadata}, file)


def _cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.detach().cpu().clone() for key, tensor in state.items()}


@dataclass(frozen=True)
class LoadedImageTower:
    """The image tower of a file.

    Attributes:
        tower: In evaluation mode.
        model: Its settings.
        image_size: Pixels along each side that the small encoder was trained with.
        feature_source: Encoder of the features: `model`, `weights`, `transform`.
        config: All settings of the training; None for a file of the original program.
    """

    tower: ImageTower
    model: ModelConfig
    image_size: int
    feature_source: dict[str, str] = field(default_factory=dict)
    config: Config | None = None


def load_image_tower(path: Path | str, device: torch.device | str = "cpu") -> LoadedImageTower:
    """Read a `moe_recall@K_*.pth` file, ours or the original program's.

    Raises:
        UserError: It cannot be read or is no such file.
    """
    content = read(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: {NO_IMAGE_TOWER}")
    if content.get("tower") == "points":
        raise UserError(f"{path}: a point encoder, where MOE:PC has the image side first")
    if "moe" not in content:
        tower = _original_head(content, path)
        model = ModelConfig(image_encoder="frozen", image_head="moe", emb_dim=tower.head.out_dim)
        return LoadedImageTower(tower.to(device).eval(), model, 0)
    head, encoder = content["moe"], content.get("encoder", {})
    features = content.get("features", {})
    if not all(isinstance(each, dict) for each in (head, encoder, features)):
        raise UserError(f"{path}: {NO_IMAGE_TOWER}")
    width = _feature_dim(head, path)
    state = {f"head.{key}": value for key, value in head.items()}
    state |= {f"encoder.{key}": value for key, value in encoder.items()}
    state = tensors_only(state, path)
    config = read_config(content, state, path)
    tower = build_network(lambda: build_image_tower(config.model, width), state, path)
    features = {str(key): str(value) for key, value in features.items()}
    size = config.data.image_size
    return LoadedImageTower(tower.to(device).eval(), config.model, size, features, config)


def load_point_encoder(path: Path | str, device: torch.device | str = "cpu") -> tuple[ReCon, int]:
    """Read a `pc_encoder_recall@K_*.pth` file, ours, the original program's, or a published one.

    Returns:
        The encoder in evaluation mode, and how many points it was trained with.

    Raises:
        UserError: It cannot be read or is no such file.
    """
    content = read(path)
    if isinstance(content, dict) and content.get("tower") == "images":
        raise UserError(f"{path}: the image side, where MOE:PC has the point encoder second")
    state = official_state(content, path)
    if isinstance(content, dict) and "config" in content and "tower" in content:
        config = read_config(content, state, path)
        points = config.data.points
        encoder = build_network(lambda: build_point_encoder(config.model), state, path)
    else:
        shape, points = shape_of(state, path), ORIGINAL_POINTS
        encoder = build_network(lambda: ReCon(shape, text_ratio=ORIGINAL_TEXT_RATIO), state, path)
    return encoder.to(device).eval().requires_grad_(False), points


def read_config(
    content: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path | str
) -> Config:
    """Read the settings that a file keeps beside its tensors.

    Raises:
        UserError: They do not fit this version, or not the tensors.
    """
    return read_settings(content.get("config"), Config, {"": dict(tensors)}, path)


def tensors_only(state: Mapping[Any, Any], path: Path | str) -> dict[str, Tensor]:
    """The state dict, if it holds nothing but named tensors.

    Raises:
        UserError: It holds something else.
    """
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise UserError(f"{path}: {str(key)[:80]!r} in it is no tensor")
    return dict(state)


def _feature_dim(head: Mapping[str, Tensor], path: Path | str) -> int:
    for key in ("experts.0.weight", "linear.weight"):
        if isinstance(head, Mapping) and isinstance(head.get(key), Tensor):
            return int(head[key].shape[1])
    raise UserError(f"{path}: no image head in it (neither experts nor linear)")


def _original_head(state: Mapping[str, Any], path: Path | str) -> ImageTower:
    """An image tower from a bare state dict of the mixture of experts."""
    width = _feature_dim(state, path)
    count = sum(key.startswith("experts.") and key.endswith(".weight") for key in state)
    tensors = tensors_only(state, path)
    if "experts.0.weight" not in tensors:
        raise UserError(f"{path}: no image head in it (no experts)")
    out_dim = int(tensors["experts.0.weight"].shape[0])
    head = build_network(lambda: MoEImgHead(width, out_dim, count), tensors, path)
    return ImageTower(None, head)

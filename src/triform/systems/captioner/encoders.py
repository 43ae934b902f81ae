"""Encoders of the captioner: trained here, pretrained, or taken from another captioner."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import nn

from triform.base.errors import UserError
from triform.engine.checkpoints.building import build_network
from triform.engine.checkpoints.checkpoint import is_exported
from triform.engine.checkpoints.finding import find_checkpoint
from triform.engine.checkpoints.trained import read_trained
from triform.pretrained.feature_maps import FeatureMaps, load_feature_maps
from triform.pretrained.named_models import check_named_file, select_model
from triform.systems.captioner.config import SMALL, Config, ModelConfig
from triform.systems.captioner.small_encoder import SmallEncoder

SYSTEM = "captioner"
_PREFIX = "encoder."


class Encoder(NamedTuple):
    """The encoder of a run.

    Attributes:
        network: Images in [0, 1] to feature maps.
        trainable: Whether it is trained together with the decoder.
        saved_with_model: Whether its weights are saved with the decoder's.
    """

    network: SmallEncoder | FeatureMaps
    trainable: bool
    saved_with_model: bool


def load_encoder(model: ModelConfig) -> Encoder:
    """Load the encoder that settings name; a captioner as `encoder_weights` provides its own.

    Raises:
        UserError: No such network or weights, or another network's.
    """
    if model.encoder == SMALL:
        return Encoder(small_encoder(model), trainable=True, saved_with_model=True)
    fine_tune, weights = model.encoder_fine_tune, model.encoder_weights
    if weights and _is_captioner(Path(weights)):
        network = _encoder_of_captioner(weights, model.encoder)
        return Encoder(network, trainable=fine_tune, saved_with_model=True)
    network = load_feature_maps(model.encoder, Path(weights) if weights else None)
    return Encoder(network, trainable=fine_tune, saved_with_model=fine_tune)


def load_frozen(
    model: ModelConfig, source: Path, encoder: str = "", encoder_weights: str = ""
) -> nn.Module:
    """Load the frozen encoder of a checkpoint, whose weights are not in it.

    Args:
        model: Settings in the checkpoint.
        source: The checkpoint.
        encoder: Name of the encoder that the user gives instead.
        encoder_weights: File of its weights that the user gives.

    Raises:
        UserError: The checkpoint names a file, or an encoder that does not come with Triform.
    """
    name = select_model(encoder, model.encoder, "image encoder", source=source, flag="--encoder")
    if not encoder and not encoder_weights:
        check_named_file(model.encoder_weights, source=source, flag="--encoder_weights")
    changes = {"encoder": name, "encoder_weights": encoder_weights}
    return load_encoder(model.model_copy(update=changes)).network


def small_encoder(model: ModelConfig) -> SmallEncoder:
    """Build the encoder that is trained from scratch."""
    return SmallEncoder(model.encoder_width, model.encoder_blocks, model.encoder_dropout)


def _is_captioner(source: Path) -> bool:
    """Whether a path is a run, a checkpoint or weights of Triform; else it is timm's weights."""
    if source.suffix == ".safetensors" and source.is_file():
        return is_exported(source)
    return source.is_dir() or source.name.endswith("_checkpoint.pth.tar")


def _encoder_of_captioner(source: str, name: str) -> FeatureMaps:
    path = find_checkpoint(source, SYSTEM, flag="--encoder_weights")
    weights, config = read_trained(path, SYSTEM, Config)
    state = {
        key.removeprefix(_PREFIX): tensor
        for key, tensor in weights.networks.get(SYSTEM, {}).items()
        if key.startswith(_PREFIX)
    }
    if config.model.encoder != name or not state:
        found = f"{config.model.encoder}{'' if state else ', which it did not tune'}"
        raise UserError(f"--encoder_weights {source}: its encoder is {found}; needed is {name}")
    return build_network(lambda: load_feature_maps(name, pretrained=False), state, path, "encoder")

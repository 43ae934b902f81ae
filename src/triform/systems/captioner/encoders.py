"""What turns pictures into feature maps: trained here, pretrained, or lent by another captioner."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import nn

from triform.base.errors import UserError
from triform.engine.building import build_network
from triform.engine.checkpoint import is_exported
from triform.engine.trained import find_checkpoint, read_trained
from triform.pretrained.feature_maps import load_feature_maps
from triform.pretrained.named_models import check_named_file, select_model
from triform.systems.captioner.config import SMALL, Config, ModelConfig
from triform.systems.captioner.model import SmallEncoder

SYSTEM = "captioner"
_KEY = "encoder."


class Encoder(NamedTuple):
    """An encoder of a run.

    Attributes:
        network: Pictures in [0, 1] to feature maps; has `out_channels`.
        learns: Whether it is trained with the words.
        travels: Whether its weights are the captioner's own and are saved with them.
    """

    network: nn.Module
    learns: bool
    travels: bool


def load_encoder(model: ModelConfig) -> Encoder:
    """The encoder that settings name; a captioner as `encoder_weights` lends the one it tuned.

    Raises:
        UserError: No such network or weights, or another network's.
    """
    if model.encoder == SMALL:
        return Encoder(small_encoder(model), learns=True, travels=True)
    tuned, source = model.encoder_fine_tune, model.encoder_weights
    if source and _is_captioner(Path(source)):
        return Encoder(_lent(source, model.encoder), learns=tuned, travels=True)
    network = load_feature_maps(model.encoder, Path(source) if source else None)
    return Encoder(network, learns=tuned, travels=tuned)


def load_frozen(
    model: ModelConfig, source: Path, encoder: str = "", encoder_weights: str = ""
) -> nn.Module:
    """The frozen encoder that a checkpoint was trained with, which is not in it.

    Args:
        model: What the checkpoint says.
        source: The checkpoint.
        encoder: The encoder that the user names instead.
        encoder_weights: The file of its weights that they name.

    Raises:
        UserError: The checkpoint names a file, or an encoder that does not come with Triform.
    """
    name = select_model(encoder, model.encoder, "image encoder", source=source, flag="--encoder")
    if not encoder and not encoder_weights:
        check_named_file(model.encoder_weights, source=source, flag="--encoder_weights")
    changes = {"encoder": name, "encoder_weights": encoder_weights}
    return load_encoder(model.model_copy(update=changes)).network


def small_encoder(model: ModelConfig) -> SmallEncoder:
    """The encoder without a pretrained part."""
    return SmallEncoder(model.encoder_width, model.encoder_blocks, model.encoder_dropout)


def _is_captioner(source: Path) -> bool:
    """A run, a checkpoint or weights of ours; other files are for the network itself."""
    if source.suffix == ".safetensors" and source.is_file():
        return is_exported(source)
    return source.is_dir() or source.name.endswith("_checkpoint.pth.tar")


def _lent(source: str, name: str) -> nn.Module:
    path = find_checkpoint(source, SYSTEM, flag="--encoder_weights")
    weights, config = read_trained(path, SYSTEM, Config)
    own = {
        key.removeprefix(_KEY): tensor
        for key, tensor in weights.get(SYSTEM, {}).items()
        if key.startswith(_KEY)
    }
    if config.model.encoder != name or not own:
        has = f"{config.model.encoder}{'' if own else ', which it did not tune'}"
        raise UserError(f"--encoder_weights {source}: its encoder is {has}; needed is {name}")
    return build_network(lambda: load_feature_maps(name, empty=True), own, path, "encoder")

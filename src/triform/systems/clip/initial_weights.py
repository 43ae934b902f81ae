"""Weights that a pretrained image encoder begins with."""

from __future__ import annotations

from triform.engine.checkpoints.building import mismatch_error
from triform.engine.checkpoints.checkpoint import load_weights
from triform.pretrained.shipped_weights import shipped
from triform.systems.clip.model import CLIP, PretrainedEncoder

CAPTIONER = "captioner"
_PREFIX = "encoder."


def load_captioner_encoder(clip: CLIP) -> None:
    """Give the image encoder the weights that the captioner which ships tuned.

    Raises:
        UserError: None ship, or they are another network's.
    """
    assert isinstance(clip.image_encoder, PretrainedEncoder)
    path = shipped(CAPTIONER)
    tensors = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in load_weights(path).networks.get(CAPTIONER, {}).items()
        if name.startswith(_PREFIX)
    }
    try:
        clip.image_encoder.maps.load_state_dict(tensors)
    except RuntimeError as error:
        raise mismatch_error(path, error) from error

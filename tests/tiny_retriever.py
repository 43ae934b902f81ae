"""Weights of narrow networks of random numbers."""

import torch

from triform.engine.checkpoints.checkpoint import export_weights
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.model import (
    build_image_tower,
    build_point_encoder,
    build_text_tower,
)

SETTINGS = {
    "model": {
        "point_width": 24,
        "point_depth": 1,
        "point_heads": 2,
        "patch_widths": (8, 16, 16),
        "num_group": 8,
        "group_size": 8,
        "emb_dim": 16,
        "image_width": 8,
        "text_hidden": 8,
    },
    "data": {"image_size": 16, "points": 64},
}


def weights(path, seed, texts=True):
    """A weights file of random networks."""
    torch.manual_seed(seed)
    config = Config.model_validate(SETTINGS)
    networks = {
        "images": build_image_tower(config.model, 0),
        "points": build_point_encoder(config.model),
    }
    if texts:
        networks["texts"] = build_text_tower(config.model, 384)
    states = {name: network.state_dict() for name, network in networks.items()}
    export_weights(path, states, config.model_dump(mode="json"), system="retrieval")
    return path

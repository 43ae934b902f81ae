"""All networks of the system, by name: the autoencoder, the layout, and the two flows."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import nn

from triform.systems.shape_flow.autoencoder import Autoencoder
from triform.systems.shape_flow.config import CELL, Config
from triform.systems.shape_flow.flow import CellFlow
from triform.systems.shape_flow.layout import Layout, LayoutFlow
from triform.tasks.shape_generation.attributes import VOCABULARY

NAMES = ("autoencoder", "layout", "layout_flow", "cell_flow")
NETWORKS_OF_STAGE = {
    "autoencoder": NAMES[:1],
    "layout": NAMES[:3],
    "decoder": NAMES[:3],
    "flow": NAMES,
    "joint": NAMES,
}
TRAINED_IN_STAGE = {
    "autoencoder": NAMES[:1],
    # Principal components lose least; a code that moved would leave the flow behind.
    "layout": NAMES[2:3],
    "decoder": NAMES[:1],
    "flow": NAMES[3:],
    "joint": NAMES,
}


def build_networks(config: Config, names: Collection[str], text_dim: int) -> dict[str, nn.Module]:
    """Build networks.

    Args:
        config: Settings.
        names: Which ones, of `NAMES`.
        text_dim: Width of the text encoder's vectors; of no use to the autoencoder.
    """
    model, cells = config.model, config.data.resolution // CELL
    builders: dict[str, Callable[[], nn.Module]] = {
        "autoencoder": lambda: Autoencoder(model),
        "layout": lambda: Layout(model, cells),
        "layout_flow": lambda: LayoutFlow(model, VOCABULARY.sizes, text_dim),
        "cell_flow": lambda: CellFlow(model, cells, VOCABULARY.sizes, text_dim),
    }
    return {name: builders[name]() for name in NAMES if name in names}

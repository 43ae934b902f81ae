"""Weights of another run that the networks of a new run begin with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from triform.base.errors import UserError
from triform.base.logging import NOTICE, get_logger
from triform.base.settings.config import differences
from triform.engine.checkpoints.building import compare_tensors
from triform.engine.checkpoints.checkpoint import Weights
from triform.engine.checkpoints.finding import find_checkpoint
from triform.engine.config import SHIPPED, SystemConfig
from triform.pretrained import shipped_weights

logger = get_logger(__name__)

FLAG = "--initial_weights"
MAX_NAMED = 4
"""Settings that a message names, at most."""


def find_initial_weights(source: str, system: str, shipped: str = "") -> Path:
    """Find the file that `initial_weights` names.

    Args:
        source: A run directory, a file, or `shipped`.
        system: Name of the system.
        shipped: Name of its weights that ship; empty = the system's.

    Raises:
        UserError: It is not there.
    """
    if source == SHIPPED and not Path(source).exists():
        name = shipped or system
        if name not in shipped_weights.names():
            raise UserError(f"{FLAG} {source}: no weights of {system} ship; name a run or a file")
        return shipped_weights.shipped(name)
    return find_checkpoint(source, system, flag=FLAG)


def load_networks(
    networks: Mapping[str, nn.Module],
    weights: Weights,
    path: Path,
    config: SystemConfig,
    *,
    pretrained: Sequence[str] = (),
    optional: Collection[str] = (),
) -> None:
    """Load the networks of a file.

    Args:
        networks: Name -> network.
        weights: Of the file.
        path: The file, for messages.
        config: Settings of the new run, for messages.
        pretrained: Beginnings of names of tensors (`NETWORK.NAME`) that may be missing.
        optional: Networks that may be missing or have another shape; they begin anew, which is
            said.

    Raises:
        UserError: A network is missing, or has another shape.
    """
    new = []
    for name, network in networks.items():
        tensors = weights.networks.get(name)
        try:
            if tensors is None:
                raise ValueError(f"there is no {name} in it")
            compare_tensors(name, network, tensors, pretrained)
        except ValueError as error:
            if name not in optional:
                reason = f"{error}{_different_settings(weights.config, config)}"
                raise UserError(f"{FLAG} {path}: {reason}") from None
            new.append(name)
        else:
            network.load_state_dict(tensors, strict=False)
    if new:
        logger.log(NOTICE, "%s: %s not taken from it; new weights", path, ", ".join(new))


def _different_settings(trained: Mapping[str, Any], config: SystemConfig) -> str:
    """Settings of the model that differ from those of the weights, as the end of a message."""
    settings = config.model_dump(mode="json").get("model", {})
    found = differences(trained.get("model", {}), settings)
    # An older file lacks the settings that came after it.
    changed = {name: pair for name, pair in found.items() if pair[0] is not None}
    if not changed:
        return "; the data or the settings are not those of its training"
    listed = [f"--{name} {there}" for name, (there, _) in changed.items()][:MAX_NAMED]
    return f"; it was trained with {' '.join(listed)}"

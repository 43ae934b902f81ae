"""Which weights the flags of a verb mean. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from triform.base.errors import UsageError
from triform.engine.checkpoints.finding import find_checkpoint
from triform.pretrained import shipped_weights
from triform.systems.clip.verb_config import SHIPPED_MODEL, ModelChoice

SYSTEM = "clip"


def model_path(settings: ModelChoice) -> Path | str:
    """The weights that settings mean, or the name of a pretrained model.

    Raises:
        UsageError: Both are named.
        UserError: There is no such file.
    """
    if settings.checkpoint is not None:
        if settings.model:
            raise UsageError("--model and --checkpoint: name one of them")
        return find_checkpoint(settings.checkpoint, SYSTEM)
    name = settings.model or settings.default_model
    if name == SHIPPED_MODEL:
        return shipped_weights.shipped(SYSTEM)
    if name:
        return name
    is_shipped = SYSTEM in shipped_weights.names()
    return find_checkpoint(None, SYSTEM, shipped=SYSTEM if is_shipped else None)

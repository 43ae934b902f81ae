"""Which weights the flags of a verb mean. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from triform.base.errors import UsageError
from triform.engine.checkpoints.finding import find_checkpoint
from triform.pretrained.shipped_weights import names as shipped_names
from triform.systems.clip.verb_config import DEFAULT_MODEL, ModelChoice

SYSTEM = "clip"


def model_path(settings: ModelChoice) -> Path | str:
    """The weights that settings mean, or the name of a pretrained model.

    Raises:
        UsageError: Both are named.
        UserError: There is no such file.
    """
    if settings.model:
        if settings.checkpoint is not None:
            raise UsageError("--model and --checkpoint: name one of them")
        return settings.model
    is_shipped = SYSTEM in shipped_names()
    runs = Path("runs", SYSTEM).glob("run_*/checkpoints/best*")
    if settings.checkpoint is None and not is_shipped and not any(runs):
        return DEFAULT_MODEL
    return find_checkpoint(settings.checkpoint, SYSTEM, shipped=SYSTEM if is_shipped else None)

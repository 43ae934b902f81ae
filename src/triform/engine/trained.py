"""Trained weights by what somebody wrote: a file, a run directory, or nothing at all."""

from pathlib import Path
from typing import TypeVar

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.engine.checkpoint import StateDicts, load_weights
from triform.engine.config import SystemConfig
from triform.pretrained import weights

logger = get_logger(__name__)

Config = TypeVar("Config", bound=SystemConfig)


def find_checkpoint(
    given: str | None,
    system: str,
    *,
    shipped: str | None = None,
    documented: str | None = None,
    flag: str = "--checkpoint",
) -> Path:
    """Find the file that `--checkpoint` means.

    Where nothing is given: the documented file where there is one, else the weights that ship,
    else those of the newest run here.

    Args:
        given: A file, a run directory, or None.
        system: Whose weights they are.
        shipped: Name of the weights that ship with the project.
        documented: Name of the file that training writes beside the run.
        flag: What it was given as, for messages.

    Raises:
        UserError: It is not there, or there is nothing to take it from.
    """
    if given is not None:
        path = Path(given)
        if path.is_dir():
            found = sorted(path.glob("checkpoints/best*"))
            if not found:
                raise UserError(f"{flag} {given}: no run directory, or nothing was kept yet")
            path = found[0]
        if not path.is_file():
            raise UserError(f"{flag} {given}: not there; train one or leave the flag out")
        return path
    if documented is not None and Path(documented).is_file():
        logger.info("using %s", documented)
        return Path(documented)
    if shipped is not None:
        return weights.shipped(shipped)
    runs = sorted(Path("runs", system).glob("run_*/checkpoints/best*"))
    if not runs:
        raise UserError(
            f"no weights of {system} ship, and there is no run of it here: "
            f"say --checkpoint FILE, or train with `triform {system} train`"
        )
    logger.info("using %s", runs[-1])
    return runs[-1]


def read_trained(path: Path, system: str, settings: type[Config]) -> tuple[StateDicts, Config]:
    """Read weights with the settings they were trained with.

    Args:
        path: A checkpoint, or a weights file.
        system: Whose weights they have to be.
        settings: Class of that system's settings.

    Raises:
        UserError: Not such a file, weights of another system, or settings of another version.
    """
    tensors, config = load_weights(path)
    if (seen := config.pop("system")) != system:
        raise UserError(f"{path}: weights of system {seen}, not of {system}")
    try:
        return tensors, settings.model_validate(config)
    except ValueError as error:
        raise UserError(f"{path}: its settings do not fit this version: {error}") from error

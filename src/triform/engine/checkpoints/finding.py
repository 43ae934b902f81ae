"""Find the file that `--checkpoint` names. Imports no torch."""

from pathlib import Path

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.pretrained import shipped_weights

logger = get_logger(__name__)


def find_checkpoint(
    checkpoint: str | None,
    system: str,
    *,
    shipped: str | None = None,
    documented: str | None = None,
    flag: str = "--checkpoint",
) -> Path:
    """Find the file that `--checkpoint` names.

    Without it: the documented file where there is one, else the weights that ship,
    else those of the newest run here.

    Args:
        checkpoint: A file, a run directory, or None.
        system: Name of the system.
        shipped: Name of the weights that ship with the project.
        documented: Name of the file that training writes beside the run.
        flag: The flag that names it, for messages.

    Raises:
        UserError: It is not there, or there is nothing to take it from.
    """
    if checkpoint is not None:
        path = Path(checkpoint)
        if path.is_dir():
            checkpoints = sorted(path.glob("checkpoints/best*")) or sorted(path.glob("best*"))
            if not checkpoints:
                raise UserError(f"{flag} {checkpoint}: no run directory, or nothing was kept yet")
            path = checkpoints[0]
        if not path.is_file():
            raise UserError(f"{flag} {checkpoint}: not there; train one or leave the flag out")
        return path
    if documented is not None and Path(documented).is_file():
        logger.info("using %s", documented)
        return Path(documented)
    if shipped is not None:
        return shipped_weights.shipped(shipped)
    runs = sorted(Path("runs", system).glob("run_*/checkpoints/best*"))
    if not runs:
        raise UserError(
            f"no weights of {system} ship, and there is no run of it here: "
            f"say --checkpoint FILE, or train with `triform {system} train`"
        )
    logger.info("using %s", runs[-1])
    return runs[-1]

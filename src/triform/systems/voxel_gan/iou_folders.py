"""The documented folders of a run, in which epochs are classed by their held-out IoU.

In the run directory: `logs/CLASS/training_epoch.log`, a line per epoch of that class, and
`weights/CLASS/checkpoint.pth`, the best of it. Beside the runs, when training ends:
`CLASS/RUN/{training.log,checkpoint.pth,metrics.txt}`, by the class of the best epoch.
"""

from __future__ import annotations

from triform.base.files import atomic_copy, atomic_write, open_append
from triform.engine.protocol import Context, Hook
from triform.systems.voxel_gan.config import BAD_IOU, GOOD_IOU


def iou_class(iou: float) -> str:
    """`good` from 0.7, `bad` up to 0.5, `neutral` between."""
    if iou >= GOOD_IOU:
        return "good"
    return "bad" if iou <= BAD_IOU else "neutral"


class IoUFolders(Hook):
    """Writes the log and the best checkpoint of each class, and the finished run."""

    def on_epoch_end(self, context: Context) -> None:
        iou = context.metrics.get("val/iou")
        if iou is None:
            return
        name = iou_class(iou)
        log = context.run_dir / "logs" / name / "training_epoch.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        metrics = "  ".join(f"{key} {value:.5g}" for key, value in sorted(context.metrics.items()))
        with open_append(log, text=True) as file:
            file.write(f"epoch {context.epoch}  {metrics}\n")
        best = context.checkpoint_dir / "best.pth"
        if context.is_best and best.is_file():
            atomic_copy(best, context.run_dir / "weights" / name / "checkpoint.pth")

    def on_end(self, context: Context) -> None:
        """Copy the run into the folder of the class of its best epoch."""
        best = context.checkpoint_dir / "best.pth"
        saved = [
            name
            for name in ("good", "neutral", "bad")
            if (context.run_dir / "weights" / name / "checkpoint.pth").is_file()
        ]
        if not saved or not best.is_file():
            return
        folder = context.run_dir.parent / saved[0] / context.run_dir.name
        atomic_copy(best, folder / "checkpoint.pth")
        log = context.run_dir / "training.log"
        if log.is_file():
            atomic_copy(log, folder / "training.log")
        with atomic_write(folder / "metrics.txt", "w") as file:
            for key, value in sorted(context.metrics.items()):
                file.write(f"{key}: {value:.6g}\n")

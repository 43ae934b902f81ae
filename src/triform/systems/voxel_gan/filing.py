"""Files epochs and runs by their held-out IoU: good, neutral, bad.

In the run directory: `logs/CLASS/training_epoch.log`, a line per epoch of that class, and
`weights/CLASS/checkpoint.pth`, the best of it. Beside the runs, when training ends:
`CLASS/RUN/{training.log,checkpoint.pth,metrics.txt}`, by the class of the best epoch.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from triform.base.files import atomic_write, open_append
from triform.engine.protocol import Context, Hook
from triform.systems.voxel_gan.config import BAD_IOU, GOOD_IOU


def iou_class(iou: float) -> str:
    """`good` from 0.7, `bad` up to 0.5, `neutral` between."""
    if iou >= GOOD_IOU:
        return "good"
    return "bad" if iou <= BAD_IOU else "neutral"


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that the target is never half written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as old, atomic_write(target) as new:
        shutil.copyfileobj(old, new)


class FileByIoU(Hook):
    """Keeps the documented folders of a run."""

    def on_epoch_end(self, context: Context) -> None:
        iou = context.metrics.get("val/iou")
        if iou is None:
            return
        name = iou_class(iou)
        log = context.run_dir / "logs" / name / "training_epoch.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        numbers = "  ".join(f"{key} {value:.5g}" for key, value in sorted(context.metrics.items()))
        with open_append(log, text=True) as file:
            file.write(f"epoch {context.epoch}  {numbers}\n")
        best = context.checkpoint_dir / "best.pth"
        if context.is_best and best.is_file():
            copy_whole(best, context.run_dir / "weights" / name / "checkpoint.pth")

    def on_end(self, context: Context) -> None:
        """Back up the run by the class of its best epoch."""
        best = context.checkpoint_dir / "best.pth"
        classes = ("good", "neutral", "bad")
        kept = [
            n for n in classes if (context.run_dir / "weights" / n / "checkpoint.pth").is_file()
        ]
        if not kept or not best.is_file():
            return
        folder = context.run_dir.parent / kept[0] / context.run_dir.name
        copy_whole(best, folder / "checkpoint.pth")
        log = context.run_dir / "training.log"
        if log.is_file():
            copy_whole(log, folder / "training.log")
        with atomic_write(folder / "metrics.txt", "w") as file:
            for key, value in sorted(context.metrics.items()):
                file.write(f"{key}: {value:.6g}\n")

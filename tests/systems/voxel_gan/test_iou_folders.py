import json
from pathlib import Path

import pytest

from triform.base.files import atomic_write
from triform.engine.checkpoints.checkpoint import load_weights
from triform.engine.protocol import Context
from triform.systems.voxel_gan.iou_folders import IoUFolders, iou_class


@pytest.mark.parametrize(
    ("iou", "name"),
    [
        (0.0, "bad"),
        (0.5, "bad"),
        (0.501, "neutral"),
        (0.699, "neutral"),
        (0.7, "good"),
        (1, "good"),
    ],
)
def test_documented_classes(iou: float, name: str) -> None:
    assert iou_class(iou) == name


def test_a_run_is_filed_by_its_epochs_and_at_the_end_by_its_best(tmp_path: Path) -> None:
    run = tmp_path / "voxel_gan" / "run_1"
    checkpoints = run / "checkpoints"
    checkpoints.mkdir(parents=True)
    (run / "training.log").write_text("a log\n")
    hook = IoUFolders()

    def epoch(number: int, iou: float, *, is_best: bool) -> Context:
        if is_best:
            with atomic_write(checkpoints / "best.pth") as file:  # as the engine does
                file.write(b"epoch %d" % number)
        return Context(
            system=None,
            run_dir=run,
            checkpoint_dir=checkpoints,
            step=number,
            epoch=number,  # type: ignore[arg-type]
            metrics={"val/iou": iou, "val/loss": 1.0},
            is_best=is_best,
        )

    hook.on_epoch_end(epoch(1, 0.3, is_best=True))
    hook.on_epoch_end(epoch(2, 0.6, is_best=True))
    hook.on_epoch_end(epoch(3, 0.45, is_best=False))
    assert (run / "weights/bad/checkpoint.pth").read_bytes() == b"epoch 1"
    assert (run / "weights/neutral/checkpoint.pth").read_bytes() == b"epoch 2"
    lines = (run / "logs/bad/training_epoch.log").read_text().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 3"]
    hook.on_end(epoch(3, 0.45, is_best=False))
    filed = tmp_path / "voxel_gan" / "neutral" / "run_1"  # by the best epoch, not by the last
    assert (filed / "checkpoint.pth").read_bytes() == b"epoch 2"
    assert (filed / "training.log").read_text() == "a log\n"
    assert "val/iou: 0.45" in (filed / "metrics.txt").read_text()
    assert not (tmp_path / "voxel_gan" / "bad").exists()


def test_a_real_run_has_the_documented_folders(tiny_run: Path) -> None:
    filed = sorted(tiny_run.parent.glob(f"*/{tiny_run.name}"))
    assert [path.parent.name for path in filed] == ["bad"]  # two epochs teach nothing
    weights, _, system, _ = load_weights(filed[0] / "checkpoint.pth")
    best = load_weights(tiny_run / "checkpoints" / "best.pth").networks
    assert weights.keys() == best.keys() and system == "voxel_gan"
    lines = (tiny_run / "metrics.jsonl").read_text().splitlines()
    assert any("val/iou" in json.loads(line) for line in lines)

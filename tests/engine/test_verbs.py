"""Verbs of every system."""

from pathlib import Path
from typing import Any

from toy_systems import Supervised, toy_config

from triform.engine.verbs import train


def test_train_returns_the_scores_of_the_weights_that_are_kept(tmp_path: Path) -> None:
    """Not those of the last epoch, which was worse; and it says which ones they are."""
    values = iter([3.0, 1.0, 2.0])

    class Worse(Supervised):
        def evaluate(self, split: str = "val") -> dict[str, float]:
            return {} if split == "train" else {"loss": next(values), "epochs": 1.0}

    answer: dict[str, Any] = train(Worse, toy_config(tmp_path))
    run = Path(answer["run"])
    assert answer == {
        "run": str(run),
        "weights": str(run / "checkpoints/best.pth"),
        "scores_of": "best val/loss 1 after epoch 2",
        "val/loss": 1.0,
        "val/epochs": 1.0,
    }


def test_train_without_an_evaluation(tmp_path: Path) -> None:
    class Blind(Supervised):
        def evaluate(self, split: str = "val") -> dict[str, float]:
            return {}

    answer = train(Blind, toy_config(tmp_path))
    assert answer["scores_of"] == "last weights, never evaluated" and "train/loss" in answer

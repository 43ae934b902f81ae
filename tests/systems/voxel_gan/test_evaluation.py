import json
from pathlib import Path

import numpy as np
import pytest
import torch

from triform.geometry.mesh import Mesh
from triform.metrics.voxel import pairwise_iou
from triform.systems.voxel_gan import evaluation
from triform.systems.voxel_gan.config import EvaluateConfig
from triform.systems.voxel_gan.evaluation import evaluate, measure_reconstruction
from triform.systems.voxel_gan.generation import connected_mesh


def test_report_of_a_tiny_model(tiny_run: Path, workspace: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("prompt,group\na chair,chairs\na stool,chairs\na bed,beds\n")
    report = evaluate(
        EvaluateConfig(
            checkpoint=str(tiny_run),
            device="cpu",
            dataset=("testdataset:24",),
            num_steps=2,
            download_path=str(workspace / "datasets"),
            prompts=prompts,
            output=tmp_path / "report",
        )
    )
    generation = report["generation"]
    assert generation["prompts"] == 3
    assert set(generation["agreement_by_group"]) == {"chairs", "beds"}
    assert 0 <= generation["agreement"] <= 1
    assert generation["empty"] + round(3 * generation["watertight"]) == 3
    # Marching cubes cross nothing: a mesh that is there is closed and simple.
    assert generation["no_self_intersection"] == generation["watertight"]
    assert generation["valid_solid"] == min(
        generation["watertight"], generation["main_part_over_95_percent"]
    )
    assert generation["diversity_within_group"]["beds"] == 0  # one bed alone
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == report
    assert (tmp_path / "report" / "prompts.png").read_bytes().startswith(b"\x89PNG")


class Perfect:
    """A model that keeps everything."""

    device = torch.device("cpu")

    def reconstruct(self, voxels: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        return voxels[:, 0]


class FakeGenerator:
    """A generator with a perfect model."""

    trained = Perfect()

    def conditions(self, prompts: list[str]) -> torch.Tensor:
        return torch.zeros(len(prompts), 1)

    def mesh(self, probabilities: np.ndarray) -> Mesh:
        return connected_mesh(probabilities)


class DropsOne(Perfect):
    """A model that loses the first occupied voxel of each shape."""

    def reconstruct(self, voxels: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        result = voxels.flatten(1).clone()
        result[torch.arange(len(result)), result.argmax(1)] = 0
        return result.view_as(voxels)[:, 0]


def test_reconstruction_by_hand(tiny_dataset, monkeypatch) -> None:
    """A shape of n voxels without one of them has an IoU of (n - 1) / n."""
    train = tiny_dataset.rows("train")
    monkeypatch.setattr(
        type(tiny_dataset), "rows", lambda self, s: train[::2] if s == "train" else train[1::2]
    )
    scored = []

    def score(mesh, target):
        scored.append((mesh.volume, target))
        return {"fine_iou": 0.25 * len(scored)}

    monkeypatch.setattr(evaluation, "score_reconstruction", score)
    generator = FakeGenerator()
    generator.trained = DropsOne()
    measured = measure_reconstruction(generator, tiny_dataset, fine_truth=True)  # type: ignore[arg-type]
    assert len(scored) == measured["objects"] == measured["fine_truth"]["objects"]
    expected = 0.25 * np.arange(1, len(scored) + 1)
    assert measured["fine_truth"]["fine_iou"] == round(expected.mean(), 4)
    for (volume, target), row in zip(scored, train[1::2], strict=True):
        assert volume > 0
        np.testing.assert_array_equal(
            target.vertices, tiny_dataset.table.shapes[row].load().vertices
        )
    counts = tiny_dataset.voxels(train[1::2]).flatten(1).sum(1)
    iou = (counts - 1) / counts
    assert measured["iou_mean"] == round(float(iou.mean()), 4)
    assert measured["iou_median"] == round(float(iou.median()), 4)


def test_nearest_training_shape_is_the_nearest(tiny_dataset, monkeypatch) -> None:
    train = tiny_dataset.rows("train")
    if not len(tiny_dataset.rows("test")):  # the split of 24 objects is what their hashes say
        monkeypatch.setattr(
            type(tiny_dataset), "rows", lambda self, s: train[::2] if s == "train" else train[1::2]
        )
    measured = measure_reconstruction(FakeGenerator(), tiny_dataset)  # type: ignore[arg-type]
    assert measured["iou_mean"] == measured["share_good"] == 1
    test, known = (tiny_dataset.voxels(tiny_dataset.rows(s)) for s in ("test", "train"))
    best = pairwise_iou(test, known).max(1).values.mean()
    # looked for at 32^3, compared at 16^3: the same shapes, but for a tie
    assert measured["nearest_training_shape_iou_mean"] == pytest.approx(float(best), abs=0.05)

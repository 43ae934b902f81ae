"""Which held-out shapes generated ones are compared with, and by which prompts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from triform.systems.shape_flow import realism
from triform.systems.shape_flow.config import EvaluateConfig

R = 32


def slab(height: int) -> np.ndarray:
    """Distances (R, R, R) of which the lowest samples are inside."""
    field = np.ones((R, R, R), np.float32)
    field[:, :height] = -1
    return field


def shape(caption: str, source: str = "real") -> SimpleNamespace:
    english = (caption,) if caption else ()
    return SimpleNamespace(
        english=english, category="", source=source, load=lambda: f"mesh of {caption}"
    )


def test_captions_of_held_out_shapes_are_the_prompts(monkeypatch) -> None:
    """Four groups, of which the smallest is left out; the parametric and the unnamed as well."""
    names = ["a1", "a2", "a3", "b1", "b2", "c1", "c2", "d1", "", "a4", "train"]
    shapes = [shape(name) for name in names]
    shapes[9] = shape("a4", "parametric")
    heights = [8, 4, 16, 8, 8, 8, 8, 8, 8, 8, 16]
    splits = {"val": [0, 3, 5, 7, 8], "test": [1, 2, 4, 6, 9], "train": [10]}
    dataset = SimpleNamespace(
        rows=lambda split: np.asarray(splits[split]),
        shape_index=np.arange(len(names)),
        shapes=shapes,
        table=SimpleNamespace(
            shapes=shapes, distances=lambda rows: np.stack([slab(heights[row]) for row in rows])
        ),
    )
    requested = []

    class Generator:
        def generate(self, requests, candidates):
            requested.append([(r.prompt, r.seed, candidates) for r in requests])
            return [(slab(4 if r.prompt == "a1" else 0), "colors") for r in requests]

        def mesh(self, field):
            return "generated"

    compared = []
    monkeypatch.setattr(realism, "group_of", lambda caption, _: caption[0])
    monkeypatch.setattr(
        realism, "two_sample_test", lambda generated, real: compared.append((generated, real)) or 1
    )
    monkeypatch.setattr(
        realism, "summarize_novelty", lambda solids, training: [solids.sum((1, 2, 3)), training]
    )
    settings = EvaluateConfig(seed=5, candidates=2)
    report = realism.measure_realism(Generator(), settings, dataset)
    assert list(report) == ["a", "b", "c"]
    assert requested[0] == [("a1", 5, 2), ("a2", 6, 2), ("a3", 7, 2)]
    assert compared == [(["generated"], ["mesh of a1", "mesh of a2", "mesh of a3"])]
    assert report["a"]["empty"] == 2 and report["b"]["empty"] == 2
    assert report["a"]["one_nearest_neighbor"] == 1 and report["b"]["one_nearest_neighbor"] is None
    layer = R * R
    generated, training = report["a"]["novelty"]
    assert generated.tolist() == [4 * layer, 0, 0]
    torch.testing.assert_close(training[0], torch.from_numpy(slab(16) < 0))
    assert report["a"]["novelty_of_real"][0].tolist() == [8 * layer, 4 * layer, 16 * layer]

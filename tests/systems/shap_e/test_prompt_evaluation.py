"""Prompts become meshes in batches, each by a seed of its own; training shapes by their source."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from triform.base.errors import UsageError
from triform.systems.shap_e import prompt_evaluation
from triform.systems.shap_e.config import DataConfig
from triform.systems.shap_e.verb_config import EvaluateConfig


def test_training_shapes_are_those_of_the_library(monkeypatch) -> None:
    asked = []
    shapes = [SimpleNamespace(object_id=name) for name in ("a/1", "a/2", "a/3")]
    monkeypatch.setattr(prompt_evaluation, "load_dataset", lambda *given: asked.append(given))
    monkeypatch.setattr(prompt_evaluation, "list_shapes", lambda folders: shapes)
    entries = [SimpleNamespace(source=name) for name in ("a/3", "a/1", "gone")]
    dataset = SimpleNamespace(entries=entries, rows=lambda split: {"train": [0, 2]}[split])
    data = DataConfig(data_dir="sweethome3d, testdataset:40", download_path="there")
    assert prompt_evaluation.training_shapes(dataset, data) == [shapes[2]]
    assert asked == [(["sweethome3d", "testdataset:40"], "there")]
    with pytest.raises(UsageError, match=r"--prompt_sets: the library some/folder holds no meshes"):
        prompt_evaluation.training_shapes(dataset, DataConfig(data_dir="some/folder"))


def test_prompts_are_decoded_in_batches(monkeypatch) -> None:
    """Three prompts, two at a time; the latent of the second decodes to nothing."""
    asked, passed = [], {}

    def sample(cond, seeds, **settings):
        asked.append((cond.flatten().tolist(), seeds, settings))
        return cond

    def decode(decoder, latent, size):
        passed["decoded"] = (decoder, size)
        return None if float(latent) == 2 else SimpleNamespace(mesh=f"mesh {float(latent):g}")

    def measure(generate, settings, training, encoder):
        passed.update(training=training, encoder=encoder)
        return {"meshes": generate(["a", "b", "c"])}

    monkeypatch.setattr(
        prompt_evaluation,
        "encode_prompts",
        lambda trained, settings, texts: torch.arange(1.0, len(texts) + 1).view(-1, 1, 1),
    )
    monkeypatch.setattr(prompt_evaluation, "decode_mesh", decode)
    monkeypatch.setattr(prompt_evaluation, "load_prompt_encoder", lambda trained, _: "encoder")
    monkeypatch.setattr(prompt_evaluation, "measure_sets", measure)
    settings = EvaluateConfig(
        seed=9, batch_size=2, guidance_scale=3.0, karras_steps=5, sigma_min=0.5, sigma_max=8.0
    )
    transmitter = SimpleNamespace(decoder="decoder", config=SimpleNamespace(grid_size=48))
    report = prompt_evaluation.measure_prompts(
        SimpleNamespace(sample=sample), transmitter, settings, ["shape"]
    )
    assert report == {"meshes": ["mesh 1", None, "mesh 3"]}
    options = {"guidance_scale": 3.0, "steps": 5, "sigma_min": 0.5, "sigma_max": 8.0}
    assert asked == [([1.0, 2.0], [9, 10], options), ([3.0], [11], options)]
    assert passed == {"decoded": ("decoder", 48), "training": ["shape"], "encoder": "encoder"}

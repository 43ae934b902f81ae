"""Figures of `evaluate` by hand: latents, decoders and captions that are known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from triform.base.errors import UsageError
from triform.base.seeding import generator, hash_seed
from triform.systems.shap_e import evaluation
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.verb_config import EvaluateConfig


def captions(*texts: str) -> SimpleNamespace:
    return SimpleNamespace(captions=list(texts), of_object=[[n] for n in range(len(texts))])


def line(*values: float) -> torch.Tensor:
    """Latents (N, 1, 1)."""
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def test_retrieval_counts_objects_of_the_same_caption() -> None:
    """Rows 1 to 6 of seven captions; the latents of the truth are 0, 10, 20, 30, 40, 50."""
    conditions = captions("unused", "a", "b", "a", "c", "d", "e")
    truth = line(0, 10, 20, 30, 40, 50)
    # Nearest: itself; row 0 (another); row 0 (the same caption); itself; row 3; far from itself.
    sampled = line(1, 1, 1, 29, 31, -9)
    report = evaluation.retrieval_precision(sampled, truth, [1, 2, 3, 4, 5, 6], conditions)
    hits = [1, 0, 1, 1, 0, 0]
    assert report["R@1"] == 0.5
    assert report["R@1"] == round(sum(hits) / 6, 6)
    # Two of six objects have two right answers, four have one.
    assert report["R@1 by chance"] == round((2 * 2 / 6 + 4 * 1 / 6) / 6, 4)
    # Of five nearest all but the last object find their own.
    assert report["R@5"] == round(5 / 6, 6)
    assert report["R@5 by chance"] == round((2 * 1 + 4 * 5 / 6) / 6, 4)


def test_retrieval_among_few_leaves_out_what_says_nothing() -> None:
    report = evaluation.retrieval_precision(line(0, 1), line(0, 1), [0, 1], captions("a", "b"))
    assert report["R@1"] == 1.0 and "R@5" not in report
    assert evaluation.retrieval_precision(line(0), line(0), [0], captions("a")) == {}


def test_mean_with_interval() -> None:
    """Deviation 2, four values: a standard error of 1."""
    values = torch.tensor([5 - 3**0.5, 5 + 3**0.5] * 2, dtype=torch.float64)
    report = evaluation.with_interval("loss", values)
    assert report["loss"] == 5.0
    assert report["loss interval"] == pytest.approx([5 - 1.96, 5 + 1.96], abs=1e-3)
    one = torch.tensor([0.12345678], dtype=torch.float64)
    assert evaluation.with_interval("loss", one) == {"loss": 0.123457}


def test_held_out_loss_has_steps_and_noise_of_the_object(monkeypatch) -> None:
    names = ["other", "chair", "table"]
    seen = []

    class Schedule:
        def __len__(self):
            return 1024

        def add_noise(self, x0, t, noise):
            return ("noisy", x0.item(), t.item(), noise.item())

    def prior(x_t, t, cond):
        assert x_t[2] == t.item()
        return x_t, cond.item()

    def loss(schedule, output, x0, x_t, t, noise):
        seen.append((output, x0.item(), t.item(), noise.item()))
        assert output[0] == x_t
        return {"mse": x0.square(), "vb": torch.tensor(0.5)}

    monkeypatch.setattr(evaluation, "diffusion_loss", loss)
    dataset = SimpleNamespace(entries=[SimpleNamespace(object_id=name) for name in names])
    trained = SimpleNamespace(schedule=Schedule(), prior=prior)
    report = evaluation.held_out_loss(trained, dataset, [1, 2], line(1, 3), torch.tensor([7.0, 8]))
    for (output, x0, t, noise), name, value, cond in zip(
        seen, ["chair", "table"], [1, 3], [7, 8], strict=True
    ):
        assert t == hash_seed("step", name) % 1024
        assert noise == torch.randn(1, 1, generator=generator("noise", name)).item()
        assert (x0, output[1]) == (value, cond)
    assert report["mse"] == 5.0 and report["vb"] == 0.5
    assert report["mse of the mean latent"] == 1.0


def test_every_condition_has_a_seed_of_its_own() -> None:
    asked = []

    def sample(cond, seeds, **settings):
        asked.append((cond.tolist(), seeds, settings))
        return cond

    settings = EvaluateConfig(
        seed=9, batch_size=2, guidance_scale=4.0, karras_steps=5, sigma_min=0.5, sigma_max=8.0
    )
    cond = torch.tensor([1.0, 2.0, 3.0])
    sampled = evaluation.sample_all(SimpleNamespace(sample=sample), settings, cond)
    options = {"guidance_scale": 4.0, "steps": 5, "sigma_min": 0.5, "sigma_max": 8.0}
    assert asked == [([1.0, 2.0], [9, 10], options), ([3.0], [11], options)]
    assert sampled.tolist() == cond.tolist()


def cells(*inside: int) -> torch.Tensor:
    """A grid (2, 2, 2) with some cells above 0."""
    grid = -torch.ones(8)
    grid[list(inside)] = 1
    return grid.view(2, 2, 2)


def test_reconstruction_beside_the_nearest_training_shape() -> None:
    """Two objects: IoU 1/2 and 1; the nearest of two training shapes 2/3 and 1/4."""
    fields = [cells(0, 1), cells(4, 5, 6, 7), cells(0, 1, 2), cells(7)]
    batches = SimpleNamespace(fields=lambda rows: torch.stack([fields[row] for row in rows]))
    entries = [SimpleNamespace(dataset=name) for name in ("real", "made", "made", "made")]
    dataset = SimpleNamespace(rows=lambda split: {"train": [2, 3]}[split], entries=entries)
    decoded = {0.0: cells(1, 2, 0, 3), 1.0: cells(4, 5, 6, 7)}

    def decoder(latent, positions):
        assert positions.shape == (1, 8, 3)
        return decoded[latent.item()].view(1, 8, 1)

    report = evaluation.reconstruction(
        SimpleNamespace(decoder=decoder), batches, dataset, [0, 1], line(0, 1)
    )
    assert report["iou"] == 0.75
    assert report["iou median"] == 0.5  # the lower one of two
    assert report["iou of the nearest training shape"] == round((2 / 3 + 1 / 4) / 2, 6)
    assert report["iou of real (1)"] == 0.5 and report["iou of made (1)"] == 1.0
    nearest = "iou of the nearest training shape of"
    assert (
        report[f"{nearest} real (1)"] == round(2 / 3, 6) and report[f"{nearest} made (1)"] == 0.25
    )
    entries[0].dataset = "made"
    report = evaluation.reconstruction(
        SimpleNamespace(decoder=decoder), batches, dataset, [0, 1], line(0, 1)
    )
    assert not any(name.startswith("iou of made") for name in report)


def test_prompt_sets_are_refused_before_anything_is_read(monkeypatch) -> None:
    """Weights that want images, and weights without a decoder."""
    for model_type, transmitter in (("image300M", object()), ("text300M", None)):
        config = Config.model_validate({"model": {"model_type": model_type}})
        trained = SimpleNamespace(
            config=config, metadata={}, source=Path("weights.pth"), transmitter=transmitter
        )
        monkeypatch.setattr(evaluation.Trained, "choose", lambda *_, given=trained: given)
        with pytest.raises(UsageError, match=r"--prompt_sets: weights\.pth wants images or has no"):
            evaluation.evaluate(EvaluateConfig(prompt_sets=("groups",)))


def test_true_latents_come_from_files_or_from_the_encoder_of_the_run() -> None:
    batches = SimpleNamespace(
        latents=lambda rows: line(*rows),
        encoder_points=lambda rows: line(*rows),
        dataset=SimpleNamespace(entries=[SimpleNamespace(object_id=name) for name in "abc"]),
    )
    encoded = []

    def encode(points, views, random):
        encoded.append((points.item(), views, torch.rand(1, generator=random[0]).item()))
        return points + 10

    trained = SimpleNamespace(
        device="cpu",
        config=SimpleNamespace(transmitter=SimpleNamespace(joint=False)),
        transmitter=SimpleNamespace(encode=encode),
    )
    assert evaluation.true_latents(trained, batches, [2, 1]).flatten().tolist() == [2, 1]
    trained.config.transmitter.joint = True
    assert evaluation.true_latents(trained, batches, [2, 1]).flatten().tolist() == [12, 11]
    first = [torch.rand(1, generator=generator("encode", name)).item() for name in "cb"]
    assert encoded == [(2.0, None, first[0]), (1.0, None, first[1])]


def test_report_and_sheet_are_saved(tmp_path: Path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(evaluation, "draw_latents", lambda *given: drawn.append(given))
    conditions = captions(*(f"object {n}" for n in range(12)))
    folder = tmp_path / "new" / "folder"
    rows = list(range(1, 11))
    evaluation.save(folder, {"R@1": 0.5}, conditions, rows, None, [line(*rows), line(*rows)])
    assert json.loads((folder / "report.json").read_text()) == {"R@1": 0.5}
    ((shown, labels, path),) = drawn
    assert [each.flatten().tolist() for each in shown] == [rows[:8], rows[:8]]
    assert labels == [f"object {n}" for n in rows[:8]] and path == folder / "sheet.png"
    monkeypatch.setattr(evaluation, "draw_shapes", lambda *given: drawn.append(given))
    decoder = torch.nn.Linear(1, 1)
    transmitter = SimpleNamespace(decoder=decoder, parameters=decoder.parameters)
    evaluation.save(folder, {}, conditions, rows, transmitter, [line(*rows)])
    assert drawn[1][0] is decoder and drawn[1][1][0].flatten().tolist() == rows[:8]
    assert drawn[1][2:] == (labels, 64, path)

"""Errors of reconstructions, worked out with numpy from the images of the right split."""

import numpy as np
import pytest
import torch

from triform.base.seeding import generator
from triform.systems.autoencoder.config import Config, EvaluateConfig, ReconstructConfig
from triform.systems.autoencoder.loss import add_noise
from triform.systems.autoencoder.system import System, Trained, evaluate, reconstruct
from triform.systems.autoencoder.trained import _baselines


def small(tagged, **training) -> Config:
    return Config.model_validate(
        {
            "device": "cpu",
            "data": {"dataset": str(tagged.folder)},
            "model": {"hidden_dims": [16], "latent_dim": 4},
            "training": training,
        }
    )


def errors(reconstruction: np.ndarray, images: np.ndarray) -> dict[str, float]:
    difference = (reconstruction.astype(np.float64) - images) / 255
    absolute = np.abs(difference).mean()
    return {
        "quality_percent": 100 - 100 * absolute,
        "absolute_error": absolute,
        "squared_error": (difference**2).mean(),
    }


def rounded(floats: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(floats, 0, 255))


@pytest.mark.parametrize("objective", ["plain", "denoising"])
def test_every_row_by_numpy(tagged, untrained, objective):
    """Test images are far brighter than the training's: no other split gives these numbers."""
    path = untrained(System(small(tagged, objective=objective, noise_factor=0.2)))
    report = evaluate(EvaluateConfig(checkpoint=str(path), device="cpu", seed=7))
    test, train = (tagged.images[split].flatten(1).double().numpy() for split in ("test", "train"))
    mean = train.mean(0)
    _, _, directions = np.linalg.svd(train - mean, full_matrices=False)
    best = directions[:4]
    network = Trained.from_checkpoint(path, "cpu").autoencoder
    inputs = tagged.images["test"].float() / 255
    if objective == "denoising":
        inputs = add_noise(inputs, 0.2, generator("reconstruct", 7))
    with torch.no_grad():
        reconstruction, latents = network(inputs)
    expected = {
        "autoencoder": rounded(255 * reconstruction.flatten(1).double().numpy()),
        "4 principal components": rounded(mean + (test - mean) @ best.T @ best),
        "mean image": np.broadcast_to(rounded(mean), test.shape),
    }
    rows = {row.pop("by"): row for row in report["rows"]}
    assert list(rows) == list(expected)
    for name, some in expected.items():
        wanted = errors(some, test)
        assert {key: rows[name][key] for key in wanted} == pytest.approx(wanted, rel=1e-4), name
    assert rows["mean image"]["absolute_error"] == pytest.approx(160 / 255, rel=0.02)
    assert report["images"] == 14 and report["latent_dim"] == 4
    assert report["noise_factor"] == (0.2 if objective == "denoising" else 0)
    small_ones = (latents.abs() < 0.05 * latents.std()).double().mean()
    assert report["nearly_zero"] == pytest.approx(float(small_ones))
    settings = ReconstructConfig(
        checkpoint=str(path),
        device="cpu",
        seed=7,
        num_samples=14,
        output=path.with_suffix(".png"),
    )
    assert reconstruct(settings)["quality_percent"] == pytest.approx(
        rows["autoencoder"]["quality_percent"]
    )


def test_components_are_the_best_ones_also_where_all_matter_alike():
    """Of 300 images of noise the eight best directions are hard to find by a random search."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (300, 1, 10, 10), generator=random).byte()
    reconstruction = _baselines(images, images, 8)["8 principal components"]
    flat = images.flatten(1).double().numpy()
    mean = flat.mean(0)
    best = np.linalg.svd(flat - mean, full_matrices=False)[2][:8]
    exact = errors(mean + (flat - mean) @ best.T @ best, flat)
    found = errors(reconstruction.flatten(1).numpy(), flat)
    assert found["squared_error"] == pytest.approx(exact["squared_error"], rel=1e-2)


def test_a_limited_number_is_spread_over_the_split(tagged, untrained):
    path = untrained(System(small(tagged)))
    report = evaluate(EvaluateConfig(checkpoint=str(path), device="cpu", num_samples=10))
    rows = torch.linspace(0, 13, 10).round().long()
    test = tagged.images["test"][rows].flatten(1).double().numpy()
    mean = rounded(tagged.images["train"].flatten(1).double().numpy().mean(0))
    row = report["rows"][-1]
    assert row["absolute_error"] == pytest.approx(errors(mean, test)["absolute_error"], rel=1e-5)


@pytest.mark.parametrize("split", ["val", "train"])
def test_validation_in_training(tagged, split):
    """The same noise each time; a mean over the images of the given split."""
    training = {"objective": "denoising", "noise_factor": 0.3}
    system = System(small(tagged, **training))
    clean = tagged.images[split].float() / 255
    inputs = add_noise(clean, 0.3, generator("evaluate", split))
    with torch.no_grad():
        numbers, repeated = system.evaluate(split), system.evaluate(split)
        reconstruction, latents = system.networks["autoencoder"](inputs)
    assert numbers == repeated
    absolute = float((reconstruction - clean).abs().mean())
    expected = {
        "loss": float((reconstruction - clean).square().mean()),
        "squared": numbers["loss"],
        "absolute": absolute,
        "magnitude": float(latents.abs().mean()),
        "quality_percent": 100 - 100 * absolute,
    }
    assert numbers == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "error", "factor"),
    [("sparse", "squared", 0.7), ("sparse", "absolute", 0.7), ("plain", "absolute", 0.0)],
)
def test_only_a_sparse_one_has_a_penalty_on_latents(tagged, objective, error, factor):
    system = System(small(tagged, objective=objective, error=error, sparsity=0.7))
    images = tagged.images["val"].float() / 255
    losses = system.step({"images": images}, lambda loss: loss.backward())
    with torch.no_grad():
        reconstruction, latents = system.networks["autoencoder"](images)
        difference = reconstruction - images
    expected = difference.square().mean() if error == "squared" else difference.abs().mean()
    assert losses["loss"].item() == pytest.approx(float(expected + factor * latents.abs().mean()))

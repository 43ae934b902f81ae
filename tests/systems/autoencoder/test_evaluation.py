"""Errors of reconstructions, worked out with numpy from the pictures of the right split."""

import numpy as np
import pytest
import torch

from triform.base.seeding import generator
from triform.systems.autoencoder.config import Config, EvaluateConfig, ReconstructConfig
from triform.systems.autoencoder.loss import with_noise
from triform.systems.autoencoder.system import System, evaluate, from_checkpoint, reconstruct
from triform.systems.autoencoder.trained import _plain


def small(tagged, **training) -> Config:
    return Config.model_validate(
        {
            "device": "cpu",
            "data": {"dataset": str(tagged.folder)},
            "model": {"hidden_dims": [16], "latent_dim": 4},
            "training": training,
        }
    )


def errors(back: np.ndarray, images: np.ndarray) -> dict[str, float]:
    apart = (back.astype(np.float64) - images) / 255
    absolute = np.abs(apart).mean()
    return {
        "quality_percent": 100 - 100 * absolute,
        "absolute_error": absolute,
        "squared_error": (apart**2).mean(),
    }


def rounded(floats: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(floats, 0, 255))


@pytest.mark.parametrize("objective", ["plain", "denoising"])
def test_every_row_by_numpy(tagged, untrained, objective):
    """Test pictures are far brighter than the training's: no other split gives these numbers."""
    path = untrained(System(small(tagged, objective=objective, noise_factor=0.2)))
    report = evaluate(EvaluateConfig(checkpoint=str(path), device="cpu", seed=7))
    test, train = (tagged.images[split].flatten(1).double().numpy() for split in ("test", "train"))
    mean = train.mean(0)
    _, _, directions = np.linalg.svd(train - mean, full_matrices=False)
    best = directions[:4]
    network = from_checkpoint(path, "cpu").network
    seen = tagged.images["test"].float() / 255
    if objective == "denoising":
        seen = with_noise(seen, 0.2, generator("reconstruct", 7))
    with torch.no_grad():
        back, codes = network(seen)
    expected = {
        "autoencoder": rounded(255 * back.flatten(1).double().numpy()),
        "4 principal components": rounded(mean + (test - mean) @ best.T @ best),
        "mean picture": np.broadcast_to(rounded(mean), test.shape),
    }
    rows = {row.pop("by"): row for row in report["rows"]}
    assert list(rows) == list(expected)
    for name, some in expected.items():
        wanted = errors(some, test)
        assert {key: rows[name][key] for key in wanted} == pytest.approx(wanted, rel=1e-4), name
    assert rows["mean picture"]["absolute_error"] == pytest.approx(160 / 255, rel=0.02)
    assert report["pictures"] == 14 and report["code"] == 4
    assert report["noise_factor"] == (0.2 if objective == "denoising" else 0)
    small_ones = (codes.abs() < 0.05 * codes.std()).double().mean()
    assert report["nearly_zero"] == pytest.approx(float(small_ones))
    again = reconstruct(
        ReconstructConfig(
            checkpoint=str(path), device="cpu", seed=7, num_samples=14,
            output=path.with_suffix(".png"),
        )
    )  # fmt: skip
    assert again["quality_percent"] == pytest.approx(rows["autoencoder"]["quality_percent"])


def test_components_are_the_best_ones_also_where_all_matter_alike():
    """Of 300 pictures of noise the eight best directions are hard to find by a random search."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (300, 1, 10, 10), generator=random).byte()
    back = _plain(images, images, 8)["8 principal components"]
    flat = images.flatten(1).double().numpy()
    mean = flat.mean(0)
    best = np.linalg.svd(flat - mean, full_matrices=False)[2][:8]
    exact = errors(mean + (flat - mean) @ best.T @ best, flat)
    found = errors(back.flatten(1).numpy(), flat)
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
    """The same noise each time; a mean over the pictures of the split that was asked for."""
    training = {"objective": "denoising", "noise_factor": 0.3}
    system = System(small(tagged, **training))
    clean = tagged.images[split].float() / 255
    seen = with_noise(clean, 0.3, generator("evaluate", split))
    with torch.no_grad():
        numbers, again = system.evaluate(split), system.evaluate(split)
        back, codes = system.networks["autoencoder"](seen)
    assert numbers == again
    absolute = float((back - clean).abs().mean())
    expected = {
        "loss": float((back - clean).square().mean()), "squared": numbers["loss"],
        "absolute": absolute, "magnitude": float(codes.abs().mean()),
        "quality_percent": 100 - 100 * absolute,
    }  # fmt: skip
    assert numbers == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "error", "factor"),
    [("sparse", "squared", 0.7), ("sparse", "absolute", 0.7), ("plain", "absolute", 0.0)],
)
def test_only_a_sparse_one_pays_for_its_code(tagged, objective, error, factor):
    system = System(small(tagged, objective=objective, error=error, sparsity=0.7))
    images = tagged.images["val"].float() / 255
    losses = system.step({"images": images}, lambda loss: loss.backward())
    with torch.no_grad():
        back, codes = system.networks["autoencoder"](images)
        apart = back - images
    wanted = apart.square().mean() if error == "squared" else apart.abs().mean()
    assert losses["loss"].item() == pytest.approx(float(wanted + factor * codes.abs().mean()))

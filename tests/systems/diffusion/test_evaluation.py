"""Which images are measured, with networks whose outputs are known."""

import math

import pytest
import torch

from triform.base.seeding import generator
from triform.layers.image_spec import ImageSpec
from triform.systems.diffusion import trained as trained_module
from triform.systems.diffusion.config import Config, EvaluateConfig
from triform.systems.diffusion.noise_schedule import NoiseSchedule
from triform.systems.diffusion.system import System, Trained, evaluate

T = 10


def small(tagged, **model) -> Config:
    return Config.model_validate(
        {
            "device": "cpu",
            "data": {"dataset": str(tagged.folder), "batch_size": 6},
            "model": {"timesteps": T, "width": 8, "patch": 1, **model},
            "training": {"use_amp": False},
            "metrics": {"levels": 4},
        }
    )


def alphas() -> torch.Tensor:
    """Cumulative products of 1 - beta, by the definition (1000 / T times the paper's betas)."""
    products, product = [], 1.0
    for step in range(T):
        beta = 100 * (1e-4 + (0.02 - 1e-4) * step / (T - 1))
        product *= 1 - min(beta, 0.999)
        products.append(product)
    return torch.tensor(products)


class Constant(torch.nn.Module):
    """Predicts 0.25 everywhere, and records its inputs."""

    def __init__(self):
        super().__init__()
        self.inputs: list[tuple] = []

    def forward(self, x_t, t, labels=None):
        self.inputs.append((x_t, t, labels))
        return torch.full_like(x_t, 0.25)


@pytest.mark.parametrize("objective", ["epsilon", "x0", "v"])
def test_validation_is_at_fixed_amounts_of_noise(tagged, objective):
    system = System(small(tagged, objective=objective))
    network = system.networks["unet"] = Constant()
    with torch.no_grad():
        numbers = system.evaluate("val")
        assert system.evaluate("val") == numbers
    # Ten images are few: each is measured six times, at the next level each time.
    images = tagged.images["val"].float().repeat(6, 1, 1, 1) / 255 * 2 - 1
    noise = torch.randn(images.shape, generator=generator("evaluate", "val"))
    levels = [0, 3, 6, 9]
    t = torch.tensor([levels[(i + time) % 4] for time in range(6) for i in range(10)])
    signal, spread = alphas()[t].sqrt(), (1 - alphas()[t]).sqrt()
    signal, spread = signal.view(-1, 1, 1, 1), spread.view(-1, 1, 1, 1)
    expected = {"epsilon": noise, "x0": images, "v": signal * noise - spread * images}[objective]
    assert numbers == {"loss": pytest.approx(float((0.25 - expected).square().mean()), rel=1e-4)}
    x_t, timesteps, labels = network.inputs[0]
    assert torch.equal(timesteps, t) and labels.tolist() == ([0] * 5 + [1] * 5) * 6
    torch.testing.assert_close(x_t, signal * images + spread * noise, rtol=1e-4, atol=1e-4)


def test_a_step_drops_labels_with_their_probability(tagged):
    system = System(small(tagged, label_dropout=0.25))
    network = system.networks["unet"] = Constant()
    images = tagged.images["train"][:1].float().expand(4000, -1, -1, -1) / 255
    pushed = []
    torch.manual_seed(0)
    losses = system.step({"images": images, "labels": torch.ones(4000).long()}, pushed.append)
    x_t, t, labels = network.inputs[0]
    assert set(labels.tolist()) == {1, 2} and set(t.tolist()) == set(range(T))
    assert float((labels == 2).double().mean()) == pytest.approx(0.25, abs=0.03)
    counts = t.bincount() / 4000
    assert float((counts - 1 / T).abs().max()) < 0.02
    assert pushed == [losses["loss"]]
    # Noise itself is the default target: E (0.25 - e)^2.
    assert losses["loss"].item() == pytest.approx(1 + 0.0625, rel=0.02)
    late = x_t[t == T - 1]
    signal = math.sqrt(alphas()[-1])
    assert late.mean().item() == pytest.approx(signal * (images[0] * 2 - 1).mean().item(), abs=0.02)


def test_generated_images_are_measured_against_the_test_part(
    tagged, measured, monkeypatch, tmp_path
):
    scored = []

    def score(generated, labels, real, real_labels):
        scored.append((generated, labels, real, real_labels))
        return 0.75

    monkeypatch.setattr(trained_module, "classification_score", score)
    extra = {"steps": 2, "classification_score": True}

    def settings(given):
        return EvaluateConfig.model_validate({**given, **extra})

    wrapped = type("Settings", (), {"model_validate": staticmethod(settings)})
    found = measured(System(small(tagged)), evaluate, wrapped)
    assert torch.equal(found["real"], tagged.images["test"])
    assert torch.equal(found["train"], tagged.images["train"])
    assert torch.equal(found["below"], tagged.images["train"])
    trained = Trained.from_checkpoint(tmp_path / "weights.safetensors", "cpu")
    labels = torch.arange(200) % 2  # both classes in turn
    given = settings({"checkpoint": "", "num_samples": 200, "seed": 5, "batch_size": 64})
    parts = []
    for start in range(0, 200, 64):
        own = labels[start : start + 64]
        with torch.no_grad():
            *_, last = trained_module.sample_images(
                trained.unet,
                trained.schedule,
                trained.spec,
                own,
                len(own),
                sampler="dpm",
                steps=2,
                random=generator("generate", 5, start),
                device=torch.device("cpu"),
                guidance=given.guidance,
            )
        parts.append(((last * (1 + given.stretch) + 1) / 2).clamp(0, 1).mul(255).round().byte())
    drawn = torch.cat(parts)
    assert torch.equal(found["generated"], drawn) and torch.equal(found["above"], drawn)
    generated, generated_labels, real, real_labels = scored[0]
    assert torch.equal(generated, drawn) and torch.equal(generated_labels, labels)
    assert torch.equal(real, tagged.images["test"]) and real_labels.tolist() == [0] * 7 + [1] * 7
    assert found["report"]["classification_score"] == 0.75
    assert found["report"]["steps"] == 2 and found["report"]["guidance"] == given.guidance


@pytest.mark.parametrize(("guidance", "expected"), [(0.0, 0.1), (1.0, 0.3), (2.5, 0.1 + 2.5 * 0.2)])
def test_guidance_by_hand(tagged, guidance, expected):
    """A network that predicts 0.3 for a class and 0.1 without; its prediction is the image."""
    schedule = NoiseSchedule.from_config(small(tagged, objective="x0").model)
    spec = ImageSpec(1, 4, ("a", "b"))

    def network(x_t, t, labels=None):
        unconditional = torch.ones(len(x_t)) if labels is None else (labels == 2).float()
        return (0.3 - 0.2 * unconditional).view(-1, 1, 1, 1).expand_as(x_t)

    *_, images = trained_module.sample_images(
        network,
        schedule,
        spec,
        torch.tensor([0, 1, 1]),
        3,
        sampler="ddim",
        steps=2,
        random=torch.Generator().manual_seed(0),
        device=torch.device("cpu"),
        guidance=guidance,
    )
    torch.testing.assert_close(images, torch.full((3, 1, 4, 4), expected), rtol=0, atol=1e-5)

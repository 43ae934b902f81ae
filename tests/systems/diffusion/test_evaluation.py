"""What is measured on which pictures, with networks whose answers are known."""

import math

import pytest
import torch

from triform.base.seeding import generator
from triform.systems.diffusion import trained as trained_module
from triform.systems.diffusion.config import Config, EvaluateConfig
from triform.systems.diffusion.system import System, evaluate, from_checkpoint

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
    """Shares of the picture's variance, by the definition (1000 / T times the paper's betas)."""
    kept, share = [], 1.0
    for step in range(T):
        beta = 100 * (1e-4 + (0.02 - 1e-4) * step / (T - 1))
        share *= 1 - min(beta, 0.999)
        kept.append(share)
    return torch.tensor(kept)


class Silent(torch.nn.Module):
    """Says 0.25 everywhere, and keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked: list[tuple] = []

    def forward(self, x_t, t, labels=None):
        self.asked.append((x_t, t, labels))
        return torch.full_like(x_t, 0.25)


@pytest.mark.parametrize("objective", ["epsilon", "x0", "v"])
def test_validation_is_at_fixed_amounts_of_noise(tagged, objective):
    system = System(small(tagged, objective=objective))
    silent = system.networks["unet"] = Silent()
    with torch.no_grad():
        numbers = system.evaluate("val")
        assert system.evaluate("val") == numbers
    images = tagged.images["val"].float() / 255 * 2 - 1
    noise = torch.randn(images.shape, generator=generator("evaluate", "val"))
    t = torch.tensor([0, 3, 6, 9, 0, 3, 6, 9, 0, 3])
    signal, spread = alphas()[t].sqrt(), (1 - alphas()[t]).sqrt()
    signal, spread = signal.view(-1, 1, 1, 1), spread.view(-1, 1, 1, 1)
    wanted = {"epsilon": noise, "x0": images, "v": signal * noise - spread * images}[objective]
    assert numbers == {"loss": pytest.approx(float((0.25 - wanted).square().mean()), rel=1e-4)}
    x_t, asked, labels = silent.asked[0]
    assert torch.equal(asked, t) and labels.tolist() == [0] * 5 + [1] * 5
    torch.testing.assert_close(x_t, signal * images + spread * noise, rtol=1e-4, atol=1e-4)


def test_a_step_hides_labels_as_often_as_it_should(tagged):
    system = System(small(tagged, label_dropout=0.25))
    silent = system.networks["unet"] = Silent()
    images = tagged.images["train"][:1].float().expand(4000, -1, -1, -1) / 255
    pushed = []
    torch.manual_seed(0)
    losses = system.step({"images": images, "labels": torch.ones(4000).long()}, pushed.append)
    x_t, t, labels = silent.asked[0]
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


def test_made_pictures_are_measured_against_the_test_part(tagged, measured, monkeypatch, tmp_path):
    scored = []

    def score(made, labels, real, real_labels):
        scored.append((made, labels, real, real_labels))
        return 0.75

    monkeypatch.setattr(trained_module, "classification_score", score)
    extra = {"steps": 2, "classification_score": True}

    def settings(given):
        return EvaluateConfig.model_validate({**given, **extra})

    wrapped = type("Settings", (), {"model_validate": staticmethod(settings)})
    found = measured(System(small(tagged)), trained_module, evaluate, wrapped)
    assert torch.equal(found["real"], tagged.images["test"])
    assert torch.equal(found["train"], tagged.images["train"])
    assert torch.equal(found["below"], tagged.images["train"])
    trained = from_checkpoint(tmp_path / "weights.safetensors", "cpu")
    labels = torch.arange(200) % 2  # both classes in turn
    given = settings({"checkpoint": "", "num_samples": 200, "seed": 5, "batch_size": 64})
    parts = []
    for start in range(0, 200, 64):
        own = labels[start : start + 64]
        with torch.no_grad():
            *_, last = trained_module.generated(
                trained.network, trained.chain, (1, 8), own, len(own), sampler="dpm", steps=2,
                random=generator("generate", 5, start), device=torch.device("cpu"),
                guidance=given.guidance, num_classes=2,
            )  # fmt: skip
        parts.append(((last * (1 + given.stretch) + 1) / 2).clamp(0, 1).mul(255).round().byte())
    drawn = torch.cat(parts)
    assert torch.equal(found["made"], drawn) and torch.equal(found["above"], drawn)
    made, made_labels, real, real_labels = scored[0]
    assert torch.equal(made, drawn) and torch.equal(made_labels, labels)
    assert torch.equal(real, tagged.images["test"]) and real_labels.tolist() == [0] * 7 + [1] * 7
    assert found["report"]["classification_score"] == 0.75
    assert found["report"]["steps"] == 2 and found["report"]["guidance"] == given.guidance


@pytest.mark.parametrize(("guidance", "expected"), [(0.0, 0.1), (1.0, 0.3), (2.5, 0.1 + 2.5 * 0.2)])
def test_guidance_by_hand(tagged, guidance, expected):
    """A network that says 0.3 to a class and 0.1 to none; what it says is the picture itself."""
    chain = trained_module.build_chain(small(tagged, objective="x0").model)

    def network(x_t, t, labels=None):
        free = torch.ones(len(x_t)) if labels is None else (labels == 2).float()
        return (0.3 - 0.2 * free).view(-1, 1, 1, 1).expand_as(x_t)

    *_, made = trained_module.generated(
        network, chain, (1, 4), torch.tensor([0, 1, 1]), 3, sampler="ddim", steps=2,
        random=torch.Generator().manual_seed(0), device=torch.device("cpu"), guidance=guidance,
        num_classes=2,
    )  # fmt: skip
    torch.testing.assert_close(made, torch.full((3, 1, 4, 4), expected), rtol=0, atol=1e-5)

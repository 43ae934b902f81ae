"""Agreement, differences and distances of translations, worked out by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from triform.base.errors import UserError
from triform.systems.cycle_gan import evaluation as evaluation_module
from triform.systems.cycle_gan.config import Config, EvaluateConfig
from triform.systems.cycle_gan.data import load_domains, tinted
from triform.systems.cycle_gan.evaluation import _kernel_distances, _paired_metrics, l1_distance
from triform.systems.cycle_gan.system import System, Trained, evaluate


def flat(*values: int) -> torch.Tensor:
    """Images of one colour each, whose tens are their class."""
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


@pytest.fixture
def classes_by_tens(monkeypatch):
    def classes(images, batch_size=500):
        tens = images[:, 0, 0, 0].long() // 10
        return torch.nn.functional.one_hot(tens, 26).float()

    monkeypatch.setattr(evaluation_module, "image_class_probs", classes)


def test_agreement_is_with_the_true_classes(classes_by_tens):
    """Of four images three keep their class when B becomes A, and one does untranslated."""
    a, as_a = flat(10, 20, 30, 40), flat(12, 25, 39, 11)
    b, as_b = flat(50, 21, 60, 70), flat(50, 23, 64, 77)
    numbers = _paired_metrics(a, b, as_a, as_b)
    expected = {
        "agreement": 0.75,
        "agreement_untranslated": 0.25,
        "l1_a2b": (0 + 2 + 4 + 7) / 4 / 255,
        "l1_b2a": (2 + 5 + 9 + 29) / 4 / 255,
        "l1_untranslated": (40 + 1 + 30 + 30) / 4 / 255,
        # 1.96 standard errors of 0, 2, 4, 7 and of 2, 5, 9, 29; Wilson's interval of 3 of 4.
        "l1_a2b_interval95": 2.92635 / 255,
        "l1_b2a_interval95": 11.93205 / 255,
        "agreement_low": 0.3006,
        "agreement_high": 0.9544,
    }
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, abs=1e-4)
    assert set(numbers) == set(expected)


def test_distances_are_to_images_of_the_kind_that_was_wanted(monkeypatch):
    """Distance of two sets: the difference of their means."""
    monkeypatch.setattr(evaluation_module, "image_features", lambda images: images.float())
    monkeypatch.setattr(
        evaluation_module,
        "kernel_distance",
        lambda some, others: (float(some.mean() - others.mean()), 9.0),
    )
    kinds = (flat(10).repeat(100, 1, 1, 1), flat(60).repeat(100, 1, 1, 1))
    generated = (flat(13).repeat(100, 1, 1, 1), flat(67).repeat(100, 1, 1, 1))
    assert _kernel_distances(*kinds, *generated) == {
        "kernel_distance_a2b": 7.0,
        "kernel_distance_b2a": 3.0,
        "kernel_distance_untranslated": -50.0,
    }
    few = flat(60).repeat(99, 1, 1, 1)
    assert _kernel_distances(kinds[0], few, generated[0], few) == {}
    assert _kernel_distances(few, kinds[0], few, generated[0]) == {}


def test_difference_is_a_mean_over_all_pixels_also_of_many_images():
    some, others = flat(*[3] * 1000, 55), flat(*[0] * 1000, 0)
    assert l1_distance(some, others) == pytest.approx((3 * 1000 + 55) / 1001 / 255)


def small(tagged) -> Config:
    return Config.model_validate(
        {
            "device": "cpu",
            "data": {"dataset": str(tagged.folder), "batch_size": 4, "image_size": 8},
            "model": {
                "width": 8,
                "blocks": 1,
                "discriminator_width": 8,
                "discriminator_levels": 1,
            },
            "metrics": {"num_images": 100},
        }
    )


def pixels(images: torch.Tensor) -> np.ndarray:
    return images.double().numpy() / 255


def distance(some: torch.Tensor, others: torch.Tensor) -> float:
    return float(np.abs(pixels(some) - pixels(others)).mean())


def through(network, images: torch.Tensor) -> torch.Tensor:
    """Bytes of a translation, by the definition."""
    with torch.no_grad():
        out = network(images.float() / 255 * 2 - 1)
    return ((out + 1) / 2 * 255).round().clamp(0, 255).byte()


@pytest.mark.parametrize("number", [100, 4])
def test_evaluate_translates_test_images(tagged, untrained, number, classes_by_tens):
    path = untrained(System(small(tagged)))
    report = evaluate(EvaluateConfig(checkpoint=str(path), device="cpu", num_images=number))
    test = tagged.images["test"].expand(-1, 3, -1, -1)
    rows = torch.linspace(0, 13, min(14, number)).round().long()
    a, b = test[rows], tinted(test[rows])
    trained = Trained.from_checkpoint(path, "cpu")
    a2b, b2a = trained.networks["a2b"], trained.networks["b2a"]
    as_b, as_a = through(a2b, a), through(b2a, b)
    expected = {
        "cycle_a": distance(through(b2a, as_b), a),
        "cycle_b": distance(through(a2b, as_a), b),
        "l1_a2b": distance(as_b, b),
        "l1_b2a": distance(as_a, a),
        "l1_untranslated": distance(a, b),
        "agreement": float((as_a[:, 0, 0, 0] // 10 == a[:, 0, 0, 0] // 10).double().mean()),
        "agreement_untranslated": float(
            (b[:, 0, 0, 0] // 10 == a[:, 0, 0, 0] // 10).double().mean()
        ),
        "images_a": len(rows),
        "images_b": len(rows),
    }
    found = {name: report[name] for name in expected}
    assert found == pytest.approx(expected, abs=1e-4)
    assert not [name for name in report if name.startswith("kernel")]  # too few for that


def test_training_watches_validation_images_of_both_ways(tagged):
    system = System(small(tagged))
    system.num_steps = 17
    with torch.no_grad():
        numbers = system.evaluate("val")
    a = tagged.images["val"].expand(-1, 3, -1, -1)
    b, networks = tinted(a), system.networks
    as_b, as_a = through(networks["a2b"], a), through(networks["b2a"], b)
    expected = {
        "steps": 17.0,
        "cycle_a": distance(through(networks["b2a"], as_b), a),
        "cycle_b": distance(through(networks["a2b"], as_a), b),
        "l1_a2b": distance(as_b, b),
        "l1_b2a": distance(as_a, a),
    }
    assert numbers == pytest.approx(expected, abs=1e-4)
    with torch.no_grad():
        assert set(system.evaluate("train")) == {"steps", "cycle_a", "cycle_b"}


def test_the_losses_of_a_step(tagged):
    """Generators that add a constant, discriminators that return the mean: all of it by hand."""

    class Add(torch.nn.Module):
        def __init__(self, amount):
            super().__init__()
            self.amount = torch.nn.Parameter(torch.tensor(amount))

        def forward(self, x):
            return x + self.amount

    class Mean(torch.nn.Module):
        def __init__(self, slope):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.tensor(slope))

        def forward(self, x):
            return self.slope * x.mean((1, 2, 3))

    config = small(tagged)
    training = config.training.model_copy(update={"lambda_cycle": 7.0, "lambda_identity": 0.3})
    system = System(config.model_copy(update={"training": training}))
    system.networks = {
        "a2b": Add(0.2),
        "b2a": Add(-0.5),
        "discriminator_a": Mean(2.0),
        "discriminator_b": Mean(3.0),
    }
    domains, pushed = load_domains(config.data, config.seed), {}
    a = domains.a.part("val", 4).float() / 255
    b = domains.b.part("val", 4).float() / 255
    losses = system.step({"a": a, "b": b}, lambda loss, name: pushed.update({name: loss}))
    mean_a, mean_b = ((one * 2 - 1).mean((1, 2, 3)) for one in (a, b))
    fake_a, fake_b = 2 * (mean_b - 0.5), 3 * (mean_a + 0.2)
    adversarial = (fake_a - 1).square().mean() + (fake_b - 1).square().mean()
    cycle, identity = 0.3 + 0.3, 0.5 + 0.2
    expected = {
        "loss": float(adversarial) + 7 * (cycle + 0.3 * identity),
        "adversarial": float(adversarial),
        "cycle": cycle,
        "identity": identity,
        "discriminator_a": float(((2 * mean_a - 1).square() + fake_a.square()).mean() / 2),
        "discriminator_b": float(((3 * mean_b - 1).square() + fake_b.square()).mean() / 2),
    }
    found = {name: value.item() for name, value in losses.items()}
    assert found == pytest.approx(expected, rel=1e-4)
    assert pushed["generator"].item() == found["loss"]
    both = found["discriminator_a"] + found["discriminator_b"]
    assert pushed["discriminator"].item() == pytest.approx(both)
    pushed["discriminator"].backward()
    assert system.networks["a2b"].amount.grad is None  # translations come without their graph


def test_a_step_has_the_rate_of_its_place_in_the_run(tagged):
    system = System(small(tagged))
    system.total_steps = 400
    batch = next(iter(system.batches()))
    for steps, factor in ((0, 1.0), (200, 1.0), (300, 0.5), (400, 0.0)):
        system.num_steps = steps
        for optimizer in system.optimizers.values():
            optimizer.param_groups[0]["lr"] = 1.0  # as the engine sets it before each step
        system.step(batch, lambda *_: None)
        rates = [optimizer.param_groups[0]["lr"] for optimizer in system.optimizers.values()]
        assert rates == [factor, factor]


def test_the_better_direction_of_histogram_matching(monkeypatch, classes_by_tens):
    """Rising levels are 1 and 2 steps off, falling ones 2 and 0; its numbers are reported."""
    a, b = flat(10, 20), flat(50, 60)
    train = {"a": flat(1), "b": flat(2)}
    asked = []

    class Side:
        def __init__(self, name):
            self.name = name

        def part(self, split, count):
            asked.append((self.name, split, count))
            return train[self.name]

    def match(images, source, target, invert):
        to_b = images is a
        expected = (train["a"], train["b"]) if to_b else (train["b"], train["a"])
        assert source is expected[0] and target is expected[1]
        return (b if to_b else a) + ((2 if to_b else 0) if invert else (1 if to_b else 2))

    monkeypatch.setattr(evaluation_module, "match_histograms", match)
    domains = SimpleNamespace(a=Side("a"), b=Side("b"))
    found = evaluation_module._histogram_baseline(domains, a, b)
    assert found == {
        "levels": "falling",
        "levels_l1_a2b": pytest.approx(2 / 255),
        "levels_l1_b2a": 0.0,
        "levels_agreement": 1.0,
    }
    assert asked == [("a", "train", 2000), ("b", "train", 2000)]
    assert evaluation_module.MIN_IMAGES == 100


@pytest.mark.parametrize("paired", [True, False])
def test_which_numbers_are_reported(paired, tagged, untrained, monkeypatch, tmp_path):
    """The data are those of the training, or two folders; pairs have numbers of their own."""
    path = untrained(System(small(tagged)))
    parts = {"a": flat(10, 20, 30, 40), "b": flat(5, 6, 7, 8, 9)}
    parts = {name: each.repeat(1, 3, 2, 2) for name, each in parts.items()}
    loaded, saved = [], []

    def load(data, seed):
        loaded.append((data, seed))
        sides = {
            name: SimpleNamespace(part=lambda split, count, name=name: parts[name][:count])
            for name in parts
        }
        return SimpleNamespace(name="known", shape=(3, 8), paired=paired, **sides)

    monkeypatch.setattr(evaluation_module, "load_domains", load)
    monkeypatch.setattr(evaluation_module, "save_cycles", lambda *words: saved.append(words))
    for name in ("_paired_metrics", "_histogram_baseline", "_kernel_distances"):
        monkeypatch.setattr(evaluation_module, name, lambda *words, name=name: {name: len(words)})
    settings = EvaluateConfig(
        checkpoint=str(path), device="cpu", output=tmp_path / "sheet.jpg", download_path="d"
    )
    report = evaluate(settings)
    assert (report["data"], report["images_a"], report["images_b"]) == ("known", 4, 5)
    assert report["checkpoint"] == str(path) and report["_kernel_distances"] == 4
    assert (report.get("_paired_metrics"), report.get("_histogram_baseline")) == (
        (4, 3) if paired else (None, None)
    )
    ((a2b, b2a, a, b, file),) = saved
    assert file == tmp_path / "sheet.png" and a is not b and a2b is not b2a
    assert (len(a), len(b)) == (4, 5)
    ((data, seed),) = loaded
    assert data.download_path == "d" and Path(data.dataset).name == tagged.folder.name
    assert seed == 42
    saved.clear()
    other = {"domain_a": "one", "domain_b": "two"}
    changed = settings.model_copy(update={**other, "output": None, "num_images": 4})
    assert evaluate(changed)["images_b"] == 4 and not saved
    data = loaded[1][0]
    assert (data.domain_a, data.domain_b, data.channels, data.image_size) == ("one", "two", 3, 8)


def test_images_of_another_size_are_refused(tagged, untrained, monkeypatch):
    path = untrained(System(small(tagged)))
    domains = SimpleNamespace(name="known", shape=(1, 9))
    monkeypatch.setattr(evaluation_module, "load_domains", lambda data, seed: domains)
    message = "known: 1 channels of 9 pixels, but these weights were trained on 3 of 8"
    with pytest.raises(UserError, match=message):
        evaluate(EvaluateConfig(checkpoint=str(path), device="cpu"))

"""MAML: gradients through learning, against closed forms, finite differences and plain loops."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.engine.processes import Processes
from triform.engine.schedule import Schedule
from triform.engine.update import Update
from triform.systems.maml import adaptation, grouped
from triform.systems.maml.adaptation import adapt, adapted_logits
from triform.systems.maml.config import VERBS, Config, MAMLTrainingConfig
from triform.systems.maml.model import Classifier, InnerLearningRates, adapted_parameters
from triform.systems.maml.system import System, Trained, classify, evaluate
from triform.tasks.few_shot.config import ConvEmbeddingConfig

PRESETS = Path(__file__).parents[3] / "src/triform/systems/maml/presets"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A tiny trained run."""
    from triform.engine.verbs import train
    from triform.systems.maml.system import System

    folder = tmp_path_factory.mktemp("maml")
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(folder)]
    return Path(train(System, parse(Config, flags, PRESETS))["run"])


def small() -> Classifier:
    """A narrow network in float64, its last layer not at zero."""
    torch.manual_seed(0)
    network = Classifier(ConvEmbeddingConfig(hidden_channels=8, num_blocks=2), 1, 8, 3).double()
    nn.init.normal_(network.head.weight, std=0.3)
    return network


def tasks(count: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(3).repeat(count, 2)
    return {
        "support": torch.rand(count, 3, 1, 8, 8, generator=generator).double(),
        "support_labels": torch.stack(
            [torch.randperm(3, generator=generator) for _ in range(count)]
        ),
        "query": torch.rand(count, 6, 1, 8, 8, generator=generator).double(),
        "query_labels": labels,
    }


def meta_loss(network: nn.Module, training: MAMLTrainingConfig, weights=None) -> torch.Tensor:
    batch = tasks()
    steps = training.inner_steps
    logits = adapted_logits(network, None, batch, training, steps=steps, parameters=weights)
    return F.cross_entropy(logits.flatten(0, 1), batch["query_labels"].flatten())


def test_the_gradient_through_one_step_has_its_closed_form():
    """On (w - a)^2 / 2 with step r: d/dw of (w' - b)^2 / 2 is (1 - r) (w' - b), w' = w - r (w - a).

    Leaving second derivatives out gives (w' - b).
    """

    class Quadratic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

        def forward(self, x):
            # cross_entropy(logits, 0) equals the quadratic when log-probabilities are set so
            half = (self.w - x) ** 2 / 2
            first = -half
            rest = torch.log(-torch.expm1(first))
            return torch.stack([first, rest], -1)

    network, a, b, rate = Quadratic(), 2.5, -1.0, 0.3
    labels = torch.zeros(1, dtype=torch.long)
    for first_order, factor in ((False, 1 - rate), (True, 1.0)):
        weights = {"w": network.w}
        rates = [{"w": torch.tensor(rate, dtype=torch.float64)}]
        support = torch.tensor([a], dtype=torch.float64)
        learned = adapt(network, weights, support, labels, rates, first_order=first_order)
        after = 0.7 - rate * (0.7 - a)
        assert learned["w"].item() == pytest.approx(after)
        logits = functional_call(network, learned, (torch.tensor([b], dtype=torch.float64),))
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels), network.w)
        assert gradient.item() == pytest.approx(factor * (after - b))


@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_is_that_of_finite_differences(steps):
    network = small()
    training = MAMLTrainingConfig(inner_steps=steps, inner_lr=0.2)
    parameters = dict(network.named_parameters())
    gradients = dict(
        zip(
            parameters,
            torch.autograd.grad(meta_loss(network, training), list(parameters.values())),
            strict=True,
        )
    )
    generator = torch.Generator().manual_seed(2)
    direction = {
        k: torch.randn(v.shape, generator=generator).double() for k, v in parameters.items()
    }
    length = sum(float(v.square().sum()) for v in direction.values()) ** 0.5
    direction = {k: v / length for k, v in direction.items()}
    expected = sum(float((gradients[k] * direction[k]).sum()) for k in parameters)

    def moved(size: float) -> float:
        weights = {k: v.detach() + size * direction[k] for k, v in parameters.items()}
        return meta_loss(network, training, weights).item()

    size = 1e-7  # small, for ReLU and maxima have kinks
    assert (moved(size) - moved(-size)) / (2 * size) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("way", ["grouped", "vmapped"])
@pytest.mark.parametrize("anil", [False, True])
def test_all_tasks_at_once_are_a_loop_over_tasks(anil, way, monkeypatch):
    """Logits and meta-gradients equal those of plain autograd, one task after the other."""
    monkeypatch.setattr(grouped, "MAX_EPISODES", 2)  # two tasks, then the third
    if way == "vmapped":

        def vmapped(*given, bf16, **named):
            return adaptation.vmap_logits(*given, **named)

        monkeypatch.setattr(adaptation, "grouped_logits", vmapped)
    network = small()
    training = MAMLTrainingConfig(inner_steps=2, inner_lr=0.2, anil=anil, grouped_convolutions=True)
    names, batch = adapted_parameters(network, anil=anil), tasks(3)
    parameters = dict(network.named_parameters())
    logits = adapted_logits(network, None, batch, training, steps=2)
    plain = []
    for number in range(3):
        weights = dict(parameters)
        for _ in range(2):
            output = functional_call(network, weights, (batch["support"][number],))
            loss = F.cross_entropy(output, batch["support_labels"][number])
            gradients = torch.autograd.grad(loss, [weights[n] for n in names], create_graph=True)
            weights |= {n: weights[n] - 0.2 * g for n, g in zip(names, gradients, strict=True)}
        plain.append(functional_call(network, weights, (batch["query"][number],)))
    torch.testing.assert_close(logits, torch.stack(plain))
    ours, theirs = (
        torch.autograd.grad(one.square().mean(), list(parameters.values()))
        for one in (logits, torch.stack(plain))
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("first_order", [False, True])
def test_both_ways_have_the_same_gradients(first_order):
    """Also those of learned rates, without second derivatives, and without any gradient at all."""
    network, batch = small(), tasks(5)
    rates = InnerLearningRates(adapted_parameters(network, anil=False), 2, 0.2).double()
    learned = [*network.parameters(), *rates.parameters()]
    found = []
    for way in (grouped.grouped_logits, adaptation.vmap_logits):
        start = dict(network.named_parameters())
        logits = way(network, start, batch, rates.rates(), first_order=first_order)
        found.append((logits, *torch.autograd.grad(logits.square().mean(), learned)))
        with torch.no_grad():
            plain = way(network, start, batch, rates.rates(), first_order=first_order)
        torch.testing.assert_close(plain, logits)
        assert not plain.requires_grad
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_a_step_of_training_moves_the_same_weights_both_ways():
    """Gradients may be right and lie in memory otherwise than the weights: see the optimizer."""
    after = []
    for way in ("false", "true"):
        flags = ["--config", "tiny", "--device", "cpu", "--grouped_convolutions", way]
        system = System(parse(Config, flags, PRESETS))
        nn.init.normal_(system.network.head.weight, std=0.3)
        batch = next(iter(system.batches()))
        update = Update(
            system.networks,
            system.optimizers,
            Schedule(system.config.scheduler),
            system.config.training,
            "float32",
            Processes(torch.device("cpu")),
        )
        update.begin(0, 0)
        for _ in range(2):
            system.step(batch, update)
        after.append([p.detach().clone() for p in system.parameters])
    for a, b in zip(*after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_under_autocast_learning_stays_exact():
    """Queries lose digits, weights learned within a task do not: gradients stay close."""
    network, batch = small().float(), tasks()
    batch = {k: v.float() if v.is_floating_point() else v for k, v in batch.items()}
    training = MAMLTrainingConfig(inner_lr=0.2, grouped_convolutions=True)
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = adapted_logits(network, None, batch, training, steps=3)
        assert logits.dtype == torch.float32
        found.append(torch.autograd.grad(logits.square().mean(), list(network.parameters())))
    for a, b in zip(*found, strict=True):
        assert 0 < (a - b).norm() < 0.2 * a.norm()


def test_first_order_differs_and_learned_rates_get_a_gradient():
    network = small()
    exact, first = (
        torch.autograd.grad(
            meta_loss(network, MAMLTrainingConfig(inner_lr=0.2, inner_steps=2, first_order=order)),
            network.head.weight,
        )[0]
        for order in (False, True)
    )
    assert not torch.allclose(exact, first, rtol=1e-3)
    rates = InnerLearningRates(adapted_parameters(network, anil=False), 2, 0.2).double()
    batch = tasks()
    training = MAMLTrainingConfig(inner_steps=2, learn_inner_lr=True)
    logits = adapted_logits(network, rates, batch, training, steps=2)
    fixed = MAMLTrainingConfig(inner_steps=2, inner_lr=0.2)
    torch.testing.assert_close(logits, adapted_logits(network, None, batch, fixed, steps=2))
    F.cross_entropy(logits.flatten(0, 1), batch["query_labels"].flatten()).backward()
    assert rates.log_rates.grad.abs().sum(1).all()


def test_the_order_of_supports_changes_nothing():
    network, batch = small(), tasks()
    training = MAMLTrainingConfig(inner_lr=0.2)
    order = torch.tensor([2, 0, 1])
    mixed = {
        **batch,
        "support": batch["support"][:, order],
        "support_labels": batch["support_labels"][:, order],
    }
    torch.testing.assert_close(
        adapted_logits(network, None, mixed, training, steps=2),
        adapted_logits(network, None, batch, training, steps=2),
    )


def test_evaluate_and_classify(run, tmp_path):
    flags = ["--checkpoint", str(run), "--device", "cpu"]
    settings = parse(VERBS["evaluate"], [*flags, "--episodes", "10", "--n_way", "2"])
    assert evaluate(settings) == evaluate(settings)
    for changed, message in (
        ({"n_way": 5}, "these weights have 2 outputs"),
        ({"transductive": True}, "leave it out"),
        ({"checkpoint": "no.pth"}, r"no\.pth: not there"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(settings.model_copy(update=changed))
    for name, value in (("dark", 20), ("light", 230)):
        (tmp_path / "examples" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(
            tmp_path / "examples" / name / "1.png"
        )
    image = str(tmp_path / "examples" / "dark" / "1.png")
    rows = classify(
        parse(
            VERBS["classify"],
            [
                *flags,
                "--examples",
                str(tmp_path / "examples"),
                "--images",
                image,
                "--polarity",
                "keep",
            ],
        )
    )
    assert rows[0]["class"] in ("dark", "light") and 0 <= rows[0]["probability"] <= 1


def test_weights_of_another_shape_are_refused(run, tmp_path):
    state = torch.load(run / "checkpoints" / "best.pth", weights_only=True)
    state["config"]["model"]["hidden_channels"] = 16
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match="its weights do not fit its settings"):
        Trained(tmp_path / "other.pth", torch.device("cpu"))


def test_the_command_line(run, tmp_path):
    command = [sys.executable, "-m", "triform", "maml", "evaluate", "--checkpoint", str(run)]
    command += ["--n_way", "2", "--episodes", "4", "--json", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["episodes"] == 4

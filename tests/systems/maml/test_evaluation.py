"""Accuracy after learning each task, by plain gradient descent in a loop."""

from pathlib import Path

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from triform.base.seeding import generator
from triform.base.settings.config import parse
from triform.datasets.images.load import load_images
from triform.systems.maml.config import VERBS, Config
from triform.systems.maml.system import System, Trained, evaluate
from triform.tasks.few_shot.episodes import evaluation_sampler

PRESETS = Path(__file__).parents[3] / "src/triform/systems/maml/presets"


def tiny(*flags: str) -> Config:
    return parse(Config, ["--config", "tiny", "--device", "cpu", *flags], PRESETS)


def learned(network, support, labels, steps: int, rate, only: str = "") -> dict:
    """Weights after so many steps of plain gradient descent; `rate` may be one of each tensor."""
    weights = {name: tensor.detach() for name, tensor in network.named_parameters()}
    names = [name for name in weights if name.startswith(only)]
    for step in range(steps):
        rates = rate[step] if isinstance(rate, list) else dict.fromkeys(names, rate)
        own = {name: weights[name].clone().requires_grad_() for name in names}
        loss = F.cross_entropy(functional_call(network, {**weights, **own}, (support,)), labels)
        gradients = torch.autograd.grad(loss, list(own.values()))
        weights |= {
            name: (own[name] - rates[name] * gradient).detach()
            for name, gradient in zip(names, gradients, strict=True)
        }
    return weights


def by_hand(network, sampler, episodes, seed, steps, rate, ways=2, only="") -> tuple[float, float]:
    """Mean accuracy and mean loss, task by task."""
    scores, losses = [], []
    for start in range(0, episodes, 16):
        numbers = range(start, min(start + 16, episodes))
        batch = sampler(numbers, generator("episodes", seed, start))
        some = []
        for task in range(len(numbers)):
            weights = learned(
                network, batch["support"][task], batch["support_labels"][task], steps, rate, only
            )
            with torch.no_grad():
                logits = functional_call(network, weights, (batch["query"][task],))
            truth = batch["query_labels"][task]
            scores.append(float((logits[:, :ways].argmax(1) == truth).double().mean()))
            some.append(float(F.cross_entropy(logits, truth)))
        losses.append(sum(some) / len(some))
    return sum(scores) / len(scores), sum(losses) / len(losses)


@pytest.mark.parametrize(
    ("flags", "steps", "only"),
    [
        ([], 2, ""),
        (["--test_steps", "4", "--learn_inner_lr", "false"], 4, ""),
        (["--anil", "true"], 2, "head."),
    ],
)
def test_evaluate_learns_each_task_and_counts_right_queries(untrained, flags, steps, only):
    system = System(tiny("--n_way", "2", "--inner_lr", "0.4", *flags))
    torch.manual_seed(1)
    torch.nn.init.normal_(system.network.head.weight, std=0.5)
    rate = 0.4
    if system.inner_rates is not None:
        with torch.no_grad():
            system.inner_rates.log_rates.add_(torch.randn_like(system.inner_rates.log_rates) / 2)
            rate = system.inner_rates.rates()
    path = untrained(system)
    words = ["--checkpoint", str(path), "--episodes", "20", "--n_way", "2", "--n_shot", "2"]
    words += ["--n_query", "4", "--seed", "9", "--device", "cpu"]
    report = evaluate(parse(VERBS["evaluate"], words))
    table = load_images("digits", size=8, channels=1)
    sampler = evaluation_sampler(table, "test", n_way=2, n_shot=2, n_query=4, augment=True)
    trained = Trained.from_checkpoint(path, "cpu")
    network, batch = trained.network, sampler([0, 1], generator("some"))
    for task, logits in enumerate(trained.logits(batch)):
        weights = learned(
            network, batch["support"][task], batch["support_labels"][task], steps, rate, only
        )
        expected = functional_call(network, weights, (batch["query"][task],))
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)
    accuracy, _ = by_hand(network, sampler, 20, 9, steps, rate, only=only)
    assert 0.3 < accuracy < 1 and report["accuracy"] == pytest.approx(100 * accuracy, abs=0.7)
    assert report["task"] == "2-way 2-shot" and report["episodes"] == 20


def test_outputs_beyond_the_classes_of_a_task_are_no_answers(untrained):
    """The third output of the last layer shouts; in tasks of two nothing is of it."""
    system = System(tiny("--n_way", "3"))
    with torch.no_grad():
        system.network.head.bias[2] = 50.0
    words = ["--checkpoint", str(untrained(system)), "--episodes", "8", "--n_way", "2"]
    report = evaluate(parse(VERBS["evaluate"], [*words, "--device", "cpu"]))
    assert report["accuracy"] > 30


@pytest.mark.parametrize(("flags", "steps"), [([], 2), (["--test_steps", "3"], 3)])
def test_training_measures_itself_as_it_is_tested(flags, steps):
    fixed = ["--learn_inner_lr", "false", "--inner_lr", "0.4", "--evaluation_episodes", "20"]
    system = System(tiny(*fixed, "--n_query", "9", *flags))
    torch.nn.init.normal_(system.network.head.weight, std=0.5)
    with torch.no_grad():
        numbers = system.evaluate("val")
    data = system.config.data
    sampler = evaluation_sampler(
        system.table, "val", n_way=2, n_shot=data.n_shot, n_query=5, augment=data.augment
    )
    accuracy, loss = by_hand(system.network, sampler, 20, system.config.seed, steps, 0.4)
    assert numbers["accuracy"] == pytest.approx(accuracy, abs=0.011)
    assert numbers["loss"] == pytest.approx(loss, rel=1e-3)


def test_a_step_takes_the_inner_steps_of_training():
    system = System(tiny("--test_steps", "7", "--learn_inner_lr", "false", "--inner_lr", "0.4"))
    torch.nn.init.normal_(system.network.head.weight, std=0.5)
    batch, applied = next(iter(system.batches())), []

    class Update:
        def apply_gradients(self, gradients):
            applied.extend(gradients)

    losses = system.step(batch, Update())
    each = []
    for task in range(len(batch["support"])):
        weights = learned(
            system.network, batch["support"][task], batch["support_labels"][task], 2, 0.4
        )
        logits = functional_call(system.network, weights, (batch["query"][task],))
        each.append(F.cross_entropy(logits, batch["query_labels"][task]).item())
    assert losses["loss"].item() == pytest.approx(sum(each) / len(each), rel=1e-4)
    shapes = [parameter.shape for parameter in system.network.parameters()]
    assert [gradient.shape for gradient in applied] == shapes

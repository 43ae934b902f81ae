"""Accuracy over the right tasks of the right classes, by plain loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from triform.base.seeding import generator
from triform.base.settings.config import parse
from triform.datasets.images.load import load_images
from triform.systems.protonet.config import VERBS, Config, ModelConfig
from triform.systems.protonet.model import ProtoNet, prototypes
from triform.systems.protonet.system import System, Trained, evaluate
from triform.tasks.few_shot.episodes import evaluation_sampler, split_classes

PRESETS = Path(__file__).parents[3] / "src/triform/systems/protonet/presets"


def tiny(*flags: str) -> Config:
    return parse(Config, ["--config", "tiny", "--device", "cpu", *flags], PRESETS)


def test_prototypes_of_unequal_numbers_of_examples_are_means():
    """Three examples of one class, one of the next, two of the last."""
    examples = torch.tensor([[[1.0], [2.0], [10.0], [6.0], [4.0], [8.0]]])
    labels = torch.tensor([[0, 0, 1, 0, 2, 2]])
    assert prototypes(examples, labels, 3).tolist() == [[[3.0], [10.0], [6.0]]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_unequal_examples_classify_by_their_own_means(metric):
    torch.manual_seed(0)
    config = ModelConfig(hidden_channels=8, num_blocks=2, metric=metric)
    network = ProtoNet(config, 1, 8).eval()
    support, query = torch.rand(1, 5, 1, 8, 8), torch.rand(1, 3, 1, 8, 8)
    labels = torch.tensor([[0, 1, 0, 0, 1]])
    with torch.no_grad():
        logits = network(support, labels, query, 2)[0]
        points, requested = network.embedding(support[0]), network.embedding(query[0])
    for number in range(2):
        own = points[labels[0] == number]
        if metric == "cosine":
            mean = F.normalize(own, dim=1).mean(0)
            expected = 10 * F.cosine_similarity(requested, mean[None])
        else:
            expected = -(requested - own.mean(0)).square().sum(1)
        torch.testing.assert_close(logits[:, number], expected, rtol=1e-4, atol=1e-4)


def by_hand(network, sampler, episodes: int, seed: int) -> tuple[float, float, float]:
    """Mean accuracy, the deviation of its mean times 1.96, and mean loss, task by task."""
    scores, losses = [], []
    for start in range(0, episodes, 16):
        numbers = range(start, min(start + 16, episodes))
        batch, some = sampler(numbers, generator("episodes", seed, start)), []
        for task in range(len(numbers)):
            with torch.no_grad():
                points = network.embedding(batch["support"][task])
                requested = network.embedding(batch["query"][task])
            labels = batch["support_labels"][task]
            means = torch.stack([points[labels == n].mean(0) for n in range(int(labels.max()) + 1)])
            distances = torch.cdist(requested.double(), means.double()).square()
            truth = batch["query_labels"][task]
            scores.append(float((distances.argmin(1) == truth).double().mean()))
            some.append(float(F.cross_entropy(-distances, truth)))
        losses.append(np.mean(some))
    interval = 1.96 * np.std(scores, ddof=1) / len(scores) ** 0.5
    return float(np.mean(scores)), float(interval), float(np.mean(losses))


@pytest.mark.parametrize("split", ["", "val"])
def test_evaluate_counts_right_queries_of_test_classes(untrained, split):
    path = untrained(System(tiny()))
    flags = ["--checkpoint", str(path), "--episodes", "20", "--n_way", "2", "--n_shot", "3"]
    flags += ["--n_query", "4", "--seed", "9", "--device", "cpu"]
    report = evaluate(parse(VERBS["evaluate"], flags + (["--split", split] if split else [])))
    table = load_images("digits", size=8, channels=1)
    sampler = evaluation_sampler(table, split or "test", n_way=2, n_shot=3, n_query=4, augment=True)
    accuracy, interval, _ = by_hand(Trained.from_checkpoint(path, "cpu").network, sampler, 20, 9)
    assert 0.5 < accuracy < 1
    assert report["accuracy"] == pytest.approx(100 * accuracy, abs=1e-3)
    assert report["interval95"] == pytest.approx(100 * interval, rel=1e-3)
    assert report["episodes"] == 20 and report["task"] == "2-way 3-shot"
    parts = [set(split_classes(table, name).tolist()) for name in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts))


@pytest.mark.parametrize("split", ["val", "test"])
def test_training_measures_itself_on_classes_that_it_does_not_learn(split):
    system = System(tiny("--evaluation_episodes", "20", "--n_query", "9"))
    system.network.eval()
    with torch.no_grad():
        numbers = system.evaluate(split)
    sampler = evaluation_sampler(
        system.table,
        split,
        n_way=2,
        n_shot=system.config.data.n_shot,
        n_query=5,
        augment=system.config.data.augment,
    )
    accuracy, interval, loss = by_hand(system.network, sampler, 20, system.config.seed)
    expected = {"accuracy": accuracy, "interval95": interval, "loss": loss}
    assert numbers == pytest.approx(expected, rel=1e-3)


def test_a_step_learns_tasks_of_as_many_classes_as_training_has():
    system = System(tiny())
    batch = next(iter(system.batches()))
    assert int(batch["support_labels"].max()) == 2  # train_way 3, n_way 2
    pushed = []
    losses = system.step(batch, pushed.append)
    logits = system.networks["protonet"](
        batch["support"], batch["support_labels"], batch["query"], 3
    )
    expected = F.cross_entropy(logits.flatten(0, 1), batch["query_labels"].flatten())
    assert losses["loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    right = (logits.argmax(-1) == batch["query_labels"]).float().mean()
    assert losses["accuracy"].item() == pytest.approx(right.item()) and pushed == [losses["loss"]]

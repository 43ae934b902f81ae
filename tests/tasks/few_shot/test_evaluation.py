"""Accuracy over tasks, counted by hand."""

import math

import pytest
import torch

from triform.base.seeding import generator
from triform.tasks.few_shot.evaluation import loss_and_accuracy, mean_accuracy

QUERIES = 4


class Tasks:
    """Task number t has the labels t, t + 1, t + 2, t + 3 modulo 4."""

    def __init__(self):
        self.asked: list[list[int]] = []
        self.drawn: list[float] = []

    def __call__(self, numbers, random):
        self.asked.append(list(numbers))
        self.drawn.append(float(torch.rand((), generator=random)))
        labels = torch.tensor([[(n + q) % 4 for q in range(QUERIES)] for n in numbers])
        return {"query_labels": labels, "numbers": torch.tensor(list(numbers))}


def right_in_every_second(episode):
    """All four right in even tasks, one in odd ones."""
    wrong = (episode["query_labels"] + 1) % 4
    odd = episode["numbers"][:, None] % 2 == 1
    return torch.where(odd & (torch.arange(QUERIES) > 0), wrong, episode["query_labels"])


def test_accuracy_and_interval_by_hand():
    """18 tasks, nine with 100 % and nine with 25 %: mean 62.5, squares 18 * 37.5^2, n - 1 = 17."""
    tasks = Tasks()
    scores = mean_accuracy(right_in_every_second, tasks, 18, 5)
    assert scores["accuracy"] == pytest.approx(62.5) and scores["episodes"] == 18
    deviation = math.sqrt(18 * 37.5**2 / 17)
    assert scores["interval95"] == pytest.approx(1.959963984540054 * deviation / math.sqrt(18))
    # Each task once, sixteen at a time, with numbers of its own that the seed decides.
    assert tasks.asked == [list(range(16)), [16, 17]]
    assert tasks.drawn == [
        float(torch.rand((), generator=generator("episodes", 5, start))) for start in (0, 16)
    ]
    repeated = Tasks()
    mean_accuracy(right_in_every_second, repeated, 18, 6)
    assert set(repeated.drawn).isdisjoint(tasks.drawn)


def test_progress_is_shown_where_it_is_wanted(capsys):
    mean_accuracy(right_in_every_second, Tasks(), 2, 0)
    assert capsys.readouterr().err == ""
    mean_accuracy(right_in_every_second, Tasks(), 2, 0, show_progress=True)
    # Where nobody watches a terminal, tqdm stays quiet as well.
    assert capsys.readouterr().err == ""


def test_loss_and_accuracy_by_hand():
    """Three logits 0 and the right one log 3: probability 1/2, in batches of 16 and 2 tasks.

    In the odd ones of them a wrong answer has log 3: probability 1/6.
    """

    def logits(episode):
        output = right_in_every_second(episode)
        return torch.nn.functional.one_hot(output, 4) * math.log(3)

    numbers = loss_and_accuracy(logits, Tasks(), 16, 0)
    right, wrong = math.log(2), math.log(6)
    assert numbers["loss"] == pytest.approx((right + (right + 3 * wrong) / 4) / 2, rel=1e-6)
    assert numbers["accuracy"] == pytest.approx(0.625)
    deviation = math.sqrt(16 * 0.375**2 / 15)
    assert numbers["interval95"] == pytest.approx(1.959963984540054 * deviation / 4)

"""The loss of queries, worked out by hand."""

import math

import pytest
import torch

from triform.tasks.few_shot.loss import query_loss


def test_mean_over_queries_and_tasks_by_hand():
    """Logits log 3 and 0: probability 3/4 of the first class; three of four labels are that."""
    logits = torch.tensor([math.log(3), 0.0]).expand(2, 2, 2)
    actual = query_loss(logits, torch.tensor([[0, 0], [0, 1]]))
    assert float(actual["loss"]) == pytest.approx((3 * math.log(4 / 3) + math.log(4)) / 4)
    assert float(actual["accuracy"]) == 0.75

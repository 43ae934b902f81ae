"""Agreement by hand."""

from __future__ import annotations

import torch

from triform.metrics.intervals import mcnemar_exact, share_interval
from triform.tasks.shape_generation.agreement import (
    agreement,
    agreement_by_group,
    compare_with_lookup,
    most_confused,
    predict_groups,
)
from triform.tasks.shape_generation.categories import GROUPS

PREDICTED = ["sofa", "bed", "bed", "sofa", "bed", "lamp"]
NAMED = ["sofa", "sofa", "bed", "bed", "bed", "bed"]


def test_share_of_right_groups() -> None:
    low, high = share_interval(3, 6)
    assert agreement(PREDICTED, NAMED) == {
        "agreement": 0.5,
        "agreement_interval": [round(low, 4), round(high, 4)],
    }
    assert agreement(["bed"] * 3, ["bed", "sofa", "sofa"])["agreement"] == 0.3333


def test_groups_in_order() -> None:
    assert list(agreement_by_group(PREDICTED, NAMED).items()) == [("sofa", 0.5), ("bed", 0.5)]
    named = agreement_by_group(
        ["bed"] * 3 + ["lamp"], ["bed", "sofa", "bed", "bed"], ["lamp", "bed"]
    )
    assert named == {"bed": 0.667}


def test_confusions_are_sorted_by_number() -> None:
    assert list(most_confused(PREDICTED, NAMED).items()) == [
        ("sofa -> bed", 1),
        ("bed -> sofa", 1),
        ("bed -> lamp", 1),
    ]
    many = most_confused([str(n % 8) for n in range(20)], ["x"] * 20)
    assert list(many.values()) == [3, 3, 3, 3, 2, 2]
    assert most_confused(["bed"], ["bed"]) == {}


def test_the_lookup_is_compared_pair_by_pair() -> None:
    """The generator alone is right once, the lookup alone three times."""
    lookup = ["bed", "sofa", "bed", "bed", "bed", "bed"]
    report = compare_with_lookup(PREDICTED, lookup, NAMED)
    p_value = mcnemar_exact([True, False, False, False], [False, True, True, True])[2]
    assert report == {
        **agreement(lookup, NAMED),
        "agreement_by_group": {"sofa": 0.5, "bed": 1.0},
        "generator_alone_right": 1,
        "nearest_caption_alone_right": 3,
        "mcnemar_p": round(p_value, 4),
    }


def test_groups_are_predicted_in_batches() -> None:
    names, sizes = list(GROUPS), []

    def classifier(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        return torch.nn.functional.one_hot(batch.flatten().long(), len(names)).float()

    inputs = (torch.arange(18.0) % 3).view(18, 1, 1, 1, 1)
    assert predict_groups(classifier, inputs) == [names[n % 3] for n in range(18)]
    assert sizes == [16, 2]

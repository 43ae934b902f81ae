"""Ratios of prompts: a distribution by hand, combinations never seen, metadata of weights."""

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.systems.shape_flow.config import SamplingConfig
from triform.systems.shape_flow.generation import ShapeGenerator
from triform.systems.shape_flow.proportions import KIND, RATIOS, SLOTS, Proportions
from triform.tasks.shape_generation.attributes import VOCABULARY, Attributes, attribute_ids


def row(kind: str, width: float, depth: float, **values: object) -> np.ndarray:
    """Ids of a shape of height 1."""
    known = Attributes(kind=kind, **values)  # type: ignore[arg-type]
    return attribute_ids(known.with_extents((width, 1, depth)))


def ratio_ids(width: float, depth: float) -> list[int]:
    return row("table", width, depth)[RATIOS].tolist()


TABLES = Proportions(
    np.stack(
        [
            *[row("table", 1, 1, form="round", legs=3)] * 3,
            row("table", 1, 1, form="square", legs=4),
            *[row("table", 2, 1, form="rectangular", legs=4)] * 2,
            *[row("table", 2, 1, form="rectangular", legs=6)] * 2,
            row("bed", 1, 2),
            attribute_ids(Attributes(kind="table", form="round")),  # without ratios: of no use
        ]
    )
)


def test_probabilities_worked_out_by_hand() -> None:
    """Eight tables. p(4 legs) = (3 + 0.5) / 9; of (1, 1): (1 + p) / 5, of (2, 1): (2 + p) / 5."""
    ratios, probability = TABLES.distribution(attribute_ids(Attributes(kind="table", legs=4)))
    assert ratios.tolist() == [ratio_ids(1, 1), ratio_ids(2, 1)]
    share = 3.5 / 9
    likelihood = np.array([4 * (1 + share) / 5, 4 * (2 + share) / 5])
    np.testing.assert_allclose(probability, likelihood / likelihood.sum(), rtol=1e-12)


def test_without_more_words_ratios_are_as_frequent_as_in_training() -> None:
    ratios, probability = TABLES.distribution(attribute_ids(Attributes(kind="table")))
    assert len(ratios) == 2
    np.testing.assert_allclose(probability, [0.5, 0.5], rtol=1e-12)


def test_a_combination_that_no_shape_has_keeps_its_form() -> None:
    """Round tables with six legs: the legs speak for (2, 1), the form more for (1, 1)."""
    ids = attribute_ids(Attributes(kind="table", form="round", legs=6))
    ratios, probability = TABLES.distribution(ids)
    of_round, of_six = 3.5 / 9, 2.5 / 9
    likelihood = np.array([(3 + of_round) * (0 + of_six), (0 + of_round) * (2 + of_six)])
    np.testing.assert_allclose(probability, likelihood / likelihood.sum(), rtol=1e-12)
    assert probability[ratios.tolist().index(ratio_ids(1, 1))] > 0.5


def test_ratios_at_a_quantile() -> None:
    ids = attribute_ids(Attributes(kind="table", color="red"))
    before = ids.copy()
    assert TABLES.complete(ids, 0.0)[RATIOS].tolist() == ratio_ids(1, 1)
    assert TABLES.complete(ids, 0.49)[RATIOS].tolist() == ratio_ids(1, 1)
    assert TABLES.complete(ids, 0.51)[RATIOS].tolist() == ratio_ids(2, 1)
    assert TABLES.complete(ids, 1.0)[RATIOS].tolist() == ratio_ids(2, 1)
    others = [index for index in range(len(SLOTS)) if index not in RATIOS]
    completed = TABLES.complete(ids, 0.51)
    assert completed.dtype == np.int64
    np.testing.assert_array_equal(completed[others], ids[others])
    np.testing.assert_array_equal(ids, before)


def test_a_ratio_that_is_known_stays() -> None:
    ids = attribute_ids(Attributes(kind="table", width_to_height=2.0))
    for draw in (0.0, 0.99):
        assert TABLES.complete(ids, draw)[RATIOS].tolist() == ratio_ids(2, 1)


@pytest.mark.parametrize("attributes", [Attributes(), Attributes(kind="sofa")])
def test_what_no_training_shape_is_stays_unknown(attributes: Attributes) -> None:
    ids = attribute_ids(attributes)
    np.testing.assert_array_equal(TABLES.complete(ids, 0.5), ids)


def test_metadata_hold_them() -> None:
    again = Proportions.from_metadata(TABLES.metadata(), "weights")
    np.testing.assert_array_equal(again.attributes, TABLES.attributes)
    assert len(again.attributes) == 9
    assert not len(Proportions.from_metadata({}, "weights").attributes)


@pytest.mark.parametrize(
    "change",
    [
        {"ids": "no base64"},
        {"ids": base64.b64encode(b"not compressed").decode()},
        {"shapes": 8},
        {"shapes": 10},
        {"shapes": "9"},
        {"shapes": -1},
        {"shapes": 10**30},
        {"shapes": 10**7},
        {"ids": base64.b64encode(zlib.compress(b"\xff" * 9 * len(SLOTS))).decode()},
        {"ids": None},
    ],
)
def test_broken_metadata_are_one_line(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"^weights: its proportions cannot be read$"):
        Proportions.from_metadata({**TABLES.metadata(), **change}, "weights")


def test_a_bomb_is_not_unpacked() -> None:
    bomb = base64.b64encode(zlib.compress(b"\x00" * 200_000_000, 9)).decode()
    with pytest.raises(UserError, match="proportions cannot be read"):
        Proportions.from_metadata({"shapes": 9, "ids": bomb}, "weights")


def test_a_training_hands_them_to_its_prompts(tiny_run: Path) -> None:
    settings = {"checkpoint": str(tiny_run), "device": "cpu"}
    shapes = ShapeGenerator(SamplingConfig.model_validate(settings))
    known = shapes.proportions.attributes
    assert len(known) and (known < np.asarray(VOCABULARY.sizes)).all()
    kind = int(known[0, KIND])
    name = VOCABULARY.slots[KIND].values[kind - 1]
    condition = shapes.condition([name] * 40 + [""], list(range(41)))
    of_kind = {tuple(ratios) for ratios in known[known[:, KIND] == kind][:, RATIOS].tolist()}
    drawn = {tuple(ratios) for ratios in condition.attributes[:40, RATIOS].tolist()}
    assert drawn == of_kind
    assert not condition.attributes[40].any()

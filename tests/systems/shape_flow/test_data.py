"""Batches: symmetries, captions, colours, and splits that no copy crosses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from triform.datasets.distances import COLOR_BLOCK
from triform.systems.shape_flow.config import COLOR_PATCH, PATCH
from triform.systems.shape_flow.data import (
    NUM_SYMMETRIES,
    ShapeBatches,
    ShapeDataset,
    ShapeTexts,
    load_shape_dataset,
    repeat_to_share,
    select_caption,
    turn,
)
from triform.systems.shape_flow.texts import load_token_encoder
from triform.systems.voxel_gan.config import DataConfig as VoxelDataConfig
from triform.systems.voxel_gan.data import load_voxel_dataset
from triform.tasks.shape_generation.attributes import VOCABULARY

from .conftest import preset


def texts(dataset: ShapeDataset) -> ShapeTexts:
    return ShapeTexts(dataset, load_token_encoder("minilm"), max_tokens=8)


def batches(dataset: ShapeDataset) -> ShapeBatches:
    return ShapeBatches(dataset, dataset.rows("train"), texts(dataset), augment=True)


def test_all_symmetries_of_the_cube_are_different_and_closed() -> None:
    field = torch.arange(27.0).reshape(1, 3, 3, 3)
    turned = [turn(field, n) for n in range(NUM_SYMMETRIES)]
    kinds = {tuple(each.flatten().tolist()) for each in turned}
    assert len(kinds) == 48
    for a, b in itertools.product(range(0, 48, 7), range(0, 48, 5)):
        assert tuple(turn(turned[a], b).flatten().tolist()) in kinds
    torch.testing.assert_close(turn(field, 0), field, rtol=0, atol=0)
    torch.testing.assert_close(turn(field, 1), field.flip(1), rtol=0, atol=0)


def test_blocks_of_colors_are_those_of_the_truth() -> None:
    assert PATCH == COLOR_PATCH * COLOR_BLOCK


def test_the_smaller_part_is_repeated_in_turn_to_reach_a_share() -> None:
    selected = np.array([False, True, False, True, True, True])
    assert repeat_to_share(selected, None).tolist() == [0, 1, 2, 3, 4, 5]
    assert repeat_to_share(selected, 0.5).tolist() == [1, 3, 4, 5, 0, 2, 0, 2]
    assert repeat_to_share(selected, 0.8).tolist() == [1, 3, 4, 5, 1, 3, 4, 5, 0, 2]
    assert repeat_to_share(np.array([True, True]), 0.5).tolist() == [0, 1]
    assert repeat_to_share(np.array([False, False]), 0.5).tolist() == [0, 1]


def test_splits_are_those_of_voxel_gan(tiny_dataset: ShapeDataset, folders: list[str]) -> None:
    other = load_voxel_dataset(
        VoxelDataConfig(dataset=("testdataset:24",), download_path=folders[1], voxel_size=64)
    )
    assert other.splits == tiny_dataset.splits
    assert [shape.object_id for shape in tiny_dataset.shapes] == [
        shape.object_id for shape in other.table.shapes
    ]


def test_a_batch_depends_on_its_generator_alone(tiny_dataset: ShapeDataset) -> None:
    fetch = ShapeBatches(
        tiny_dataset, tiny_dataset.rows("train"), texts(tiny_dataset), augment=True
    )
    torch.manual_seed(0)
    first = fetch([0, 3, 5], torch.Generator().manual_seed(1))
    torch.manual_seed(99)
    second = fetch([0, 3, 5], torch.Generator().manual_seed(1))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_with_words_shapes_are_mirrored_only_and_stand(tiny_dataset: ShapeDataset) -> None:
    fetch = ShapeBatches(
        tiny_dataset, tiny_dataset.rows("train"), texts(tiny_dataset), augment=True
    )
    indices = list(range(len(fetch)))
    distance = fetch(indices, torch.Generator().manual_seed(0))["distance"]
    original = tiny_dataset.fields(fetch.rows)[0]
    as_is = (distance == original).flatten(1).all(1)
    mirrored = (distance == original.flip(2)).flatten(1).all(1)
    assert (as_is | mirrored).all() and (~as_is).any() and (~mirrored).any()


def test_without_words_colors_turn_with_the_shape(tiny_dataset: ShapeDataset) -> None:
    fetch = ShapeBatches(tiny_dataset, tiny_dataset.rows("train"), None, augment=True)
    batch = fetch(list(range(len(fetch))), torch.Generator().manual_seed(0))
    assert set(batch) == {"distance", "colors"}
    near = torch.nn.functional.max_pool3d(-batch["distance"].abs(), 2) > -1.4
    known = batch["colors"][:, 3:] > 0
    assert torch.equal(near & known, near)


def test_conditions_are_a_caption_and_what_all_captions_say(tiny_dataset: ShapeDataset) -> None:
    all_texts = texts(tiny_dataset)
    rows = np.arange(len(tiny_dataset.shapes))
    condition = all_texts.condition(rows, rows, [0.0] * len(rows))
    assert condition.attributes.shape == (len(rows), len(VOCABULARY))
    assert condition.words.shape[1] == condition.word_mask.shape[1] == 8
    kinds = condition.attributes[:, 1]
    assert (kinds > 0).float().mean() > 0.9 and len(kinds.unique()) > 5
    ratios = condition.attributes[:, -2:]
    assert (ratios > 0).all()  # measured, whatever the captions say
    last = all_texts.condition(rows, rows, [0.999] * len(rows))
    assert torch.equal(last.attributes, condition.attributes)
    assert not torch.equal(last.sentence, condition.sentence)


def test_stretched_copies_stay_on_the_training_side(folders: list[str]) -> None:
    data = preset("tiny", *folders).data.model_copy(update={"stretches": 2})
    dataset = load_shape_dataset(data)
    assert len(dataset.table) == len(dataset.shapes)  # captions of parametric shapes are exact


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        *((0, "a chair"), (0.249, "a chair"), (0.25, "a seat"), (0.499, "a seat")),
        *((0.5, "стул"), (0.749, "стул"), (0.75, "Stuhl"), (0.999, "Stuhl")),
    ],
)
def test_half_of_the_captions_are_english(position: float, expected: str) -> None:
    assert select_caption(("a chair", "a seat", "стул", "Stuhl"), 2, position) == expected


def test_captions_of_one_kind_share_all_positions() -> None:
    assert select_caption(("стул", "Stuhl"), 0, 0.49) == "стул"
    assert select_caption(("a chair", "a seat"), 2, 0.5) == "a seat"
    assert select_caption(("",), 0, 0.9) == ""

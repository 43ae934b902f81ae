"""The baseline by captions and novelty, on shapes and captions made by hand."""

import pytest
import torch

from triform.systems.voxel_gan import evaluation
from triform.systems.voxel_gan.config import EvaluateConfig
from triform.systems.voxel_gan.nearest_neighbor import TrainingShapes, training_shapes
from triform.tasks.shape_generation.categories import GROUPS

SIDE = 32
NAMES = list(GROUPS)
WORDS = ("chair", "bed", "round", "table")


def box(*sizes: int) -> torch.Tensor:
    """A view with its first cells occupied."""
    view = torch.zeros(SIDE, SIDE, SIDE, dtype=torch.bool)
    view[: sizes[0], : sizes[1], : sizes[2]] = True
    return view


def counted(texts: list[str]) -> torch.Tensor:
    """Texts as how often they have each of four words."""
    return torch.tensor([[float(text.split().count(word)) for word in WORDS] for text in texts])


@pytest.fixture
def known() -> TrainingShapes:
    voxels = torch.stack([box(8, 8, 8), box(16, 8, 8), box(4, 4, 4), box(2, 2, 2)])
    return TrainingShapes(voxels, (("chair",), ("round table", "table"), ("bed",), ("chair",)))


def test_the_nearest_caption_names_its_shape(known):
    prompts = ["a round table", "one table", "bed bed bed", "a chair"]
    assert known.nearest_caption(prompts, counted).tolist() == [1, 1, 2, 0]


def test_without_captions_there_is_no_nearest():
    with pytest.raises(ValueError, match="no training shape has a caption"):
        TrainingShapes(torch.zeros(1, 2, 2, 2), ((),)).nearest_caption(["a bed"], counted)


def test_distance_to_the_nearest_shape_as_it_is_or_mirrored(known):
    mirrored = box(8, 8, 8).flip(0)  # the first axis of a view is x
    half = box(8, 8, 4)  # 256 cells, all inside the 512 of the first shape
    found = known.distances(torch.stack([mirrored, half, box(32, 32, 32)]))
    assert found.tolist() == pytest.approx([0, 0.5, 1 - 1024 / 32768])


def test_only_x_is_mirrored(known):
    moved = box(8, 8, 8).flip(1)
    assert known.distances(moved[None]).item() == 1


def test_prompts_that_training_has_seen_word_for_word(known):
    prompts = ["Chair", "a chair", "3d model of round table", "a sofa", "an chair"]
    assert known.count_verbatim(prompts) == (1, 3)


class SizeClassifier:
    """Predicts a chair for 512 occupied voxels or more, else a bed."""

    def __call__(self, voxels: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(voxels), len(NAMES))
        full = voxels.flatten(1).sum(1) >= 512
        logits[full, NAMES.index("chairs")] = 1
        logits[~full, NAMES.index("beds")] = 1
        return logits


class FakeGenerator:
    """A generator whose text encoder counts words."""

    def conditions(self, prompts: list[str]) -> torch.Tensor:
        return counted(prompts)


def test_the_baseline_is_classified_as_the_generator_is(known):
    rows = [("a chair", "chairs"), ("a bed", "beds"), ("round table", "beds"), ("chair", "beds")]
    predictions = ["beds"] * 4
    found = evaluation.measure_nearest_caption(
        FakeGenerator(), rows, SizeClassifier(), known, predictions
    )
    assert found["nearest_caption"] == {
        "shapes": 4,
        "different_shapes": 3,
        "agreement": 0.5,  # the chair and the bed; the table and the second chair are no beds
        "agreement_interval": [0.15, 0.85],
        "agreement_by_group": {"chairs": 1.0, "beds": 0.333},
        "generator_alone_right": 2,
        "nearest_caption_alone_right": 1,
        "mcnemar_p": 1.0,
    }
    assert found["prompts_that_are_training_captions"] == 2  # "round table" and "chair"
    assert found["prompts_that_are_training_texts"] == 4


def test_novelty_in_numbers(known):
    voxels = torch.stack([box(8, 8, 8), box(8, 8, 4)]).float()
    found = evaluation._novelty(known, voxels)
    # mean 0.25, deviation 0.353553, half width 1.96 * 0.353553 / sqrt(2) = 0.48999
    assert found == {
        "mean": 0.25,
        "interval": [-0.24, 0.74],
        "median": 0.0,
        "share_below_0.1": 0.5,
    }


def test_training_shapes_are_those_of_the_training_alone(tiny_dataset):
    shapes = training_shapes(tiny_dataset)
    rows = tiny_dataset.rows("train")
    assert len(shapes.voxels) == len(rows) == len(shapes.captions)
    assert shapes.captions == tuple(
        tiny_dataset.captions[o] for o in tiny_dataset.shape_index[rows]
    )
    assert shapes.voxels.dtype == torch.bool and shapes.voxels.shape[1:] == (SIDE,) * 3
    from triform.tasks.shape_generation.voxel_classifier import classifier_input

    expected = classifier_input(tiny_dataset.voxels(rows))[:, 0] > 0.5
    assert torch.equal(shapes.voxels, expected)


def test_report_has_baseline_real_objects_and_novelty(tiny_run, workspace, tmp_path):
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("prompt,group\na chair,chairs\na bed,beds\n")
    report = evaluation.evaluate(
        EvaluateConfig(
            checkpoint=str(tiny_run),
            device="cpu",
            dataset=("testdataset:24",),
            training_dataset=("testdataset:40",),
            num_steps=2,
            prompts=prompts,
            download_path=str(workspace / "datasets"),
        )
    )
    assert report["training_dataset"] == "testdataset:40"
    generation = report["generation"]
    assert generation["nearest_caption"]["shapes"] > 24 * 0.8
    low, high = generation["agreement_interval"]
    assert low <= generation["agreement"] <= high
    assert 0 <= generation["novelty"]["mean"] <= 1
    for split, numbers in report["real_held_out"].items():
        assert split in ("val", "test") and numbers["objects"] > 0
        assert 0 <= numbers["novelty"]["mean"] <= 1

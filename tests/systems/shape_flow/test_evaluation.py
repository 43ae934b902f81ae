"""Figures of `evaluate` by hand: fields that are known in the place of a model and a data set."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from triform.geometry.mesh import MeshError
from triform.metrics.intervals import mcnemar_exact, share_interval
from triform.systems.shape_flow import evaluation, prompt_evaluation
from triform.systems.shape_flow.config import EvaluateConfig
from triform.tasks.shape_generation.categories import GROUPS

R = 8


def slab(height: int) -> np.ndarray:
    """Distances (R, R, R) of which the lowest samples are inside."""
    field = np.ones((R, R, R), np.float32)
    field[:, :height] = -1
    return field


class Table:
    """Slabs of these heights, with their meshes."""

    resolution = R

    def __init__(self, heights: list[int]):
        self.heights = heights
        self.shapes = [SimpleNamespace(load=lambda height=h: f"mesh {height}") for h in heights]

    def distances(self, rows):
        return np.stack([slab(self.heights[row]) for row in np.asarray(rows).tolist()])


class Dataset:
    """Rows 0 to 2 train, 3 and 4 test."""

    def __init__(self, heights: list[int], splits: dict[str, list[int]]):
        self.table = Table(heights)
        self.splits = splits

    def rows(self, split: str) -> np.ndarray:
        return np.asarray(self.splits.get(split, []), dtype=np.int64)

    def fields(self, rows):
        return torch.from_numpy(self.table.distances(rows)).unsqueeze(1), torch.zeros(len(rows), 4)


class Shapes:
    """A model that reconstructs every slab one sample too high; no surface above seven samples."""

    def __init__(self):
        self.trained = SimpleNamespace(
            device=torch.device("cpu"), encode=lambda distance, colors: distance
        )

    def decode(self, latents):
        heights = [int((latent[0, 0, :, 0] < 0).sum()) for latent in latents]
        return [(slab(height + 1), f"colors {height}") for height in heights]

    def mesh(self, field):
        height = int((field[0][0, :, 0] < 0).sum())
        if height > 7:
            raise MeshError("nothing outside")
        return f"slab {height}, {field[1]}"


def test_reconstructions_and_the_nearest_training_shape(monkeypatch):
    scored = []

    def score(mesh, target):
        scored.append((mesh, target))
        return {"fine_iou": len(scored) / 10}

    monkeypatch.setattr(evaluation, "score_reconstruction", score)
    dataset = Dataset([1, 4, 6, 3, 7], {"train": [0, 1, 2], "test": [3, 4]})
    report = evaluation.measure_reconstruction(Shapes(), dataset)
    assert scored == [
        ("slab 4, colors 3", "mesh 3"),  # the reconstruction
        ("slab 4, colors 3", "mesh 3"),  # row 1 of the training: 3 of 4 layers, not 1 of 3
        (None, "mesh 7"),
        ("slab 6, colors 7", "mesh 7"),
    ]
    # 3 of 4 layers and 7 of 8; the nearest: 3 of 4 and 6 of 7.
    assert report["own_grid_iou"]["iou_mean"] == 0.8125
    assert report["own_grid_iou"]["iou_median"] == 0.75
    assert report["fine_truth"] == evaluation.summarize([{"fine_iou": 0.1}, {"fine_iou": 0.3}])
    nearest = report["nearest_training_shape"]
    assert nearest["own_grid_iou"]["iou_mean"] == round((3 / 4 + 6 / 7) / 2, 4)
    assert nearest["fine_truth"] == evaluation.summarize([{"fine_iou": 0.2}, {"fine_iou": 0.4}])


def test_without_test_or_training_shapes(monkeypatch):
    monkeypatch.setattr(evaluation, "score_reconstruction", lambda *_: {"fine_iou": 0.5})
    assert evaluation.measure_reconstruction(Shapes(), Dataset([1], {"train": [0]})) == {}
    report = evaluation.measure_reconstruction(Shapes(), Dataset([1, 2], {"test": [0, 1]}))
    assert sorted(report) == ["fine_truth", "own_grid_iou"]
    assert report["own_grid_iou"]["iou_mean"] == round((1 / 2 + 2 / 3) / 2, 4)


def test_the_nearest_of_more_than_64_solids():
    dataset = Dataset([1] * 64 + [7, 5], {"train": list(range(66))})
    solids = evaluation._Solids(dataset, dataset.rows("train"))
    assert solids.nearest(torch.from_numpy(slab(7) < 0)[None]) == 64
    assert solids.nearest(torch.from_numpy(slab(5) < 0)[None]) == 65
    assert solids.nearest(torch.from_numpy(slab(2) < 0)[None]) == 0


def test_summary_of_iou():
    """Mean 0.5, deviation 0.2, standard error 0.1: 1.96 of them on each side."""
    iou = torch.tensor([0.5 - 0.2 * 3**0.5 / 2, 0.5 + 0.2 * 3**0.5 / 2] * 2)
    report = evaluation._summarize_iou(iou)
    assert report["iou_mean"] == 0.5
    assert report["iou_interval"] == [
        pytest.approx(0.304, abs=1e-4),
        pytest.approx(0.696, abs=1e-4),
    ]
    assert evaluation._summarize_iou(torch.tensor([0.25])) == {"iou_mean": 0.25, "iou_median": 0.25}


def evaluated(monkeypatch, tmp_path: Path, *, flow: bool, **settings) -> dict:
    trained = SimpleNamespace(
        config=SimpleNamespace(data=SimpleNamespace(resolution=32)),
        source="run/best.pth",
        layout_flow="a flow" if flow else None,
    )
    asked: list = []
    monkeypatch.setattr(evaluation, "ShapeGenerator", lambda _: SimpleNamespace(trained=trained))
    monkeypatch.setattr(evaluation, "load_shape_dataset", lambda data: asked.append(data) or "data")
    monkeypatch.setattr(evaluation, "measure_reconstruction", lambda shapes, data: [data, "r"])
    monkeypatch.setattr(
        evaluation, "measure_generation", lambda shapes, s, prompts, c, data: [prompts, c, data]
    )
    monkeypatch.setattr(evaluation, "measure_sets", lambda shapes, s, data: ["sets", data])
    monkeypatch.setattr(evaluation, "measure_realism", lambda shapes, s, data: ["realism", data])
    monkeypatch.setattr(evaluation, "load_classifier", lambda: "classifier")
    monkeypatch.setattr(evaluation, "read_prompts", lambda path: ["prompts", path.name])
    report = evaluation.evaluate(EvaluateConfig(dataset=("a", "b"), max_samples=7, **settings))
    (data,) = asked
    assert (data.dataset, data.max_samples, data.resolution) == (("a", "b"), 7, 32)
    return report


def test_report_with_and_without_a_flow(monkeypatch, tmp_path: Path):
    report = evaluated(monkeypatch, tmp_path, flow=False, output=tmp_path / "new" / "report")
    expected = {
        "checkpoint": "run/best.pth",
        "dataset": "a b",
        "reconstruction": ["data", "r"],
    }
    assert report == expected
    text = (tmp_path / "new" / "report" / "report.json").read_text()
    assert json.loads(text) == expected and text.startswith('{\n  "checkpoint"')
    report = evaluated(monkeypatch, tmp_path, flow=True)
    assert report["generation"] == [["prompts", "prompts.csv"], "classifier", "data"]
    assert report["realism"] == ["realism", "data"]
    assert "prompt_sets" not in report
    report = evaluated(monkeypatch, tmp_path, flow=True, reconstruction=False)
    assert "reconstruction" not in report and "generation" in report
    report = evaluated(
        monkeypatch, tmp_path, flow=True, prompts=tmp_path / "own.csv", prompt_sets=("colors",)
    )
    assert report["generation"][0] == ["prompts", "own.csv"]
    assert report["prompt_sets"] == ["sets", "data"]


NAMES = list(GROUPS)


class Classifier:
    """Takes a shape for the group whose number is the number of samples inside, less one."""

    def __call__(self, inputs):
        number = (inputs > 0).flatten(1).sum(1).long() - 1
        return torch.nn.functional.one_hot(number.clamp(max=len(NAMES) - 1), len(NAMES)).float()


def field(number: int) -> np.ndarray:
    """Distances of which this many samples are inside."""
    distance = np.ones((R, R, R), np.float32)
    distance.ravel()[:number] = -1
    return distance


@pytest.fixture
def by_count(monkeypatch):
    monkeypatch.setattr(prompt_evaluation, "classifier_input", lambda voxels: voxels)


def test_groups_are_predicted_in_batches(by_count):
    inputs = torch.cat([prompt_evaluation._input(field(1 + n % 3)) for n in range(18)])
    predicted = prompt_evaluation.predict_groups(Classifier(), inputs)
    assert predicted == [NAMES[n % 3] for n in range(18)]


def test_agreement_of_generated_shapes(by_count, monkeypatch, tmp_path: Path):
    """Four prompts: right, another group, right but open, and without a surface."""
    counts = [1, 3, 2, 2]
    prompts = [("one", NAMES[0]), ("two", NAMES[1]), ("three", NAMES[1]), ("four", NAMES[1])]
    requested = []

    class Generator:
        def generate(self, requests, candidates):
            requested.extend((request.prompt, request.seed, candidates) for request in requests)
            return iter([(field(count), "colors") for count in counts])

    meshes = iter(["closed", "closed", "open in two", None])
    monkeypatch.setattr(prompt_evaluation, "_mesh_or_none", lambda *_: next(meshes))
    monkeypatch.setattr(prompt_evaluation, "is_watertight", lambda mesh: mesh == "closed")
    monkeypatch.setattr(
        prompt_evaluation,
        "main_component_share",
        lambda mesh: 0.999 if mesh == "closed" else 0.998,
    )
    crossings = iter([False, True, False])
    monkeypatch.setattr(
        prompt_evaluation, "self_intersecting_faces", lambda _: np.array([False, next(crossings)])
    )
    monkeypatch.setattr(prompt_evaluation, "draw_mesh", lambda mesh: f"image of {mesh}")
    monkeypatch.setattr(prompt_evaluation, "diversity", lambda solids: float(len(solids)))
    monkeypatch.setattr(
        prompt_evaluation, "measure_nearest_caption", lambda *arguments: list(arguments[1:4])
    )
    monkeypatch.setattr(prompt_evaluation, "measure_real", lambda *_: "real")
    sheets = []
    monkeypatch.setattr(
        prompt_evaluation, "save_contact_sheet", lambda *given, columns: sheets.append(given)
    )
    settings = EvaluateConfig(seed=5, candidates=2, output=tmp_path)
    report = prompt_evaluation.measure_generation(
        Generator(), settings, prompts, Classifier(), None
    )
    assert requested == [("one", 5, 2), ("two", 6, 2), ("three", 7, 2), ("four", 8, 2)]
    predicted = [NAMES[0], NAMES[2], NAMES[1], NAMES[1]]
    assert report == {
        "prompts": 4,
        "agreement": 0.75,
        "agreement_interval": [round(end, 4) for end in share_interval(3, 4)],
        "agreement_by_group": {NAMES[0]: 1.0, NAMES[1]: 0.667},
        "most_confused": {f"{NAMES[1]} -> {NAMES[2]}": 1},
        "watertight": 0.5,
        "one_piece": 0.5,
        "no_self_intersection": 0.5,
        "valid_solid": 0.25,
        "valid_solid_interval": [round(end, 4) for end in share_interval(1, 4)],
        "empty": 1,
        "diversity_within_group": {NAMES[0]: 1.0, NAMES[1]: 3.0},
        "nearest_caption": [
            ["one", "two", "three", "four"],
            [group for _, group in prompts],
            predicted,
        ],
        "real_held_out": "real",
    }
    images = [f"image of {mesh}" for mesh in ("closed", "closed", "open in two", None)]
    assert sheets == [(images, ["one", "two", "three", "four"], tmp_path / "prompts.png")]


def test_sheet_has_about_sixty_of_many_prompts(by_count, monkeypatch, tmp_path: Path):
    prompts = [(str(n), NAMES[0]) for n in range(121)]
    sheets = []
    monkeypatch.setattr(prompt_evaluation, "self_intersecting_faces", lambda _: np.zeros(1, bool))
    for name in ("is_watertight", "main_component_share", "measure_nearest_caption", "draw_mesh"):
        monkeypatch.setattr(prompt_evaluation, name, lambda *_: 1.0)
    monkeypatch.setattr(prompt_evaluation, "measure_real", lambda *_: {})
    monkeypatch.setattr(
        prompt_evaluation, "save_contact_sheet", lambda _, labels, *__, **___: sheets.append(labels)
    )
    generator = SimpleNamespace(
        generate=lambda requests, _: iter([(field(1), None)] * len(requests)), mesh=lambda _: "mesh"
    )
    arguments = (prompts, Classifier(), None)
    prompt_evaluation.measure_generation(generator, EvaluateConfig(output=tmp_path), *arguments)
    assert sheets == [[str(n) for n in range(0, 121, 2)]]
    prompt_evaluation.measure_generation(generator, EvaluateConfig(), *arguments)
    assert len(sheets) == 1


class Encoder:
    """Texts as the directions of their first letters."""

    def encode(self, texts):
        return np.stack([np.eye(3, dtype=np.float32)["abc".index(text[0])] for text in texts])


def captioned(
    counts: list[int], captions: list[tuple[str, ...]], splits: dict[str, list[int]]
) -> SimpleNamespace:
    """Shapes with captions; row n is a copy of shape n % (number of captions)."""
    return SimpleNamespace(
        table=SimpleNamespace(
            distances=lambda rows: np.stack([field(counts[row]) for row in rows])
        ),
        rows=lambda split: np.asarray(splits.get(split, []), dtype=np.int64),
        shape_index=np.arange(len(counts)) % len(captions),
        shapes=[SimpleNamespace(captions=texts, english=texts, category="") for texts in captions],
    )


def test_the_shape_of_the_nearest_caption(by_count):
    """Rows 0 and 2 train; "c" is a second caption of row 2, row 1 is not looked at."""
    dataset = captioned([1, 2, 3], [("a",), ("b",), ("b2", "c")], {"train": [0, 2]})
    report = prompt_evaluation.measure_nearest_caption(
        SimpleNamespace(encoder=Encoder()),
        ["a?", "b?", "c?", "c!"],
        [NAMES[0], NAMES[2], NAMES[2], NAMES[1]],
        [NAMES[0], NAMES[0], NAMES[0], NAMES[1]],
        Classifier(),
        dataset,
    )
    predicted = [True, False, False, True]
    baseline = [True, True, True, False]
    only_generator, only_baseline, p_value = mcnemar_exact(predicted, baseline)
    assert (only_generator, only_baseline) == (1, 2)
    assert report == {
        "agreement": 0.75,
        "agreement_interval": [round(end, 4) for end in share_interval(3, 4)],
        "agreement_by_group": {NAMES[0]: 1.0, NAMES[2]: 1.0, NAMES[1]: 0.0},
        "different_shapes": 2,
        "generator_alone_right": 1,
        "nearest_caption_alone_right": 2,
        "mcnemar_p": round(p_value, 4),
    }
    none = captioned([1], [()], {"train": [0]})
    arguments = (["a"], [NAMES[0]], [NAMES[0]], Classifier(), none)
    assert prompt_evaluation.measure_nearest_caption(None, *arguments) == {}


def test_real_shapes_have_the_group_of_their_names(by_count, monkeypatch):
    """Two of three validation shapes have a group; the second is taken for another."""
    groups = {"first": NAMES[0], "second": NAMES[2]}
    monkeypatch.setattr(prompt_evaluation, "group_of", lambda caption, _: groups.get(caption))
    dataset = captioned(
        [1, 2, 3, 1], [("first",), ("second",), ("other",), ()], {"val": [0, 1, 2], "test": [3]}
    )
    assert prompt_evaluation.measure_real(Classifier(), dataset) == {
        "val": {
            "objects": 2,
            "agreement": 0.5,
            "agreement_interval": [round(end, 4) for end in share_interval(1, 2)],
        }
    }


def test_prompt_sets_are_made_and_looked_up(monkeypatch):
    """Seeds count up; the shapes to look up are those of the training part."""
    requested, passed = [], {}

    class Generator:
        encoder = "encoder"

        def generate(self, requests, candidates):
            requested.extend((request.prompt, request.seed, candidates) for request in requests)
            return iter([(field(300), None), (field(0), None)])

        def mesh(self, given):
            return f"mesh of {int((given[0] < 0).sum())}"

    training = ["shape", "another"]

    def measure_sets(generate, settings, shapes, encoder):
        passed.update(settings=settings, shapes=shapes, encoder=encoder)
        return {"colors": generate(["red", "blue"])}

    monkeypatch.setattr(prompt_evaluation.prompt_scores, "measure_sets", measure_sets)
    settings = EvaluateConfig(seed=3, candidates=4, prompt_sets=("colors",), max_prompts=9)
    report = prompt_evaluation.measure_sets(
        Generator(), settings, SimpleNamespace(training_shapes=lambda: training)
    )
    assert report == {"colors": ["mesh of 300", None]}
    assert requested == [("red", 3, 4), ("blue", 4, 4)]
    assert passed == {"settings": settings, "shapes": training, "encoder": "encoder"}

"""Agreement, main part, diversity and IoU of shapes that are known, by known classifiers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from triform.geometry.mesh import Mesh, MeshError
from triform.systems.voxel_gan import evaluation as evaluation_module
from triform.systems.voxel_gan.config import EvaluateConfig
from triform.systems.voxel_gan.evaluation import (
    measure_generation,
    measure_real,
    measure_reconstruction,
)
from triform.systems.voxel_gan.nearest_neighbor import TrainingShapes
from triform.tasks.shape_generation.categories import GROUPS

R = 32
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
SIDES = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)
BOX = np.concatenate([SIDES[:, [0, 1, 2]], SIDES[:, [0, 2, 3]]])


def boxes(*volumes: float, closed: bool = True) -> Mesh:
    """Cubes of these volumes side by side; the first may lack a face."""
    vertices, faces = [], []
    for number, volume in enumerate(volumes):
        vertices.append(CORNERS * volume ** (1 / 3) + [2.0 * number, 0, 0])
        faces.append(BOX[0 if closed or number else 1 :] + 8 * number)
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int64))


def grid(start: int, size: int, base: int) -> np.ndarray:
    """Probabilities of one box whose first side begins at a voxel; `base` names it."""
    values = np.zeros((R, R, R), np.float32)
    values[start : start + size, base : base + 2, :2] = 0.9
    return values


# prompt, group, prediction of the classifier, grid, mesh (None: nothing above the level)
SHAPES = [
    ("a chair", "chairs", "chairs", grid(0, 4, 0), boxes(1.0)),
    ("a stool", "chairs", "chairs", grid(2, 4, 0), boxes(0.951, 0.049)),
    ("an armchair", "chairs", "beds", grid(20, 4, 0), boxes(0.949, 0.051)),
    ("a bed", "beds", "beds", grid(0, 4, 4), boxes(0.5, 0.25, 0.25)),
    ("a cot", "beds", "lamps", grid(0, 4, 4), boxes(1.0, closed=False)),
    ("a lamp", "lamps", "chairs", grid(0, 1, 8), None),
    ("a light", "lamps", "chairs", grid(0, 3, 8), boxes(1.0)),
    ("a taxi", "vehicles", "vehicles", grid(0, 3, 12), boxes(1.0)),
]


class FakeGenerator:
    """Generates the shapes above and records the requests."""

    def generate(self, requests):
        self.requests = requests
        for number, shape in enumerate(SHAPES):
            self.now = number
            yield shape[3]

    def occupancy(self, grid):
        return grid > 0.5

    def mesh(self, grid):
        mesh = SHAPES[self.now][4]
        if mesh is None:
            raise MeshError("empty")
        return mesh

    def classifier(self, view: torch.Tensor) -> torch.Tensor:
        """Logits that are largest for the prediction above."""
        assert not torch.is_grad_enabled()
        shape = SHAPES[self.now]
        assert np.array_equal(view.numpy()[0, 0], shape[3] > 0.5)
        return torch.eye(len(GROUPS))[[list(GROUPS).index(shape[2])]]


@pytest.fixture
def sheet(monkeypatch, tmp_path):
    """What was drawn on the sheet: meshes and labels."""
    drawn: dict = {}

    def save(images, labels, path, columns):
        drawn.update(images=images, labels=labels, path=path, columns=columns)

    monkeypatch.setattr(evaluation_module, "draw_mesh", lambda mesh: mesh)
    monkeypatch.setattr(evaluation_module, "save_contact_sheet", save)
    return drawn


def test_every_number_of_generation_by_hand(sheet, tmp_path):
    generator, rows = FakeGenerator(), [(prompt, group) for prompt, group, *_ in SHAPES]
    numbers = measure_generation(
        generator, EvaluateConfig(seed=10, output=tmp_path), rows, generator.classifier
    )
    expected = {
        "prompts": 8,
        "agreement": 0.5,
        "agreement_interval": [0.2152, 0.7848],
        "agreement_by_group": {"chairs": 0.667, "beds": 0.5, "lamps": 0, "vehicles": 1},
        "most_confused": {"lamps -> chairs": 2, "chairs -> beds": 1, "beds -> lamps": 1},
        # all meshes but the open one and the empty one
        "watertight": 0.75,
        # 1, 0.951, 1, 1 of eight; the open box has a volume of its own
        "main_part_over_95_percent": 0.625,
        # cubes side by side cross nothing, the open one included
        "no_self_intersection": 0.875,
        # a chair, a stool, a light and a taxi: closed and in one part as well
        "valid_solid": 0.5,
        "valid_solid_interval": [0.2152, 0.7848],
        "empty": 1,
        # chairs: boxes of 4 that share 2 (IoU 2 / 6), and one apart from both; beds: the same
        # twice; lamps: 1 of 3
        "diversity_within_group": {
            "chairs": 0.889,
            "beds": 0,
            "lamps": 0.667,
            "vehicles": 0,
        },
    }
    assert numbers == expected
    assert list(numbers["most_confused"]) == list(expected["most_confused"])
    assert list(numbers["agreement_by_group"]) == [
        name for name in GROUPS if name in expected["agreement_by_group"]
    ]
    assert [(each.prompt, each.seed) for each in generator.requests] == [
        (prompt, 10 + number) for number, (prompt, *_) in enumerate(SHAPES)
    ]
    assert sheet["path"] == tmp_path / "prompts.png" and sheet["columns"] == 10
    assert sheet["labels"] == [
        "a chair",
        "a stool",
        "an armchair (beds)",
        "a bed",
        "a cot (lamps)",
        "a lamp (chairs)",
        "a light (chairs)",
        "a taxi",
    ]
    assert all(a is b[4] for a, b in zip(sheet["images"], SHAPES, strict=True))


def test_a_long_list_is_drawn_in_part(sheet, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_module, "MAX_SHEET_SHAPES", 3)
    generator, rows = FakeGenerator(), [(prompt, group) for prompt, group, *_ in SHAPES]
    measure_generation(generator, EvaluateConfig(output=tmp_path), rows, generator.classifier)
    assert sheet["labels"] == ["a chair", "an armchair (beds)", "a cot (lamps)", "a light (chairs)"]


class Known:
    """Objects of 32^3 whose voxels are boxes of given lengths; two rows are of one object."""

    captions = (("one", "other"), (), ("two",), ("three",), ("four",), ("five",))
    shape_index = np.array([0, 1, 2, 3, 4, 5, 5])
    lengths = (8, 8, 8, 8, 2, 30, 4)
    places = (0, 0, 0, 20, 0, 0, 0)

    def rows(self, split):
        return {"train": np.array([4, 5, 6]), "test": np.array([0, 1, 2, 3]), "val": []}[split]

    def voxels(self, rows):
        found = torch.zeros(len(rows), 1, R, R, R)
        for position, row in enumerate(rows):
            start = self.places[row]
            found[position, 0, start : start + self.lengths[row], 3, 5] = 1
        return found


class Keeper:
    """A generator whose model keeps some of a box: 8, 6, 2 and 0 of 8."""

    def __init__(self):
        self.prompts, self.shares = [], iter([8, 6, 2, 0])
        self.trained = SimpleNamespace(device=torch.device("cpu"), reconstruct=self.reconstruct)

    def conditions(self, prompts):
        self.prompts += prompts
        return torch.arange(len(prompts))[:, None].float()

    def reconstruct(self, voxels, cond):
        assert len(voxels) == len(cond)
        stored = voxels[:, 0].clone()
        for one, length in zip(stored, self.shares, strict=False):
            first = int(one.any(1).any(1).nonzero()[0])
            one[first + length :] = 0
        return stored


@pytest.mark.parametrize("batch", [16, 3])
def test_every_number_of_reconstruction_by_hand(batch, monkeypatch):
    monkeypatch.setattr(evaluation_module, "BATCH_SIZE", batch)
    keeper = Keeper()
    numbers = measure_reconstruction(keeper, Known())
    # Nearest to a box of 8 is the one of 4 (IoU 1/2, beside 1/4 and 8/30); at 20 it is the one of
    # 30, which it shares 8 with.
    expected = {
        "objects": 4,
        "iou_mean": (1 + 0.75 + 0.25 + 0) / 4,
        # deviation 0.456435, half width 1.959964 * 0.456435 / 2
        "iou_mean_interval": [0.0527, 0.9473],
        "iou_median": 0.25,
        "share_good": 0.5,
        "share_good_interval": [0.15, 0.85],
        "nearest_training_shape_iou_mean": round((3 * 0.5 + 8 / 30) / 4, 4),
        # 0.5 three times and 0.266667: deviation 0.116667
        "nearest_training_shape_iou_mean_interval": [0.3273, 0.556],
        "nearest_training_shape_iou_median": 0.5,
    }
    assert numbers.keys() == expected.keys()
    assert {name: numbers[name] for name in expected} == expected
    assert keeper.prompts == ["one", "", "two", "three"]


def test_nothing_held_out_is_nothing_measured():
    class Empty(Known):
        def rows(self, split):
            return np.array([], dtype=np.int64) if split == "test" else super().rows(split)

    assert measure_reconstruction(Keeper(), Empty()) == {}


def test_no_sheet_where_no_folder_is_named(sheet):
    generator, rows = FakeGenerator(), [(prompt, group) for prompt, group, *_ in SHAPES]
    measure_generation(generator, EvaluateConfig(), rows, generator.classifier)
    assert sheet == {}


def test_more_confusions_than_six_are_the_six_most_frequent(sheet):
    class Everything(FakeGenerator):
        def classifier(self, view):
            return torch.eye(len(GROUPS))[[0]]

    generator = Everything()
    predicted, *others = list(GROUPS)[:8]
    groups = [*others, others[3]]
    rows = [(shape[0], group) for shape, group in zip(SHAPES, groups, strict=True)]
    numbers = measure_generation(generator, EvaluateConfig(), rows, generator.classifier)
    expected = {f"{others[3]} -> {predicted}": 2}
    expected |= {f"{name} -> {predicted}": 1 for name in [*others[:3], *others[4:6]]}
    assert numbers["most_confused"] == expected and numbers["agreement"] == 0


class RealObjects:
    """150 test objects, boxes of 8, the last of which is a box of 4; nothing in val."""

    def rows(self, split):
        return {"test": np.arange(150), "val": np.array([], int)}[split]

    def voxels(self, rows):
        voxels = torch.zeros(len(rows), 1, R, R, R)
        for position, row in enumerate(rows):
            voxels[position, 0, : 4 if row == 149 else 8, 0, 0] = 1
        return voxels


@pytest.mark.parametrize("num_labelled", [0, 3])
def test_every_number_of_real_objects_by_hand(num_labelled, monkeypatch):
    """All objects have a novelty, those of a group also an agreement."""
    asked, names = [], list(GROUPS)
    labels = torch.tensor([0, 1, 1])

    class Batches:
        def __init__(self, dataset, split, augment):
            asked.append((split, augment))

        def __len__(self):
            return num_labelled

        def __call__(self, indices, random):
            assert list(indices) == [0, 1, 2]
            return {"labels": labels, "voxels": torch.zeros(3, 1, R, R, R)}

    def classifier(voxels):
        return torch.eye(len(names))[[0, 1, 2][: len(voxels)]]

    monkeypatch.setattr(evaluation_module, "ClassifierBatches", Batches)
    known = torch.zeros(1, R, R, R, dtype=torch.bool)
    known[0, :8, 0, 0] = True
    report = measure_real(RealObjects(), classifier, TrainingShapes(known, (("x",),)))
    # One of 150 is half apart: mean 1/300, deviation 0.5 / sqrt(150).
    expected = {
        "objects": 150,
        "novelty": {
            "mean": 0.0033,
            "interval": [-0.0032, 0.0099],
            "median": 0.0,
            "share_below_0.1": 0.9933,
        },
    }
    if num_labelled:
        expected |= {
            "objects_of_a_group": 3,
            "agreement": 0.6667,
            "agreement_interval": [0.2077, 0.9385],
        }
    assert report == {"test": expected} and asked == [("test", False)]


def test_one_object_alone_has_no_interval():
    assert evaluation_module._mean_interval(torch.tensor([0.5])) == []
    assert evaluation_module._mean_interval(torch.tensor([0.25, 0.75])) == [0.01, 0.99]
    assert evaluation_module._share_interval(1, 3) == [0.0615, 0.7923]


@pytest.mark.parametrize("empty", [True, False])
def test_a_shape_without_voxels_has_no_mesh(empty, sheet, tmp_path, monkeypatch):
    """It counts as empty once, whether its grid is or its surface."""
    generator = FakeGenerator()
    grids = [shape[3] * (0 if empty and number == 6 else 1) for number, shape in enumerate(SHAPES)]

    def generate(requests):
        for number, values in enumerate(grids):
            generator.now = number
            yield values

    monkeypatch.setattr(generator, "generate", generate, raising=False)

    def classifier(view):
        return torch.eye(len(GROUPS))[[0]]

    rows = [(prompt, group) for prompt, group, *_ in SHAPES]
    numbers = measure_generation(generator, EvaluateConfig(output=tmp_path), rows, classifier)
    assert numbers["empty"] == 1 + empty and numbers["watertight"] == (6 - empty) / 8
    assert [image is None for image in sheet["images"]] == [
        number == 5 or (empty and number == 6) for number in range(8)
    ]


def test_a_sheet_has_at_most_about_sixty_shapes():
    assert evaluation_module.MAX_SHEET_SHAPES == 60 and evaluation_module.COPY_DISTANCE == 0.1


@pytest.mark.parametrize("other_training", [False, True])
def test_what_is_measured_on_what(other_training, monkeypatch, tmp_path):
    """The training shapes are those of the data, or of another data set of the same size."""
    loaded, calls = [], []
    trained = SimpleNamespace(voxel_size=16, source="a.pth")
    generator = SimpleNamespace(trained=trained)

    def load(data):
        loaded.append(data)
        return f"data {' '.join(data.dataset)}"

    def measure(name, *words, **more):
        calls.append((name, words, more))
        return {"of": name}

    monkeypatch.setattr(evaluation_module, "ShapeGenerator", lambda settings: generator)
    monkeypatch.setattr(evaluation_module, "read_prompts", lambda path: [("a bed", str(path))])
    monkeypatch.setattr(evaluation_module, "load_classifier", lambda: "classifier")
    monkeypatch.setattr(evaluation_module, "load_voxel_dataset", load)
    monkeypatch.setattr(evaluation_module, "training_shapes", lambda data: f"shapes of {data}")
    for name in ("measure_reconstruction", "measure_generation", "measure_real"):
        monkeypatch.setattr(
            evaluation_module, name, lambda *w, name=name, **more: measure(name, *w, **more)
        )
    settings = EvaluateConfig(
        dataset=("one", "two"),
        training_dataset=("three",) if other_training else (),
        max_samples=5,
        download_path="d",
        fine_truth=True,
        output=tmp_path / "new",
    )
    report = evaluation_module.evaluate(settings)
    known = "three" if other_training else "one two"
    assert report == {
        "checkpoint": "a.pth",
        "dataset": "one two",
        "training_dataset": known,
        "reconstruction": {"of": "measure_reconstruction"},
        "generation": {"of": "measure_generation"},
        "real_held_out": {"of": "measure_real"},
    }
    text = (tmp_path / "new" / "report.json").read_text()
    assert text == json.dumps(report, indent=2)
    shapes, prompts = f"shapes of data {known}", [("a bed", str(evaluation_module.PROMPTS_FILE))]
    assert calls == [
        ("measure_reconstruction", (generator, "data one two"), {"fine_truth": True}),
        ("measure_generation", (generator, settings, prompts, "classifier", shapes), {}),
        ("measure_real", ("data one two", "classifier", shapes), {}),
    ]
    data = loaded[0]
    found = (data.dataset, data.download_path, data.max_samples, data.voxel_size)
    assert found == (("one", "two"), "d", 5, 16) and len(loaded) == 1 + other_training
    if other_training:
        assert loaded[1] == data.model_copy(update={"dataset": ("three",)})
    own = settings.model_copy(update={"prompts": tmp_path / "p.csv", "output": None})
    evaluation_module.evaluate(own)
    assert calls[4][1][2] == [("a bed", str(tmp_path / "p.csv"))]

"""Agreement, main part, diversity and IoU of shapes that are known, by known classifiers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from triform.geometry.mesh import Mesh, MeshError
from triform.systems.voxel_gan import evaluation as evaluation_module
from triform.systems.voxel_gan.config import EvaluateConfig
from triform.systems.voxel_gan.evaluation import measure_generation, measure_reconstruction
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
        "agreement_by_group": {"chairs": 0.667, "beds": 0.5, "lamps": 0, "vehicles": 1},
        "most_confused": {"lamps -> chairs": 2, "chairs -> beds": 1, "beds -> lamps": 1},
        # all meshes but the open one and the empty one
        "watertight": 0.75,
        # 1, 0.951, 1, 1 of eight; the open box has a volume of its own
        "main_part_over_95_percent": 0.625,
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
    assert {name: numbers[name] for name in expected} == expected
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
        "iou_median": 0.25,
        "share_good": 0.5,
        "nearest_training_shape_iou_mean": round((3 * 0.5 + 8 / 30) / 4, 4),
        "nearest_training_shape_iou_median": 0.5,
    }
    assert {name: numbers[name] for name in expected} == expected
    assert keeper.prompts == ["one", "", "two", "three"]


def test_nothing_held_out_is_nothing_measured():
    class Empty(Known):
        def rows(self, split):
            return np.array([], dtype=np.int64) if split == "test" else super().rows(split)

    assert measure_reconstruction(Keeper(), Empty()) == {}

"""Scores of generators whose shapes are known to be right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor, nn

from triform.datasets.shape import MeshFile, Shape
from triform.geometry.mesh import Mesh
from triform.tasks.shape_generation import prompt_scores
from triform.tasks.shape_generation.attributes import Attributes
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.config import PromptSetsConfig
from triform.tasks.shape_generation.mesh_classifier import MeshClassifier
from triform.tasks.shape_generation.prompt_scores import (
    CaptionLookup,
    has_attributes,
    measure_prompt_sets,
    never_together,
    report_scores,
    score_prompts,
)
from triform.tasks.shape_generation.prompt_sets import EvaluationPrompt

TABLES = "tables and desks"


def prompt(name: str, text: str, russian: str = "", **attributes: object) -> EvaluationPrompt:
    return EvaluationPrompt(name, text, russian, TABLES, Attributes(**attributes), "")  # type: ignore[arg-type]


def table(num_legs: int, *, is_round: bool, color: tuple[int, int, int] | None = None) -> Mesh:
    """A top of diameter 1 on legs in a ring."""
    top = trimesh.creation.cylinder(0.5, 0.06, sections=64)
    if not is_round:
        top = trimesh.creation.box((1, 1, 0.06))
    top.apply_translation((0, 0, 0.7))
    parts = [top]
    for k in range(num_legs):
        leg = trimesh.creation.box((0.06, 0.06, 0.7))
        angle = 2 * np.pi * k / num_legs
        leg.apply_translation((0.35 * np.cos(angle), 0.35 * np.sin(angle), 0.35))
        parts.append(leg)
    solid = trimesh.util.concatenate(parts)
    vertices = solid.vertices[:, [0, 2, 1]]  # +Z up to +Y up
    colors = None if color is None else np.tile(np.array(color, np.uint8), (len(solid.faces), 1))
    return Mesh(vertices, solid.faces[:, ::-1], colors)


class Constant(nn.Module):
    """A classifier of which every shape is a table."""

    def forward(self, voxels: Tensor) -> Tensor:
        logits = torch.zeros(len(voxels), len(GROUPS))
        logits[:, list(GROUPS).index(TABLES)] = 1
        return logits


CLASSIFIER = MeshClassifier(Constant())


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (table(5, is_round=True), True),
        (table(4, is_round=True), False),
        (table(5, is_round=False), False),
    ],
)
def test_structure_is_counted(mesh: Mesh, expected: bool) -> None:
    item = prompt("structure", "", kind="table", form="round", legs=5)
    assert has_attributes(mesh, item) is expected


def test_colors_and_materials_by_the_surface() -> None:
    red, bare = table(3, is_round=True, color=(190, 45, 40)), table(3, is_round=True)
    assert has_attributes(red, prompt("colors", "", kind="table", color="red"))
    assert not has_attributes(red, prompt("colors", "", kind="table", color="blue"))
    assert not has_attributes(bare, prompt("colors", "", kind="table", color="red"))
    oak = table(3, is_round=True, color=(196, 154, 100))
    assert has_attributes(oak, prompt("materials", "", kind="table", material="wood"))
    assert not has_attributes(oak, prompt("materials", "", kind="table", material="metal"))


def test_report_by_hand() -> None:
    """One of two right against none; an empty shape is wrong in everything."""
    items = [
        prompt("structure", "five", "пять", kind="table", form="round", legs=5),
        prompt("structure", "nothing", "ничего", kind="table", form="round", legs=5),
    ]
    shapes = {"five": table(5, is_round=True), "пять": None, "nothing": None, "ничего": None}

    def generate(texts: Sequence[str]) -> list[Mesh | None]:
        return [shapes[text] for text in texts]

    scores = score_prompts(generate, items, CLASSIFIER)
    assert [(s.group, s.attributes, s.predicted) for s in scores] == [
        (True, True, TABLES),
        (False, False, ""),
    ]
    nothing = score_prompts(lambda texts: [None] * len(texts), items, CLASSIFIER)
    report = report_scores(items, scores, nothing)["structure"]
    assert report["both"]["share"] == 0.5 and report["both"]["of"] == 2
    assert report["both"]["interval"] == pytest.approx([0.0945, 0.9055], abs=1e-4)  # Wilson
    assert report["nearest_caption"]["both"]["share"] == 0
    assert (report["generator_alone_right"], report["mcnemar_p"]) == (1, 1.0)

    whole = measure_prompt_sets(generate, items, CLASSIFIER, None)
    assert whole["russian"]["structure"]["both"]["share"] == 0
    assert whole["russian_minus_english"] == -0.5


class Words:
    """Encoder of counts of three words."""

    name, dim, fingerprint = "words", 3, "words-1"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        words = ("table", "chair", "red")
        return np.array([[text.split().count(w) for w in words] for text in texts], np.float32)


def test_lookup_finds_the_nearest_caption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path))
    shapes = []
    for name, captions in (("a", ("table", "red table")), ("b", ("chair",))):
        path = tmp_path / f"{name}.obj"
        path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
        languages = ("en",) * len(captions)
        shapes.append(Shape(name, "test", captions, languages, "", name, "", MeshFile(path)))
    lookup = CaptionLookup(shapes, Words())
    assert lookup.nearest(["a red table", "the chair", "chair chair table"]) == [0, 1, 1]
    (mesh,) = lookup(["chair"])
    assert mesh is not None and len(mesh.faces) == 1


def test_never_together() -> None:
    items = [
        prompt("structure", "", kind="table", form="round", legs=5),
        prompt("structure", "", kind="table", form="square", legs=5),
    ]
    training = [
        Attributes(kind="table", form="round", legs=5, color="red"),
        Attributes(kind="table", form="square"),
        Attributes(kind="stool", form="square", legs=5),
    ]
    assert never_together(items, training) == items[1:]


def test_sets_are_measured_beside_captions_and_real_shapes(monkeypatch) -> None:
    """The lookup has every training shape; shapes that a program made are no real ones."""
    training = [SimpleNamespace(source="parametric"), SimpleNamespace(source="sweethome3d")]
    passed = {}

    def measure(generate, prompts, classifier, lookup):
        passed.update(generate=generate, prompts=prompts, classifier=classifier, lookup=lookup)
        return {"english": "report"}

    monkeypatch.setattr(prompt_scores, "measure_prompt_sets", measure)
    monkeypatch.setattr(prompt_scores, "load_mesh_classifier", lambda name: ("classifier", name))
    monkeypatch.setattr(prompt_scores, "select_prompts", lambda names, most: (names, most))
    monkeypatch.setattr(prompt_scores, "CaptionLookup", lambda shapes, encoder: (shapes, encoder))
    monkeypatch.setattr(
        prompt_scores, "measure_real", lambda shapes, _: [shape.source for shape in shapes]
    )
    settings = PromptSetsConfig(prompt_sets=("colors",), max_prompts=9, shape_classifier="file")
    report = prompt_scores.measure_sets("generate", settings, training, "encoder")  # type: ignore[arg-type]
    assert report == {"real_training_shapes": ["sweethome3d"], "english": "report"}
    assert passed == {
        "generate": "generate",
        "prompts": (("colors",), 9),
        "classifier": ("classifier", "file"),
        "lookup": (training, "encoder"),
    }

"""Scores of a generator of shapes on the prompt sets, beside the nearest-caption lookup.

A generator is any function from prompts to meshes. What is right follows from the shape alone: its
group by a classifier that was trained on other objects, its legs, shelves, doors and drawers by
their number in the voxels, its colour by most of its surface. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triform.base.paths import cache_dir
from triform.datasets.load import PARAMETRIC_SOURCES
from triform.datasets.parametric.varied.finishes import COLORS, MATERIALS
from triform.datasets.shape import Shape
from triform.geometry.mesh import Mesh, MeshError
from triform.geometry.voxels.voxelize import voxelize
from triform.metrics.intervals import mcnemar_exact, share_interval
from triform.pretrained.text_encoder import TextEncoder, embed_texts
from triform.tasks.shape_generation.attribute_parser import cached_attributes
from triform.tasks.shape_generation.attributes import Attributes
from triform.tasks.shape_generation.categories import group_of
from triform.tasks.shape_generation.config import PromptSetsConfig
from triform.tasks.shape_generation.mesh_classifier import MeshClassifier, load_mesh_classifier
from triform.tasks.shape_generation.prompt_sets import SETS, EvaluationPrompt, select_prompts
from triform.tasks.shape_generation.structure import matching_structure
from triform.tasks.shape_generation.surface_color import APPARENT_COLORS, surface_color

Generate = Callable[[Sequence[str]], Sequence[Mesh | None]]
"""Prompts to one mesh each; None for an empty shape."""
STRUCTURE_RESOLUTION = 128
PALETTE = {
    **COLORS,
    "wood": MATERIALS["wood"]["wooden"],
    "glass": MATERIALS["glass"]["glass"],
}
CHUNK_SIZE = 32


@dataclass(frozen=True)
class PromptScore:
    """Whether the shape of a prompt is right.

    Attributes:
        group: the group is that of the prompt.
        attributes: every tested attribute is right; true where none is tested.
        predicted: the predicted group.
    """

    group: bool
    attributes: bool
    predicted: str

    @property
    def both(self) -> bool:
        return self.group and self.attributes


def score_prompts(
    generate: Generate,
    prompts: Sequence[EvaluationPrompt],
    classifier: MeshClassifier,
    language: str = "en",
) -> list[PromptScore]:
    """Generate a shape for every prompt and see whether it is right.

    Args:
        generate: the generator.
        prompts: prompts that have a text in the language.
        classifier: predicts groups; trained on other objects than the generator.
        language: "en" or "ru".
    """
    scores: list[PromptScore] = []
    for start in range(0, len(prompts), CHUNK_SIZE):
        chunk = prompts[start : start + CHUNK_SIZE]
        texts = [case.prompt_ru if language == "ru" else case.prompt for case in chunk]
        meshes = generate(texts)
        for case, mesh, group in zip(chunk, meshes, classifier.groups(meshes), strict=True):
            right = mesh is not None and has_attributes(mesh, case)
            scores.append(PromptScore(group == case.group, right, group))
    return scores


def has_attributes(mesh: Mesh, prompt: EvaluationPrompt) -> bool:
    """Whether a shape has all tested attributes of its prompt, by its geometry and colours."""
    expected = prompt.attributes
    if prompt.set == "colors":
        return surface_color(mesh, COLORS) == expected.color
    if prompt.set == "materials":
        return surface_color(mesh, PALETTE) in APPARENT_COLORS[expected.material]
    if prompt.set != "structure":
        return True
    try:
        occupancy = voxelize(mesh, STRUCTURE_RESOLUTION)
    except MeshError:
        return False
    return all(matching_structure(occupancy, expected).values())


class CaptionLookup:
    """Baseline: the training shape with the nearest caption, by the cosine of text embeddings.

    Args:
        shapes: training shapes with captions.
        encoder: embeds captions and prompts.
    """

    def __init__(self, shapes: Sequence[Shape], encoder: TextEncoder) -> None:
        index_of: dict[str, int] = {}
        for index, shape in enumerate(shapes):
            for caption in shape.english or shape.captions:
                index_of.setdefault(caption, index)
        self.shapes, self.encoder = shapes, encoder
        self._indices = np.array(list(index_of.values()), dtype=np.int64)
        self._embeddings = _unit(embed_texts(encoder, list(index_of), cache_dir() / "embeddings"))

    def nearest(self, prompts: Sequence[str]) -> list[int]:
        """Index of the shape with the nearest caption of each prompt."""
        similarity = _unit(self.encoder.encode(list(prompts))) @ self._embeddings.T
        return [int(index) for index in self._indices[similarity.argmax(1)]]

    def __call__(self, prompts: Sequence[str]) -> list[Mesh | None]:
        return [self.shapes[index].load(appearance=True) for index in self.nearest(prompts)]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12))


def report_scores(
    prompts: Sequence[EvaluationPrompt],
    scores: Sequence[PromptScore],
    baseline: Sequence[PromptScore] = (),
) -> dict[str, Any]:
    """Shares of right shapes in each set with their intervals, beside those of a baseline.

    Args:
        prompts: the prompts.
        scores: of the generator.
        baseline: of the same prompts; none for no baseline.
    """
    report: dict[str, Any] = {}
    for name in SETS:
        rows = [i for i, case in enumerate(prompts) if case.set == name]
        if not rows:
            continue
        report[name] = _shares([scores[i] for i in rows], has_attributes=name != "groups")
        if name == "words":
            known = [i for i in rows if cached_attributes(prompts[i].prompt).kind]
            report[name]["in_lexicon"] = _share([scores[i].group for i in known])
        if baseline:
            base = [baseline[i] for i in rows]
            report[name]["nearest_caption"] = _shares(base, has_attributes=name != "groups")
            first, second, p_value = mcnemar_exact(
                [scores[i].both for i in rows], [case.both for case in base]
            )
            report[name] |= {
                "generator_alone_right": first,
                "nearest_caption_alone_right": second,
                "mcnemar_p": round(p_value, 4),
            }
    return report


def _shares(scores: Sequence[PromptScore], *, has_attributes: bool) -> dict[str, Any]:
    report: dict[str, Any] = {"group": _share([score.group for score in scores])}
    if has_attributes:
        report["attributes"] = _share([score.attributes for score in scores])
        report["both"] = _share([score.both for score in scores])
    return report


def _share(values: Sequence[bool]) -> dict[str, Any]:
    if not values:
        return {}
    interval = share_interval(sum(values), len(values))
    return {
        "share": round(sum(values) / len(values), 4),
        "interval": [round(end, 4) for end in interval],
        "of": len(values),
    }


def measure_prompt_sets(
    generate: Generate,
    prompts: Sequence[EvaluationPrompt],
    classifier: MeshClassifier,
    lookup: CaptionLookup | None,
) -> dict[str, Any]:
    """Score the prompts in English and in Russian, beside the lookup and beside real shapes.

    Args:
        generate: the generator.
        prompts: prompts of one or several sets.
        classifier: trained on other objects than the generator.
        lookup: the baseline over the generator's training shapes; None for no baseline.

    Returns:
        `english` and `russian`: the report of each set; `russian_minus_english`: difference of the
        shares that are right, over the prompts that have a translation.
    """
    scores = score_prompts(generate, prompts, classifier)
    base = score_prompts(lookup, prompts, classifier) if lookup else []
    translated = [i for i, case in enumerate(prompts) if case.prompt_ru]
    report: dict[str, Any] = {"english": report_scores(prompts, scores, base)}
    if not translated:
        return report
    pairs = [prompts[i] for i in translated]
    russian = score_prompts(generate, pairs, classifier, "ru")
    base_ru = score_prompts(lookup, pairs, classifier, "ru") if lookup else []
    english_share = np.mean([scores[i].both for i in translated])
    russian_share = np.mean([score.both for score in russian])
    report["russian"] = report_scores(pairs, russian, base_ru)
    report["russian_minus_english"] = round(float(russian_share - english_share), 4)
    return report


def measure_sets(
    generate: Generate,
    settings: PromptSetsConfig,
    training: Sequence[Shape],
    encoder: TextEncoder,
) -> dict[str, Any]:
    """Scores of a generator on the sets that `evaluate` is to measure, and those of real shapes.

    Args:
        generate: the generator.
        settings: names of the sets, their size and the classifier.
        training: shapes that the generator was trained on, whose captions are looked up.
        encoder: embeds captions and prompts.
    """
    classifier = load_mesh_classifier(settings.shape_classifier)
    prompts = select_prompts(settings.prompt_sets, settings.max_prompts)
    lookup = CaptionLookup(training, encoder)
    real = [shape for shape in training if shape.source not in PARAMETRIC_SOURCES]
    return {
        "real_training_shapes": measure_real(real, classifier),
        **measure_prompt_sets(generate, prompts, classifier, lookup),
    }


def measure_real(shapes: Sequence[Shape], classifier: MeshClassifier) -> dict[str, Any]:
    """Share of real shapes that the classifier puts into the group of their names.

    Args:
        shapes: real shapes that the classifier was not trained on.
        classifier: the classifier.
    """
    named = [
        (shape, group)
        for shape in shapes
        if (captions := shape.english or shape.captions)
        and (group := group_of(captions[0], shape.category)) is not None
    ]
    right: list[bool] = []
    for start in range(0, len(named), CHUNK_SIZE):
        chunk = named[start : start + CHUNK_SIZE]
        predicted = classifier.groups([shape.load() for shape, _ in chunk])
        right += [a == group for a, (_, group) in zip(predicted, chunk, strict=True)]
    return _share(right)


def never_together(
    prompts: Sequence[EvaluationPrompt], training: Sequence[Attributes]
) -> list[EvaluationPrompt]:
    """The prompts whose tested attributes no training shape has all together."""
    return [
        case for case in prompts if not any(_includes(known, case.attributes) for known in training)
    ]


_TESTED = ("kind", "form", "legs", "shelves", "doors", "drawers", "color", "material")


def _includes(known: Attributes, tested: Attributes) -> bool:
    """Whether known attributes have every tested one."""
    return all(
        getattr(tested, name) in ("", None) or getattr(tested, name) == getattr(known, name)
        for name in _TESTED
    )

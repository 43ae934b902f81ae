"""The best of several shapes of a prompt: what the text names is there, then sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_erosion, label

from triform.base.seeding import hash_seed
from triform.datasets.parametric.varied.finishes import COLORS
from triform.systems.shape_flow.surface import is_empty
from triform.tasks.shape_generation.attribute_parser import cached_attributes
from triform.tasks.shape_generation.attributes import Attributes
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.mesh_output import Request
from triform.tasks.shape_generation.structure import matching_structure, names_structure
from triform.tasks.shape_generation.surface_color import dominant_color
from triform.tasks.shape_generation.voxel_classifier import VoxelClassifier, classifier_input

Field = tuple[np.ndarray, np.ndarray]
"""Distances (R, R, R) and colours (3, R/2, R/2, R/2) of one shape."""
FLOOR_BAND = 1.5
"""Samples above the lowest one of a shape in which its feet end."""
COUNTING_RESOLUTION = 128
GROUPS_WITH_TOPS = ("tables and desks", "chairs")
"""Groups of shapes whose form is that of their top; that of a mirror is not measured."""


def candidate_seed(request: Request, number: int) -> int:
    """The seed of a candidate; the first has that of the request."""
    return request.seed if number == 0 else hash_seed("candidate", request.seed, number)


def best_candidate(fields: Sequence[Field], prompt: str, classifier: VoxelClassifier) -> Field:
    """The field that is most of what a prompt names; of equal ones the soundest.

    Every count, form and colour adds 1 where it is right, the group of the kind its probability.

    Args:
        fields: one field or more.
        prompt: the text.
        classifier: of the groups; not the one that judges the results.
    """
    expected = cached_attributes(prompt)
    probabilities = group_probabilities(fields, expected.group, classifier)
    scores = [
        (num_matching(field, expected) + probability, soundness(field[0]))
        for field, probability in zip(fields, probabilities, strict=True)
    ]
    return fields[max(range(len(fields)), key=scores.__getitem__)]


@torch.no_grad()
def group_probabilities(
    fields: Sequence[Field], group: str, classifier: VoxelClassifier
) -> list[float]:
    """Probability of a group for each field; 0 of a group that the classifier does not know."""
    if group not in GROUPS:
        return [0.0] * len(fields)
    occupancy = np.stack([distance < 0 for distance, _ in fields])
    logits = classifier(classifier_input(torch.from_numpy(occupancy)[:, None].float()))
    probabilities: list[float] = logits.softmax(1)[:, list(GROUPS).index(group)].tolist()
    # Two decimals: of shapes that are equally sure the soundest is to be kept.
    return [round(probability, 2) for probability in probabilities]


def num_matching(field: Field, expected: Attributes) -> int:
    """How many of the counts, the form and the colour that are expected a field has."""
    distance, colors = field
    if is_empty(distance):
        return -1
    if expected.group not in GROUPS_WITH_TOPS:
        expected = replace(expected, form="")
    num_right = int(bool(expected.color) and field_color(distance, colors) == expected.color)
    if names_structure(expected):
        fine = F.interpolate(
            torch.from_numpy(distance)[None, None], (COUNTING_RESOLUTION,) * 3, mode="trilinear"
        )
        num_right += sum(matching_structure(fine[0, 0].numpy() < 0, expected).values())
    return num_right


def field_color(distance: np.ndarray, colors: np.ndarray) -> str:
    """Name of the colour of most blocks at the surface."""
    size, block = colors.shape[1], len(distance) // colors.shape[1]
    occupied = (distance < 0).reshape(size, block, size, block, size, block).any(axis=(1, 3, 5))
    at_surface = occupied & ~binary_erosion(occupied)
    rgb = (colors[:, at_surface].T + 1) * 127.5
    return dominant_color(rgb.clip(0, 255), np.ones(len(rgb)), COLORS)


def soundness(distance: np.ndarray) -> float:
    """How sound a field (R, R, R) is: share of its volume in one piece that stands on the floor.

    An empty field has 0. A shape that hangs (a ceiling lamp) loses the same in all candidates.
    """
    inside = distance < 0
    if is_empty(distance):
        return 0.0
    labels, count = label(inside)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    main = labels == 1 + int(sizes.argmax())
    lowest = np.flatnonzero(inside.any(axis=(0, 2)))[0]
    stands = main[:, : int(lowest + FLOOR_BAND) + 1].any()
    num_floating = int(count) - 1
    return float(sizes.max() / sizes.sum()) + 0.1 * float(stands) - 0.02 * num_floating

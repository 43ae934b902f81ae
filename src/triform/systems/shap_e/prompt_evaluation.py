"""Shapes generated from the prompt sets that generators of shapes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triform.base.errors import UsageError
from triform.datasets.listing import list_shapes
from triform.datasets.load import DATASETS, load_dataset
from triform.datasets.shape import Shape
from triform.geometry.mesh import Mesh
from triform.systems.shap_e.config import DataConfig
from triform.systems.shap_e.data import ShapEDataset
from triform.systems.shap_e.generation import (
    encode_prompts,
    load_prompt_encoder,
    sample_all,
)
from triform.systems.shap_e.output.mesh import decode_mesh
from triform.systems.shap_e.trained import Trained
from triform.systems.shap_e.transmitter.transmitter import Transmitter
from triform.systems.shap_e.verb_config import EvaluateConfig
from triform.tasks.shape_generation.prompt_scores import measure_sets


def training_shapes(dataset: ShapEDataset, data: DataConfig) -> list[Shape]:
    """The training shapes of known data sets, with the meshes that the library was made of.

    Raises:
        UsageError: A library does not hold meshes, so that there is no baseline.
    """
    names = [part.strip() for part in data.data_dir.split(",")]
    if not all(name.partition(":")[0].lower() in DATASETS for name in names):
        raise UsageError(
            f"--prompt_sets: the library {data.data_dir} holds no meshes, whose captions are the "
            "baseline; give --data_dir a name from `triform data list`, or leave the flag out"
        )
    sources = {dataset.entries[index].source for index in dataset.rows("train")}
    shapes = list_shapes(load_dataset(names, data.download_path))
    return [shape for shape in shapes if shape.object_id in sources]


def measure_prompts(
    trained: Trained,
    transmitter: Transmitter,
    settings: EvaluateConfig,
    training: Sequence[Shape],
) -> dict[str, Any]:
    """Scores of the prompt sets, beside the training shape with the nearest caption.

    Args:
        trained: The prior.
        transmitter: Its decoder.
        settings: Sampling, seed, names and size of the sets.
        training: Shapes that it was trained on.
    """
    size = settings.grid_size or transmitter.config.grid_size

    def generate(texts: Sequence[str]) -> list[Mesh | None]:
        cond = encode_prompts(trained, settings, list(texts))
        latents = sample_all(trained, settings, cond)
        decoded = [decode_mesh(transmitter.decoder, latent, size) for latent in latents]
        return [None if each is None else each.mesh for each in decoded]

    return measure_sets(generate, settings, training, load_prompt_encoder(trained, settings))

"""Generation of meshes from prompts: condition, layout, cells, distances, surface, file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform import systems
from triform.base.logging import NOTICE, get_logger
from triform.base.seeding import generator, hash_seed
from triform.geometry.mesh import Mesh
from triform.pretrained.named_models import select_model
from triform.pretrained.text_encoder import TokenTextEncoder
from triform.systems.shape_flow.candidates import Field, best_candidate, candidate_seed
from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.config import CELL, GenerateConfig, SamplingConfig
from triform.systems.shape_flow.feet import level_feet
from triform.systems.shape_flow.proportions import Proportions
from triform.systems.shape_flow.surface import field_to_mesh, is_empty
from triform.systems.shape_flow.texts import load_token_encoder, prompt_condition
from triform.systems.shape_flow.trained import Trained
from triform.tasks.shape_generation.caption_distance import warn_of_unknown
from triform.tasks.shape_generation.mesh_output import (
    GeneratedMesh,
    Request,
    output_paths,
    read_requests,
    write_meshes,
)
from triform.tasks.shape_generation.voxel_classifier import VoxelClassifier, load_classifier

logger = get_logger(__name__)

BATCH_SIZE = 8


class ShapeGenerator:
    """Generates fields and meshes from prompts with a trained model."""

    def __init__(self, settings: SamplingConfig):
        self.settings = settings
        self.trained = Trained.choose(settings.checkpoint, settings.device)
        self.proportions = Proportions.from_metadata(
            self.trained.metadata.get("proportions", {}), self.trained.source
        )

    @cached_property
    def encoder(self) -> TokenTextEncoder:
        """The text encoder of the training, loaded when a text needs it."""
        name = select_model(
            self.settings.text_encoder,
            self.trained.config.model.text_encoder,
            "text encoder",
            source=self.trained.source,
        )
        return load_token_encoder(name)

    @cached_property
    def classifier(self) -> VoxelClassifier:
        """The classifier of groups that selects among several candidates."""
        return load_classifier()

    def condition(self, prompts: Sequence[str], seeds: Sequence[int]) -> Condition:
        """Conditions of prompts; an empty one is unknown altogether.

        Each seed draws the ratios of width and depth to height that its prompt does not name.
        """
        condition = prompt_condition(self.encoder, prompts, self.trained.config.model.max_tokens)
        completed = [
            self.proportions.complete(
                ids, np.random.default_rng(hash_seed("ratios", seed)).random()
            )
            for ids, seed in zip(condition.attributes.numpy(), seeds, strict=True)
        ]
        condition = replace(condition, attributes=torch.from_numpy(np.stack(completed)))
        device = self.trained.device
        return Condition(*(tensor.to(device) for tensor in vars(condition).values()))

    def latents(self, condition: Condition, seeds: list[int]) -> Tensor:
        """Latents (B, C, G, G, G) of conditions; each depends on its own seed alone."""
        model = self.trained.config.model
        cells = self.trained.config.data.resolution // CELL
        code, noise = [], []
        for seed in seeds:
            random = generator("latent", seed)
            code.append(torch.randn(model.layout_dim, generator=random))
            noise.append(torch.randn(model.latent_channels, *[cells] * 3, generator=random))
        settings, device = self.settings, self.trained.device
        return self.trained.sample(
            condition,
            torch.stack(code).to(device),
            torch.stack(noise).to(device),
            guidance=settings.guidance,
            cell_guidance=settings.cell_guidance,
            num_steps=settings.num_steps,
            cell_steps=settings.cell_steps,
        )

    def decode(self, latents: Tensor) -> list[Field]:
        """Fields of latents (B, C, G, G, G)."""
        distance, colors = self.trained.decode(latents)
        return list(zip(distance.cpu().numpy(), colors.cpu().numpy(), strict=True))

    def generate(self, requests: list[Request], candidates: int = 1) -> Iterator[Field]:
        """Fields for each request, in order; of several candidates the best."""
        per_batch = max(1, BATCH_SIZE // candidates)
        for start in range(0, len(requests), per_batch):
            batch = requests[start : start + per_batch]
            pairs = [(r.prompt, candidate_seed(r, n)) for r in batch for n in range(candidates)]
            prompts, seeds = [prompt for prompt, _ in pairs], [seed for _, seed in pairs]
            fields = self.decode(self.latents(self.condition(prompts, seeds), seeds))
            for row in range(len(batch)):
                distance, colors = fields[row * candidates]
                if candidates > 1:
                    group = fields[row * candidates : (row + 1) * candidates]
                    distance, colors = best_candidate(group, batch[row].prompt, self.classifier)
                yield level_feet(distance), colors

    def mesh(self, field: Field) -> Mesh:
        """Closed surface of a field in one piece.

        Raises:
            MeshError: The field is empty.
        """
        colors = field[1] if self.settings.colors else None
        return field_to_mesh(field[0], colors, self.settings.surface_resolution)


def generate(settings: GenerateConfig) -> list[dict[str, Any]]:
    """Generate and save shapes.

    Returns:
        A row per shape; see `tasks.shape_generation.mesh_output.write_meshes`.

    Raises:
        UserError: No such weights, prompt file or text encoder; an image that cannot be read;
            nothing can be written.
        UsageError: An output format that is not known, or no such image.
    """
    if settings.image is not None:
        caption = systems.caption_image(settings.image)
        logger.log(NOTICE, "%s: understood as %r", settings.image, caption)
        settings = settings.model_copy(update={"prompt": (*settings.prompt, caption)})
    requests = read_requests(settings)
    paths = output_paths(settings, requests)
    shapes = ShapeGenerator(settings)
    captions = shapes.trained.metadata.get("captions")
    prompts = [request.prompt for request in requests if request.prompt.strip()]
    if captions and prompts:
        warn_of_unknown(prompts, shapes.encoder, captions, shapes.trained.source)
    return write_meshes(settings, requests, paths, _meshes(shapes, requests, settings.candidates))


def _meshes(
    shapes: ShapeGenerator, requests: list[Request], candidates: int
) -> Iterator[GeneratedMesh]:
    fields = shapes.generate(requests, candidates)
    for request, (distance, colors) in zip(requests, fields, strict=True):
        empty = is_empty(distance)
        if empty:
            logger.warning(
                "prompt %r, seed %d: the shape is empty, hardly a sample is inside",
                request.prompt,
                request.seed,
            )
            # What is least outside: a file is written for every request.
            distance = distance - np.partition(distance.ravel(), 64)[64] - 1e-3
        yield GeneratedMesh(shapes.mesh((distance, colors)), empty)

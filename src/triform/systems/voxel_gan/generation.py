"""Generation of meshes from prompts: condition, latent, voxels, surface, file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.logging import get_logger
from triform.base.seeding import generator
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.bridges import bridge_components
from triform.geometry.voxels.surface import (
    main_component_share,
    voxels_to_mesh,
)
from triform.pretrained.named_models import select_model
from triform.pretrained.text_encoder import TextEncoder, load_text_encoder
from triform.systems.voxel_gan.conditioning import embed_conditions
from triform.systems.voxel_gan.config import GenerateConfig, SamplingConfig
from triform.systems.voxel_gan.trained import Trained
from triform.tasks.shape_generation.caption_distance import warn_of_unknown
from triform.tasks.shape_generation.mesh_output import (
    GeneratedMesh,
    Request,
    output_paths,
    read_requests,
    write_meshes,
)

logger = get_logger(__name__)

BATCH_SIZE = 8
MIN_VOXELS = 8
"""Occupied voxels from which there is a shape; of none, marching cubes still gives a few faces."""
MIN_MAIN_COMPONENT_SHARE = 0.95
"""Share of the volume from which a mesh counts as being in one piece."""


class ShapeGenerator:
    """Generates voxels and meshes from prompts with a trained model."""

    def __init__(self, settings: SamplingConfig):
        self.settings = settings
        self.trained = Trained.choose(settings.checkpoint, settings.device)
        self.trained.check(settings.settings_to_compare)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder of the training, loaded when a text needs it."""
        name = select_model(
            self.settings.text_encoder,
            self.trained.model.text_encoder,
            "text encoder",
            source=self.trained.source,
        )
        return load_text_encoder(name)

    def warn_of_unknown(self, prompts: list[str]) -> None:
        """Name the prompts that are far from all training captions, if the weights hold those.

        Raises:
            UserError: The captions in the file cannot be read.
        """
        if captions := self.trained.metadata.get("captions"):
            warn_of_unknown(prompts, self.encoder, captions, self.trained.source)

    def conditions(self, prompts: list[str]) -> Tensor:
        """Conditions (N, c); an empty prompt is the zero vector and needs no encoder."""
        model = self.trained.model
        cond = torch.zeros(len(prompts), model.cond_dim)
        nonempty = [row for row, prompt in enumerate(prompts) if prompt.strip()]
        if nonempty:
            texts = [prompts[row] for row in nonempty]
            cond[nonempty] = embed_conditions(self.encoder, texts, model.cond_dim)
        return cond.to(self.trained.device)

    def generate(self, requests: list[Request]) -> Iterator[np.ndarray]:
        """Generate occupancy probabilities (R, R, R) for each request, in order."""
        latent_dim = self.trained.model.latent_dim
        for start in range(0, len(requests), BATCH_SIZE):
            batch = requests[start : start + BATCH_SIZE]
            cond = self.conditions([request.prompt for request in batch])
            noise = torch.stack(
                [torch.randn(latent_dim, generator=generator("latent", r.seed)) for r in batch]
            ).to(self.trained.device)
            z = self.trained.latents(
                cond,
                noise,
                guidance_scale=self.settings.guidance_scale,
                num_steps=self.settings.num_steps,
            )
            yield from self.trained.decode(z, cond).cpu().numpy()

    def occupancy(self, probabilities: np.ndarray) -> np.ndarray:
        """Occupancy (R, R, R) bool of probabilities, with bridges to floating components."""
        return bridge_components(probabilities, self.settings.level) > self.settings.level

    def mesh(self, probabilities: np.ndarray) -> Mesh:
        """Closed surface of probabilities (R, R, R) in one piece, normalized."""
        return connected_mesh(probabilities, level=self.settings.level, sigma=self.settings.sigma)


def is_empty(occupancy: np.ndarray) -> bool:
    """Whether occupied voxels (R, R, R) are too few for a shape."""
    return int(occupancy.sum()) < MIN_VOXELS


def connected_mesh(probabilities: np.ndarray, *, level: float = 0.5, sigma: float = 0.5) -> Mesh:
    """Extract a closed surface in one piece.

    Floating components are bridged along faint voxels first, because thin legs are predicted with
    low probabilities; what still floats is removed.

    Args:
        probabilities: Occupancy probabilities (R, R, R).
        level: Occupancy at which the surface lies.
        sigma: Standard deviation of the Gaussian filter before, in voxels.

    Returns:
        The mesh, in [-1/2, 1/2]^3.
    """
    bridged = bridge_components(probabilities, level)
    mesh = voxels_to_mesh(bridged, level=level, sigma=sigma)
    if main_component_share(mesh) < 1:
        mesh = voxels_to_mesh(bridged, level=level, sigma=sigma, largest_component=True)
    return mesh


def generate(settings: GenerateConfig) -> list[dict[str, Any]]:
    """Generate and save shapes.

    Returns:
        A row per shape; see `tasks.shape_generation.mesh_output.write_meshes`.

    Raises:
        UserError: No such weights, prompt file or text encoder; nothing can be written.
        UsageError: An output format that is not known.
    """
    requests = read_requests(settings)
    paths = output_paths(settings, requests)
    shapes = ShapeGenerator(settings)
    shapes.warn_of_unknown([request.prompt for request in requests])
    return write_meshes(settings, requests, paths, _meshes(shapes, requests))


def _meshes(shapes: ShapeGenerator, requests: list[Request]) -> Iterator[GeneratedMesh]:
    for request, probabilities in zip(requests, shapes.generate(requests), strict=True):
        empty = is_empty(shapes.occupancy(probabilities))
        if empty:
            logger.warning(
                "prompt %r, seed %d: the shape is empty, hardly a voxel is above --level %g",
                request.prompt,
                request.seed,
                shapes.settings.level,
            )
        yield GeneratedMesh(shapes.mesh(probabilities), empty)

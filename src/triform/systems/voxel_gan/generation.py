"""Sentences to meshes: condition, latent, voxels, surface, file."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UsageError, UserError
from triform.base.files import read_regular
from triform.base.logging import get_logger
from triform.base.seeding import generator
from triform.geometry.bridges import bridge_parts
from triform.geometry.export import save_mesh
from triform.geometry.mesh import Mesh
from triform.geometry.surface import (
    decimate,
    is_watertight,
    main_component_share,
    voxels_to_mesh,
)
from triform.pretrained.named_models import select_model
from triform.pretrained.text_encoder import TextEncoder, load_text_encoder
from triform.systems.voxel_gan.config import GenerateConfig, SamplingConfig
from triform.systems.voxel_gan.data import embed_conditions
from triform.systems.voxel_gan.pictures import draw_mesh, save_sheet
from triform.systems.voxel_gan.trained import Trained

logger = get_logger(__name__)

MAX_PROMPT_BYTES = 10_000_000

BATCH = 8
WHOLE_SHARE = 0.95
"""Share of the volume that the main part of a mesh must hold."""


@dataclass(frozen=True)
class Request:
    """One shape to make: `seed` alone decides its noise, whatever else is made beside it."""

    prompt: str
    seed: int


class ShapeMaker:
    """Turns requests into grids and meshes with one trained model."""

    def __init__(self, settings: SamplingConfig):
        self.settings = settings
        self.trained = Trained.choose(settings.checkpoint, settings.device)
        self._encoder: TextEncoder | None = None

    def conditions(self, prompts: list[str]) -> Tensor:
        """Conditions (N, c); an empty prompt is the zero vector and needs no encoder."""
        model = self.trained.model
        cond = torch.zeros(len(prompts), model.cond_dim)
        spoken = [row for row, prompt in enumerate(prompts) if prompt.strip()]
        if spoken:
            if self._encoder is None:
                given, named = self.settings.text_encoder, model.text_encoder
                self._encoder = load_text_encoder(
                    select_model(given, named, "text encoder", source=self.trained.source)
                )
            texts = [prompts[row] for row in spoken]
            cond[spoken] = embed_conditions(self._encoder, texts, model.cond_dim)
        return cond.to(self.trained.device)

    def grids(self, requests: list[Request]) -> Iterator[np.ndarray]:
        """Occupancy probabilities (R, R, R) of each request, in order."""
        latent_dim = self.trained.model.latent_dim
        for start in range(0, len(requests), BATCH):
            some = requests[start : start + BATCH]
            cond = self.conditions([request.prompt for request in some])
            noise = torch.stack(
                [torch.randn(latent_dim, generator=generator("latent", r.seed)) for r in some]
            ).to(self.trained.device)
            z = self.trained.latents(
                cond,
                noise,
                guidance_scale=self.settings.guidance_scale,
                num_steps=self.settings.num_steps,
            )
            yield from self.trained.decode(z, cond).cpu().numpy()

    def solid(self, grid: np.ndarray) -> np.ndarray:
        """What of a grid (R, R, R) is inside, floating parts joined: the mesh as voxels."""
        return bridge_parts(grid, self.settings.level) > self.settings.level

    def mesh(self, grid: np.ndarray) -> Mesh:
        """The grid's surface: closed, in one piece, normalized."""
        return whole_mesh(grid, level=self.settings.level, sigma=self.settings.sigma)


def whole_mesh(grid: np.ndarray, *, level: float = 0.5, sigma: float = 0.5) -> Mesh:
    """A closed surface in one piece.

    Parts that float are joined along faint voxels first (thin legs decode faint); what floats
    still is dropped.

    Args:
        grid: Occupancy probabilities (R, R, R).
        level: Occupancy at which the surface lies.
        sigma: Gaussian filter before, in voxels.

    Returns:
        The mesh, in [-1/2, 1/2]^3.
    """
    joined = bridge_parts(grid, level)
    mesh = voxels_to_mesh(joined, level=level, sigma=sigma)
    if main_component_share(mesh) < 1:
        mesh = voxels_to_mesh(joined, level=level, sigma=sigma, largest_component=True)
    return mesh


def generate(settings: GenerateConfig) -> list[dict[str, Any]]:
    """Make and save shapes; one row of facts per shape.

    Raises:
        UserError: No such weights, prompt file or text encoder; nothing can be written.
        UsageError: An output format that is not known.
    """
    requests = read_requests(settings)
    targets = name_files(settings, requests)
    for folder in {file.parent for files in targets for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
    maker = ShapeMaker(settings)
    rows: list[dict[str, Any]] = []
    pictures = []
    started = time.perf_counter()
    for request, files, grid in zip(requests, targets, maker.grids(requests), strict=True):
        mesh = maker.mesh(grid)
        if settings.max_faces and len(mesh.faces) > settings.max_faces:
            mesh = decimate(mesh, settings.max_faces)
        for file in files:
            save_mesh(mesh, file)
        if settings.sheet is not None:
            pictures.append(draw_mesh(mesh))
        now = time.perf_counter()
        rows.append(
            {
                "prompt": request.prompt,
                "seed": request.seed,
                "vertices": len(mesh.vertices),
                "faces": len(mesh.faces),
                "watertight": is_watertight(mesh),
                "main_part": round(main_component_share(mesh), 3),
                "seconds": round(now - started, 2),
                "files": " ".join(str(file) for file in files),
            }
        )
        started = now
        if settings.show:
            show(mesh)
    if settings.sheet is not None:
        labels = [request.prompt or "no prompt" for request in requests]
        save_sheet(pictures, labels, settings.sheet, columns=min(6, len(pictures)))
    return rows


def read_requests(settings: GenerateConfig) -> list[Request]:
    """Every prompt with every seed."""
    prompts = [*settings.prompt, *read_lines(settings.prompt_file)]
    return [
        Request(prompt, settings.seed + number)
        for prompt in (prompts or [""])
        for number in range(settings.num_samples)
    ]


def read_lines(path: Path | None) -> list[str]:
    """Non-empty lines of a text file; none without a file.

    Raises:
        UserError: Not readable as UTF-8 text, or nothing in it.
    """
    if path is None:
        return []
    try:
        text = read_regular(path, MAX_PROMPT_BYTES).decode("utf-8-sig")
        lines = [line.strip() for line in text.splitlines()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    found = [line for line in lines if line]
    if not found:
        raise UserError(f"{path}: no line of text in it")
    return found


def name_files(settings: GenerateConfig, requests: list[Request]) -> list[list[Path]]:
    """The files of each request: `output` itself for one shape, numbered names for several."""
    output = Path(settings.output)
    suffix = output.suffix.lower()
    known = (".obj", ".glb", ".ply", ".stl")
    if suffix and suffix not in known and not output.is_dir():
        raise UsageError(f"--output {output}: {suffix} is none of {' '.join(known)}")
    is_folder = suffix not in known or output.is_dir()
    suffixes = [f".{name}" for name in settings.format] or ([".obj"] if is_folder else [suffix])
    if is_folder:
        stems = [
            output / f"{number:03d}-{slug(request.prompt)}-{request.seed}"
            for number, request in enumerate(requests, start=1)
        ]
    elif len(requests) == 1:
        stems = [output.with_suffix("")]
    else:
        stem = output.with_suffix("")
        stems = [stem.with_name(f"{stem.name}_{n:03d}") for n in range(1, len(requests) + 1)]
    return [[stem.with_name(stem.name + end) for end in dict.fromkeys(suffixes)] for stem in stems]


def slug(prompt: str) -> str:
    """A prompt as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:48] or "shape"


def show(mesh: Mesh) -> None:
    """Open a mesh in trimesh's viewer.

    Raises:
        UserError: There is no display, or no viewer is installed.
    """
    import trimesh

    try:
        trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).show()
    except Exception as error:  # the viewer raises whatever its window library raises
        raise UserError(
            f"--show: no window can be opened here ({type(error).__name__}); the file is saved"
        ) from error

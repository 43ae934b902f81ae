"""Generation of meshes from prompts: condition, latent, voxels, surface, file."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UsageError, UserError
from triform.base.files import read_regular
from triform.base.logging import NOTICE, get_logger
from triform.base.printable import shorten
from triform.base.seeding import generator
from triform.geometry.format_units import axis_of_format, mesh_for_format
from triform.geometry.io.export import SUFFIXES, save_mesh
from triform.geometry.io.viewer_page import MAX_MESHES, open_in_browser, save_viewer_page
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.bridges import bridge_components
from triform.geometry.voxels.surface import (
    decimate,
    is_watertight,
    main_component_share,
    voxels_to_mesh,
)
from triform.images.contact_sheet import save_contact_sheet
from triform.pretrained.named_models import select_model
from triform.pretrained.text_encoder import TextEncoder, load_text_encoder
from triform.systems.voxel_gan.caption_distance import (
    ENCODER,
    MAX_DISTANCE,
    TEMPLATE,
    nearest_captions,
)
from triform.systems.voxel_gan.conditioning import embed_conditions
from triform.systems.voxel_gan.config import GenerateConfig, SamplingConfig
from triform.systems.voxel_gan.sample_images import draw_mesh
from triform.systems.voxel_gan.trained import Trained

logger = get_logger(__name__)

MAX_PROMPT_BYTES = 10_000_000

BATCH_SIZE = 8
MAX_NAMED = 5
"""Unknown prompts that a warning names; the others are counted."""
MAX_RETURNED_BYTES = 2**30
"""Memory for meshes that are returned; thousands of shapes are in their files only."""
MIN_VOXELS = 8
"""Occupied voxels from which there is a shape; of none, marching cubes still gives a few faces."""
MIN_MAIN_COMPONENT_SHARE = 0.95
"""Share of the volume from which a mesh counts as being in one piece."""


@dataclass(frozen=True)
class Request:
    """A prompt and the seed of its noise; the shape is independent of its batch."""

    prompt: str
    seed: int


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
        captions = self.trained.metadata.get("captions")
        texts = list(dict.fromkeys(prompt for prompt in prompts if prompt.strip()))
        if not captions or not texts or self.encoder.name != ENCODER:
            return
        bare = [TEMPLATE.sub("", text) for text in texts]
        embeddings = embed_conditions(self.encoder, bare, self.trained.model.cond_dim)
        try:
            nearest = nearest_captions(embeddings[:, : self.encoder.dim].numpy(), captions)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.trained.source}: its captions cannot be read") from error
        unknown = [
            f"{shorten(text)!r} (nearest {shorten(caption)!r}, distance {distance:.2f})"
            for text, distance, caption in zip(texts, *nearest, strict=True)
            if distance > MAX_DISTANCE
        ]
        if unknown:
            more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
            logger.warning(
                "far from every training caption (distance above %g), so expect debris: %s%s",
                MAX_DISTANCE,
                ", ".join(unknown[:MAX_NAMED]),
                more,
            )

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
        A row per shape: its numbers, `files`, and `mesh`, as it was generated (None where the
        meshes before it fill `MAX_RETURNED_BYTES`).

    Raises:
        UserError: No such weights, prompt file or text encoder; nothing can be written.
        UsageError: An output format that is not known.
    """
    requests = read_requests(settings)
    paths = output_paths(settings, requests)
    for folder in {file.parent for files in paths for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
    shapes = ShapeGenerator(settings)
    shapes.warn_of_unknown([request.prompt for request in requests])
    rows: list[dict[str, Any]] = []
    images: list[np.ndarray] = []
    shown: list[Mesh] = []
    num_bytes = 0
    start_time = time.perf_counter()
    generated = shapes.generate(requests)
    for request, files, probabilities in zip(requests, paths, generated, strict=True):
        mesh = shapes.mesh(probabilities)
        if settings.max_faces and len(mesh.faces) > settings.max_faces:
            mesh = decimate(mesh, settings.max_faces)
        for file in files:
            mesh_in_file = mesh_for_format(
                mesh,
                file.suffix,
                size_mm=settings.size_mm,
                up=settings.up,
                on_floor=settings.on_floor,
            )
            save_mesh(mesh_in_file, file, up=axis_of_format(file.suffix, settings.up))
        if settings.sheet is not None:
            images.append(draw_mesh(mesh))
        empty = is_empty(shapes.occupancy(probabilities))
        if empty:
            logger.warning(
                "prompt %r, seed %d: the shape is empty, hardly a voxel is above --level %g",
                request.prompt,
                request.seed,
                settings.level,
            )
        now = time.perf_counter()
        rows.append(
            {
                "prompt": request.prompt,
                "seed": request.seed,
                "vertices": len(mesh.vertices),
                "faces": len(mesh.faces),
                "watertight": "empty" if empty else is_watertight(mesh),
                "main_part": round(main_component_share(mesh), 3),
                "seconds": round(now - start_time, 2),
                "files": [str(file) for file in files],
            }
        )
        num_bytes += mesh.vertices.nbytes + mesh.faces.nbytes
        rows[-1]["mesh"] = mesh if num_bytes < MAX_RETURNED_BYTES else None
        start_time = now
        if settings.show and len(shown) < MAX_MESHES:
            shown.append(mesh)
    if settings.sheet is not None:
        labels = [request.prompt or "no prompt" for request in requests]
        save_contact_sheet(images, labels, settings.sheet, columns=min(6, len(images)))
    if shown:
        show(shown, paths[0][0].with_suffix(".html"))
    return rows


def read_requests(settings: GenerateConfig) -> list[Request]:
    """One request for every prompt and seed."""
    prompts = [*settings.prompt, *read_lines(settings.prompt_file)]
    return [
        Request(prompt, settings.seed + index)
        for prompt in (prompts or [""])
        for index in range(settings.num_samples)
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
    nonempty_lines = [line for line in lines if line]
    if not nonempty_lines:
        raise UserError(f"{path}: no line of text in it")
    return nonempty_lines


def output_paths(settings: GenerateConfig, requests: list[Request]) -> list[list[Path]]:
    """Output files of each request: `output` itself for one shape, numbered names for several."""
    output = Path(settings.output)
    suffix = output.suffix.lower()
    if suffix and suffix not in SUFFIXES and not output.is_dir():
        raise UsageError(f"--output {output}: {suffix} is none of {' '.join(SUFFIXES)}")
    is_folder = suffix not in SUFFIXES or output.is_dir()
    suffixes = [f".{name}" for name in settings.format] or ([".obj"] if is_folder else [suffix])
    if is_folder:
        stems = [
            output / f"{index:03d}-{slug(request.prompt)}-{request.seed}"
            for index, request in enumerate(requests, start=1)
        ]
    elif len(requests) == 1:
        stems = [output.with_suffix("")]
    else:
        stem = output.with_suffix("")
        stems = [stem.with_name(f"{stem.name}_{n:03d}") for n in range(1, len(requests) + 1)]
    return [[stem.with_name(stem.name + end) for end in dict.fromkeys(suffixes)] for stem in stems]


def slug(prompt: str) -> str:
    """A prompt as a file name of lower-case letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:48] or "shape"


def show(meshes: list[Mesh], page: Path) -> None:
    """Write a page with the shapes and open it in a browser, or say what is in the way."""
    save_viewer_page(meshes, page)
    if open_in_browser(page):
        logger.log(NOTICE, "opened %s in the browser", page)
        return
    logger.warning(
        "--show: no browser can be opened here; open %s in any browser, also of another machine: "
        "everything is in that file",
        page,
    )

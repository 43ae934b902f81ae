"""Meshes that a verb generates: requests from prompts, files in several formats, a sheet."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triform.base.errors import UsageError, UserError
from triform.base.files import read_regular
from triform.base.logging import NOTICE, get_logger
from triform.geometry.format_units import axis_of_format, mesh_for_format
from triform.geometry.io.export import SUFFIXES, save_mesh
from triform.geometry.io.viewer_page import MAX_MESHES, open_in_browser, save_viewer_page
from triform.geometry.mesh import Mesh
from triform.geometry.render.views import render
from triform.geometry.voxels.surface import decimate, is_watertight, main_component_share
from triform.images.contact_sheet import save_contact_sheet
from triform.tasks.shape_generation.config import GenerateMeshesConfig

logger = get_logger(__name__)

MAX_PROMPT_BYTES = 10_000_000
MAX_RETURNED_BYTES = 2**30
"""Memory for meshes that are returned; thousands of shapes are in their files only."""
TILE_SIZE = 192
BACKGROUND = 255


@dataclass(frozen=True)
class Request:
    """A prompt and the seed of its noise; the shape is independent of its batch."""

    prompt: str
    seed: int


@dataclass(frozen=True, eq=False)
class GeneratedMesh:
    """A generated mesh, and whether the model gave hardly anything to extract it from."""

    mesh: Mesh
    is_empty: bool = False


def draw_mesh(mesh: Mesh | None) -> np.ndarray:
    """Render a mesh from the front right and above, (192, 192, 3) uint8; None is an empty tile."""
    if mesh is None:
        return np.full((TILE_SIZE, TILE_SIZE, 3), BACKGROUND, dtype=np.uint8)
    return render(mesh, TILE_SIZE)


def write_meshes(
    settings: GenerateMeshesConfig,
    requests: list[Request],
    paths: list[list[Path]],
    generated: Iterable[GeneratedMesh],
) -> list[dict[str, Any]]:
    """Save generated meshes as they come.

    Args:
        settings: formats, size, sheet and page.
        requests: what was asked for.
        paths: files of each request, as `output_paths` gives them; their folders are made.
        generated: a mesh for each request.

    Returns:
        A row per shape: its numbers, `files`, and `mesh`, as it was generated (None where the
        meshes before it fill `MAX_RETURNED_BYTES`).
    """
    for folder in {file.parent for files in paths for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    images: list[np.ndarray] = []
    shown: list[Mesh] = []
    num_bytes = 0
    start_time = time.perf_counter()
    for request, files, result in zip(requests, paths, generated, strict=True):
        mesh = result.mesh
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
            save_mesh(
                mesh_in_file,
                file,
                up=axis_of_format(file.suffix, settings.up),
                vertex_colors=settings.vertex_colors,
            )
        if settings.sheet is not None:
            images.append(draw_mesh(mesh))
        now = time.perf_counter()
        rows.append(
            {
                "prompt": request.prompt,
                "seed": request.seed,
                "vertices": len(mesh.vertices),
                "faces": len(mesh.faces),
                "watertight": "empty" if result.is_empty else is_watertight(mesh),
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


def read_requests(settings: GenerateMeshesConfig) -> list[Request]:
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


def output_paths(settings: GenerateMeshesConfig, requests: list[Request]) -> list[list[Path]]:
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

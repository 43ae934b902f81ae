"""Reconstruction of meshes through the latent, and shapes between two prompts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from triform.base.errors import UserError
from triform.datasets.distances import block_colors
from triform.geometry.format_units import axis_of_format, mesh_for_format
from triform.geometry.io.export import save_mesh
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.signed_distance import signed_distance
from triform.geometry.voxels.surface import is_watertight
from triform.images.contact_sheet import save_contact_sheet
from triform.systems.shape_flow.candidates import Field
from triform.systems.shape_flow.colors import color_input
from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.config import InterpolateConfig, ReconstructConfig
from triform.systems.shape_flow.generation import ShapeGenerator
from triform.tasks.shape_generation.config import FaceColorsConfig
from triform.tasks.shape_generation.mesh_output import draw_mesh, slug
from triform.tasks.shape_generation.reconstruction import score_reconstruction


def reconstruct_field(shapes: ShapeGenerator, mesh: Mesh) -> Field:
    """The decoded field of a mesh's latent, in the coordinates of the normalized mesh."""
    field = signed_distance(mesh, shapes.trained.config.data.resolution, colors=True)
    distance = torch.from_numpy(field.distance)[None, None]
    colors = color_input(block_colors(field)[None])
    device = shapes.trained.device
    return shapes.decode(shapes.trained.encode(distance.to(device), colors.to(device)))[0]


def reconstruct(settings: ReconstructConfig) -> list[dict[str, Any]]:
    """Reconstruct meshes and save the results, with a sheet of both.

    Returns:
        A row per mesh with its scores against the true surface.

    Raises:
        UserError: No such weights or file; nothing can be written.
    """
    shapes = ShapeGenerator(settings)
    settings.output.mkdir(parents=True, exist_ok=True)
    rows, images, labels = [], [], []
    for name in settings.meshes:
        path = Path(name)
        if not path.is_file():
            raise UserError(f"--meshes {name}: there is no such file")
        original = load_mesh(path)
        mesh = shapes.mesh(reconstruct_field(shapes, original))
        file = settings.output / f"{path.stem}.{settings.format}"
        save_for_format(mesh, file, settings)
        scores = score_reconstruction(mesh, original)
        rows.append(
            {
                "mesh": name,
                "file": str(file),
                "watertight": is_watertight(mesh),
                **{
                    key: None if math.isnan(value) else round(value, 4)
                    for key, value in scores.items()
                },
            }
        )
        images += [draw_mesh(original), draw_mesh(mesh)]
        labels += [path.stem, "reconstruction"]
    save_contact_sheet(images, labels, settings.output / "sheet.png", columns=6)
    return rows


def interpolate(settings: InterpolateConfig) -> list[dict[str, Any]]:
    """Generate shapes between two prompts: words and noise stay, vectors move from one to another.

    Attributes are those of the nearer prompt: there is nothing between three and four legs.

    Raises:
        UserError: No such weights; nothing can be written.
    """
    shapes = ShapeGenerator(settings)
    settings.output.mkdir(parents=True, exist_ok=True)
    ends = shapes.condition(settings.prompt[:2], [settings.seed] * 2)
    rows, images, labels = [], [], []
    for step in range(settings.steps):
        share = step / (settings.steps - 1)
        near = int(share > 0.5)
        condition = Condition(
            ends.attributes[near : near + 1],
            ends.words[near : near + 1],
            ends.word_mask[near : near + 1],
            torch.lerp(ends.sentence[:1], ends.sentence[1:], share),
        )
        field = shapes.decode(shapes.latents(condition, [settings.seed]))[0]
        mesh = shapes.mesh(field)
        file = settings.output / f"{step:03d}-{slug(settings.prompt[near])}.{settings.format}"
        save_for_format(mesh, file, settings)
        rows.append({"share": round(share, 3), "file": str(file), "faces": len(mesh.faces)})
        images.append(draw_mesh(mesh))
        labels.append(f"{share:.2f}")
    save_contact_sheet(images, labels, settings.output / "sheet.png", columns=settings.steps)
    return rows


def save_for_format(mesh: Mesh, file: Path, settings: FaceColorsConfig) -> None:
    """Write a mesh with the size, axes and floor of the settings."""
    ready = mesh_for_format(
        mesh,
        file.suffix,
        size_mm=settings.size_mm,
        up=settings.up,
        on_floor=settings.on_floor,
    )
    save_mesh(
        ready,
        file,
        up=axis_of_format(file.suffix, settings.up),
        vertex_colors=settings.vertex_colors,
    )

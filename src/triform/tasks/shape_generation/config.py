"""Settings of every verb that writes meshes. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from triform.base.settings.config import Settings
from triform.base.settings.path_role import Input, Output
from triform.engine.config import NonEmptyTexts, TrainedVerbConfig


class MeshOutputConfig(Settings):
    """Size, axes and floor of the meshes that a verb writes."""

    size_mm: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Longest side in millimetres (GLB is in metres); 0 = 100 in STL and 3MF, "
        "one unit in other formats.",
    )
    up: Literal["auto", "y", "z"] = Field(
        "auto",
        description="Axis that points up; auto: z in STL and 3MF, as printers have it, else y.",
    )
    on_floor: bool = Field(
        False, description="Stand on height 0, with the ends of all feet in one plane."
    )


class FaceColorsConfig(MeshOutputConfig):
    """How the colours of faces are written, where a verb gives faces colours."""

    vertex_colors: bool = Field(
        False,
        description="Write colours of vertices in the place of those of faces (OBJ, GLB, PLY), for "
        "programs that show no materials.",
    )


class GenerateMeshesConfig(TrainedVerbConfig, FaceColorsConfig):
    """Prompts, and the files of the meshes that are generated from them."""

    prompt: NonEmptyTexts = Field((), description="Sentences; none means the zero condition.")
    prompt_file: Annotated[Path | None, Input()] = Field(
        None, description="Text file with a prompt per line."
    )
    num_samples: int = Field(1, ge=1, le=10_000, description="Shapes per prompt.")
    output: Annotated[str, Output(".obj", or_folder=True)] = Field(
        "model.obj", description="File, or folder for several shapes; the suffix is the format."
    )
    format: tuple[Literal["obj", "glb", "ply", "stl", "3mf"], ...] = Field(
        (), description="Formats to save; none means the suffix of output."
    )
    max_faces: int = Field(0, ge=0, description="Decimate to so many faces; 0 = leave as it is.")
    sheet: Annotated[Path | None, Output(".png")] = Field(
        None, description="Also save an image of all shapes here (PNG)."
    )
    show: bool = Field(
        False, description="Show the shapes in a browser, by a page beside the first file."
    )


PromptSet = Literal["groups", "structure", "colors", "materials", "words"]


class PromptSetsConfig(Settings):
    """Prompt sets that `evaluate` measures."""

    prompt_sets: tuple[PromptSet, ...] = Field(
        (), description="Measure these prompts as well, in English and Russian."
    )
    max_prompts: int = Field(
        0, ge=0, description="At most so many prompts of each of prompt_sets; 0 = all."
    )
    shape_classifier: Annotated[str | None, Input()] = Field(
        None,
        description="Classifier for prompt_sets, of `train_classifier --held_out`; where not "
        "given, the weights that come with the project.",
    )

"""Settings of `triform shapes prepare | check | show`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from triform.base.settings.config import Settings
from triform.geometry.io.up_axis import UP_DESCRIPTION, Up

VoxelSize = Annotated[int, Field(ge=0, le=512)]


class PrepareSettings(Settings):
    """Turn meshes into a shape library: images, cameras, point clouds, voxels, captions.

    The command can be killed at any time and resumes when it is run again. Files that were made
    from the same mesh with the same settings are kept.
    """

    positional = ("meshes", "library")

    meshes: tuple[str, ...] = Field(
        min_length=1,
        description="Folders of meshes, mesh files, .sh3f libraries, or names of data sets.",
    )
    library: str = Field(
        min_length=1, description="The library: a folder, or a URL that fsspec supports."
    )
    up: Up = Field("auto", description=UP_DESCRIPTION)
    views: int = Field(
        60,
        ge=0,
        le=1000,
        description="Images of each object; 0: none. 60 as in Shap-E; 24 take half the "
        "time and space, and are what retrieval was trained and measured with.",
    )
    image_size: int = Field(224, ge=8, le=4096, description="Pixels along each side of an image.")
    cameras: Literal["even", "upper", "random", "turntable"] = Field(
        "even",
        description="Camera positions: even on the sphere, even at usual elevations (-10 to 65 "
        "degrees), random, or on a circle.",
    )
    fov: float = Field(
        0.0, ge=0, lt=3, description="Field of view in radians; 0: the object fills the image."
    )
    shading: Literal["smooth", "flat"] = Field(
        "smooth", description="Smooth or faceted shading of curved surfaces."
    )
    points: int = Field(
        16384,
        ge=0,
        le=4_194_304,
        description="Points of each object, with colours and normals; 0: none.",
    )
    spacing: Literal["farthest", "stratified", "poisson"] = Field(
        "farthest", description="Sampling of the points on the surface."
    )
    voxel_size: tuple[VoxelSize, ...] = Field(
        (64,), description="Voxels along each side; one file per value; 0: none."
    )
    captions: tuple[str, ...] = Field(
        (), description="CSV files with more captions: object_id (or file), caption, language."
    )
    split: Literal["copies", "ids", "none"] = Field(
        "copies",
        description="80/10/10 by the object's id, with near copies in the same split (copies) or "
        "not (ids). A split of the data set itself is kept.",
    )
    max_samples: int = Field(0, ge=0, description="Use only the first objects; 0: all.")
    seed: int = Field(42, ge=0, le=2**63 - 1, description="Seed of cameras and points.")
    workers: int = Field(0, ge=0, le=4096, description="Worker processes; 0: one for each core.")
    cluster: str = Field("", description="Address of a Ray cluster (auto: the one that runs here).")
    timeout: float = Field(300.0, gt=0, description="Seconds per object; longer ones fail.")
    max_memory: float = Field(
        0.0, ge=0, description="Memory per object in GiB; 0: its share of the machine."
    )
    retry_failed: bool = Field(
        False, description="Retry objects that failed before and have not changed."
    )
    renderer: Literal["builtin"] = Field("builtin", description="Renderer of the images.")
    download_path: str = Field("datasets", description="Download folder.")


class CheckSettings(Settings):
    """Check a shape library for missing, damaged and malformed files.

    The library needs the documented layout and may come from another program. The exit status is 1
    if there are errors; warnings do not count.
    """

    positional = ("library",)

    library: str = Field(
        min_length=1, description="The library: a folder, or a URL that fsspec supports."
    )
    fix: bool = Field(
        False,
        description="First move the depths, colours and normals of a library of version 0 out of "
        "images and points, as the Shap-E document has it.",
    )
    quick: bool = Field(False, description="Check names and headers only; decode nothing.")
    max_lines: int = Field(5, ge=0, description="Most lines for problems of one kind; 0: all.")
    workers: int = Field(0, ge=0, le=4096, description="Worker processes; 0: one for each core.")


class ShowSettings(Settings):
    """Draw a contact sheet of a shape library."""

    positional = ("library",)

    library: str = Field(
        min_length=1, description="The library: a folder, or a URL that fsspec supports."
    )
    objects: tuple[str, ...] = Field(
        (), description="Object ids, with the wildcards * and ?; by default a sample of all."
    )
    output: str = Field("sheet.png", min_length=1, description="The image: PNG, JPEG or WebP.")
    views: int = Field(1, ge=0, le=100, description="Images per object, evenly from its views.")
    points: bool = Field(False, description="Show an image of the points as well.")
    rows: int = Field(6, ge=1, le=1000, description="Rows per sheet.")
    columns: int = Field(8, ge=1, le=100, description="Objects per row.")
    size: int = Field(128, ge=16, le=1024, description="Pixels along each side of an image.")
    split: Literal["", "train", "val", "test"] = Field("", description="Objects of one split.")
    all_objects: bool = Field(
        False, description="Show all objects, on several sheets if needed: sheet-001.png, ..."
    )

"""Settings of `triform shapes prepare | check | show`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from triform.base.config import Settings

VoxelSize = Annotated[int, Field(ge=0, le=512)]


class PrepareSettings(Settings):
    """Turn meshes into a shape library: pictures, cameras, point clouds, voxels, captions.

    triform shapes prepare MESHES LIBRARY --flags

    Killed at any moment, the same command goes on where it was. What is there and was made from
    the same mesh with the same settings is kept.
    """

    meshes: tuple[str, ...] = Field(
        min_length=1,
        description="Folders of meshes, mesh files, .sh3f libraries, or names of data sets.",
    )
    library: str = Field(
        min_length=1, description="The library: a folder, or an address that fsspec knows."
    )
    views: int = Field(
        24, ge=0, le=1000, description="Pictures of each object (Shap-E: 60); 0: none."
    )
    image_size: int = Field(224, ge=8, le=4096, description="Pixels along each side of a picture.")
    cameras: Literal["even", "upper", "random", "turntable"] = Field(
        "even",
        description="Where the cameras stand: evenly all around, evenly where people look from "
        "(-10 to 65 degrees above the horizon), at random, or on a circle.",
    )
    fov: float = Field(
        0.0, ge=0, lt=3, description="Angle of view in radians; 0: the object fills the picture."
    )
    shading: Literal["smooth", "flat"] = Field(
        "smooth", description="Whether curved surfaces look round or faceted."
    )
    points: int = Field(
        16384,
        ge=0,
        le=4_194_304,
        description="Points of each cloud, with colours and normals; 0: none.",
    )
    spacing: Literal["farthest", "stratified", "poisson"] = Field(
        "farthest", description="How points are spread over the surface."
    )
    voxel_size: tuple[VoxelSize, ...] = Field(
        (64,), description="Voxels along each side of the grid; several make several; 0: none."
    )
    captions: tuple[str, ...] = Field(
        (), description="CSV files with more captions: object_id (or file), caption, language."
    )
    split: Literal["copies", "ids", "none"] = Field(
        "copies",
        description="80/10/10 by the object's id, with near copies on one side (copies) or not "
        "(ids). A split that the data set brings along is kept.",
    )
    max_samples: int = Field(0, ge=0, description="Only the first so many objects; 0: all.")
    seed: int = Field(42, ge=0, le=2**63 - 1, description="Seed of cameras and points.")
    workers: int = Field(0, ge=0, le=4096, description="Worker processes; 0: one for each core.")
    cluster: str = Field("", description="Address of a Ray cluster (auto: the one that runs here).")
    timeout: float = Field(
        300.0, gt=0, description="Seconds after which an object is given up and noted as failed."
    )
    max_memory: float = Field(
        0.0, ge=0, description="GiB that one object may need; 0: its share of the machine."
    )
    retry_failed: bool = Field(
        False, description="Try objects again that were refused before and have not changed."
    )
    renderer: Literal["builtin"] = Field("builtin", description="What draws the pictures.")
    download_path: str = Field("datasets", description="Where data sets with names are kept.")


class CheckSettings(Settings):
    """Check a shape library: what is missing, damaged or of another form, and where.

    triform shapes check LIBRARY --flags

    For libraries in the documented layout, whoever made them. The exit status is 1 where there are
    errors; warnings alone do no harm.
    """

    library: str = Field(
        min_length=1, description="The library: a folder, or an address that fsspec knows."
    )
    quick: bool = Field(
        False, description="Names and the first bytes of files only; decode nothing."
    )
    most: int = Field(5, ge=0, description="Lines for problems of one kind; 0: all.")
    workers: int = Field(0, ge=0, le=4096, description="Worker processes; 0: one for each core.")


class ShowSettings(Settings):
    """Draw a contact sheet of a shape library.

    triform shapes show LIBRARY --output sheet.png --flags
    """

    library: str = Field(
        min_length=1, description="The library: a folder, or an address that fsspec knows."
    )
    objects: tuple[str, ...] = Field(
        (), description="Which objects, with * and ? for any letters; by default a sample of all."
    )
    output: str = Field("sheet.png", min_length=1, description="The picture: PNG, JPEG or WebP.")
    views: int = Field(
        1, ge=0, le=100, description="Pictures of each object, spread over its views."
    )
    points: bool = Field(False, description="A picture of the points as well.")
    rows: int = Field(6, ge=1, le=1000, description="Rows of a sheet.")
    columns: int = Field(8, ge=1, le=100, description="Objects in a row.")
    size: int = Field(128, ge=16, le=1024, description="Pixels along each side of a picture.")
    split: Literal["", "train", "val", "test"] = Field("", description="Objects of one split.")
    every: bool = Field(
        False, description="All objects, on as many sheets as it takes: sheet-001.png, ..."
    )

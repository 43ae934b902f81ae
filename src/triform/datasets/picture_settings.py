"""Settings of everything that learns to make pictures. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from triform.base.config import Group, Settings


class PictureDataConfig(Group):
    """Which pictures, and how many at once."""

    dataset: str = Field(
        "fashion-mnist",
        min_length=1,
        description="fashion-mnist, mnist, digits, emoji, glyphs, or any folder of pictures.",
    )
    download_path: str = Field("datasets", description="Folder that data sets are brought to.")
    image_size: int = Field(
        0, ge=0, le=512, description="Rows and columns; 0 keeps those of the pictures."
    )
    channels: Literal[0, 1, 3] = Field(
        0, description="1 = grey, 3 = colour, 0 = as the pictures are."
    )
    classes: tuple[str, ...] = Field(
        (), description="Only pictures of these classes; empty = of all."
    )
    batch_size: int = Field(128, ge=1, description="Pictures per step, in each process.")
    val_share: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Share of the training pictures kept for validation, where the set has no "
        "validation pictures of its own.",
    )
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = none apart.")


class PictureVerbConfig(Settings):
    """What every verb that uses trained weights can be told."""

    checkpoint: str | None = Field(
        None,
        description="Trained weights (.pth, .safetensors or a run directory); where not given, "
        "those that ship, or else those of the newest run here.",
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|gpu|cuda(:\d+)?)$", description="auto, cpu, gpu, cuda, cuda:N."
    )
    seed: int = Field(42, ge=0, lt=2**63, description="Seed: same seed, same pictures.")
    batch_size: int = Field(100, ge=1, description="Pictures at once.")


class GeneratePicturesConfig(PictureVerbConfig):
    """Make new pictures."""

    num_samples: int = Field(64, ge=1, le=1_000_000, description="How many.")
    output: Path = Field(
        Path("generated.png"),
        description="A .png gets all of them in one sheet; a folder gets a PNG each.",
    )


class EvaluatePicturesConfig(PictureVerbConfig):
    """Measure made pictures against real ones that were not learned from."""

    dataset: str = Field("", description="Real pictures; empty = those of the training.")
    download_path: str = Field("datasets", description="Folder of the data sets.")
    num_samples: int = Field(10_000, ge=200, description="Pictures to make, and real ones.")
    output: Path | None = Field(
        None, description="PNG of made pictures above the training pictures nearest to them."
    )
    inception_weights: Path | None = Field(
        None,
        description="torch-fidelity's file weights-inception-2015-12-05-6726825d.pth: FID and KID "
        "as published, besides the project's own numbers.",
    )

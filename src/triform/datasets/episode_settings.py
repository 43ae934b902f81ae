"""Settings of everything that learns from episodes. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from triform.base.config import Group, Settings

Polarity = Literal["keep", "dark"]


class EpisodeDataConfig(Group):
    """Which pictures, and what a task is made of."""

    dataset: str = Field(
        "glyphs",
        min_length=1,
        description="glyphs, emoji, digits, mnist, fashion-mnist, or a folder of class folders "
        "(Omniglot's images_background and images_evaluation are kept apart).",
    )
    download_path: str = Field("datasets", description="Folder that data sets are brought to.")
    image_size: int = Field(28, ge=8, le=256, description="Rows and columns of the pictures.")
    channels: Literal[1, 3] = Field(1, description="1 = grey, 3 = colour.")
    n_way: int = Field(5, ge=2, description="Classes in a task.")
    n_shot: int = Field(1, ge=1, description="Pictures of each class to learn from.")
    n_query: int = Field(15, ge=1, description="Pictures of each class to be tested on.")
    train_way: int = Field(0, ge=0, description="Classes in a training task; 0 = n_way.")
    train_query: int = Field(0, ge=0, description="Test pictures in a training task; 0 = n_query.")
    batch_size: int = Field(4, ge=1, description="Tasks per step, in each process.")
    episodes_per_epoch: int = Field(400, ge=1, description="Training tasks between evaluations.")
    evaluation_episodes: int = Field(200, ge=1, description="Tasks of an evaluation in training.")
    vary: bool = Field(True, description="Turn, shear and scale training pictures a little.")
    rotate: bool = Field(
        False, description="Count training classes turned by 90, 180, 270 degrees as classes."
    )
    unseen_maker: str = Field(
        "", description="Whose drawings are for queries of the test only (emoji: twemoji)."
    )
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = none apart.")


class EpisodeVerbConfig(Settings):
    """What every verb that uses trained weights can be told."""

    checkpoint: str | None = Field(
        None,
        description="Trained weights (.pth, .safetensors or a run directory); where not given, "
        "those that ship, or else those of the newest run here.",
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|gpu|cuda(:\d+)?)$", description="auto, cpu, gpu, cuda, cuda:N."
    )
    seed: int = Field(42, ge=0, lt=2**63, description="Seed: same seed, same tasks.")


class EvaluateEpisodesConfig(EpisodeVerbConfig):
    """Measure accuracy on tasks of classes never seen, with a 95 % interval."""

    dataset: str = Field("", description="Pictures to test on; empty = those of the training.")
    download_path: str = Field("datasets", description="Folder of the data sets.")
    split: Literal["train", "val", "test"] = Field("test", description="Classes to test on.")
    episodes: int = Field(1000, ge=2, description="Tasks.")
    n_way: int = Field(5, ge=2, description="Classes in a task.")
    n_shot: int = Field(1, ge=1, description="Pictures of each class to learn from.")
    n_query: int = Field(5, ge=1, description="Pictures of each class to be tested on.")
    vary: bool = Field(True, description="Turn, shear and scale the pictures a little.")
    query_maker: str = Field(
        "", description="Test on this maker's drawings, learn from the others' (emoji: twemoji)."
    )
    transductive: bool = Field(
        False,
        description="Let statistics over all test pictures of a task help; such numbers are "
        "labelled and cannot be compared with others.",
    )


class ClassifyConfig(EpisodeVerbConfig):
    """Classify new pictures after a few examples: one folder of examples per class."""

    examples: Path = Field(description="Folder with one folder of example pictures per class.")
    pictures: tuple[Path, ...] = Field(
        min_length=1, description="Pictures to classify: files or folders."
    )
    polarity: Polarity = Field(
        "dark",
        description="dark turns pictures on bright ground to bright strokes on dark ground, as "
        "the glyphs are; keep leaves them (photographs, drawings).",
    )
    top: int = Field(3, ge=1, description="Classes named for each picture.")

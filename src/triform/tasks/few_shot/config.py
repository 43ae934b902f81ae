"""Settings of few-shot learners and of their verbs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from triform.base.settings.config import Group
from triform.base.settings.path_role import Input, Storage
from triform.engine.config import (
    CosineSchedulerConfig,
    NoEarlyStoppingConfig,
    SystemConfig,
    TrainedVerbConfig,
)

Polarity = Literal["keep", "dark"]


class EpisodeDataConfig(Group):
    """Images, and the size of an episode."""

    dataset: Annotated[str, Input()] = Field(
        "glyphs",
        min_length=1,
        description="glyphs, emoji, digits, mnist, fashion-mnist, or a folder of class folders "
        "(Omniglot's images_background and images_evaluation are kept apart).",
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    image_size: int = Field(28, ge=8, le=256, description="Rows and columns of the images.")
    channels: Literal[1, 3] = Field(1, description="1 = grey, 3 = colour.")
    n_way: int = Field(5, ge=2, description="Classes per episode.")
    n_shot: int = Field(1, ge=1, description="Support images per class.")
    n_query: int = Field(15, ge=1, description="Query images per class.")
    train_way: int = Field(0, ge=0, description="Classes per training episode; 0 = n_way.")
    train_query: int = Field(
        0, ge=0, description="Query images per class in training; 0 = n_query."
    )
    batch_size: int = Field(4, ge=1, description="Episodes per step, in each process.")
    episodes_per_epoch: int = Field(400, ge=1, description="Training episodes between evaluations.")
    evaluation_episodes: int = Field(
        200, ge=1, description="Episodes of an evaluation in training."
    )
    augment: bool = Field(True, description="Rotate, shear and scale images a little.")
    rotate: bool = Field(
        False, description="Use classes rotated by 90, 180, 270 degrees as further classes."
    )
    unseen_maker: str = Field(
        "", description="Maker whose images are queries of the test only (emoji: twemoji)."
    )
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = none.")


class ConvEmbeddingConfig(Group):
    """Shape of the convolutional embedding."""

    hidden_channels: int = Field(64, ge=8, multiple_of=8, description="Width of the blocks.")
    num_blocks: int = Field(4, ge=1, le=8, description="Blocks; each halves the image.")


class FewShotConfig(SystemConfig):
    """Settings of a few-shot learner."""

    data: EpisodeDataConfig = EpisodeDataConfig()
    model: ConvEmbeddingConfig = ConvEmbeddingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()

    @model_validator(mode="after")
    def _check_image_size(self) -> Self:
        """An image cannot be halved below one pixel."""
        if self.data.image_size < 2**self.model.num_blocks:
            raise ValueError(
                f"num_blocks {self.model.num_blocks} halve the image more often than "
                f"image_size {self.data.image_size} allows"
            )
        return self


class EvaluateEpisodesConfig(TrainedVerbConfig):
    """Measure accuracy on classes not trained on, with a 95 % interval."""

    dataset: Annotated[str, Input()] = Field(
        "", description="Images to test on; empty = those of the training."
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    split: Literal["train", "val", "test"] = Field("test", description="Classes to test on.")
    episodes: int = Field(1000, ge=2, description="Number of episodes.")
    n_way: int = Field(5, ge=2, description="Classes per episode.")
    n_shot: int = Field(1, ge=1, description="Support images per class.")
    n_query: int = Field(5, ge=1, description="Query images per class.")
    augment: bool = Field(True, description="Rotate, shear and scale images a little.")
    query_maker: str = Field(
        "", description="Queries by this maker, supports by the others (emoji: twemoji)."
    )
    transductive: bool = Field(
        False,
        description="Use statistics over all queries of an episode; such numbers are labelled "
        "and cannot be compared with others.",
    )


class ClassifyConfig(TrainedVerbConfig):
    """Classify new images by a few examples: one folder of examples per class."""

    examples: Annotated[Path, Input()] = Field(
        description="Folder with one folder of example images per class."
    )
    images: Annotated[tuple[Path, ...], Input()] = Field(
        min_length=1, description="Images to classify: files, folders or patterns."
    )
    polarity: Polarity = Field(
        "dark",
        description="dark inverts images on a bright ground to bright strokes on dark, as the "
        "glyphs are; keep leaves them (photographs, drawings).",
    )
    top: int = Field(3, ge=1, description="Classes printed for each image.")

"""Settings of CycleGAN and of its verbs. Imports no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input, Output, Storage
from triform.engine.config import (
    ConstantSchedulerConfig,
    NoEarlyStoppingConfig,
    Texts,
    TrainingConfig,
)
from triform.tasks.image_generation.config import (
    ImageDataConfig,
    ImageSystemConfig,
    ImageVerbConfig,
)

Transform = Literal["tinted", "edges"]
Direction = Literal["a2b", "b2a"]


class DataConfig(ImageDataConfig):
    """Images of two domains: two folders, or one data set of which half is transformed."""

    domain_a: Annotated[str, Input()] = Field(
        "", description="Folder of images of domain A; with --domain_b."
    )
    domain_b: Annotated[str, Input()] = Field(
        "", description="Folder of images of domain B; with --domain_a."
    )
    dataset: Annotated[str, Input()] = Field(
        "fashion-mnist",
        min_length=1,
        description="Without two folders: half of these images are A, the other half is "
        "transformed to B. fashion-mnist, mnist, digits, emoji, glyphs, or any folder.",
    )
    transform: Transform = Field(
        "tinted", description="Transform from A to B of a data set: inverted and tinted, or edges."
    )
    mirror: bool = Field(False, description="Mirror half of the images.")
    batch_size: int = Field(8, ge=1, description="Images of each domain per step and process.")

    @model_validator(mode="after")
    def _check(self) -> "DataConfig":
        if bool(self.domain_a) != bool(self.domain_b):
            missing = "domain_b" if self.domain_a else "domain_a"
            raise ValueError(f"{missing}: missing; two folders are needed, or none and a dataset")
        return self


class ModelConfig(Group):
    """Two generators and two discriminators."""

    width: int = Field(24, ge=4, le=512, description="Channels at the size of the image.")
    levels: int = Field(
        1, ge=1, le=4, description="Halvings before the residual blocks; channels double."
    )
    blocks: int = Field(3, ge=1, le=32, description="Residual blocks.")
    discriminator_width: int = Field(
        24, ge=4, le=512, description="Channels after the discriminator's first halving."
    )
    discriminator_levels: int = Field(
        2, ge=1, le=5, description="Its halvings: patches of 16, 34, 70 pixels for 1, 2, 3."
    )


class CycleTrainingConfig(TrainingConfig):
    """Length, learning rate and losses of the training."""

    epochs: int = 20
    lr: float = 2e-4
    beta1: float = Field(0.5, ge=0, lt=1, description="First moment of Adam.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Second moment of Adam.")
    lambda_cycle: float = Field(10.0, ge=0, description="Weight of the cycle-consistency loss.")
    lambda_identity: float = Field(
        0.5, ge=0, description="Weight of the identity loss, times lambda_cycle."
    )
    pool_size: int = Field(
        50, ge=0, description="Earlier translations stored for each discriminator."
    )
    decay_start: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the run after which lr decays linearly to 0; 1 = never.",
    )
    use_amp: bool = False


class MetricsConfig(Group):
    """Metrics of each evaluation."""

    num_images: int = Field(500, ge=1, description="Validation images of each domain.")


class Config(ImageSystemConfig):
    """Train a CycleGAN."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: CycleTrainingConfig = CycleTrainingConfig()
    scheduler: ConstantSchedulerConfig = ConstantSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    metrics: MetricsConfig = MetricsConfig()


class TranslateConfig(ImageVerbConfig):
    """Translate images of any size."""

    images: Annotated[Texts, Input()] = Field(
        min_length=1, description="Images: files, folders, or patterns such as photos/*.jpg."
    )
    direction: Direction = Field("a2b", description="From domain A to domain B, or back.")
    output: Annotated[Path, Output()] = Field(
        Path("translated"),
        description="Folder for a PNG of each, and sheet.png: originals above translations.",
    )
    largest_side: int = Field(
        1024, ge=8, le=8192, description="Larger images are resized to this longest side."
    )


class EvaluateConfig(ImageVerbConfig):
    """Measure translations of test images."""

    domain_a: Annotated[str, Input()] = Field(
        "", description="Another folder of A; empty = data of the training."
    )
    domain_b: Annotated[str, Input()] = Field("", description="Another folder of B.")
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    num_images: int = Field(10_000, ge=4, description="Test images of each domain, at most.")
    output: Annotated[Path | None, Output(".png")] = Field(
        None, description="PNG: rows of A, its translation and reconstruction; the same of B."
    )

    @model_validator(mode="after")
    def _check(self) -> "EvaluateConfig":
        if bool(self.domain_a) != bool(self.domain_b):
            missing = "domain_b" if self.domain_a else "domain_a"
            raise ValueError(f"{missing}: missing; two folders are needed, or none")
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "translate": TranslateConfig,
    "evaluate": EvaluateConfig,
}

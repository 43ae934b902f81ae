"""Every knob of the CycleGAN, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from triform.base.config import Group, Settings
from triform.datasets.picture_settings import PictureDataConfig, PictureVerbConfig
from triform.engine.config import (
    EarlyStoppingConfig,
    LoggingConfig,
    SchedulerConfig,
    SystemConfig,
    TrainingConfig,
)

Transform = Literal["tinted", "edges"]
Direction = Literal["a2b", "b2a"]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class DataConfig(PictureDataConfig):
    """Two kinds of pictures: two folders, or one data set and what is done to half of it."""

    domain_a: str = Field("", description="Folder of pictures of kind A; with --domain_b.")
    domain_b: str = Field("", description="Folder of pictures of kind B; with --domain_a.")
    dataset: str = Field(
        "fashion-mnist",
        min_length=1,
        description="Without two folders: half of these pictures are A, the other half is changed "
        "and is B. fashion-mnist, mnist, digits, emoji, glyphs, or any folder.",
    )
    transform: Transform = Field(
        "tinted", description="What makes B of a data set: inverted and tinted, or edges alone."
    )
    mirror: bool = Field(False, description="Show half of the pictures mirrored.")
    batch_size: int = Field(8, ge=1, description="Pictures of each kind per step and process.")

    @model_validator(mode="after")
    def _both(self) -> DataConfig:
        if bool(self.domain_a) != bool(self.domain_b):
            missing = "domain_b" if self.domain_a else "domain_a"
            raise ValueError(f"{missing}: missing; two folders are needed, or none and a dataset")
        return self


class ModelConfig(Group):
    """Two generators and two discriminators."""

    width: int = Field(24, ge=4, le=512, description="Channels at the size of the picture.")
    levels: int = Field(
        1, ge=1, le=4, description="Halvings before the residual blocks; channels double."
    )
    blocks: int = Field(3, ge=1, le=32, description="Residual blocks.")
    discriminator_width: int = Field(
        24, ge=4, le=512, description="Channels after the discriminator's first halving."
    )
    discriminator_levels: int = Field(
        2, ge=1, le=5, description="Its halvings: 1 sees 16 pixels, 2 sees 34, 3 sees 70."
    )


class CycleTrainingConfig(TrainingConfig):
    """How long and how fast to train, and what to keep."""

    epochs: int = 20
    lr: float = 2e-4
    beta1: float = Field(0.5, ge=0, lt=1, description="First moment of Adam.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Second moment of Adam.")
    lambda_cycle: float = Field(10.0, ge=0, description="Weight of coming back to the original.")
    lambda_identity: float = Field(
        0.5, ge=0, description="Weight of leaving alone what is of the wanted kind already, "
        "times lambda_cycle.",
    )  # fmt: skip
    pool_size: int = Field(
        50, ge=0, description="Earlier translations of each kind kept for the discriminator."
    )
    decay_start: float = Field(
        0.5, ge=0, le=1, description="Share of the run after which lr falls evenly to 0; 1 = never."
    )
    use_amp: bool = False


class ConstantRateConfig(SchedulerConfig):
    """How the learning rate changes over the run, besides decay_start."""

    type: Literal["none", "ReduceLROnPlateau", "StepLR", "CosineAnnealingLR"] = "none"


class NoEarlyStoppingConfig(EarlyStoppingConfig):
    """When to stop before the last epoch."""

    enabled: bool = False


class MetricsConfig(Group):
    """What is measured at each evaluation."""

    num_pictures: int = Field(500, ge=1, description="Validation pictures of each kind.")


class Config(SystemConfig):
    """Train a CycleGAN."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: CycleTrainingConfig = CycleTrainingConfig()
    scheduler: ConstantRateConfig = ConstantRateConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    logging: LoggingConfig = LoggingConfig()
    metrics: MetricsConfig = MetricsConfig()


class TranslateConfig(PictureVerbConfig):
    """Translate pictures of any size."""

    pictures: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(
        min_length=1, description="Pictures: files, folders, or patterns such as photos/*.jpg."
    )
    direction: Direction = Field("a2b", description="From kind A to kind B, or back.")
    output: Path = Field(
        Path("translated"),
        description="Folder for a PNG of each, and sheet.png: originals above translations.",
    )
    largest_side: int = Field(
        1024, ge=8, le=8192, description="Pictures with a longer side are shrunk to it."
    )


class EvaluateConfig(PictureVerbConfig):
    """Measure translations of test pictures."""

    domain_a: str = Field("", description="Another folder of A; empty = data of the training.")
    domain_b: str = Field("", description="Another folder of B.")
    download_path: str = Field("datasets", description="Folder of the data sets.")
    num_pictures: int = Field(10_000, ge=4, description="Test pictures of each kind, at most.")
    output: Path | None = Field(
        None, description="PNG: A, its translation, back again; B, its translation, back again."
    )

    @model_validator(mode="after")
    def _both(self) -> EvaluateConfig:
        if bool(self.domain_a) != bool(self.domain_b):
            missing = "domain_b" if self.domain_a else "domain_a"
            raise ValueError(f"{missing}: missing; two folders are needed, or none")
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "translate": TranslateConfig,
    "evaluate": EvaluateConfig,
}

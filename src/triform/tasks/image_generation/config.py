"""Settings that image generators share. Imports no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from triform.base.settings.config import Group
from triform.base.settings.path_role import Input, Output, Storage
from triform.engine.config import (
    ConstantSchedulerConfig,
    NoEarlyStoppingConfig,
    SystemConfig,
    TrainedVerbConfig,
    TrainingConfig,
)


class ImageDataConfig(Group):
    """Data set and batches."""

    dataset: Annotated[str, Input()] = Field(
        "fashion-mnist",
        min_length=1,
        description="fashion-mnist, mnist, digits, emoji, glyphs, or any folder of images.",
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    image_size: int = Field(
        0, ge=0, le=512, description="Pixels along each side; 0 keeps the size of the images."
    )
    channels: Literal[0, 1, 3] = Field(
        0, description="1 = grey, 3 = colour, 0 = that of the images."
    )
    classes: tuple[str, ...] = Field((), description="Only images of these classes; empty = all.")
    batch_size: int = Field(128, ge=1, description="Images per step, in each process.")
    val_share: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Share of the training images used for validation, if the set has no "
        "validation images of its own.",
    )
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = none.")


class ImageSystemConfig(SystemConfig):
    """Settings of a system that trains on images."""

    data: ImageDataConfig = ImageDataConfig()


class LatentConfig(Group):
    """Networks."""

    latent_dim: int = Field(100, ge=1, le=4096, description="Width of the latent vector z.")


class GanTrainingConfig(TrainingConfig):
    """Length, learning rates and losses of the training."""

    epochs: int = 20
    lr: float = Field(2e-4, gt=0, description="Learning rate of the generator.")
    discriminator_lr: float = Field(
        0.0, ge=0, description="Learning rate of the discriminator; 0 = lr."
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="First moment of Adam.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Second moment of Adam.")
    saturating: bool = Field(
        False, description="Minimax loss log(1 - D) of the generator in place of -log D."
    )
    r1: float = Field(0.0, ge=0, description="Weight of the gradient penalty on real images.")
    ema_decay: float = 0.999
    use_amp: bool = False


class GanMetricsConfig(Group):
    """Metrics of each evaluation."""

    num_samples: int = Field(2000, ge=100, description="Generated images for the metrics.")


class GanConfig(ImageSystemConfig):
    """Settings of a generator and a discriminator."""

    model: LatentConfig = LatentConfig()
    training: GanTrainingConfig = GanTrainingConfig()
    scheduler: ConstantSchedulerConfig = ConstantSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    metrics: GanMetricsConfig = GanMetricsConfig()


class ImageVerbConfig(TrainedVerbConfig):
    """Settings of every verb of trained weights."""

    batch_size: int = Field(100, ge=1, description="Images at once.")


class RealImagesConfig(ImageVerbConfig):
    """Settings of a verb that needs real images."""

    dataset: Annotated[str, Input()] = Field(
        "", description="Real images; empty = those of the training."
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")


class GenerateImagesConfig(ImageVerbConfig):
    """Generate new images."""

    num_samples: int = Field(64, ge=1, le=1_000_000, description="Number of images.")
    output: Annotated[Path, Output(".png", or_folder=True)] = Field(
        Path("generated.png"),
        description="A .png holds all images in one grid; a folder gets a PNG of each.",
    )


class EvaluateImagesConfig(RealImagesConfig):
    """Measure generated images against held-out real ones."""

    num_samples: int = Field(10_000, ge=200, description="Generated images, and real ones.")
    output: Annotated[Path | None, Output(".png")] = Field(
        None, description="PNG of generated images above the training images nearest to them."
    )
    inception_weights: Annotated[Path | None, Input()] = Field(
        None,
        description="torch-fidelity's file weights-inception-2015-12-05-6726825d.pth: FID and KID "
        "as published, besides the project's own metrics.",
    )

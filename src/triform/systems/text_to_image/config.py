"""Settings of text to image and of its verbs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input, Output, Storage
from triform.engine.config import (
    ConstantSchedulerConfig,
    CosineSchedulerConfig,
    NoEarlyStoppingConfig,
    NonEmptyTexts,
    SystemConfig,
    TrainedVerbConfig,
    TrainingConfig,
)
from triform.tasks.captioning.config import CaptionedDataConfig

TRIFORM_CLIP = "triform-clip"
"""Text encoder: the system `clip` of this project, its shipped weights or a checkpoint."""
Stage = Literal["vae", "prior", "gan", "joint"]
STAGES: tuple[Stage, ...] = ("vae", "prior", "gan")
DOWNSAMPLING = 8
"""Pixels along each side of a latent cell."""


class DataConfig(CaptionedDataConfig):
    """Images with captions, and their preprocessing."""

    dataset: Annotated[str, Input()] = Field(
        "emoji:en",
        min_length=1,
        description="emoji:en,ru, emoji with names in these languages; csv (images_dir and "
        "caption_file); drawings:en,ru, drawn scenes with captions in these languages; scenes, "
        "furniture; a set of images or a folder with one folder per class.",
    )
    images_dir: Annotated[str, Input()] = "./data/images"
    caption_file: Annotated[str, Input()] = "./data/captions.csv"
    image_size: int = Field(48, ge=16, le=256, description="Pixels along each side.")
    alpha: bool = Field(
        True, description="Learn transparency as well, where the images have it (emoji, csv)."
    )
    batch_size: int = Field(32, ge=2, description="Images per step, in each process.")
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = the main one.")

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.image_size % DOWNSAMPLING:
            raise ValueError(
                f"image_size: {self.image_size} is no multiple of {DOWNSAMPLING}; choose one"
            )
        return self


class ModelConfig(Group):
    """Architecture of the three networks."""

    text_encoder: Annotated[str, Input()] = Field(
        TRIFORM_CLIP,
        min_length=1,
        description=f"{TRIFORM_CLIP} (this project's CLIP), or a frozen text encoder: "
        "use-multilingual, minilm, clip, a name or a folder.",
    )
    clip: Annotated[str, Input()] = Field(
        "",
        description=f"Checkpoint or run of the system clip ({TRIFORM_CLIP}); empty = the weights "
        "that ship, or else those of the newest run here.",
    )
    max_words: int = Field(
        0,
        ge=0,
        le=256,
        description="Word pieces of a prompt that the prior attends to, beside the vector of all "
        "of it (use-multilingual, minilm); 0 = the vector alone.",
    )
    latent_channels: int = Field(8, ge=1, le=64, description="Numbers in each latent cell.")
    vae_width: int = Field(
        32, ge=8, le=512, multiple_of=8, description="Channels of the VAE at half the size."
    )
    prior: Literal["flow", "none"] = Field(
        "flow",
        description="From text embedding to latent: a rectified flow, which gives many images of "
        "a prompt, or none, the decoder's direct input by regression.",
    )
    prior_width: int = Field(192, ge=16, le=2048, description="Width of the prior's transformers.")
    word_layers: int = Field(
        2, ge=1, le=48, description="Blocks of the prior over the words (max_words)."
    )
    mean_layers: int = Field(
        3, ge=1, le=48, description="Blocks of the prior from the text to the mean of its latents."
    )
    prior_layers: int = Field(
        4, ge=1, le=48, description="Blocks of the prior's flow around that mean."
    )
    prior_heads: int = Field(6, ge=1, le=64, description="Attention heads of the prior.")
    gan_width: int = Field(
        32,
        ge=8,
        le=512,
        multiple_of=8,
        description="Channels of generator and discriminator at half the size.",
    )

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.prior_width % self.prior_heads:
            raise ValueError(
                f"prior_heads: {self.prior_heads} do not divide prior_width {self.prior_width}"
            )
        return self


class TextToImageTrainingConfig(TrainingConfig):
    """Stages, learning rates and losses of the training."""

    epochs: int = 60
    lr: float = Field(1e-3, gt=0, description="Learning rate of VAE and prior.")
    gan_lr: float = Field(2e-4, gt=0, description="Learning rate of generator and discriminator.")
    weight_decay: float = 0.01
    warmup_steps: int = 100
    grad_clip: float = 1.0
    ema_decay: float = 0.999
    use_amp: bool = False
    stage: Literal["all", "vae", "prior", "gan", "joint"] = Field(
        "all",
        description="What is trained: all stages in order, one of them from initial_weights, or "
        "joint, all three in each step.",
    )
    stage_shares: tuple[float, float, float] = Field(
        (0.4, 0.4, 0.2), description="Shares of the epochs for VAE, prior and GAN (stage all)."
    )
    kl_weight: float = Field(1e-4, ge=0, description="Weight of the KL divergence per number.")
    gradient_weight: float = Field(
        0.5, ge=0, description="Weight of the differences of neighbouring pixels."
    )
    squared_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the squared error of pixels; the absolute one alone leaves out thin "
        "lines for long.",
    )
    latent_noise: float = Field(
        0.05,
        ge=0,
        description="Standard deviation of the noise added to latents that are decoded in "
        "training, in standard deviations of the latents.",
    )
    condition_dropout: float = Field(
        0.1, ge=0, le=1, description="Share of text embeddings dropped, for guidance."
    )
    image_condition: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of conditions that are noisy CLIP embeddings of the image instead of "
        f"the text's ({TRIFORM_CLIP}).",
    )
    image_condition_noise: float = Field(
        0.75, ge=0, lt=1, description="Share of noise in those embeddings (arXiv:2111.13792)."
    )
    l1_weight: float = Field(10.0, ge=0, description="Weight of the generator's L1 to the image.")
    adversarial_weight: float = Field(0.5, ge=0, description="Weight of the adversarial loss.")
    r1: float = Field(1.0, ge=0, description="Weight of the gradient penalty on real images.")
    augmentation: float = Field(
        0.2, ge=0, le=1, description="Strength of the discriminator's augmentation."
    )

    @model_validator(mode="after")
    def _check(self) -> TextToImageTrainingConfig:
        if any(share < 0 for share in self.stage_shares) or not sum(self.stage_shares):
            raise ValueError("stage_shares: three shares of at least 0, one of them above 0")
        if self.stage in ("prior", "gan") and not (self.initial_weights or self.resume_from):
            raise ValueError(
                f"stage: {self.stage} needs --initial_weights, a run that has trained the stages "
                "before; or choose all"
            )
        return self


class MetricsConfig(Group):
    """Metrics of each evaluation."""

    num_samples: int = Field(500, ge=4, description="Validation images that are measured.")


class Config(SystemConfig):
    """Train the VAE, the prior and the GAN."""

    named_models = {  # noqa: RUF012
        ("model", "text_encoder"): ("text encoder", "--text_encoder"),
        ("model", "clip"): ("file of weights", "--clip"),
    }
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TextToImageTrainingConfig = TextToImageTrainingConfig()
    scheduler: ConstantSchedulerConfig = ConstantSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    metrics: MetricsConfig = MetricsConfig()


class SamplingConfig(TrainedVerbConfig):
    """Sampling of latents and refinement."""

    text_encoder: Annotated[str, Input()] = Field(
        "", description="Frozen text encoder instead of the one named in the checkpoint."
    )
    clip: Annotated[str, Input()] = Field(
        "", description="Checkpoint of the CLIP instead of the shipped weights."
    )
    steps: int = Field(10, ge=1, le=1000, description="Steps of the flow.")
    guidance: float = Field(
        4.0, ge=0, le=20, description="Guidance scale: above 1 follows the text more strictly."
    )
    refine: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Strength of the GAN, which sharpens outlines; 0 = the decoder's image as it "
        "is, since no measured distance to real images falls.",
    )
    batch_size: int = Field(16, ge=1, description="Images at once.")


class GenerateConfig(SamplingConfig):
    """Generate images from prompts."""

    prompt: NonEmptyTexts = Field(
        ("a red apple",), min_length=1, description="One prompt or several."
    )
    num_images: int = Field(4, ge=1, le=10_000, description="Images of each prompt.")
    show_stages: bool = Field(
        False,
        description="Show the decoder's images: in a row above the refined ones (.png), or as "
        "files in stages/, with embeddings and latents (folder).",
    )
    like: str = Field(
        "",
        pattern=r"^(\d{1,6}(/\d{1,6})*)?$",
        description="Vary one image of this prompt and seed: its number, the first is 0; 0/3 is "
        "variation 3 of it.",
    )
    variation: float = Field(
        0.3, ge=0, le=1, description="Share of new noise in variations (--like)."
    )
    output: Annotated[Path, Output(".png", or_folder=True)] = Field(
        Path("images.png"),
        description="A .png holds a row of each prompt; a folder gets a PNG of each image.",
    )


class InterpolateConfig(SamplingConfig):
    """Interpolate between the embeddings of two prompts."""

    prompt: NonEmptyTexts = Field(
        ("a red apple", "a green apple"), min_length=2, max_length=2, description="Two prompts."
    )
    num_images: int = Field(4, ge=1, le=100, description="Rows, each of a latent noise of its own.")
    columns: int = Field(8, ge=2, le=100, description="Images in a row.")
    output: Annotated[Path, Output(".png")] = Field(
        Path("interpolation.png"), description="PNG of the rows."
    )


class EvaluateConfig(SamplingConfig):
    """Measure agreement with prompts, distance to real images, diversity, copies and time."""

    split: str = Field("test", min_length=1, description="Split whose captions are the prompts.")
    dataset: Annotated[str, Input()] = Field(
        "", description="Other data, as --dataset of train; empty = the same."
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    num_prompts: int = Field(1000, ge=4, description="Prompts, at most.")
    classifier: Annotated[str, Input()] = Field(
        "",
        description="Checkpoint or run of train_classifier, which tells whether an image shows "
        "what its prompt says; empty = no agreement is measured.",
    )
    images_per_prompt: int = Field(
        4, ge=2, le=100, description="Images of each of the prompts whose diversity is measured."
    )
    output: Annotated[Path | None, Output(".png")] = Field(
        None, description="PNG of generated images above the training images nearest to them."
    )


class ClassifierTrainingConfig(TrainingConfig):
    """Length and rate of the classifier's training."""

    epochs: int = 20
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 100
    grad_clip: float = 1.0
    use_amp: bool = False
    width: int = Field(32, ge=8, le=512, description="Channels of the first stage.")
    jitter: float = Field(
        0.15, ge=0, le=1, description="Rotate, scale, move and recolour images by up to this share."
    )


class ClassifierConfig(SystemConfig):
    """Train the classifier of what images show, apart from the generator."""

    data: DataConfig = DataConfig()
    training: ClassifierTrainingConfig = ClassifierTrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "interpolate": InterpolateConfig,
    "evaluate": EvaluateConfig,
    "train_classifier": ClassifierConfig,
}

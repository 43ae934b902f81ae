"""Every knob of the voxel VAE-GAN, and the settings of its verbs. Imports no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input, Output, Storage
from triform.engine.config import (
    CosineSchedulerConfig,
    NoEarlyStoppingConfig,
    NonEmptyTexts,
    SystemConfig,
    Texts,
    TrainedVerbConfig,
    TrainingConfig,
    at_most_cores,
)
from triform.tasks.shape_generation.config import GenerateMeshesConfig, PromptSetsConfig

DOCUMENTED_CHECKPOINT = "vae_gan_test.pth"
"""Written by training, read by the other verbs."""
GOOD_IOU = 0.7
"""Epochs with at least this held-out IoU belong to the class `good`."""
BAD_IOU = 0.5
"""Epochs with at most this held-out IoU belong to the class `bad`."""

ANALYZED_TEXTS = (
    "3d model of chair",
    "3d model of airplane",
    "3d model of table",
    "3d model of car",
    "3d model of sofa",
)


class DataConfig(Group):
    """Which shapes, and how they become voxels."""

    dataset: Annotated[Texts, Input()] = Field(
        ("testdataset",),
        min_length=1,
        description="Folders of meshes, or known names (`triform data list`); several combine.",
    )
    download_path: Annotated[str, Storage()] = Field(
        "datasets", description="Download folder of data sets."
    )
    voxel_size: int = Field(64, ge=16, le=256, description="Voxels along each edge, R.")
    batch_size: int = Field(8, ge=1, description="Shapes per step, in each process.")
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = none apart.")
    parallel: bool = Field(
        False, description="4 workers, or as many as there are cores, where num_workers is 0."
    )
    max_samples: int = Field(0, ge=0, description="Use only the first so many files; 0 = all.")
    fill: bool = Field(True, description="Fill the inside; off keeps the surface alone.")
    stretches: int = Field(
        0,
        ge=0,
        le=32,
        description="Stretched copies of each training shape that is not parametric.",
    )
    stretch_by: float = Field(
        0.25, gt=0, le=0.7, description="Largest stretch, as a natural logarithm of the factor."
    )
    mirror: bool = Field(True, description="Show half of the training shapes mirrored in x.")

    @property
    def loader_workers(self) -> int:
        """Number of worker processes, `parallel` taken into account."""
        return at_most_cores(4) if self.parallel and self.num_workers == 0 else self.num_workers


class ModelConfig(Group):
    """Shape of the networks."""

    architecture: Literal["plain", "residual"] = Field(
        "plain", description="`plain` is the documented network, `residual` the stronger one."
    )
    latent_dim: int = Field(128, ge=1, description="Length of the latent vector.")
    cond_dim: int = Field(
        512, ge=1, description="Length of the condition; shorter text embeddings get zeros."
    )
    hidden_channels: int = Field(32, ge=1, description="Channels of the finest level.")
    num_encoder_layers: int = Field(4, ge=1, le=7, description="Encoder layers (plain).")
    num_decoder_layers: int = Field(4, ge=1, le=7, description="Decoder layers (plain).")
    use_batch_norm: bool = Field(False, description="Batch normalization (plain).")
    dropout_rate: float = Field(0.0, ge=0, lt=1, description="Dropout of whole channels.")
    disc_hidden_channels: int = Field(32, ge=1, description="First channels, discriminator.")
    disc_num_layers: int = Field(4, ge=1, le=7, description="Layers of the discriminator.")
    text_encoder: Annotated[str, Input()] = Field(
        "minilm",
        description="minilm, use-multilingual, clip, an open_clip or transformers name, or a "
        "local folder.",
    )
    condition_decoder: bool = Field(
        True, description="Condition the decoder on the text; off conditions the prior only."
    )
    prior: Literal["normal", "flow"] = Field(
        "normal", description="Prior of the latents: N(0, I), or a flow conditioned on the text."
    )
    prior_width: int = Field(256, ge=8, description="Width of the flow prior.")
    prior_layers: int = Field(3, ge=1, description="Blocks of the flow prior.")

    @property
    def decoder_inputs(self) -> int:
        """Width of the decoder's input: the latent, and the condition where it has one."""
        return self.latent_dim + (self.cond_dim if self.condition_decoder else 0)


class VoxelTrainingConfig(TrainingConfig):
    """Optimization, and the weights of the losses."""

    memory_knobs = ("batch_size", "voxel_size", "hidden_channels")

    epochs: int = 50
    lr: float = 5e-3
    use_amp: bool = False
    checkpoint: str = DOCUMENTED_CHECKPOINT
    recon_weight: float = Field(10.0, gt=0, description="Weight of the VAE against the GAN.")
    kl_weight: float = Field(1.0, ge=0, description="Weight of the KL term; 1 is the ELBO.")
    kl_warmup_steps: int = Field(0, ge=0, description="Steps in which the KL weight rises from 0.")
    dice_weight: float = Field(
        0.5, ge=0, description="Weight of the Dice loss, against the many empty voxels."
    )
    lambda_adv: float = Field(0.001, ge=0, description="Weight of the GAN loss; 0 = no GAN.")
    adv_warmup_epochs: int = Field(5, ge=1, description="Epochs in which lambda_adv rises.")
    prompt_dropout: float = Field(0.1, ge=0, le=1, description="Share of texts dropped.")
    prior_lr: float = Field(1e-3, gt=0, description="Learning rate of the flow prior.")
    prior_repeats: int = Field(4, ge=1, description="Flow times per shape and step.")


class Config(SystemConfig):
    """Train the text-conditioned voxel VAE-GAN on a folder of meshes or a known data set."""

    named_models = {("model", "text_encoder"): ("text encoder", "--text_encoder")}  # noqa: RUF012
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: VoxelTrainingConfig = VoxelTrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Config":
        """Check that the voxels divide by the strides of the networks."""
        size, model = self.data.voxel_size, self.model
        layers = [model.disc_num_layers]
        if model.architecture == "plain":
            layers += [model.num_encoder_layers, model.num_decoder_layers]
        elif model.hidden_channels % 8:
            raise ValueError(
                f"hidden_channels {model.hidden_channels} must be a multiple of 8 (residual)"
            )
        if size % 2 ** max(layers):
            raise ValueError(
                f"voxel_size {size} must be a multiple of {2 ** max(layers)} for "
                f"{max(layers)} layers"
            )
        return self


class SamplingConfig(TrainedVerbConfig):
    """Sampling of latents and extraction of meshes."""

    checkpoint: Annotated[str | None, Input()] = Field(
        None,
        description="Trained weights (.pth, .safetensors or a run directory); where not given, "
        "vae_gan_test.pth if it is there, else the weights that come with the project.",
    )
    guidance_scale: float = Field(
        2.0, ge=0, le=20, description="Classifier-free guidance of the flow prior; 1 = none."
    )
    num_steps: int = Field(24, ge=1, le=1000, description="Steps of the flow prior.")
    sigma: float = Field(0.5, ge=0, le=5, description="Gaussian filter, in voxels.")
    level: float = Field(
        0.4, gt=0, lt=1, description="Occupancy at the surface; thin parts have a low one."
    )
    text_encoder: Annotated[str | None, Input()] = Field(
        None, description="Text encoder instead of the one named in the checkpoint."
    )


class GenerateConfig(SamplingConfig, GenerateMeshesConfig):
    """Generate 3D models from sentences, or without any, and save them as meshes."""

    also_accepts = (Config,)
    compares = ("model.", "data.voxel_size")


class AnalyzeConfig(Settings):
    """Compare texts by their embeddings: cosine similarities and a 2-D PCA image."""

    also_accepts = (Config, GenerateConfig)

    text: NonEmptyTexts = Field(ANALYZED_TEXTS, min_length=2, description="Texts to compare.")
    text_file: Annotated[Path | None, Input()] = Field(
        None, description="Text file with a text per line."
    )
    text_encoder: Annotated[str, Input()] = Field(
        "minilm", description="Encoder, named as in training."
    )
    output: Annotated[Path, Output()] = Field(
        Path("analysis"), description="Folder for similarities.csv, pca.csv and analysis.png."
    )


class EvaluateConfig(SamplingConfig, PromptSetsConfig):
    """Measure reconstruction, agreement with the text, diversity and closedness."""

    dataset: Annotated[Texts, Input()] = Field(
        ("sweethome3d",), min_length=1, description="Data sets to test on."
    )
    training_dataset: Annotated[Texts, Input()] = Field(
        (),
        description="Data sets of the training, for the baseline by captions and for novelty; "
        "none means those of --dataset.",
    )
    download_path: Annotated[str, Storage()] = Field(
        "datasets", description="Folder of the data sets."
    )
    max_samples: int = Field(0, ge=0, description="Use only the first so many files; 0 = all.")
    prompts: Annotated[Path | None, Input()] = Field(
        None, description="CSV `prompt,group`; none means the 300 that come with the project."
    )
    output: Annotated[Path | None, Output()] = Field(
        None, description="Folder for report.json and an image."
    )
    fine_truth: bool = Field(
        False, description="Also compare reconstructions with the true meshes, seconds for each."
    )


class ClassifierConfig(SystemConfig):
    """Train the classifier of real voxels by which `evaluate` measures agreement with prompts."""

    data: DataConfig = DataConfig(dataset=("sweethome3d",), batch_size=32, stretches=4)
    training: TrainingConfig = TrainingConfig(
        epochs=30, lr=1e-3, weight_decay=0.05, use_amp=False, checkpoint="classifier.pth"
    )
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    held_out: bool = Field(
        False,
        description="Train on the validation and test shapes, and validate on the training shapes: "
        "a classifier of other objects than those of a generator.",
    )

    @property
    def split_names(self) -> dict[str, tuple[str, ...]]:
        """The splits of the data set that each split of this training has."""
        if self.held_out:
            return {"train": ("val", "test"), "val": ("train",), "test": ("train",)}
        return {name: (name,) for name in ("train", "val", "test")}


Config.also_accepts = (GenerateConfig,)  # as documented: every flag in every mode
VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "analyze": AnalyzeConfig,
    "evaluate": EvaluateConfig,
    "train_classifier": ClassifierConfig,
}

"""Every knob of the voxel VAE-GAN, and the settings of its verbs. Imports no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from triform.base.config import Group, Settings
from triform.engine.config import (
    DeviceName,
    EarlyStoppingConfig,
    SchedulerConfig,
    SystemConfig,
    TrainingConfig,
)

DOCUMENTED_CHECKPOINT = "vae_gan_test.pth"
"""Written by training, read by the other verbs."""
GOOD_IOU = 0.7
"""An epoch whose held-out IoU reaches this is filed under `good`."""
BAD_IOU = 0.5
"""An epoch whose held-out IoU stays at or below this is filed under `bad`."""

ANALYZED_TEXTS = (
    "3d model of chair",
    "3d model of airplane",
    "3d model of table",
    "3d model of car",
    "3d model of sofa",
)


def _as_tuple(value: object) -> object:
    """A single text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class DataConfig(Group):
    """Which shapes, and how they become voxels."""

    dataset: Texts = Field(
        ("testdataset",),
        min_length=1,
        description="Folders of meshes, or known names (`triform data list`); several combine.",
    )
    download_path: str = Field("datasets", description="Folder that data sets are brought to.")
    voxel_size: int = Field(64, ge=16, le=256, description="Voxels along each edge of the grid.")
    batch_size: int = Field(8, ge=1, description="Shapes per step, in each process.")
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = none apart.")
    parallel: bool = Field(False, description="Use 4 workers where num_workers is not given.")
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
        """Worker processes after `parallel` has been heard."""
        return 4 if self.parallel and self.num_workers == 0 else self.num_workers


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
    text_encoder: str = Field(
        "minilm",
        description="minilm, clip, an open_clip or transformers name, or a local folder.",
    )
    condition_decoder: bool = Field(
        True, description="Show the text to the decoder; off leaves it to the prior alone."
    )
    prior: Literal["normal", "flow"] = Field(
        "normal", description="Where latents come from: N(0, I), or a flow that reads the text."
    )
    prior_width: int = Field(256, ge=8, description="Width of the flow prior.")
    prior_layers: int = Field(3, ge=1, description="Blocks of the flow prior.")


class VoxelTrainingConfig(TrainingConfig):
    """How long and how fast to train, and what the losses weigh."""

    memory_knobs = ("batch_size", "voxel_size", "hidden_channels")

    epochs: int = 50
    lr: float = 5e-3
    use_amp: bool = False
    checkpoint: str = DOCUMENTED_CHECKPOINT
    recon_weight: float = Field(10.0, gt=0, description="Weight of the VAE against the GAN.")
    kl_weight: float = Field(1.0, ge=0, description="Weight of the KL term; 1 is the ELBO.")
    kl_warmup_steps: int = Field(0, ge=0, description="Steps in which the KL weight rises from 0.")
    dice_weight: float = Field(
        0.5, ge=0, description="Weight of the Dice loss, which meets the many empty voxels."
    )
    lambda_adv: float = Field(0.001, ge=0, description="Weight of the GAN loss; 0 = no GAN.")
    adv_warmup_epochs: int = Field(5, ge=1, description="Epochs in which lambda_adv rises.")
    prompt_dropout: float = Field(0.1, ge=0, le=1, description="Share of texts left out.")
    prior_lr: float = Field(1e-3, gt=0, description="Learning rate of the flow prior.")
    prior_repeats: int = Field(4, ge=1, description="Times and noises per shape and step.")


class Config(SystemConfig):
    """Train the text-conditioned voxel VAE-GAN on a folder of meshes or a known data set."""

    named_models = {("model", "text_encoder"): ("text encoder", "--text_encoder")}  # noqa: RUF012
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: VoxelTrainingConfig = VoxelTrainingConfig()
    scheduler: SchedulerConfig = SchedulerConfig(type="CosineAnnealingLR")
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig(enabled=False)

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Config":
        """Strided layers halve the grid, patches quarter it: it has to come out even."""
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


class _FromCheckpoint(Settings):
    """What every verb that uses trained weights can be told."""

    checkpoint: str | None = Field(
        None,
        description="Trained weights (.pth, .safetensors or a run directory); where not given, "
        "vae_gan_test.pth if it is there, else the weights that come with the project.",
    )
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")
    seed: int = Field(42, ge=0, lt=2**63, description="Seed: same seed, same shapes.")


class SamplingConfig(_FromCheckpoint):
    """How latents become meshes."""

    guidance_scale: float = Field(
        2.0, ge=0, le=20, description="How hard the flow prior follows the text; 1 = as learned."
    )
    num_steps: int = Field(24, ge=1, le=1000, description="Steps of the flow prior.")
    sigma: float = Field(0.5, ge=0, le=5, description="Gaussian filter on the grid, in voxels.")
    level: float = Field(
        0.4, gt=0, lt=1, description="Occupancy at which the surface lies; thin parts are faint."
    )
    text_encoder: str | None = Field(
        None, description="Text encoder instead of the one named in the checkpoint."
    )


class GenerateConfig(SamplingConfig):
    """Make 3D models from sentences (or from no sentence) and save them as meshes."""

    prompt: Texts = Field((), description="Sentences; none means the zero condition.")
    prompt_file: Path | None = Field(None, description="Text file with a prompt per line.")
    num_samples: int = Field(1, ge=1, le=10_000, description="Shapes per prompt.")
    output: str = Field(
        "model.obj", description="File, or folder for several shapes; the suffix is the format."
    )
    format: tuple[Literal["obj", "glb", "ply", "stl"], ...] = Field(
        (), description="Formats to save; none means the suffix of output."
    )
    max_faces: int = Field(0, ge=0, description="Decimate to so many faces; 0 = leave as it is.")
    sheet: Path | None = Field(None, description="Also save a picture of all shapes here (PNG).")
    show: bool = Field(False, description="Open each shape in a viewer (needs pyglet).")


class AnalyzeConfig(Settings):
    """Compare texts by their embeddings: cosine similarities and a 2-D PCA picture."""

    text: Texts = Field(ANALYZED_TEXTS, min_length=2, description="Texts to compare.")
    text_file: Path | None = Field(None, description="Text file with a text per line.")
    text_encoder: str = Field("minilm", description="Encoder, named as in training.")
    output: Path = Field(
        Path("analysis"), description="Folder for similarities.csv, pca.csv and analysis.png."
    )


class EvaluateConfig(SamplingConfig):
    """Measure a trained model: reconstruction, agreement with the text, diversity, closedness."""

    dataset: Texts = Field(("sweethome3d",), min_length=1, description="Data sets to test on.")
    training_dataset: Texts = Field(
        (),
        description="Data sets that the model learned from, for the baseline by captions and for "
        "novelty; none means those of --dataset.",
    )
    download_path: str = Field("datasets", description="Folder of the data sets.")
    max_samples: int = Field(0, ge=0, description="Use only the first so many files; 0 = all.")
    prompts: Path | None = Field(
        None, description="CSV `prompt,group`; none means the 300 that come with the project."
    )
    output: Path | None = Field(None, description="Folder for report.json and a picture.")


class JudgeConfig(SystemConfig):
    """Train the classifier of real voxels that `evaluate` asks whether a shape fits its prompt."""

    data: DataConfig = DataConfig(dataset=("sweethome3d",), batch_size=32, stretches=4)
    training: TrainingConfig = TrainingConfig(
        epochs=30, lr=1e-3, weight_decay=0.05, use_amp=False, checkpoint="judge.pth"
    )
    scheduler: SchedulerConfig = SchedulerConfig(type="CosineAnnealingLR")
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig(enabled=False)


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "analyze": AnalyzeConfig,
    "evaluate": EvaluateConfig,
    "train_judge": JudgeConfig,
}

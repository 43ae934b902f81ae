"""Every knob of Shap-E's networks and of their training. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input, Storage
from triform.engine.config import (
    CosineSchedulerConfig,
    LoggingConfig,
    NoEarlyStoppingConfig,
    ShowConfig,
    SystemConfig,
    TrainingConfig,
    move_init,
)
from triform.systems.shap_e.verb_config import (
    ConvertConfig,
    EncodeConfig,
    EvaluateConfig,
    GenerateConfig,
)

DOCUMENTED_FOLDER = "output"
"""Where the document has training write its runs."""
ModelType = Literal["text300M", "image300M"]
POSITION_DEGREES, DIRECTION_DEGREES = 15, 8
"""Frequencies of the encodings of positions and directions."""
POSITION_WIDTH = 3 * (1 + 2 * POSITION_DEGREES)
DIRECTION_WIDTH = 3 * (1 + 2 * DIRECTION_DEGREES)


class DataConfig(Group):
    """The shape library and its conditions."""

    data_dir: Annotated[str, Input()] = Field(
        "",
        description="Shape library with captions or images, and latents of `triform shap_e encode`"
        " (needed); or a known data set (`triform data list`), which is prepared.",
    )
    latents_dir: Annotated[str, Input()] = Field(
        "", description="Folder of latents, ID.npy or ID.pt; empty = `latents` in data_dir."
    )
    download_path: Annotated[str, Storage()] = Field(
        "datasets", description="Download folder of data sets."
    )
    batch_size: int = Field(4, ge=1, description="Shapes per step, in each process.")
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = none apart.")
    max_samples: int = Field(0, ge=0, description="Use only the first objects; 0 = all.")
    condition_views: int = Field(
        4, ge=1, le=1000, description="Images of each object that are conditions (image300M)."
    )
    prepared_views: int = Field(
        8, ge=0, le=1000, description="Images of each object of a data set that is prepared."
    )
    prepared_size: int = Field(64, ge=8, le=4096, description="Pixels of each such image.")
    prepared_points: int = Field(4096, ge=64, description="Points of each such object.")
    field_size: int = Field(
        32, ge=4, le=256, description="Voxels along each side of the distance to decode (joint)."
    )
    truncation: float = Field(
        3.0,
        gt=0,
        le=3,
        description="Voxels from the surface at which the distance to decode is cut off (joint).",
    )
    mirror: bool = Field(True, description="Mirror half of the shapes in x (joint).")


class ModelConfig(Group):
    """The network that denoises latents, diffusers' `PriorTransformer`."""

    model_type: ModelType = Field(
        "text300M", description="Conditions: captions (text300M) or images (image300M)."
    )
    prior_width: int = Field(1024, ge=8, description="Width of the transformer.")
    prior_layers: int = Field(24, ge=1, description="Blocks of the transformer.")
    prior_heads: int = Field(
        0, ge=0, description="Attention heads; 0 = one per 64 channels (text) or 128 (image)."
    )
    text_encoder: Annotated[str, Input()] = Field(
        "ViT-L-14/openai",
        description="Encoder of captions: an open_clip name, a local folder, minilm or "
        "use-multilingual; of 768 numbers for official weights.",
    )
    image_encoder: Annotated[str, Input()] = Field(
        "open_clip:ViT-L-14/openai",
        description="Encoder of images into patches: open_clip:NAME, a local folder of a CLIP, or "
        "a network of timm; of 256 x 1024 numbers for official weights.",
    )
    lora_rank: int = Field(0, ge=0, le=1024, description="Rank of LoRA; 0 trains all weights.")
    lora_alpha: int = Field(
        0, ge=0, description="Scale of LoRA times its rank; 0 = the rank, which is a scale of 1."
    )

    guidance_scale: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Guidance of samples where none is asked for; 0 = 15 of captions, 3 of images.",
    )

    @property
    def default_guidance(self) -> float:
        """Guidance of samples where none is asked for."""
        return self.guidance_scale or (15.0 if self.model_type == "text300M" else 3.0)

    @property
    def num_heads(self) -> int:
        """Attention heads of the transformer."""
        head_width = 64 if self.model_type == "text300M" else 128
        return self.prior_heads or max(1, self.prior_width // head_width)


class TransmitterConfig(Group):
    """Encoder and decoder of latents."""

    joint: bool = Field(
        False,
        description="Train encoder and decoder as well, on points and voxels of the library; off "
        "takes latents as they are.",
    )
    encoder_input: Literal["points", "points_and_views"] = Field(
        "points_and_views", description="What the encoder attends to."
    )
    encoder_width: int = Field(1024, ge=8, description="Width of the encoder.")
    encoder_layers: int = Field(12, ge=2, description="Layers of the encoder, cross-attention too.")
    cross_layers: int = Field(1, ge=1, description="Layers of cross-attention among them.")
    encoder_heads: int = Field(8, ge=1, description="Attention heads of the encoder.")
    data_tokens: int = Field(1024, ge=1, description="Tokens made of the points.")
    inner_points: int = Field(16384, ge=1, description="Points that are attended to at a time.")
    inner_views: int = Field(20, ge=1, description="Views that are attended to at a time.")
    unrolls: int = Field(1, ge=1, description="Passes over the layers of the encoder.")
    position_encoding: bool = Field(
        False, description="Encode points by sines of position_degrees frequencies."
    )
    position_degrees: int = Field(
        POSITION_DEGREES,
        ge=1,
        le=24,
        description="Frequencies of the encodings of points and of decoded positions, each twice "
        "the one before; the finest waves of 15 are noise where shapes are learned in voxels.",
    )
    use_point_conv: bool = Field(False, description="Make tokens of neighbourhoods, not of points.")
    point_conv_radius: float = Field(0.5, gt=0, description="Radius of a neighbourhood.")
    point_conv_samples: int = Field(32, ge=1, description="Points of a neighbourhood.")
    point_conv_hidden: tuple[int, ...] = Field(
        (), description="Channels of its layers; empty = one of the encoder's width."
    )
    point_conv_patch: int = Field(1, ge=1, description="Points that one kernel sees.")
    point_conv_stride: int = Field(1, ge=1, description="Stride of the kernel.")
    fps_method: Literal["fps", "first"] = Field(
        "fps", description="Points of the tokens: farthest points, or the first."
    )
    view_size: int = Field(256, ge=8, description="Pixels along each side of a view.")
    view_patch: int = Field(32, ge=1, description="Pixels along each side of its patches.")
    max_depth: float = Field(5.0, gt=0, description="Larger depths are cut off.")
    latent_width: int = Field(1024, ge=1, description="Numbers per vector of a latent.")
    hidden: int = Field(256, ge=1, description="Width of the decoder's network.")
    hidden_layers: int = Field(6, ge=1, description="Hidden layers of it.")
    generated_layers: int = Field(
        4, ge=1, description="Its first layers, whose weights come from the latent."
    )
    direction_layer: int = Field(4, ge=1, description="Layer that gets the direction of a ray.")
    density_activation: Literal["relu", "exp"] = Field("relu", description="Activation of density.")
    projection_scale: float = Field(
        0.0625, gt=0, description="Initial scale of generated weights, in units of their norm."
    )
    latent_noise: float = Field(
        0.05, ge=0, description="Noise on latents while they are trained (joint)."
    )
    grid_size: int = Field(
        128, ge=8, le=512, description="Samples along each side of a mesh's grid."
    )
    coarse_samples: int = Field(64, ge=1, description="Coarse samples of a ray.")
    fine_samples: int = Field(128, ge=1, description="Fine samples of a ray.")

    @property
    def position_width(self) -> int:
        """Numbers of the encoding of a decoded position."""
        return 3 * (1 + 2 * self.position_degrees)

    @property
    def latent_vectors(self) -> int:
        """Vectors of a latent: one for each row of a generated matrix."""
        return self.generated_layers * self.hidden

    @model_validator(mode="after")
    def _sizes_fit(self) -> TransmitterConfig:
        if self.encoder_width % self.encoder_heads:
            raise ValueError(
                f"encoder_width {self.encoder_width} must be a multiple of encoder_heads "
                f"{self.encoder_heads}"
            )
        if self.view_size % self.view_patch:
            raise ValueError(
                f"view_size {self.view_size} must be a multiple of view_patch {self.view_patch}"
            )
        if self.cross_layers >= self.encoder_layers:
            raise ValueError(
                f"cross_layers {self.cross_layers} must be less than encoder_layers "
                f"{self.encoder_layers}"
            )
        if self.generated_layers > self.direction_layer:
            raise ValueError(
                f"generated_layers {self.generated_layers} must not be more than direction_layer "
                f"{self.direction_layer}"
            )
        if self.direction_layer > self.hidden_layers:
            raise ValueError(
                f"direction_layer {self.direction_layer} must not be more than hidden_layers "
                f"{self.hidden_layers}"
            )
        return self


class DiffusionConfig(Group):
    """The diffusion process, by the names of Shap-E's `diffusion_config.yaml`."""

    show_prefix = True

    schedule: Literal["exp", "linear", "cosine"] = Field(
        "exp", description="alphas_cumprod: exp(coefficient t), or those of DDPM and of iDDPM."
    )
    timesteps: int = Field(1024, ge=2, le=100_000, description="Steps of the process.")
    coefficient: float = Field(-12.0, lt=0, description="Of the schedule exp.")
    mean_type: Literal["x_start", "epsilon"] = Field(
        "x_start", description="What the network predicts: latents or noise."
    )
    cond_drop_prob: float = Field(
        0.1, ge=0, le=1, description="Share of conditions that are zeros in training."
    )


class ShapETrainingConfig(TrainingConfig):
    """Optimization."""

    memory_knobs = ("micro_batch_size", "batch_size")

    epochs: int = 10
    lr: float = 1e-5
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    micro_batch_size: int = Field(
        0,
        ge=0,
        description="Shapes per forward pass; the gradient of a step is accumulated. 0 = all.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations twice instead of keeping them: a third of memory."
    )
    transmitter_epochs: int = Field(
        0,
        ge=0,
        description="Epochs in which encoder and decoder are trained (joint), and the prior after "
        "them, each with a schedule of its own; 0 = both in all epochs.",
    )
    transmitter_lr: float = Field(
        1e-3, gt=0, description="Learning rate of encoder and decoder (joint)."
    )
    decoded_points: int = Field(
        2048, ge=8, description="Points at which a shape is decoded in a step (joint)."
    )
    latent_penalty: float = Field(
        0.0,
        ge=0,
        description="Weight of the mean square of latents before tanh, against saturation (joint).",
    )
    color_weight: float = Field(0.5, ge=0, description="Weight of the loss of colours (joint).")


class ShapELoggingConfig(LoggingConfig):
    """Run directories and logging."""

    runs_dir: Annotated[str, Storage()] = Field(
        DOCUMENTED_FOLDER,
        min_length=1,
        validation_alias=AliasChoices("runs_dir", "output_dir"),
        description="Folder of the run directories; `output_dir` is the same.",
    )


DIFFUSION_KEYS = ("schedule", "timesteps", "mean_type", "schedule_args")


class Config(SystemConfig):
    """Train Shap-E's latent diffusion on a shape library whose latents were encoded."""

    named_models = {  # noqa: RUF012
        ("model", "text_encoder"): ("text encoder", "--text_encoder"),
        ("model", "image_encoder"): ("image encoder", "--image_encoder"),
    }
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    transmitter: TransmitterConfig = TransmitterConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    training: ShapETrainingConfig = ShapETrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    logging: ShapELoggingConfig = ShapELoggingConfig()

    @classmethod
    def adapt_file(cls, values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Also read Shap-E's own `diffusion_config.yaml`, whose keys have no group."""
        ungrouped = {key: values.pop(key) for key in DIFFUSION_KEYS if key in values}
        arguments = ungrouped.pop("schedule_args", None)
        ungrouped |= arguments if isinstance(arguments, Mapping) else {}
        if ungrouped:
            group = values.get("diffusion")
            values["diffusion"] = {**ungrouped, **(group if isinstance(group, Mapping) else {})}
        return values, []

    @model_validator(mode="before")
    @classmethod
    def _move_init(cls, values: Any) -> Any:
        return move_init(values)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Config:
        if self.model.prior_width % self.model.num_heads:
            raise ValueError(
                f"prior_width {self.model.prior_width} must be a multiple of prior_heads "
                f"{self.model.num_heads}"
            )
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "encode": EncodeConfig,
    "generate": GenerateConfig,
    "evaluate": EvaluateConfig,
    "convert": ConvertConfig,
    "config": ShowConfig,
}

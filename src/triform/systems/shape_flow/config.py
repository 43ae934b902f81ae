"""Every knob of the shape flow, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

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
)
from triform.tasks.shape_generation.config import (
    FaceColorsConfig,
    GenerateMeshesConfig,
    PromptSetsConfig,
)

CELL = 8
"""Samples along each side of a latent cell."""
PATCH = 4
"""Samples along each side of a patch, the finest level of the networks."""
COLOR_PATCH = 2
"""Blocks of one colour along each side of a patch; see `datasets/distances.py`."""
TOKEN = 2
"""Latent cells along each side of a token of the flow."""
Stage = Literal["autoencoder", "layout", "decoder", "flow", "joint"]


class DataConfig(Group):
    """Which shapes, and how they are shown."""

    dataset: Annotated[Texts, Input()] = Field(
        ("sweethome3d", "parametric:2000"),
        min_length=1,
        description="Folders of meshes, or known names (`triform data list`); several combine.",
    )
    download_path: Annotated[str, Storage()] = Field(
        "datasets", description="Download folder of data sets."
    )
    # With fewer than 3^3 latent cells, processors give wrong bf16 gradients of 3^3 convolutions.
    resolution: int = Field(64, ge=32, le=256, description="Samples along each edge, R.")
    batch_size: int = Field(8, ge=1, description="Shapes per step, in each process.")
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = none apart.")
    max_samples: int = Field(0, ge=0, description="Use only the first so many files; 0 = all.")
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
    parametric_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of parametric shapes in an epoch: the others, or they, are repeated "
        "until it is reached. None shows each shape once.",
    )

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.resolution % (CELL * TOKEN):
            raise ValueError(
                f"resolution: {self.resolution} is no multiple of {CELL * TOKEN}; choose one"
            )
        return self


class ModelConfig(Group):
    """Shape of the networks."""

    latent_channels: int = Field(12, ge=1, le=64, description="Numbers in each latent cell.")
    encoder_widths: tuple[int, int] = Field(
        (32, 96), description="Channels of the encoder's patches and cells."
    )
    encoder_blocks: tuple[int, int] = Field(
        (1, 1), description="Residual blocks of the encoder at patches and cells."
    )
    decoder_widths: tuple[int, int] = Field(
        (48, 96), description="Channels of the decoder's patches and cells."
    )
    decoder_blocks: tuple[int, int] = Field(
        (2, 2), description="Residual blocks of the decoder at patches and cells."
    )
    refine_width: int = Field(
        0,
        ge=0,
        description="Channels of the decoder's last level, at half patches; 0 = without it.",
    )
    text_encoder: Annotated[str, Input()] = Field(
        "minilm", description="Text encoder; see `voxel_gan`."
    )
    layout_dim: int = Field(256, ge=1, le=4096, description="Numbers of a whole shape's layout.")
    layout_width: int = Field(384, ge=8, description="Width of the layout's flow.")
    layout_blocks: int = Field(4, ge=1, description="Blocks of the layout's flow.")
    flow_width: int = Field(192, ge=8, description="Width of the transformer over cells.")
    flow_blocks: int = Field(6, ge=1, description="Blocks of the transformer.")
    flow_heads: int = Field(6, ge=1, description="Attention heads of the transformer.")
    condition_dim: int = Field(256, ge=8, description="Width of the condition of both flows.")
    attribute_dim: int = Field(32, ge=1, description="Width of an attribute's embedding.")
    max_tokens: int = Field(24, ge=1, le=256, description="Words of a text that are attended to.")

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.flow_width % (2 * self.flow_heads):
            raise ValueError(
                f"flow_width: {self.flow_width} is no multiple of twice flow_heads "
                f"({self.flow_heads})"
            )
        return self


class LossConfig(Group):
    """Weights of the autoencoder's losses."""

    surface_weight: float = Field(6.0, ge=0, description="Extra weight of samples at surfaces.")
    surface_width: float = Field(
        0.7, gt=0, description="Voxels from a surface in which that weight falls to 1/e."
    )
    sign_weight: float = Field(0.5, ge=0, description="Weight of inside or outside.")
    dice_weight: float = Field(0.5, ge=0, description="Weight of the Dice loss.")
    gradient_weight: float = Field(0.5, ge=0, description="Weight of differences of neighbours.")
    color_weight: float = Field(0.5, ge=0, description="Weight of the colours.")
    kl_weight: float = Field(0.002, ge=0, description="Weight of the KL term of each number.")


class ShapeTrainingConfig(TrainingConfig):
    """Optimization."""

    memory_knobs = ("batch_size", "flow_width")

    epochs: int = 20
    lr: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    grad_clip: float = 1.0
    ema_decay: float = 0.99
    stage: Stage = Field(
        "joint",
        description="What is trained: `autoencoder`, then `layout`, then `decoder` (that of the "
        "autoencoder, on layouts), then `flow`, each from the weights of the one before; `joint` "
        "trains autoencoder, layout and flow at once.",
    )
    layout_repeats: int = Field(8, ge=1, description="Flow times per shape and step (layout).")
    condition_dropout: float = Field(
        0.1, ge=0, le=1, description="Share of whole conditions dropped, for guidance."
    )
    text_dropout: float = Field(0.15, ge=0, le=1, description="Share of texts dropped.")
    attribute_dropout: float = Field(
        0.15, ge=0, le=1, description="Share of attributes dropped, each for itself."
    )


class Config(SystemConfig):
    """Train the autoencoder of shapes and the flows over its latents."""

    named_models = {("model", "text_encoder"): ("text encoder", "--text_encoder")}  # noqa: RUF012
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: ShapeTrainingConfig = ShapeTrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()


class SamplingConfig(TrainedVerbConfig):
    """Sampling of latents and extraction of surfaces."""

    guidance: float = Field(
        3.0,
        ge=0,
        le=20,
        description="Guidance of the layout: above 1 follows the prompt more closely.",
    )
    cell_guidance: float = Field(
        1.0, ge=0, le=20, description="Guidance of the cells around the layout."
    )
    num_steps: int = Field(12, ge=1, le=1000, description="Steps of the layout's flow.")
    cell_steps: int = Field(16, ge=1, le=1000, description="Steps of the flow over cells.")
    surface_resolution: int = Field(
        0,
        ge=0,
        le=256,
        description="Samples along each edge of the surface; 0 = those of the model. More are "
        "interpolated: rounder, not more detailed.",
    )
    colors: bool = Field(True, description="Give the faces colours.")
    text_encoder: Annotated[str | None, Input()] = Field(
        None, description="Text encoder instead of the one named in the checkpoint."
    )


class GenerateConfig(SamplingConfig, GenerateMeshesConfig):
    """Generate 3D models from sentences, or without any, and save them as meshes."""

    image: Annotated[Path | None, Input()] = Field(
        None,
        description="Image of an object: its caption, by the captioner that ships, is one more "
        "prompt. It knows drawings and furniture, not photographs.",
        # A page describes an image before, so that its caption can be changed.
        json_schema_extra={"offered": False},
    )
    candidates: int = Field(
        4,
        ge=1,
        le=64,
        description="Shapes made for each one that is kept: the one with most of the counts, "
        "forms and colours that the prompt names and of its kind, then the soundest.",
    )
    output: Annotated[str, Output(".glb", or_folder=True)] = Field(
        "model.glb", description="File, or folder for several shapes; the suffix is the format."
    )


class ReconstructConfig(SamplingConfig, FaceColorsConfig):
    """Encode meshes to latents, decode those, and save the results."""

    meshes: Annotated[Texts, Input()] = Field(min_length=1, description="Mesh files.")
    output: Annotated[Path, Output()] = Field(
        Path("reconstructions"), description="Folder of the results."
    )
    format: Literal["glb", "obj", "ply", "stl", "3mf"] = Field(
        "glb", description="Format of the results."
    )


class InterpolateConfig(SamplingConfig, FaceColorsConfig):
    """Generate shapes between two prompts, with the same noise."""

    prompt: NonEmptyTexts = Field(
        ("a low square table", "a tall round table"), min_length=2, description="Two prompts."
    )
    steps: int = Field(6, ge=2, le=100, description="Shapes, with those of both prompts.")
    output: Annotated[Path, Output()] = Field(
        Path("interpolation"), description="Folder of the shapes and the sheet."
    )
    format: Literal["glb", "obj", "ply", "stl", "3mf"] = Field(
        "glb", description="Format of the shapes."
    )


class EvaluateConfig(SamplingConfig, PromptSetsConfig):
    """Measure reconstruction of held-out shapes, and shapes generated from prompts."""

    dataset: Annotated[Texts, Input()] = Field(
        ("sweethome3d",), min_length=1, description="Data sets to test on."
    )
    download_path: Annotated[str, Storage()] = Field(
        "datasets", description="Folder of the data sets."
    )
    max_samples: int = Field(0, ge=0, description="Use only the first so many files; 0 = all.")
    reconstruction: bool = Field(
        True, description="Measure reconstruction of held-out shapes, the longest part."
    )
    prompts: Annotated[Path | None, Input()] = Field(
        None, description="CSV `prompt,group`; none means the 300 that come with the project."
    )
    candidates: int = Field(
        4,
        ge=1,
        le=64,
        description="Shapes made for each prompt, as in `generate`; one is measured.",
    )
    output: Annotated[Path | None, Output()] = Field(
        None, description="Folder for report.json and an image."
    )


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "generate": GenerateConfig,
    "reconstruct": ReconstructConfig,
    "interpolate": InterpolateConfig,
    "evaluate": EvaluateConfig,
}

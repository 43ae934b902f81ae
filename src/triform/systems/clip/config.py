"""Settings of CLIP. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input
from triform.engine.config import (
    CosineSchedulerConfig,
    NoEarlyStoppingConfig,
    SystemConfig,
    TrainingConfig,
)
from triform.systems.clip.verb_config import (
    AnalyzeConfig,
    ClassifyConfig,
    DuplicatesConfig,
    EvaluateConfig,
    IndexConfig,
    SearchConfig,
)
from triform.tasks.captioning.config import CaptionedDataConfig

TRANSFORMER = "transformer"
"""Name of the text encoder that is trained from scratch."""
LITE = "tf_efficientnet_lite0"
"""Name of the image encoder that was trained before."""


class DataConfig(CaptionedDataConfig):
    """Images with captions, and their preprocessing."""

    dataset: Annotated[str, Input()] = Field(
        "csv",
        min_length=1,
        description="csv (images_dir and caption_file); emoji:en,ru,de, emoji with names in these "
        "languages; scenes, furniture; a set of images or a folder with one folder per class; or "
        "WebDataset shards such as shards/{00000..00099}.tar.",
    )
    val_shards: Annotated[str, Input()] = Field(
        "", description="Shards for validation; empty = none (shards)."
    )
    shuffle_buffer: int = Field(
        2000, ge=1, description="Samples among which the next one is drawn (shards)."
    )
    image_size: int = Field(224, ge=16, le=1024, description="Pixels along each side.")
    frame: bool = Field(False, description="Crop white edges and centre the rest in a square.")
    jitter: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Rotate, scale, translate and recolour training images by up to this share.",
    )
    erase: float = Field(
        0.0, ge=0, le=1, description="Probability of random erasing of training images."
    )
    batch_size: int = Field(256, ge=2, description="Images per step, in each process.")
    captions_per_image: int = Field(
        1, ge=1, le=100, description="Captions per image and step; sampled anew each time."
    )
    extra_texts: int = Field(
        0,
        ge=0,
        description="Captions of further contents that the images of a step are compared with "
        "(not of shards).",
    )
    num_workers: int = Field(0, ge=0, description="Processes that load data; 0 = the main one.")


class ModelConfig(Group):
    """Architecture of the encoders."""

    image_encoder: Literal["conv", "resnet", "vit", "tf_efficientnet_lite0"] = Field(
        "conv",
        description="Four convolutions, a ResNet of basic blocks, a vision transformer, or "
        "EfficientNet-Lite0 with weights that were trained before.",
    )
    image_weights: Literal["imagenet", "captioner"] = Field(
        "imagenet",
        description="First weights of EfficientNet-Lite0: of ImageNet (extra imagenet), or as the "
        "captioner that ships tuned them on emoji and furniture.",
    )
    train_image_encoder: bool = Field(
        True,
        description="Train EfficientNet-Lite0 too; without it, images are encoded once, without "
        "augmentation, and the projection of their features alone is trained.",
    )
    frozen_stages: int = Field(
        0,
        ge=0,
        le=8,
        description="Stages of EfficientNet-Lite0 that are not trained, from the first on.",
    )
    train_depthwise: bool = Field(
        True,
        description="Train the depthwise convolutions of EfficientNet-Lite0; without them a step "
        "takes half the time.",
    )
    image_width: int = Field(
        64, ge=4, le=4096, description="Channels of the first stage; width of the transformer."
    )
    image_depth: int = Field(2, ge=1, le=64, description="Blocks per stage (resnet); layers (vit).")
    image_heads: int = Field(4, ge=1, le=64, description="Attention heads (vit).")
    patch_size: int = Field(16, ge=2, le=64, description="Pixels along a side of a patch (vit).")
    image_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout of the image features (all but conv)."
    )
    text_encoder: Annotated[str, Input()] = Field(
        TRANSFORMER,
        min_length=1,
        description="transformer, trained from scratch on word pieces of the captions; or a frozen "
        "encoder with layers on top: use-multilingual, minilm, clip, a name or a folder.",
    )
    text_width: int = Field(512, ge=8, le=8192, description="Width of the text encoder.")
    text_layers: int = Field(12, ge=1, le=64, description="Layers (transformer).")
    text_heads: int = Field(8, ge=1, le=64, description="Attention heads (transformer).")
    text_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of the text encoder.")
    max_tokens: int = Field(
        77, ge=3, le=1024, description="Tokens of a text, start and end included (transformer)."
    )
    vocab_size: int = Field(
        50_000, ge=259, le=500_000, description="Word pieces, at most (transformer)."
    )
    embed_dim: int = Field(512, ge=2, le=8192, description="Width of the embedding space.")

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.text_encoder == TRANSFORMER and self.text_width % self.text_heads:
            raise ValueError(
                f"text_heads: {self.text_heads} do not divide text_width {self.text_width}"
            )
        if self.image_encoder == "vit" and self.image_width % self.image_heads:
            raise ValueError(
                f"image_heads: {self.image_heads} do not divide image_width {self.image_width}"
            )
        return self


class ClipTrainingConfig(TrainingConfig):
    """Length, rate and loss of the training."""

    memory_knobs = ("chunk_size", "batch_size", "image_size")

    epochs: int = 30
    lr: float = 1e-3
    image_lr: float = Field(
        0.0, ge=0, description="Learning rate of the image encoder; 0 = the same."
    )
    weight_decay: float = 0.1
    warmup_steps: int = 100
    grad_clip: float = 1.0
    loss: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="Loss of CLIP, or of SigLIP."
    )
    temperature: float = Field(
        0.0,
        ge=0,
        le=1,
        description="First temperature, which is learned; 0 = 0.07 (softmax) or 0.1 (sigmoid).",
    )
    chunk_size: int = Field(
        0,
        ge=0,
        description="Images or texts that are encoded at once, so that a large batch fits into "
        "memory at the cost of a second forward pass; 0 = the whole batch.",
    )

    @property
    def first_temperature(self) -> float:
        """The temperature that training starts with."""
        return self.temperature or (0.07 if self.loss == "softmax" else 0.1)


class Config(SystemConfig):
    """Train encoders of images and texts."""

    named_models = {  # noqa: RUF012
        ("model", "text_encoder"): ("text encoder", "--text_encoder")
    }
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: ClipTrainingConfig = ClipTrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()

    @model_validator(mode="after")
    def _fits(self) -> Config:
        model, size = self.model, self.data.image_size
        if model.image_encoder == "vit" and size % model.patch_size:
            raise ValueError(f"patch_size: {model.patch_size} does not divide image_size {size}")
        if not model.train_image_encoder:
            if model.image_encoder != LITE:
                raise ValueError(f"train_image_encoder: off needs image_encoder {LITE}")
            if self.data.jitter or self.data.erase:
                raise ValueError("train_image_encoder: off needs jitter 0 and erase 0")
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "evaluate": EvaluateConfig,
    "classify": ClassifyConfig,
    "analyze": AnalyzeConfig,
    "index": IndexConfig,
    "search": SearchConfig,
    "duplicates": DuplicatesConfig,
}
VERB_MODULES = {
    "index": "gallery.index",
    "search": "gallery.search",
    "duplicates": "gallery.duplicates",
}
"""Verbs that are not in `system.py`."""

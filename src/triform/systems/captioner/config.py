"""Settings of the captioner and of its verbs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input, Output, Storage
from triform.engine.config import (
    DeviceName,
    EarlyStoppingConfig,
    FinetuningConfig,
    LoggingConfig,
    SchedulerConfig,
    ShowConfig,
    SystemConfig,
    Texts,
    WandbConfig,
    at_most_cores,
)
from triform.tasks.captioning.config import CaptionedDataConfig

SMALL = "small"
"""Name of the encoder that is trained from scratch together with the decoder."""
RESIZE = 256 / 224
"""Side of a resized image by the side of its crop."""


class DataConfig(CaptionedDataConfig):
    """Images, captions and their preprocessing."""

    dataset: Annotated[str, Input()] = Field(
        "csv",
        min_length=1,
        description="csv (images_dir and caption_file), scenes, scenes:digits (both generated; "
        "scenes/400 has 400), emoji, or furniture; emoji+furniture is both.",
    )
    vocab_path: Annotated[str, Storage()] = Field(
        "./vocab.pkl",
        description="JSON file of the vocabulary: read if it exists, else built from the training "
        "captions and written; empty keeps the vocabulary in the checkpoint only.",
    )
    image_size: int = Field(
        224, ge=32, le=1024, description="Pixels along each side of the network's input."
    )
    random_crop: bool = Field(
        True, description="Resize images to 256/224 of image_size; crop training images at random."
    )
    frame: bool = Field(False, description="Crop white edges and centre the rest in a square.")
    mirror: bool = Field(
        False,
        description="Mirror half of the training images, with left and right exchanged in their "
        "captions.",
    )
    jitter: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Rotate, scale, translate and recolour training images by up to this share.",
    )
    erase: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Probability of random erasing of training images.",
    )
    batch_size: int = Field(
        32, ge=1, description="Images per step, each with its captions, in each process."
    )
    num_workers: int = Field(
        default_factory=lambda: at_most_cores(4),
        ge=0,
        description="Processes that load data, by default 4 or as many as there are cores; 0 = "
        "the main one.",
    )
    val_split: float = 0.2
    freq_threshold: int = Field(5, ge=1, description="Words that occur less often become <UNK>.")
    captions_per_image: int = Field(
        5, ge=1, le=100, description="Captions per image and step, at most."
    )
    cache_features: bool = Field(
        True,
        description="Encode each image once if the encoder is frozen and keep the features in "
        "the cache folder; images are then cropped from the middle, without augmentation.",
    )


class ModelConfig(Group):
    """Architecture of the networks."""

    encoder: str = Field(
        "resnet50",
        min_length=1,
        description="Any network of timm by name; random:NAME with random weights; small is "
        "trained from scratch.",
    )
    encoder_weights: Annotated[str, Input()] = Field(
        "",
        description="File of its weights (.safetensors, .pth), or a run or weights of a captioner "
        "whose fine-tuned encoder is used; empty = the hub.",
    )
    encoder_width: int = Field(32, ge=8, le=512, description="Channels of the small encoder.")
    encoder_blocks: int = Field(
        1, ge=1, le=8, description="Residual blocks in each stage of the small encoder."
    )
    encoder_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout of channels in the small encoder's last stage."
    )
    embed_size: int = Field(512, ge=8, le=8192, description="Width of the word embedding.")
    decoder_dim: int = Field(512, ge=8, le=8192, description="Width of the LSTM's state.")
    encoder_dim: int = Field(512, ge=8, le=8192, description="Width of the image features.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout of the LSTM's outputs.")
    word_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the input words replaced by <UNK> in training."
    )
    encoder_fine_tune: bool = Field(
        False, description="Train the pretrained encoder too; its batch norms stay frozen."
    )
    encoded_image_size: int = Field(
        14, ge=1, le=64, description="Rows and columns of the image features."
    )
    attention: bool = Field(
        False, description="Attention over positions, instead of the mean of the features alone."
    )
    attention_dim: int = Field(
        256, ge=8, le=8192, description="Width of queries and keys (attention)."
    )
    attention_score: Literal["additive", "dot"] = Field(
        "additive",
        description="Score of query and key: a layer over their sum, or their dot product, which "
        "learns faster.",
    )
    doubly_stochastic: float = Field(
        1.0,
        ge=0,
        description="Weight of the loss that lets every position get a total attention of 1.",
    )
    detection: float = Field(
        0.0,
        ge=0,
        description="Weight of the loss of word detection, a second task in training.",
    )


class CaptionerTrainingConfig(FinetuningConfig):
    """Length and rate of training, checkpoints."""

    memory_knobs = ("batch_size", "image_size", "captions_per_image")

    lr: float = 1e-4
    grad_clip: float = 5.0
    checkpoint_dir: str = "./checkpoints"

    def checkpoint_file(self, name: str) -> str:
        """File name of the checkpoint `best`, `last` or `epoch_001`."""
        return f"{name if name.startswith('epoch') else name + '_checkpoint'}.pth.tar"


class CaptionerWandbConfig(WandbConfig):
    """Weights & Biases."""

    project: str = "image-captioning"
    entity: str | None = "tumambae"


class CaptionerLoggingConfig(LoggingConfig):
    """Logs of the run."""

    wandb: CaptionerWandbConfig = CaptionerWandbConfig()


class MetricsConfig(Group):
    """Metrics of the validation besides the loss."""

    bleu: bool = Field(True, description="BLEU of greedily decoded captions.")
    use_sacrebleu_if_available: bool = Field(
        True, description="Use sacrebleu if it is installed, else nltk, else leave BLEU out."
    )


class Config(SystemConfig):
    """Train a captioner."""

    named_models = {  # noqa: RUF012
        ("model", "encoder"): ("image encoder", "--encoder"),
        ("model", "encoder_weights"): ("file of weights", "--encoder_weights"),
    }
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: CaptionerTrainingConfig = CaptionerTrainingConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    logging: CaptionerLoggingConfig = CaptionerLoggingConfig()
    metrics: MetricsConfig = MetricsConfig()

    @model_validator(mode="after")
    def _fits(self) -> Config:
        if self.model.encoder == SMALL and self.model.encoder_weights:
            raise ValueError("encoder_weights: the encoder `small` has none; leave it out")
        return self


Decoding = Literal["greedy", "beam", "known", "sample"]


class _TrainedConfig(Settings):
    """Settings of the verbs that use a trained captioner."""

    checkpoint: Annotated[str | None, Input()] = Field(
        None,
        description="Trained weights (.pth.tar, .safetensors or a run directory); by default "
        "./checkpoints/best_checkpoint.pth.tar, or else those that ship.",
    )
    encoder: str = Field(
        "", description="Frozen encoder instead of the one named in the checkpoint, as in train."
    )
    encoder_weights: Annotated[str, Input()] = Field(
        "", description="Its weights, as in train; empty = of a package or the hub."
    )
    decoding: Decoding = Field(
        "beam",
        description="Decoding; known is a beam search restricted to the training captions, best if "
        "these are names.",
    )
    beam_size: int = Field(5, ge=1, le=64, description="Hypotheses per image (beam, known).")
    length_penalty: float = Field(
        0.7, ge=0, le=2, description="Scores are divided by length to this power (beam, known)."
    )
    temperature: float = Field(1.0, gt=0, le=10, description="Divides the logits (sample).")
    top_k: int = Field(0, ge=0, description="Sample from so many words; 0 = all (sample).")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Sample from the most probable words up to this sum (sample)."
    )
    max_length: int = Field(30, ge=1, le=500, description="Words in a caption, at most.")
    batch_size: int = Field(64, ge=1, description="Images at once.")
    seed: int = Field(42, ge=0, lt=2**63, description="Seed of sampling.")
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")


class CaptionConfig(_TrainedConfig):
    """Caption images."""

    images: Annotated[Texts, Input()] = Field(
        min_length=1, description="Images: files, folders, or patterns such as photos/*.jpg."
    )
    attention_maps: Annotated[Path | None, Output()] = Field(
        None, description="Folder for attention maps of each word (attention)."
    )


class EvaluateConfig(_TrainedConfig):
    """Measure a captioner on images that were not in its training."""

    split: str = Field("", description="Split of the data; empty = test, or else val.")
    dataset: Annotated[str, Input()] = Field(
        "",
        description="Other data, as --dataset of train, or joypixels, emoji by a maker kept for "
        "tests; empty = the same.",
    )
    images_dir: Annotated[str, Input()] = Field("", description="Folder of other images (csv).")
    caption_file: Annotated[str, Input()] = Field(
        "", description="CSV image,caption of other captions (csv)."
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    baselines: bool = Field(True, description="Measure baselines without training too.")
    output: Annotated[Path | None, Output(".jsonl")] = Field(
        None, description="File for the captions (JSON lines)."
    )


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "caption": CaptionConfig,
    "evaluate": EvaluateConfig,
    "config": ShowConfig,
}

"""Every knob of the captioner, and the settings of its verbs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from triform.base.config import Group, Settings
from triform.engine.config import (
    DeviceName,
    EarlyStoppingConfig,
    FinetuningConfig,
    LoggingConfig,
    SchedulerConfig,
    SystemConfig,
    WandbConfig,
)

SMALL = "small"
"""The encoder that is trained here, from scratch, together with the decoder."""
RESIZE = 256 / 224
"""Pictures are made larger than what the network sees by this, and then cropped."""


def _as_tuple(value: object) -> object:
    """A single text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


class DataConfig(Group):
    """Which pictures and captions, and how they are shown."""

    dataset: str = Field(
        "csv",
        min_length=1,
        description="csv (images_dir and caption_file), scenes, scenes:digits (both made here; "
        "scenes/400 makes 400), emoji, or furniture; emoji+furniture is both.",
    )
    download_path: str = Field("datasets", description="Folder that data sets are brought to.")
    images_dir: str = Field("./data/flickr8k/images", description="Folder of the pictures (csv).")
    caption_file: str = Field(
        "./data/flickr8k/captions.csv",
        description="CSV with the header image,caption and a row per caption (csv).",
    )
    vocab_path: str = Field(
        "./vocab.pkl",
        description="JSON file of the words: read where it exists, else made from the training "
        "captions; empty keeps the words in the checkpoint alone.",
    )
    image_size: int = Field(
        224, ge=32, le=1024, description="Pixels along each side of what the network sees."
    )
    random_crop: bool = Field(
        True, description="Show training pictures 256/224 larger and cropped at random places."
    )
    frame: bool = Field(
        False, description="Cut white edges away and bring what is left to the middle of a square."
    )
    mirror: bool = Field(
        False,
        description="Show half of the training pictures mirrored, with left and right exchanged "
        "in their captions.",
    )
    jitter: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Turn, stretch, shift and recolour training pictures by up to this share.",
    )
    erase: float = Field(
        0.0, ge=0, le=1, description="Cover a small part of this share of the training pictures."
    )
    batch_size: int = Field(
        32, ge=1, description="Pictures per step, each with its captions, in each process."
    )
    num_workers: int = Field(4, ge=0, description="Processes that load data; 0 = none apart.")
    val_split: float = Field(
        0.2, gt=0, lt=1, description="Share of the pictures for validation (csv), by picture."
    )
    freq_threshold: int = Field(5, ge=1, description="Words that occur less often become <UNK>.")
    captions_per_picture: int = Field(
        5, ge=1, le=100, description="At most so many captions of a picture are learned at once."
    )
    cache_features: bool = Field(
        True,
        description="Encode each picture once where the encoder is frozen, keep the features in "
        "the cache folder, and crop from the middle; nothing is mirrored or jittered.",
    )


class ModelConfig(Group):
    """Shape of the networks."""

    encoder: str = Field(
        "resnet50",
        min_length=1,
        description="Any network of timm by name; random:NAME without its weights; small is "
        "trained here from scratch.",
    )
    encoder_weights: str = Field(
        "",
        description="File of its weights (.safetensors, .pth); a run or weights of a captioner "
        "lend the encoder that they tuned; empty asks the hub.",
    )
    encoder_width: int = Field(32, ge=8, le=512, description="Channels of the small encoder.")
    encoder_blocks: int = Field(
        1, ge=1, le=8, description="Residual blocks in each stage of the small encoder."
    )
    encoder_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the small encoder's last channels left out."
    )
    embed_size: int = Field(512, ge=8, le=8192, description="Width of a word's vector.")
    decoder_dim: int = Field(512, ge=8, le=8192, description="Width of the LSTM's state.")
    encoder_dim: int = Field(512, ge=8, le=8192, description="Width of the picture's features.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of the LSTM's outputs left out.")
    word_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the words before the next that are not heard."
    )
    encoder_fine_tune: bool = Field(
        False, description="Train the pretrained encoder too; its norms keep their statistics."
    )
    encoded_image_size: int = Field(
        14, ge=1, le=64, description="Rows and columns of the features that the decoder sees."
    )
    attention: bool = Field(
        False, description="Look at one place after the other instead of at the mean alone."
    )
    attention_dim: int = Field(256, ge=8, le=8192, description="Width of the attention.")
    attention_score: Literal["additive", "dot"] = Field(
        "additive",
        description="How a place answers what is looked for: by a layer over the sum of both, or "
        "by their product, which learns faster.",
    )
    doubly_stochastic: float = Field(
        1.0,
        ge=0,
        description="Weight of the wish that every place is looked at once (attention).",
    )
    detection: float = Field(
        0.0,
        ge=0,
        description="Weight of a second task in training: which words are to be seen anywhere.",
    )


class CaptionerTrainingConfig(FinetuningConfig):
    """How long and how fast to train, and what to keep."""

    memory_knobs = ("batch_size", "image_size", "captions_per_picture")

    lr: float = 1e-4
    grad_clip: float = 5.0
    checkpoint_dir: str = "./checkpoints"

    def checkpoint_file(self, name: str) -> str:
        """File name of the checkpoint `best`, `last` or `epoch_001`, as documented."""
        return f"{name if name.startswith('epoch') else name + '_checkpoint'}.pth.tar"


class CaptionerLoggingConfig(LoggingConfig):
    """Where the run and its numbers are written."""

    wandb: WandbConfig = WandbConfig(project="image-captioning", entity="tumambae")


class MetricsConfig(Group):
    """What is measured at each validation besides the loss."""

    bleu: bool = Field(True, description="BLEU of captions made without help, by greedy choice.")
    use_sacrebleu_if_available: bool = Field(
        True, description="By sacrebleu where it is installed, else by nltk, else not at all."
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
            raise ValueError("encoder_weights: the encoder `small` begins from scratch; leave out")
        return self


Decoding = Literal["greedy", "beam", "known", "sample"]


class _TrainedConfig(Settings):
    """What every verb that uses a trained captioner can be told."""

    checkpoint: str | None = Field(
        None,
        description="Trained weights (.pth.tar, .safetensors or a run directory); where not "
        "given, ./checkpoints/best_checkpoint.pth.tar, or else those that ship.",
    )
    encoder: str = Field(
        "", description="Frozen encoder instead of the one named in the checkpoint, as in train."
    )
    encoder_weights: str = Field(
        "", description="Its weights, as in train; empty = of a package or the hub."
    )
    decoding: Decoding = Field(
        "beam",
        description="How words are chosen; known says one of the captions of the training, which "
        "names things best where they are few.",
    )
    beam_size: int = Field(5, ge=1, le=64, description="Sentences followed at once (beam, known).")
    length_power: float = Field(
        0.7, ge=0, le=2, description="A score is divided by length to this power (beam, known)."
    )
    temperature: float = Field(1.0, gt=0, le=10, description="Above 1 bolder (sample).")
    top_k: int = Field(0, ge=0, description="Only so many likely words; 0 = all (sample).")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Only the likeliest words up to this sum (sample)."
    )
    max_length: int = Field(30, ge=1, le=500, description="Words in a caption, at most.")
    batch_size: int = Field(64, ge=1, description="Pictures at once.")
    seed: int = Field(42, ge=0, lt=2**63, description="Seed of what is drawn by chance.")
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")


class CaptionConfig(_TrainedConfig):
    """Say a sentence about each picture."""

    pictures: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(
        min_length=1, description="Pictures: files, folders, or patterns such as photos/*.jpg."
    )
    attention_maps: Path | None = Field(
        None, description="Folder for pictures of where each word looked (attention)."
    )


class EvaluateConfig(_TrainedConfig):
    """Measure a captioner on pictures that it never learned from."""

    split: str = Field("", description="Part of the data; empty = test, or else val.")
    dataset: str = Field(
        "",
        description="Other data, as --dataset of train, or joypixels, emoji by a maker kept for "
        "tests; empty = its own.",
    )
    images_dir: str = Field("", description="Folder of the pictures, where it is another.")
    caption_file: str = Field("", description="CSV image,caption, where it is another.")
    download_path: str = Field("datasets", description="Folder of the data sets.")
    baselines: bool = Field(True, description="Captions without learning beside it.")
    output: Path | None = Field(None, description="File for the captions (JSON lines).")


class ShowConfig(Settings):
    """Print all settings of the training with their meaning, as a file for --config."""

    preset: str = Field("", description="With the values of this preset; empty = the defaults.")


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "caption": CaptionConfig,
    "evaluate": EvaluateConfig,
    "config": ShowConfig,
}

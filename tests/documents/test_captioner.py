"""The captioner's `config.yaml`, every key as its document prints it, and its command."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from triform.base.settings.config import load
from triform.engine.checkpoints import checkpoint
from triform.engine.config import at_most_cores
from triform.systems.captioner.config import Config

from .conftest import Command, runner

CONFIG = """\
device: "cuda"
seed: 42
data:
  images_dir: "./data/flickr8k/images"
  caption_file: "./data/flickr8k/captions.csv"
  vocab_path: "./vocab.pkl"
  image_size: 224
  batch_size: 32
  num_workers: 4
  val_split: 0.2
  freq_threshold: 5
model:
  embed_size: 512
  decoder_dim: 512
  encoder_dim: 512
  dropout: 0.5
  encoder_fine_tune: false
  encoded_image_size: 14
training:
  epochs: 50
  lr: 1e-4
  lr_mode: "continue"
  finetune_lr: 1e-5
  grad_clip: 5.0
  use_amp: true
  save_every_epoch: false
  checkpoint_dir: "./checkpoints"
  resume_from: null
scheduler:
  type: "ReduceLROnPlateau"
  factor: 0.5
  patience: 2
  min_lr: 1e-7
early_stopping:
  enabled: true
  patience: 5
  min_delta: 1e-4
  track_overfitting: true
  overfitting_gap_threshold: 0.5
  overfitting_patience: 3
logging:
  tensorboard: false
  tensorboard_dir: "./runs"
  use_wandb: false
  wandb.project: "image-captioning"
  wandb.entity: "tumambae"
metrics:
  bleu: true
  use_sacrebleu_if_available: true
"""
TRAIN = "python train.py --config config.yaml"
SMALL = [
    "--encoder",
    "random:resnet10t",
    "--image_size",
    "64",
    "--freq_threshold",
    "1",
    "--embed_size",
    "16",
    "--decoder_dim",
    "16",
    "--encoder_dim",
    "16",
    "--batch_size",
    "8",
    "--num_workers",
    "0",
    "--sample_every",
    "0",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `config.yaml` and ten captioned images where it says."""
    folder = tmp_path_factory.mktemp("captioner")
    images = folder / "data" / "flickr8k" / "images"
    images.mkdir(parents=True)
    lines = ["image,caption"]
    for number in range(10):
        color = "red" if number % 2 else "blue"
        Image.new("RGB", (40, 30), color).save(images / f"{number}_18933d713e.jpg")
        lines += [
            f'{number}_18933d713e.jpg,"A {color} sheet is lying on a table ."',
            f'{number}_18933d713e.jpg,"All {color} ."',
        ]
    (images.parent / "captions.csv").write_text("\n".join(lines))
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def command(place: Path) -> Command:
    """Runs a command there, after the first training."""
    run = runner(place)
    run(TRAIN, *SMALL, "--epochs", "2", "--save_every_epoch", "true")
    return run


def test_every_key_is_known_and_has_its_documented_default(place: Path) -> None:
    """All but the device, the fastest one that is there, and fewer workers on fewer cores."""
    config = load(Config, place / "config.yaml")
    assert config.device == "cuda" and config.data.num_workers == 4
    data = config.data.model_copy(update={"num_workers": at_most_cores(4)})
    assert config.model_copy(update={"device": "auto", "data": data}) == Config()


def test_training_writes_the_documented_files(command: Command, place: Path) -> None:
    names = {path.name for path in (place / "checkpoints").iterdir()}
    assert names >= {"best_checkpoint.pth.tar", "last_checkpoint.pth.tar", "epoch_001.pth.tar"}
    words = json.loads((place / "vocab.pkl").read_text())
    assert words.keys() == {"word_to_idx", "freq_threshold"}


def test_a_gpu_that_a_flag_names_must_be_there(command: Command) -> None:
    """Nothing is trained; in the file above the same word is a wish."""
    assert "torch finds no GPU here" in command(TRAIN, *SMALL, "--device", "cuda", status=2)


@pytest.mark.parametrize("name", ["last", "best"])
def test_resuming_restores_epoch_and_best(command: Command, place: Path, name: str) -> None:
    before = checkpoint.load(place / "checkpoints" / f"{name}_checkpoint.pth.tar")
    source = f"./checkpoints/{name}_checkpoint.pth.tar"
    epochs = str(before["epoch"] + 1)
    resumed = yaml.safe_load(CONFIG)
    resumed["training"]["resume_from"] = source
    (place / "config.yaml").write_text(yaml.safe_dump(resumed))
    command(TRAIN, *SMALL, "--epochs", epochs)
    after = checkpoint.load(place / "checkpoints" / "last_checkpoint.pth.tar")
    assert after["epoch"] == int(epochs) and after["step"] == int(epochs)
    assert after["best"]["value"] <= before["best"]["value"]


def test_fine_tuning_from_the_best_frozen_checkpoint(command: Command, place: Path) -> None:
    """`encoder_fine_tune: true`, `lr_mode: "finetune"`, `resume_from`: as recommended."""
    text = CONFIG.replace("encoder_fine_tune: false", "encoder_fine_tune: true")
    text = text.replace('lr_mode: "continue"', 'lr_mode: "finetune"')
    text = text.replace("from: null", 'from: "./checkpoints/best_checkpoint.pth.tar"')
    (place / "config.yaml").write_text(text)
    command(TRAIN, *SMALL, "--epochs", "1")
    state = checkpoint.load(place / "checkpoints" / "last_checkpoint.pth.tar")
    assert any(name.startswith("encoder.") for name in state["networks"]["captioner"])
    rates = [group["lr"] for group in state["optimizers"]["main"]["param_groups"]]
    assert rates == [1e-4, 1e-5]

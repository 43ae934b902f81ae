"""The captioner from end to end: documented settings, files, verbs, wrong input."""

import contextlib
import io
import json
import os
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from captioned_folder import TINY, flags_of, write_flickr
from PIL import Image

from triform import cli
from triform.base.errors import UsageError, UserError
from triform.base.settings.config import load, parse
from triform.engine.checkpoints import checkpoint
from triform.engine.verbs import train
from triform.systems.captioner import data
from triform.systems.captioner.config import VERBS, Config
from triform.systems.captioner.data import (
    CaptionBatches,
    load_vocabulary,
    preprocess,
)
from triform.systems.captioner.system import System, Trained, caption, evaluate
from triform.tasks.captioning.data import load_table
from triform.text.vocabulary import Vocabulary

PRESETS = Path(__file__).parents[3] / "src/triform/systems/captioner/presets"
DOCUMENTED = {
    "seed": 42,
    "data": {
        "vocab_path": "./vocab.pkl",
        "image_size": 224,
        "batch_size": 32,
        "num_workers": min(4, len(os.sched_getaffinity(0))),  # 4 of more cores
        "val_split": 0.2,
        "freq_threshold": 5,
        "images_dir": "./data/flickr8k/images",
        "caption_file": "./data/flickr8k/captions.csv",
    },
    "model": {
        "embed_size": 512,
        "decoder_dim": 512,
        "encoder_dim": 512,
        "dropout": 0.5,
        "encoder_fine_tune": False,
        "encoded_image_size": 14,
    },
    "training": {
        "epochs": 50,
        "lr": 1e-4,
        "lr_mode": "continue",
        "finetune_lr": 1e-5,
        "grad_clip": 5.0,
        "use_amp": True,
        "save_every_epoch": False,
        "checkpoint_dir": "./checkpoints",
        "resume_from": None,
    },
    "scheduler": {
        "type": "ReduceLROnPlateau",
        "factor": 0.5,
        "patience": 2,
        "min_lr": 1e-7,
    },
    "early_stopping": {
        "enabled": True,
        "patience": 5,
        "min_delta": 1e-4,
        "track_overfitting": True,
        "overfitting_gap_threshold": 0.5,
        "overfitting_patience": 3,
    },
    "logging": {
        "tensorboard": False,
        "tensorboard_dir": "./runs",
        "use_wandb": False,
        "wandb": {"project": "image-captioning", "entity": "tumambae"},
    },
    "metrics": {"bleu": True, "use_sacrebleu_if_available": True},
}


class Result(NamedTuple):
    """Exit status and output of a command."""

    returncode: int
    stdout: str
    stderr: str


def run_cli(*arguments: str, cwd: Path) -> Result:
    """Run the command in this process, because starting one takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(["captioner", *arguments])
    finally:
        os.chdir(before)
    return Result(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A tiny trained run."""
    folder = tmp_path_factory.mktemp("captioner")
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(folder)]
    return Path(train(System, parse(Config, flags, PRESETS))["run"])


def test_documented_settings_have_their_documented_defaults():
    assert_within(DOCUMENTED, Config().model_dump(mode="json"))


def assert_within(part, whole):
    for key, value in part.items():
        if isinstance(value, dict):
            assert_within(value, whole[key])
        else:
            assert whole[key] == value, key


def test_the_printed_settings_read_back(tmp_path):
    result = run_cli("config", cwd=tmp_path)
    assert result.returncode == 0 and not result.stderr
    (tmp_path / "config.yaml").write_text(result.stdout)
    assert load(Config, tmp_path / "config.yaml") == Config()
    commented = sum(line.lstrip().startswith("#") for line in result.stdout.splitlines())
    assert commented > len(yaml.safe_load(result.stdout)["data"])
    other = run_cli("config", "--preset", "tiny", cwd=tmp_path)
    (tmp_path / "tiny.yaml").write_text(other.stdout)
    assert load(Config, tmp_path / "tiny.yaml") == load(Config, PRESETS / "tiny.yaml")


def test_documented_files(tmp_path, monkeypatch):
    """Names of checkpoints, vocabulary as JSON, a frozen network of timm with cached features."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    flags = [
        *write_flickr(tmp_path),
        *flags_of(
            **TINY, encoder="random:resnet10t", image_size=64, epochs=2, save_every_epoch="true"
        ),
    ]
    train(System, parse(Config, flags))
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names >= {
        "best_checkpoint.pth.tar",
        "last_checkpoint.pth.tar",
        "epoch_001.pth.tar",
        "epoch_002.pth.tar",
    }
    words = json.loads((tmp_path / "vocab.pkl").read_text())
    assert {"word_to_idx", "freq_threshold"} <= set(words) and "sheet" in words["word_to_idx"]
    assert len(list((tmp_path / "cache" / "captioner").glob("maps-*.npy"))) == 1
    captions = caption(VERBS["caption"](images=("images/*.jpg", "images/0.jpg"), device="cpu"))
    assert len(captions) == 12 and all(row["caption"] is not None for row in captions)
    last = tmp_path / "checkpoints" / "last_checkpoint.pth.tar"
    resumed = parse(Config, [*flags, "--resume_from", str(last), "--epochs", "3"])
    assert train(System, resumed)["val/loss"] > 0
    assert torch.load(last, weights_only=True)["epoch"] == 3


def test_known_decoding_without_captions_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MAX_KNOWN_CAPTIONS", 3)
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(tmp_path), "--epochs", "1"]
    folder = Path(train(System, parse(Config, flags, PRESETS))["run"])
    trained = Trained.from_checkpoint(folder / "checkpoints" / "best_checkpoint.pth.tar", "cpu")
    with pytest.raises(UsageError, match=r"--decoding known: .*keeps no captions"):
        known = VERBS["caption"](images=("x",), decoding="known")
        trained.caption([np.zeros((9, 9, 3), np.uint8)], known)


def test_detection_without_informative_words_is_refused(tmp_path, monkeypatch):
    """Half of the sheets are red, half are blue, and captions have no other words."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    flags = [
        *write_flickr(tmp_path, 40),
        *flags_of(
            encoder="small",
            image_size=32,
            detection=1,
            freq_threshold=1,
            vocab_path="",
            num_workers=0,
            device="cpu",
        ),
    ]
    with pytest.raises(UserError, match="detection 1: no word tells these 40 images apart"):
        System(parse(Config, flags))


def test_the_vocabulary_is_of_the_training_split_and_never_a_pickle(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    flags = [*write_flickr(tmp_path), "--freq_threshold", "1", "--vocab_path"]
    path = tmp_path / "words.json"
    config = parse(Config, [*flags, str(path)])
    table = load_table(config.data, config.seed)
    words = {
        word
        for row in table.rows("train")
        for text in table.captions[row]
        for word in text.lower().replace(",", "").split()
    }
    vocabulary = load_vocabulary(table, config.data)
    assert words == set(vocabulary.words[4:])
    vocabulary.save(path)
    assert load_vocabulary(table, config.data) == vocabulary
    path.write_bytes(pickle.dumps({"word_to_idx": {}}))
    with pytest.raises(UserError, match="is a pickle"):
        load_vocabulary(table, config.data)
    Vocabulary.build(["entirely other words"], 1).save(path)
    with pytest.raises(UserError, match="knows too few"):
        load_vocabulary(table, config.data)


def test_another_vocabulary_is_refused_on_resuming(tmp_path):
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(tmp_path), "--epochs", "1"]
    flags += ["--vocab_path", str(tmp_path / "words.json")]
    run = train(System, parse(Config, flags, PRESETS))["run"]
    words = list(Vocabulary.load(tmp_path / "words.json").words)
    words[4], words[5] = words[5], words[4]
    Vocabulary.from_words(words, 1).save(tmp_path / "words.json")
    resumed = [*flags[:-4], *flags[-2:], "--epochs", "2", "--resume_from", run]
    with pytest.raises(UserError, match=r"trained with another vocabulary\.words"):
        train(System, parse(Config, resumed, PRESETS))


def test_metadata_build_the_captioner(run):
    """Vocabulary and known captions are plain data of the checkpoint, and damaged ones refused."""
    path = run / "checkpoints" / "best_checkpoint.pth.tar"
    state = checkpoint.load(path)
    config = parse(Config, ["--config", "tiny"], PRESETS)
    table = load_table(config.data, config.seed)
    words = list(load_vocabulary(table, config.data).words)
    assert state["metadata"]["vocabulary"] == {"words": words, "freq_threshold": 1}
    captions = {text for row in table.rows("train") for text in table.captions[row]}
    assert state["metadata"]["captions"] == sorted(captions)
    assert not any(
        tensor.dtype == torch.uint8 for tensor in state["networks"]["captioner"].values()
    )
    trained = Trained.from_checkpoint(path, "cpu")
    assert list(trained.vocabulary.words) == words and trained.tree
    for damage in (
        {},
        [],
        {"vocabulary": {"words": words[1:], "freq_threshold": 1}, "captions": []},
        {"vocabulary": {"words": [*words[:-1], "<PAD>"], "freq_threshold": 1}, "captions": []},
        {"vocabulary": {"words": [*words[:-1], 7], "freq_threshold": 1}, "captions": []},
        {"vocabulary": {"words": words, "freq_threshold": None}, "captions": []},
        {"vocabulary": {"words": words, "freq_threshold": 1}, "captions": 3},
        {"vocabulary": {"words": [*words, "more"], "freq_threshold": 1}, "captions": []},
    ):
        checkpoint.save(run / "damaged.pth", state | {"metadata": damage})
        with pytest.raises(UserError, match="do not fit its settings"):
            Trained.from_checkpoint(run / "damaged.pth", "cpu")


def test_images_are_preprocessed_as_in_validation(run):
    """`caption` gives the network the same pixels as validation."""
    config = parse(
        Config, ["--config", "tiny", "--image_size", "48", "--random_crop", "true"], PRESETS
    )
    table = load_table(config.data, config.seed)
    batches = CaptionBatches(
        table, table.rows("val"), load_vocabulary(table, config.data), config.data, training=False
    )
    row = int(table.rows("val")[0])
    pixels = batches.images(np.array([row]))[0].permute(1, 2, 0).numpy() * 255
    assert np.array_equal(np.rint(pixels), preprocess(table.images.image(row), config.data))


def test_evaluate_prints_baselines_and_signature(run, tmp_path):
    settings = VERBS["evaluate"](
        checkpoint=str(run), device="cpu", split="test_held_out", output=tmp_path / "captions.jsonl"
    )
    result = evaluate(settings)
    rows = {row["by"]: row for row in result["rows"]}
    assert set(rows) == {"captioner", "majority", "nearest neighbour"}
    for row in rows.values():
        assert {"bleu4", "rouge_l", "cider_d", "content_accuracy"} <= set(row)
    assert "nrefs" in result["signature"]
    lines = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    assert len(lines) == result["images"] == 8 and len(lines[0]["references"]) == 5
    with pytest.raises(UsageError, match="test_held_out"):
        evaluate(settings.model_copy(update={"split": "tset"}))


def test_attention_maps_and_bad_images(run, tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (90, 60), "white").save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    result = run_cli(
        "caption",
        "--checkpoint",
        str(run),
        "--images",
        str(tmp_path),
        "--json",
        "--attention_maps",
        str(tmp_path / "maps"),
        "--decoding",
        "greedy",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [Path(row["image"]).name for row in rows] == ["a.png", "b.png", "broken.png"]
    assert "damaged" in rows[2]["problem"] and rows[2]["caption"] is None
    assert Image.open(tmp_path / "maps" / "a.png").size[0] > 160


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["caption", "--images", "nowhere/*.png"], 2, "no images there"),
        (["train", "--images_dir", "nowhere"], 2, "images_dir"),
        (["train", "--config", "tiny", "--encoder", "resnet51"], 1, "resnet51"),
        (["train", "--config", "tiny", "--dataset", "senes"], 2, "dataset"),
        (["train", "--lr_mode", "fast"], 2, "lr_mode"),
        (["train", "--dropot", "0.1"], 2, "dropout"),
        (["evaluate", "--checkpoint", "nowhere.pth.tar"], 1, "nowhere.pth.tar"),
        (["config", "--preset", "tini"], 2, "tiny"),
    ],
)
def test_wrong_input_is_one_line(arguments, status, message, tmp_path):
    result = run_cli(*arguments, cwd=tmp_path)
    assert result.returncode == status, result.stderr
    assert message in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1

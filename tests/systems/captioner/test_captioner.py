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
from PIL import Image

from triform import cli
from triform.base.config import load, parse
from triform.base.errors import UsageError, UserError
from triform.systems.captioner import data
from triform.systems.captioner.config import VERBS, Config
from triform.systems.captioner.data import Batches, as_seen, find_vocabulary, load_table
from triform.systems.captioner.system import System, caption, evaluate, from_checkpoint, train
from triform.text.vocabulary import Vocabulary

PRESETS = Path(__file__).parents[3] / "src/triform/systems/captioner/presets"
DOCUMENTED = {
    "seed": 42,
    "data": {
        "vocab_path": "./vocab.pkl", "image_size": 224, "batch_size": 32, "num_workers": 4,
        "val_split": 0.2, "freq_threshold": 5, "images_dir": "./data/flickr8k/images",
        "caption_file": "./data/flickr8k/captions.csv",
    },
    "model": {
        "embed_size": 512, "decoder_dim": 512, "encoder_dim": 512, "dropout": 0.5,
        "encoder_fine_tune": False, "encoded_image_size": 14,
    },
    "training": {
        "epochs": 50, "lr": 1e-4, "lr_mode": "continue", "finetune_lr": 1e-5, "grad_clip": 5.0,
        "use_amp": True, "save_every_epoch": False, "checkpoint_dir": "./checkpoints",
        "resume_from": None,
    },
    "scheduler": {
        "type": "ReduceLROnPlateau", "factor": 0.5, "patience": 2, "min_lr": 1e-7,
    },
    "early_stopping": {
        "enabled": True, "patience": 5, "min_delta": 1e-4, "track_overfitting": True,
        "overfitting_gap_threshold": 0.5, "overfitting_patience": 3,
    },
    "logging": {
        "tensorboard": False, "tensorboard_dir": "./runs", "use_wandb": False,
        "wandb": {"project": "image-captioning", "entity": "tumambae"},
    },
    "metrics": {"bleu": True, "use_sacrebleu_if_available": True},
}  # fmt: skip


class Answer(NamedTuple):
    """What a command said."""

    returncode: int
    stdout: str
    stderr: str


def run_cli(*words: str, cwd: Path) -> Answer:
    """The command, in this process: starting one takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(["captioner", *words])
    finally:
        os.chdir(before)
    return Answer(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A tiny trained run."""
    folder = tmp_path_factory.mktemp("captioner")
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(folder)]
    return Path(train(parse(Config, flags, PRESETS))["run"])


def write_flickr(folder: Path, count: int = 12) -> list[str]:
    """A small folder in the documented form, and the flags that name it."""
    (folder / "images").mkdir()
    lines = ["image,caption"]
    for number in range(count):
        color = "red" if number % 2 else "blue"
        Image.new("RGB", (40, 30), color).save(folder / "images" / f"{number}.jpg")
        lines += [f'{number}.jpg,"A {color} sheet, plain"', f"{number}.jpg,all {color}"]
    (folder / "captions.csv").write_text("\n".join(lines))
    return ["--images_dir", str(folder / "images"), "--caption_file", str(folder / "captions.csv")]


def test_documented_settings_have_their_documented_defaults():
    assert_within(DOCUMENTED, Config().model_dump(mode="json"))


def assert_within(part, whole):
    for key, value in part.items():
        if isinstance(value, dict):
            assert_within(value, whole[key])
        else:
            assert whole[key] == value, key


def test_the_printed_settings_read_back(tmp_path):
    answer = run_cli("config", cwd=tmp_path)
    assert answer.returncode == 0 and not answer.stderr
    (tmp_path / "config.yaml").write_text(answer.stdout)
    assert load(Config, tmp_path / "config.yaml") == Config()
    commented = sum(line.lstrip().startswith("#") for line in answer.stdout.splitlines())
    assert commented > len(yaml.safe_load(answer.stdout)["data"])
    other = run_cli("config", "--preset", "tiny", cwd=tmp_path)
    (tmp_path / "tiny.yaml").write_text(other.stdout)
    assert load(Config, tmp_path / "tiny.yaml") == load(Config, PRESETS / "tiny.yaml")


def test_documented_files(tmp_path, monkeypatch):
    """Names of checkpoints, vocabulary as JSON, a frozen network of timm with cached features."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    flags = [
        *write_flickr(tmp_path), "--encoder", "random:resnet10t", "--image_size", "64",
        "--freq_threshold", "1", "--epochs", "2", "--embed_size", "16", "--decoder_dim", "16",
        "--encoder_dim", "16", "--batch_size", "4", "--num_workers", "0", "--device", "cpu",
        "--save_every_epoch", "true",
    ]  # fmt: skip
    train(parse(Config, flags))
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names >= {
        "best_checkpoint.pth.tar", "last_checkpoint.pth.tar", "epoch_001.pth.tar",
        "epoch_002.pth.tar",
    }  # fmt: skip
    words = json.loads((tmp_path / "vocab.pkl").read_text())
    assert {"word_to_idx", "freq_threshold"} <= set(words) and "sheet" in words["word_to_idx"]
    assert len(list((tmp_path / "cache" / "captioner").glob("maps-*.npy"))) == 1
    said = caption(VERBS["caption"](pictures=("images/*.jpg", "images/0.jpg"), device="cpu"))
    assert len(said) == 12 and all(row["caption"] is not None for row in said)
    last = tmp_path / "checkpoints" / "last_checkpoint.pth.tar"
    again = parse(Config, [*flags, "--resume_from", str(last), "--epochs", "3"])
    assert train(again)["val/loss"] > 0
    assert torch.load(last, weights_only=True)["epoch"] == 3


def test_cached_features_are_those_of_encoding(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    flags = [
        *write_flickr(tmp_path), "--encoder", "random:resnet10t", "--image_size", "64",
        "--freq_threshold", "1", "--vocab_path", "", "--num_workers", "0", "--device", "cpu",
        "--batch_size", "4", "--embed_size", "16", "--decoder_dim", "16", "--encoder_dim", "16",
    ]  # fmt: skip
    cached = System(parse(Config, flags))
    plain = System(parse(Config, [*flags, "--cache_features", "false"]))
    for network in (cached.captioner, plain.captioner, plain.frozen["encoder"]):
        network.eval()
    with torch.no_grad():
        by_file, by_network = cached.evaluate("val"), plain.evaluate("val")
    assert cached.cached and not plain.cached
    assert by_file["loss"] == pytest.approx(by_network["loss"], rel=1e-3)  # kept in half precision


def test_a_tuned_encoder_travels_with_the_weights(tmp_path, caplog):
    """Its body learns, its norms do not measure, and nobody asks for its weights afterwards."""
    flags = [
        "--config", "tiny", "--device", "cpu", "--runs_dir", str(tmp_path), "--epochs", "1",
        "--encoder", "random:test_efficientnet", "--encoder_fine_tune", "true",
        "--lr_mode", "finetune", "--finetune_lr", "0.01", "--detection", "1",
    ]  # fmt: skip
    settings = parse(Config, flags, PRESETS)
    before = System(settings).captioner.encoder.state_dict()
    folder = Path(train(settings)["run"])
    caplog.clear()
    trained = from_checkpoint(folder / "checkpoints" / "last_checkpoint.pth.tar", "cpu")
    assert "random weights" not in caplog.text
    after = trained.model.encoder.state_dict()
    for name, tensor in after.items():
        is_measured = "running" in name or "num_batches" in name
        assert torch.equal(tensor, before[name]) == is_measured, name
    pictures = [np.zeros((40, 30, 3), np.uint8)]
    assert trained.say(pictures, VERBS["caption"](pictures=("x",)))[0].words


def test_a_captioner_lends_the_encoder_that_it_tuned(tmp_path, monkeypatch):
    """Frozen, its features made once; and it goes on travelling with the weights."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    name = "random:test_efficientnet"
    flags = [
        "--config", "tiny", "--device", "cpu", "--runs_dir", str(tmp_path), "--epochs", "1",
        "--encoder", name, "--frame", "true", "--detection", "0",
    ]  # fmt: skip
    tuned = ["--encoder_fine_tune", "true", "--lr_mode", "finetune", "--finetune_lr", "0.01"]
    lender = Path(train(parse(Config, [*flags, *tuned], PRESETS))["run"])
    borrowing = parse(Config, [*flags, "--encoder_weights", str(lender)], PRESETS)
    system = System(borrowing)
    assert system.cached and not any(
        each.requires_grad for each in system.captioner.encoder.parameters()
    )
    folder = Path(train(borrowing)["run"])
    best = [each / "checkpoints" / "best_checkpoint.pth.tar" for each in (lender, folder)]
    given, kept = (from_checkpoint(path, "cpu").model.encoder.state_dict() for path in best)
    assert all(torch.equal(kept[key], tensor) for key, tensor in given.items())
    # Pictures through the encoder, or its maps in their place: the same, but for half precision.
    rows = system.held["val"].rows[:3]
    pictures = [system.table.pictures.picture(int(row)) for row in rows]
    trained = from_checkpoint(best[1], "cpu")
    maps = torch.from_numpy(system.held["val"].features[rows].astype(np.float32))
    places = trained.places(pictures)
    assert torch.allclose(places, trained.model.encode(maps), atol=2e-3 * float(places.abs().max()))
    said = trained.say(pictures, VERBS["caption"](pictures=("x",), decoding="known"))
    captions = {text for row in system.table.rows("train") for text in system.table.captions[row]}
    assert {trained.text(each) for each in said} <= captions
    with pytest.raises(UserError, match=r"its encoder is random:test_efficientnet; needed is"):
        other = ["--encoder_weights", str(lender), "--encoder", "random:test_vit"]
        System(parse(Config, [*flags, *other], PRESETS))
    with pytest.raises(UserError, match=r"--encoder_weights .*: no run directory, or nothing was"):
        System(parse(Config, [*flags, "--encoder_weights", str(tmp_path)], PRESETS))
    plain = ["--config", "tiny", "--device", "cpu", "--epochs", "1", "--runs_dir", str(tmp_path)]
    small = Path(train(parse(Config, plain, PRESETS))["run"])
    with pytest.raises(UserError, match="its encoder is small"):
        System(parse(Config, [*flags, "--encoder_weights", str(small)], PRESETS))


def test_no_captions_to_choose_among(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MOST_KNOWN", 3)
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(tmp_path), "--epochs", "1"]
    folder = Path(train(parse(Config, flags, PRESETS))["run"])
    trained = from_checkpoint(folder / "checkpoints" / "best_checkpoint.pth.tar", "cpu")
    with pytest.raises(UsageError, match=r"--decoding known: .*keeps no captions"):
        known = VERBS["caption"](pictures=("x",), decoding="known")
        trained.say([np.zeros((9, 9, 3), np.uint8)], known)


def test_without_a_word_to_look_for_detection_is_refused(tmp_path, monkeypatch):
    """Half of the sheets are red, half are blue, and nothing else is said of them."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    flags = [
        *write_flickr(tmp_path, 40), "--encoder", "small", "--image_size", "32", "--detection", "1",
        "--freq_threshold", "1", "--vocab_path", "", "--num_workers", "0", "--device", "cpu",
    ]  # fmt: skip
    with pytest.raises(UserError, match="detection 1: no word tells these 40 pictures apart"):
        System(parse(Config, flags))


def test_the_vocabulary_is_of_the_training_part_and_never_a_pickle(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    flags = [*write_flickr(tmp_path), "--freq_threshold", "1", "--vocab_path"]
    path = tmp_path / "words.json"
    config = parse(Config, [*flags, str(path)])
    table = load_table(config)
    said = {word for row in table.rows("train") for text in table.captions[row] for word in
            text.lower().replace(",", "").split()}  # fmt: skip
    vocabulary = find_vocabulary(table, config.data)
    assert said == set(vocabulary.words[4:]) and Vocabulary.load(path) == vocabulary
    path.write_bytes(pickle.dumps({"word_to_idx": {}}))
    with pytest.raises(UserError, match="is a pickle"):
        find_vocabulary(table, config.data)
    Vocabulary.build(["entirely other words"], 1).save(path)
    with pytest.raises(UserError, match="knows too few"):
        find_vocabulary(table, config.data)


def test_other_words_are_refused_on_resuming(run, tmp_path):
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(tmp_path)]
    flags += ["--vocab_path", str(tmp_path / "words.json")]
    first = System(parse(Config, flags, PRESETS))
    words = list(first.vocabulary.words)
    words[4], words[5] = words[5], words[4]
    Vocabulary({word: n for n, word in enumerate(words)}, 1).save(tmp_path / "words.json")
    other = System(parse(Config, flags, PRESETS))
    with pytest.raises(UserError, match="not the"):
        other.stateful["vocabulary"].load_state_dict(first.stateful["vocabulary"].state_dict())


def test_unseen_pictures_are_seen_as_in_validation(run):
    """`caption` shows the network exactly what validation showed it."""
    config = parse(Config, ["--config", "tiny", "--image_size", "48", "--random_crop", "true"],
                   PRESETS)  # fmt: skip
    table = load_table(config)
    batches = Batches(table, table.rows("val"), find_vocabulary(table, config.data), config.data,
                      training=False)  # fmt: skip
    row = int(table.rows("val")[0])
    shown = batches.images(np.array([row]))[0].permute(1, 2, 0).numpy() * 255
    assert np.array_equal(np.rint(shown), as_seen(table.pictures.picture(row), config.data))


def test_evaluate_prints_baselines_and_signature(run, tmp_path):
    settings = VERBS["evaluate"](
        checkpoint=str(run), device="cpu", split="test_held_out", output=tmp_path / "said.jsonl"
    )
    answer = evaluate(settings)
    rows = {row["by"]: row for row in answer["rows"]}
    assert set(rows) == {"captioner", "majority", "nearest neighbour"}
    for row in rows.values():
        assert {"bleu4", "rouge_l", "cider_d", "content_accuracy"} <= set(row)
    assert "nrefs" in answer["signature"]
    lines = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert len(lines) == answer["pictures"] == 8 and len(lines[0]["references"]) == 5
    with pytest.raises(UsageError, match="test_held_out"):
        evaluate(settings.model_copy(update={"split": "tset"}))


def test_attention_maps_and_bad_pictures(run, tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (90, 60), "white").save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    answer = run_cli("caption", "--checkpoint", str(run), "--pictures", str(tmp_path), "--json",
                     "--attention_maps", str(tmp_path / "looked"), "--decoding", "greedy",
                     cwd=tmp_path)  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    rows = json.loads(answer.stdout)
    assert [Path(row["picture"]).name for row in rows] == ["a.png", "b.png", "broken.png"]
    assert "damaged" in rows[2]["problem"] and rows[2]["caption"] is None
    assert Image.open(tmp_path / "looked" / "a.png").size[0] > 160


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["caption", "--pictures", "nowhere/*.png"], 2, "no pictures there"),
        (["train", "--images_dir", "nowhere"], 2, "images_dir"),
        (["train", "--config", "tiny", "--encoder", "resnet51"], 1, "resnet51"),
        (["train", "--config", "tiny", "--dataset", "senes"], 2, "dataset"),
        (["train", "--lr_mode", "fast"], 2, "lr_mode"),
        (["train", "--dropot", "0.1"], 2, "dropout"),
        (["evaluate", "--checkpoint", "nowhere.pth.tar"], 1, "nowhere.pth.tar"),
        (["config", "--preset", "tini"], 2, "tiny"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(words, status, said, tmp_path):
    answer = run_cli(*words, cwd=tmp_path)
    assert answer.returncode == status, answer.stderr
    assert said in answer.stderr and "Traceback" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1

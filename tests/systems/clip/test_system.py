"""CLIP as a system: data from a CSV, two processes, the verbs on a model that was trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triform import systems
from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.cli import main
from triform.engine.checkpoints import checkpoint
from triform.engine.fit import fit
from triform.systems.clip.config import Config
from triform.systems.clip.data import group_ids
from triform.systems.clip.evaluation import evaluate
from triform.systems.clip.system import System
from triform.systems.clip.trained import Trained
from triform.systems.clip.verb_config import ClassifyConfig, EvaluateConfig

COUNT = 96
COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230)}
FLAGS = [
    *("--image_size", "16", "--image_encoder", "vit", "--patch_size", "8", "--image_width", "16"),
    *("--image_depth", "1", "--text_width", "16", "--text_layers", "1", "--text_heads", "2"),
    *("--embed_dim", "16", "--vocab_size", "300", "--device", "cpu", "--precision", "float32"),
    *("--warmup_steps", "0", "--sample_every", "0"),
]


@pytest.fixture
def csv(tmp_path, monkeypatch):
    """Images of three colours, each with a caption of its own, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    lines = ["image,caption"]
    for number in range(COUNT):
        name = list(COLORS)[number % 3]
        pixels = np.clip(np.array(COLORS[name]) + random.integers(-25, 26, (16, 16, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(f"images/{number}.png")
        lines.append(f"{number}.png,{name} square number {number}")
    Path("captions.csv").write_text("\n".join(lines))
    return ["--images_dir", "images", "--caption_file", "captions.csv", "--val_split", "0.25"]


def train(flags):
    return fit(System(parse(Config, [*FLAGS, *flags], systems.load("clip").presets)))


def test_learns_colours_and_classifies_by_them(csv, capsys):
    flags = [*csv, "--batch_size", "9", "--epochs", "10", "--lr", "0.005"]
    run = train(flags).run_dir
    best = str(run / "checkpoints" / "best.pth")
    settings = ["--checkpoint", best, "--device", "cpu"]
    words = ["clip", "classify", "--images", "images", "--classes", *COLORS, *settings]
    assert main([*words, "--templates", "{} square", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == COUNT
    right = [row["class"] == list(COLORS)[int(Path(row["file"]).stem) % 3] for row in rows]
    assert np.mean(right) > 0.9
    # One after another or all at once, from a file or another folder: the same model.
    model = Trained.from_checkpoint(best, "cpu")
    images = [Image.open(f"images/{number}.png") for number in range(5)]
    alone = torch.cat([model.encode_images([image]) for image in images])
    torch.testing.assert_close(model.encode_images(images), alone)
    result = evaluate(EvaluateConfig(checkpoint=best, device="cpu"))
    assert result["split"] == "val" and result["gallery"] == 24
    chance = next(row for row in result["rows"] if row["by"] == "chance")
    assert chance["image_to_text_recall@1"] == pytest.approx(1 / 24)


@pytest.mark.slow
def test_two_processes_equal_one(csv, tmp_path):
    """Same samples per step, shared by two: same losses, same weights; also in chunks."""
    flags = [*csv, "--epochs", "1", "--chunk_size", "4", "--lr", "0.001", "--log_every", "1"]
    one = train([*flags, "--batch_size", "36"]).run_dir
    port = 29500 + os.getpid() % 1000
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    words = ["-m", "triform", "clip", "train", *FLAGS, *flags, "--runs_dir", "two"]
    command = [sys.executable, *launcher, *words, "--batch_size", "18"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    (two,) = Path("two").glob("clip/run_*")

    def losses(run):
        lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        return [line["train/loss"] for line in lines if "train/loss" in line]

    assert losses(one) == pytest.approx(losses(two), abs=1e-5) and len(losses(one)) == 2
    states = [checkpoint.load(run / "checkpoints/last.pth") for run in (one, two)]
    for key, tensor in states[0]["networks"]["clip"].items():
        other = states[1]["networks"]["clip"][key]
        torch.testing.assert_close(tensor, other, atol=2e-4, rtol=0, msg=key)


def test_sigmoid_loss_has_a_bias_that_is_learned_and_used(csv, capsys):
    flags = [*csv, "--batch_size", "36", "--epochs", "2", "--loss", "sigmoid", "--lr", "0.01"]
    run = train(flags).run_dir
    model = Trained.from_checkpoint(run / "checkpoints" / "best.pth", "cpu")
    assert model.bias is not None and model.bias != -10 and model.scale != pytest.approx(10)


def test_no_weight_decay_of_temperature_norms_and_biases(csv):
    system = System(parse(Config, [*FLAGS, *csv, "--batch_size", "9"], None))
    others, decayed = system.optimizers["main"].param_groups
    assert decayed["weight_decay"] == 0.1 and others["weight_decay"] == 0
    assert any(each is system.clip.logit_scale for each in others["params"])
    assert all(each.ndim > 1 for each in decayed["params"])
    assert {each.ndim for each in others["params"]} == {0, 1}


def test_the_image_encoder_has_a_learning_rate_of_its_own(csv):
    flags = [*csv, "--batch_size", "9", "--lr", "0.01", "--image_lr", "0.002"]
    system = System(parse(Config, [*FLAGS, *flags], None))
    rates = {
        id(each): group["lr"]
        for group in system.optimizers["main"].param_groups
        for each in group["params"]
    }
    of_images = list(system.clip.image_encoder.parameters())
    assert {rates[id(each)] for each in of_images} == {0.002}
    assert sorted(rates.values()).count(0.002) == len(of_images)
    assert len(rates) == len(list(system.clip.parameters()))
    assert rates[id(system.clip.image_projection.weight)] == 0.01


def test_extra_texts_are_searched_and_do_not_search(csv):
    """All captions of the training as extra texts: the loss of each image over all of them."""
    flags = [*csv, "--batch_size", "9", "--extra_texts", "1000"]
    system = System(parse(Config, [*FLAGS, *flags], None))
    batch = next(iter(system.batches()))
    count = len(system.table.rows("train"))
    assert len(batch["extra_texts"]) == len(set(batch["extra_group"].tolist())) == count
    assert set(batch["group"].tolist()) <= set(batch["extra_group"].tolist())
    losses = system.step(batch, lambda loss: loss.backward())
    clip = system.clip.eval()
    images = clip.encode_images(batch["images"])
    own = clip.encode_texts(batch["texts"].flatten(0, 1))
    extra = clip.encode_texts(batch["extra_texts"])
    logits = clip.logit_scale.exp() * images @ torch.cat([own, extra]).T
    right = batch["group"][:, None] == torch.cat([batch["group"], batch["extra_group"]])
    by_image = -logits.log_softmax(1)[right].view(9, 2).mean()
    by_text = torch.nn.functional.cross_entropy(logits[:, :9].T, torch.arange(9))
    assert float(losses["image_to_text"].detach()) == pytest.approx(float(by_image.detach()))
    assert float(losses["text_to_image"].detach()) == pytest.approx(float(by_text.detach()))
    assert all(each.grad is not None for each in clip.parameters())


def test_groups_of_known_contents():
    from triform.datasets.captioned.table import ArrayImages, make_table

    images = ArrayImages(np.zeros((3, 4, 4, 3), np.uint8), ["a", "b", "c"])
    texts = [["a"], ["b"], ["c"]]
    assert group_ids(make_table("t", images, texts, {})).tolist() == [0, 1, 2]
    known = make_table("t", images, texts, {}, contents=["x", "y", "x"])
    assert group_ids(known).tolist() == [0, 1, 0]
    equal = make_table("t", images, [["a", "b"], ["a"], ["a", "b"]], {})
    assert group_ids(equal).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "one"], "at least two"),
        (["--classes", "a", "b", "--templates", "a photo"], "where the class stands"),
        (["--classes", "a", "b", "--images", "nowhere"], "no images there"),
        (["--classes", "a", "b", "--model", "x/y/z"], "no such folder"),
        (["--classes", "a", "b", "--model", "x", "--checkpoint", "y"], "name one of them"),
    ],
)
def test_wrong_use_of_classify_is_one_line(csv, words, message, capsys):
    assert main(["clip", "classify", "--images", "images", *words]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_pretrained_model_needs_data(csv, monkeypatch):
    from triform.systems.clip import evaluation

    class Model:
        name, scale, bias = "m", 1.0, None

    with pytest.raises(UsageError, match="a pretrained model has no data of its own"):
        evaluation.choose_rows(Model(), EvaluateConfig())


def test_unreadable_images_of_a_folder_are_counted(csv, caplog, monkeypatch):
    from triform.systems.clip import classification

    class Model:
        name, scale, bias = "m", 1.0, None

        def encode_images(self, images):
            return torch.eye(2)[[0] * len(images)]

        def encode_texts(self, texts):
            return torch.eye(2)[[int("b" in text) for text in texts]]

    monkeypatch.setattr(classification, "load_model", lambda settings: Model())
    Path("images/broken.png").write_bytes(b"nothing")
    settings = ClassifyConfig(images=("images",), classes=("a", "b"), templates=("{}",))
    rows = classification.classify(settings)
    assert len(rows) == COUNT and {row["class"] for row in rows} == {"a"}
    assert "1 images cannot be read" in caplog.text
    with pytest.raises(UserError):
        classification.classify(settings.model_copy(update={"images": ("images/broken.png",)}))

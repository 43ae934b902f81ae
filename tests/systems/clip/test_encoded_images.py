"""Features of a frozen encoder: computed once, the encoder's own, and kept for the next run."""

import numpy as np
import pytest
import torch

from triform.base.settings.config import parse
from triform.datasets.captioned.table import ArrayImages, make_table
from triform.systems.clip.config import Config
from triform.systems.clip.encoded_images import EncodedImages
from triform.systems.clip.model import PretrainedEncoder
from triform.systems.clip.system import System
from triform.tasks.contrastive.images import ResizedImages, to_tensor

FROZEN = [
    *("--dataset", "digits", "--image_size", "32", "--batch_size", "8", "--embed_dim", "16"),
    *("--image_encoder", "tf_efficientnet_lite0", "--image_weights", "captioner"),
    *("--text_width", "16", "--text_layers", "1", "--text_heads", "2", "--vocab_size", "300"),
    *("--train_image_encoder", "false", "--device", "cpu", "--precision", "float32"),
]


def test_each_image_is_encoded_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path))
    pixels = np.random.default_rng(0).integers(256, size=(5, 20, 20, 3)).astype(np.uint8)
    table = make_table("t", ArrayImages(pixels, list("abcde")), [["x"]] * 5, {})
    images = ResizedImages(table, 16)
    calls = []

    def encode(batch):
        calls.append(len(batch))
        return batch.mean((2, 3))

    def features(state):
        return EncodedImages(images, encode, 3, {"w": torch.tensor([state])})

    expected = to_tensor(images([3, 0])).mean((2, 3))
    encoded = features(1.0)
    assert torch.equal(encoded([3, 0]), expected) and torch.equal(encoded([3]), expected[:1])
    assert torch.equal(features(1.0)([3, 0]), expected)
    assert calls == [5]
    features(2.0)([0])
    assert calls == [5, 5]


def test_a_frozen_encoder_gives_the_embeddings_of_the_images_themselves(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path))
    from triform.systems.clip import system as module

    subset = module.load_table

    def few(data, seed, size):
        table = subset(data, seed, size=size)
        rows = np.arange(24)
        images = ArrayImages(
            np.stack([table.images.image(row) for row in rows]), [str(row) for row in rows]
        )
        return make_table(
            "few", images, table.captions[:24], {"train": rows[:16], "val": rows[16:]}
        )

    monkeypatch.setattr(module, "load_table", few)
    system = System(parse(Config, FROZEN, None))
    batch = next(iter(system.batches()))
    assert batch["images"].shape == (8, 1280)
    clip = system.clip.eval()
    val = system.evaluated["val"]
    pixels = to_tensor(val.images.images(val.rows))
    with torch.no_grad():
        torch.testing.assert_close(
            clip.encode_images(val.inputs(val.rows)), clip.encode_images(pixels)
        )
    losses = system.step(batch, lambda loss: loss.backward())
    assert float(losses["loss"].detach()) > 0
    assert isinstance(clip.image_encoder, PretrainedEncoder)
    for name, parameter in clip.named_parameters():
        assert (parameter.grad is None) == name.startswith("image_encoder."), name
    trained = [each for group in system.optimizers["main"].param_groups for each in group["params"]]
    assert sum(each.numel() for each in trained) < 100_000


def test_what_a_frozen_encoder_cannot_have_is_refused():
    with pytest.raises(ValueError, match="off needs image_encoder"):
        Config.model_validate({"model": {"train_image_encoder": False}})
    wrong = {
        "data": {"jitter": 0.1},
        "model": {"train_image_encoder": False, "image_encoder": "tf_efficientnet_lite0"},
    }
    with pytest.raises(ValueError, match="off needs jitter 0 and erase 0"):
        Config.model_validate(wrong)

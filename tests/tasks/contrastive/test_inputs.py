"""Inputs of the encoders: images of any shape, cut texts, augmentation, cached embeddings."""

import logging

import numpy as np
import torch
from PIL import Image

from triform.base.seeding import generator
from triform.datasets.captioned.table import ArrayImages, make_table
from triform.tasks.contrastive.augmentation import jitter
from triform.tasks.contrastive.images import ResizedImages, resize, to_tensor
from triform.tasks.contrastive.text_inputs import EmbeddingInputs, TokenInputs
from triform.text.bpe import BytePairEncoding


def test_middle_of_an_image_is_kept_in_its_proportions():
    wide = Image.new("RGB", (300, 100))
    wide.paste((255, 255, 255), (100, 0, 200, 100))
    pixels = resize(wide, 32)
    assert pixels.shape == (32, 32, 3) and pixels.min() > 200
    same = np.random.default_rng(0).integers(256, size=(32, 32, 3)).astype(np.uint8)
    assert (resize(same, 32) == same).all()
    values = to_tensor(same[None])
    assert values.shape == (1, 3, 32, 32) and values[0, 1, 5, 7] == np.float32(same[5, 7, 1]) / 255


def test_a_framed_object_fills_the_image_wherever_it_was():
    from triform.images.framing import frame_on_white

    small = Image.new("RGB", (100, 80), "white")
    small.paste((200, 0, 0), (60, 10, 80, 30))
    framed = resize(small, 32, frame=True)
    assert (framed[16, 16] == (200, 0, 0)).all() and (framed[0] == 255).all()
    assert (framed == resize(frame_on_white(np.asarray(small)), 32)).all()
    table = make_table("t", ArrayImages(np.asarray(small)[None], ["a"]), [["x"]], {})
    assert (ResizedImages(table, 32, frame=True)([0])[0] == framed).all()


def test_images_are_read_once_if_they_fit(monkeypatch):
    from triform.tasks.contrastive import images as module

    pixels = np.random.default_rng(0).integers(256, size=(4, 20, 20, 3)).astype(np.uint8)
    table = make_table("t", ArrayImages(pixels, list("abcd")), [["x"]] * 4, {})
    reads = []
    original = ArrayImages.image
    monkeypatch.setattr(
        ArrayImages, "image", lambda self, row: reads.append(row) or original(self, row)
    )
    cached = ResizedImages(table, 16)
    first = cached([2, 0])
    assert (cached([2, 0, 0]) == first[[0, 1, 1]]).all() and reads == [2, 0]
    monkeypatch.setattr(module, "CACHE_BYTES", 0)
    assert (ResizedImages(table, 16)([2, 0]) == first).all() and len(reads) == 4


def test_long_texts_are_cut_and_that_is_said_once(caplog):
    inputs = TokenInputs(BytePairEncoding([]), 6)
    with caplog.at_level(logging.WARNING, logger="triform"):
        tokens = inputs(["a long text", "b"])
        inputs(["another long text"])
    assert tokens.shape == (2, 6) and tokens[0, -1] == 2 and tokens[1].tolist()[-2:] == [0, 0]
    assert caplog.text.count("are cut") == 1


def test_each_text_is_embedded_once():
    class Encoder:
        name, dim, fingerprint = "e", 2, "f"
        texts: list[str] = []  # noqa: RUF012

        def encode(self, texts):
            self.texts.extend(texts)
            return np.array([[len(text), 1] for text in texts], np.float32)

    inputs = EmbeddingInputs(Encoder())
    assert inputs(["ab", "c", "ab"]).tolist() == [[2, 1], [1, 1], [2, 1]]
    inputs(["c", "def"])
    assert Encoder.texts == ["ab", "c", "def"] and inputs.size == 2


def test_jitter_is_small_reproducible_and_none_at_zero():
    images = torch.rand(4, 3, 16, 16, generator=generator("images"))
    changed = jitter(images, 0.1, generator("jitter", 1))
    assert torch.equal(changed, jitter(images, 0.1, generator("jitter", 1)))
    assert not torch.equal(changed, jitter(images, 0.1, generator("jitter", 2)))
    assert changed.min() >= 0 and changed.max() <= 1
    torch.testing.assert_close(jitter(images, 0.0, generator("x")), images, atol=1e-5, rtol=0)
    plain = torch.full((1, 3, 16, 16), 0.5)
    assert (jitter(plain, 0.1, generator("y")) - plain).abs().max() < 0.1

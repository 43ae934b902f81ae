"""Losses of images and texts against values by hand and open_clip's own."""

import math

import pytest
import torch
import torch.nn.functional as F

from triform.losses.image_text import (
    image_text_logits,
    positive_pairs,
    sigmoid_loss,
    softmax_loss,
)


def unit(*shape, seed=0):
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=random), dim=-1)


def test_softmax_loss_by_hand():
    """Two images, two texts: logits ln 3 on the diagonal give a probability of 3/4."""
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    losses = softmax_loss(logits, torch.eye(2, dtype=torch.bool))
    for name in ("loss", "image_to_text", "text_to_image"):
        assert losses[name].item() == pytest.approx(-math.log(3 / 4))


def test_several_texts_of_an_image_share_the_target():
    """Image 0 has texts 0 and 1: the mean of both -log p; each text has one image."""
    logits = torch.tensor([[math.log(2), math.log(4), 0.0], [0.0, 0.0, math.log(5)]])
    positives = torch.tensor([[True, True, False], [False, False, True]])
    losses = softmax_loss(logits, positives)
    to_text = (-(math.log(2 / 7) + math.log(4 / 7)) / 2 - math.log(5 / 7)) / 2
    to_image = (-math.log(2 / 3) - math.log(4 / 5) - math.log(5 / 6)) / 3
    assert losses["image_to_text"].item() == pytest.approx(to_text)
    assert losses["text_to_image"].item() == pytest.approx(to_image)
    assert losses["loss"].item() == pytest.approx((to_text + to_image) / 2)


def test_equal_logits_give_the_logarithm_of_the_number():
    losses = softmax_loss(
        torch.zeros(4, 8), torch.eye(4, 8, dtype=torch.bool) | torch.eye(8, dtype=torch.bool)[4:]
    )
    assert losses["image_to_text"].item() == pytest.approx(math.log(8))
    assert losses["text_to_image"].item() == pytest.approx(math.log(4))


def test_positives_do_not_repel_each_other():
    """Where both texts of an image have all of its probability, the gradient is zero."""
    logits = torch.tensor([[50.0, 50.0, 0.0], [0.0, 0.0, 50.0]], requires_grad=True)
    positives = torch.tensor([[True, True, False], [False, False, True]])
    softmax_loss(logits, positives)["loss"].backward()
    assert logits.grad.abs().max() < 1e-6


def test_sigmoid_loss_by_hand():
    """Probabilities 3/4 of positives and 1/4 of a negative: all four terms are ln 4/3."""
    logits = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) * math.log(3)
    loss = sigmoid_loss(logits, torch.eye(2, dtype=torch.bool))["loss"]
    assert loss.item() == pytest.approx(4 * math.log(4 / 3) / 2)


@pytest.mark.parametrize("batch", [1, 5])
def test_equal_to_open_clip(batch):
    loss = pytest.importorskip("open_clip.loss")
    images, texts, scale = unit(batch, 16), unit(batch, 16, seed=1), torch.tensor(14.3)
    own = torch.eye(batch, dtype=torch.bool)
    expected = loss.ClipLoss()(images, texts, scale)
    ours = softmax_loss(image_text_logits(images, texts, scale), own)["loss"]
    torch.testing.assert_close(ours, expected)
    bias = torch.tensor(-10.0)
    expected = loss.SigLipLoss()(images, texts, scale, bias)
    ours = sigmoid_loss(image_text_logits(images, texts, scale, bias), own)["loss"]
    torch.testing.assert_close(ours, expected)


def test_logits_are_float32_under_autocast():
    images, texts = unit(3, 64), unit(3, 64, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = image_text_logits(images.bfloat16(), texts.bfloat16(), 100.0)
    expected = 100 * images.bfloat16().float() @ texts.bfloat16().float().T
    assert logits.dtype == torch.float32 and torch.equal(logits, expected)


def test_positive_pairs_by_group_and_by_equal_words():
    """Images 0 and 1 show the same; image 2 has a caption that image 0 has as well."""
    pairs = positive_pairs(
        torch.tensor([7, 7, 9]),
        torch.tensor([7, 7, 7, 9]),
        torch.tensor([0, 0, 1, 2]),
        torch.tensor([100, 101, 102, 100]),
    )
    expected = [[True, True, True, True], [True, True, True, False], [True, False, False, True]]
    assert pairs.tolist() == expected


def test_further_texts_are_only_searched():
    """They count among the texts of an image, and look for no image themselves."""
    logits = torch.tensor([[math.log(2), 0.0, math.log(4)], [0.0, math.log(5), 0.0]])
    positives = torch.tensor([[True, False, True], [False, True, False]])
    losses = softmax_loss(logits, positives, 2)
    to_text = (-(math.log(2 / 7) + math.log(4 / 7)) / 2 - math.log(5 / 7)) / 2
    to_image = (-math.log(2 / 3) - math.log(5 / 6)) / 2
    assert losses["image_to_text"].item() == pytest.approx(to_text)
    assert losses["text_to_image"].item() == pytest.approx(to_image)

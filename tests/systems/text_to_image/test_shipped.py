"""The weights that ship are the default, and draw what a prompt counts and colours."""

import logging

import numpy as np
import pytest
from scipy.ndimage import label

from triform.pretrained.shipped_weights import shipped
from triform.systems.text_to_image.config import GenerateConfig
from triform.systems.text_to_image.generation import generate


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """Two prompts in two languages, one of them with a word that is not known."""
    output = tmp_path_factory.mktemp("images") / "sheet.png"
    prompts = ("four green balloons", "четыре красных шарика")
    return generate(
        GenerateConfig(prompt=prompts, num_images=2, output=output, device="cpu", seed=42)
    )


def test_the_default_is_what_ships(answer):
    assert answer["checkpoint"] == str(shipped("text_to_image"))
    assert shipped("text_to_image").stat().st_size <= 12_000_000


def test_four_balloons_in_the_colour_of_the_prompt(answer):
    """In both languages: four pieces on white, each with the most of its colour."""
    pixels = answer["pixels"].astype(int)
    for images, channel in ((pixels[:2], 1), (pixels[2:], 0)):
        for image in images:
            others = np.delete(image, channel, 0).max(0)
            labels, _ = label(image[channel] > others + 40)
            sizes = np.bincount(labels.ravel())[1:]
            assert (sizes > 30).sum() == 4


def test_words_that_no_caption_had_are_named(tmp_path, caplog):
    settings = GenerateConfig(
        prompt=("a red pizza",), num_images=1, steps=1, output=tmp_path / "a.png", device="cpu"
    )
    with caplog.at_level(logging.WARNING, "triform"):
        generate(settings)
    assert "words that no training caption had, so expect something else: 'pizza'" in caplog.text

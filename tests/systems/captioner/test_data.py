"""Batches of captioned images: mirrored captions, words of the detection."""

import numpy as np
import torch

from triform.datasets.captioned.table import ArrayImages, make_table
from triform.systems.captioner.config import DataConfig
from triform.systems.captioner.data import CaptionBatches, informative_words
from triform.text.vocabulary import Vocabulary


def test_a_mirrored_image_has_a_mirrored_caption():
    """An image that is white on one side is captioned with that side, mirrored or not."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16] = 255
    table = make_table(
        "sides",
        ArrayImages(np.stack([image] * 8), [str(n) for n in range(8)]),
        [("white on the left",)] * 8,
        {"train": np.arange(8)},
    )
    vocabulary = Vocabulary.build(["white on the left", "white on the right"], 1)
    data = DataConfig(image_size=32, random_crop=False, mirror=True, captions_per_image=1)
    batches = CaptionBatches(table, np.arange(8), vocabulary, data, training=True)
    batch = batches(range(8), torch.Generator().manual_seed(0))
    sides = [vocabulary.decode(row.tolist()).split()[-1] for row in batch["captions"]]
    white_left = (batch["images"][:, 0, 0, 0] == 1).tolist()
    assert set(sides) == {"left", "right"}
    assert [side == "left" for side in sides] == white_left
    eval_batches = CaptionBatches(table, np.arange(8), vocabulary, data, training=False)
    plain = eval_batches(range(8), torch.Generator().manual_seed(0))
    assert bool((plain["images"][:, 0, 0, 0] == 1).all())


def test_informative_words_are_those_of_few_images():
    """Detection targets are the informative words of any caption of an image."""
    captions = [(f"a {kind}", f"one {other}") for kind, other in ("xy", "xz", "vw", "vy", "uq")]
    blank = np.zeros((5, 32, 32, 3), np.uint8)
    table = make_table(
        "letters",
        ArrayImages(blank, list("12345")),
        captions,
        {"train": np.arange(4), "test": np.array([4])},
    )
    vocabulary = Vocabulary.build([text for own in captions[:4] for text in own], 1)
    token_ids = informative_words(table, vocabulary)
    words = {vocabulary.words[token_id] for token_id in token_ids}
    assert words == {"z", "w"}  # x, v and y are in half of the images
    data = DataConfig(image_size=32, random_crop=False, captions_per_image=1)
    batches = CaptionBatches(table, np.arange(5), vocabulary, data, None, token_ids, training=True)
    batch = batches(range(5), torch.Generator().manual_seed(0))
    targets = [
        {vocabulary.words[token_ids[column]] for column in row.nonzero()[:, 0]}
        for row in batch["detection_targets"]
    ]
    assert targets == [set(), {"z"}, {"w"}, set(), set()]

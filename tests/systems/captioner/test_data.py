"""What is done to training pictures and their captions."""

import numpy as np
import torch

from triform.datasets.captioned.table import DrawnPictures, make_table
from triform.systems.captioner.config import DataConfig
from triform.systems.captioner.data import Batches, erased, exchanged, jittered, telling_words
from triform.text.vocabulary import Vocabulary


def test_sides_change_places_in_words_that_mean_them():
    said = "A red shirt to the left of a bright bag, Right of a leftover"
    assert exchanged(said) == "A red shirt to the right of a bright bag, left of a leftover"
    assert exchanged(exchanged(said)) == said.replace("Right", "right")


def test_a_mirrored_picture_has_a_mirrored_caption():
    """A picture that is white on one side is captioned with that side, mirrored or not."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :16] = 255
    table = make_table(
        "sides", DrawnPictures(np.stack([picture] * 8), [str(n) for n in range(8)]),
        [("white on the left",)] * 8, {"train": np.arange(8)},
    )  # fmt: skip
    words = Vocabulary.build(["white on the left", "white on the right"], 1)
    data = DataConfig(image_size=32, random_crop=False, mirror=True, captions_per_picture=1)
    made = Batches(table, np.arange(8), words, data, training=True)
    batch = made(range(8), torch.Generator().manual_seed(0))
    sides = [words.decode(row.tolist()).split()[-1] for row in batch["captions"]]
    white_left = (batch["images"][:, 0, 0, 0] == 1).tolist()
    assert set(sides) == {"left", "right"}
    assert [side == "left" for side in sides] == white_left
    held = Batches(table, np.arange(8), words, data, training=False)
    plain = held(range(8), torch.Generator().manual_seed(0))
    assert bool((plain["images"][:, 0, 0, 0] == 1).all())


def test_words_are_looked_for_that_tell_pictures_apart():
    """Not those that most pictures share; a picture shows what any of its captions says."""
    captions = [(f"a {kind}", f"one {other}") for kind, other in ("xy", "xz", "vw", "vy", "uq")]
    blank = np.zeros((5, 32, 32, 3), np.uint8)
    table = make_table(
        "letters", DrawnPictures(blank, list("12345")), captions,
        {"train": np.arange(4), "test": np.array([4])},
    )  # fmt: skip
    words = Vocabulary.build([text for own in captions[:4] for text in own], 1)
    numbers = telling_words(table, words)
    assert {words.words[number] for number in numbers} == {"z", "w"}  # x, v, y: half of them
    data = DataConfig(image_size=32, random_crop=False, captions_per_picture=1)
    made = Batches(table, np.arange(5), words, data, None, numbers, training=True)
    shown = made(range(5), torch.Generator().manual_seed(0))["shown"]
    told = [{words.words[numbers[place]] for place in row.nonzero()[:, 0]} for row in shown]
    assert told == [set(), {"z"}, {"w"}, set(), set()]


def test_jitter_moves_a_little_and_leaves_white_white():
    images = torch.ones(64, 3, 32, 32)
    images[:, :, 12:20, 12:20] = 0.3
    random = torch.Generator().manual_seed(0)
    moved = jittered(images, 0.2, random)
    assert moved.shape == images.shape and float(moved.min()) >= 0 and float(moved.max()) <= 1
    assert bool((moved[:, :, 0, 0] > 0.999).all())  # the ground
    dark = (moved.amax(1) < 0.6).float()
    assert bool((dark.sum((1, 2)) > 25).all())
    assert len({round(float(share), 3) for share in dark.mean((1, 2))}) > 5
    assert torch.equal(jittered(images, 0.0, random), images)


def test_a_small_rectangle_of_some_pictures_is_covered():
    images = torch.full((400, 3, 32, 32), 2.0)
    covered = (erased(images, 0.25, torch.Generator().manual_seed(0)) != 2).any(1)
    area = covered.flatten(1).sum(1)
    assert 0.15 < float((area > 0).float().mean()) < 0.35
    assert int(area.max()) <= 9 * 9
    rows, columns = covered.any(2).sum(1), covered.any(1).sum(1)
    assert torch.equal(rows * columns, area)  # rectangles
    assert not bool((erased(images, 0.0, torch.Generator()) != 2).any())

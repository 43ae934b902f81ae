"""What is reported of captions: by hand, by plain loops, and beside baselines that see all of the
training data."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.config import parse
from triform.base.seeding import generator
from triform.datasets.captioned.table import DrawnPictures, make_table
from triform.metrics.cider import cider_d
from triform.systems.captioner.config import VERBS, Config
from triform.systems.captioner.data import load_table
from triform.systems.captioner.decoding import Decoder
from triform.systems.captioner.evaluation import _measure
from triform.systems.captioner.loss import caption_loss, detection_loss
from triform.systems.captioner.system import LONGEST, System, evaluate, from_checkpoint
from triform.text.vocabulary import words_of

PRESETS = Path(__file__).parents[3] / "src/triform/systems/captioner/presets"


def tiny(*flags: str) -> Config:
    return parse(Config, ["--config", "tiny", "--device", "cpu", *flags], PRESETS)


def test_every_number_by_hand():
    """Unigrams are all right, three words stand for four; the second half has half of its words."""
    pictures = DrawnPictures(np.zeros((3, 4, 4, 3), np.uint8), ("x", "y", "z"))
    captions = (("something else",), ("a red cat", "red cat"), ("big dog",))
    table = make_table(
        "emoji", pictures, captions, {"test": np.array([1, 2])},
        contents=("something else", "red cat", "big dog"),
    )  # fmt: skip
    numbers, signature = _measure(table, np.array([1, 2]), ["Red cat!", "dog"])
    second = (1 + 1.2**2) * 0.5 / (0.5 + 1.2**2)
    references = [["a red cat", "red cat"], ["big dog"]]
    expected = {
        "bleu1": 100 * math.exp(1 - 4 / 3),
        "rouge_l": (1 + second) / 2,
        "cider_d": cider_d(["red cat", "dog"], references),
        "exact_name": 0.5,
    }
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, abs=6e-3)
    assert numbers["rouge_l"] == round(expected["rouge_l"], 4) and "nrefs" in signature
    assert numbers["bleu2"] == pytest.approx(100 * math.exp(1 - 4 / 3), abs=6e-3)


def nearest_captions(table, known, rows) -> list[str]:
    """The first caption of the most alike picture of the known ones, one by one."""

    def vector(row):
        small = Image.fromarray(table.pictures.picture(int(row))).resize((32, 32))
        pixels = np.asarray(small, np.float64).ravel()
        return (pixels - pixels.mean()) / np.linalg.norm(pixels - pixels.mean())

    known_vectors = [vector(row) for row in known]
    found = []
    for row in rows:
        scores = [vector(row) @ other for other in known_vectors]
        found.append(table.captions[known[int(np.argmax(scores))]][0])
    return found


@pytest.mark.parametrize("split", ["", "val", "test_held_out"])
def test_baselines_have_seen_all_of_the_training_pictures(untrained, split):
    config = tiny()
    path = untrained(System(config))
    settings = VERBS["evaluate"](checkpoint=str(path), device="cpu", split=split, batch_size=3)
    report = evaluate(settings)
    table = load_table(config)
    wanted = split or ("test" if len(table.splits.get("test", ())) else "val")
    rows, train = table.rows(wanted), table.rows("train")
    assert report["split"] == wanted and report["pictures"] == len(rows)
    most = Counter(text for row in train for text in table.captions[row]).most_common(1)[0][0]
    trained = from_checkpoint(path, "cpu")
    shown = [table.pictures.picture(int(row)) for row in rows]
    by = {
        "captioner": [trained.text(said) for said in trained.say(shown, settings)],
        "majority": [most] * len(rows),
        "nearest neighbour": nearest_captions(table, train, rows),
    }
    found = {row["by"]: row for row in report["rows"]}
    assert list(found)[:3] == list(by)
    for name, captions in by.items():
        expected, signature = _measure(table, rows, captions)
        assert {key: found[name][key] for key in expected} == expected, name
        assert report["signature"] == signature
    only = evaluate(settings.model_copy(update={"baselines": False}))
    assert [row["by"] for row in only["rows"]] == ["captioner"]


@torch.no_grad()
@pytest.mark.parametrize("split", ["val", "test_held_out", "train"])
def test_validation_is_a_mean_over_words_and_greedy_captions(split):
    """Batches hold other numbers of words: picture by picture it is the same."""
    flags = ["--detection", "0", "--doubly_stochastic", "0", "--batch_size", "3"]
    system = System(tiny(*flags, "--captions_per_picture", "2"))
    system.captioner.eval()
    numbers = system.evaluate(split)
    batches, total, count = system.held[split], 0.0, 0
    for place in range(len(batches.rows)):
        batch = batches([place], torch.Generator())
        told = system.captioner(batch["images"], batch["captions"], batch["picture"])
        likely = told.logits.log_softmax(2)
        for caption, said in zip(batch["captions"], likely, strict=True):
            for step, word in enumerate(caption[1:].tolist()):
                if word:  # 0 is padding
                    total -= float(said[step, word])
                    count += 1
    assert numbers["loss"] == pytest.approx(total / count, rel=1e-4)
    if split == "train":
        assert set(numbers) == {"loss"}
        return
    rows = system.table.rows(split)
    decoder = Decoder(system.captioner, system.vocabulary, LONGEST)
    captions = []
    for row in rows:
        image = batches.images(np.array([row]))
        (said,) = decoder.choose(system.captioner.encode(image))
        captions.append(system.vocabulary.decode(said.words))
    measured, _ = _measure(system.table, rows, captions)
    for name in ("bleu1", "bleu2", "bleu3", "bleu4"):
        assert numbers[name] == pytest.approx(measured[name], abs=6e-3)


def test_unseen_splits_are_nothing():
    assert System(tiny()).evaluate("nowhere") == {}


def test_detection_weighs_what_it_should():
    """The loss is that of words and attention plus 0.3 times that of what is to be seen."""
    system = System(tiny("--detection", "0.3", "--doubly_stochastic", "0.7"))
    for network in system.networks.values():
        network.eval()
    batch = next(iter(system.batches()))
    pushed = []
    losses = system.step(batch, pushed.append)
    told = system.captioner(batch["images"], batch["captions"], batch["picture"])
    words = caption_loss(told.logits, batch["captions"], told.attention, 0.7)["loss"]
    seen = detection_loss(system.networks["detector"](told.places), batch["shown"])
    assert losses["loss"].item() == pytest.approx((words + 0.3 * seen).item(), rel=1e-5)
    assert losses["detection"].item() == pytest.approx(seen.item(), rel=1e-5)
    assert pushed == [losses["loss"]]


def test_losses_by_hand():
    """Two captions of three and one word after the start; padding counts nowhere."""
    captions = torch.tensor([[1, 4, 5, 2], [1, 2, 0, 0]])
    logits = torch.zeros(2, 3, 6)
    logits[0, 0, 4] = math.log(5)  # of ten: 5, else 1 each
    logits[1, 1:] = torch.randn(2, 6)  # padding follows
    words = (math.log(2) + 3 * math.log(6)) / 4
    attention = torch.tensor(
        [[[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]], [[0.7, 0.3], [1.0, 0.0], [1.0, 0.0]]]
    )
    # sums over words: 1.7 and 1.3; 0.7 and 0.3
    squares = (0.7**2 + 0.3**2 + 0.3**2 + 0.7**2) / 4
    found = caption_loss(logits, captions, attention, 0.5)
    expected = {"loss": words + 0.5 * squares, "words": words, "perplexity": math.exp(words)}
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected)
    assert float(caption_loss(logits, captions, attention)["loss"]) == pytest.approx(words)
    absence = torch.tensor([[math.log(2), 0.3, 0.0], [math.log(4), 2.0, 0.7]])
    shown = torch.tensor([[True, False, False], [True, False, False]])
    lost = math.log(2) + math.log(4 / 3) + 0.3 + 0.0 + 2.0 + 0.7
    assert float(detection_loss(absence, shown)) == pytest.approx(lost / 2)
    # what is surely nowhere and is shown: its logarithm ends at one in a million
    assert float(detection_loss(torch.zeros(1, 1), torch.ones(1, 1) > 0)) == pytest.approx(
        math.log(1e6), rel=1e-3
    )
    assert float(detection_loss(absence, torch.zeros(2, 3) > 0)) == pytest.approx(
        float(absence.sum())
    )


def test_words_of_a_set_are_counted_as_they_are_read():
    assert words_of("Red cat!") == ["red", "cat"]


@pytest.mark.parametrize("decoding", ["beam", "known", "greedy", "sample"])
def test_captions_are_made_as_the_settings_say(untrained, decoding):
    trained = from_checkpoint(untrained(System(tiny())), "cpu")
    pictures = [np.random.default_rng(n).integers(0, 255, (40, 40, 3), np.uint8) for n in range(3)]
    settings = VERBS["evaluate"](
        checkpoint="", decoding=decoding, beam_size=3, length_power=0.4, max_length=5,
        temperature=0.8, top_k=7, top_p=0.9, seed=11,
    )  # fmt: skip
    said = trained.say(pictures, settings)
    decoder, places = Decoder(trained.model, trained.vocabulary, 5), trained.places(pictures)
    wanted = {
        "beam": lambda: decoder.beam(places, 3, 0.4),
        "known": lambda: decoder.beam(places, 3, 0.4, trained.known),
        "greedy": lambda: decoder.choose(places),
        "sample": lambda: decoder.choose(
            places, temperature=0.8, top_k=7, top_p=0.9, random=generator("caption", 11)
        ),
    }[decoding]()
    assert [(each.words, each.score) for each in said] == [(e.words, e.score) for e in wanted]

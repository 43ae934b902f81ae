"""Scores and losses of captions by hand and by simple loops, and the baselines of `evaluate`."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.seeding import generator
from triform.base.settings.config import parse
from triform.systems.captioner import evaluation
from triform.systems.captioner.config import VERBS, Config
from triform.systems.captioner.decoding import Decoder
from triform.systems.captioner.loss import caption_loss, detection_loss
from triform.systems.captioner.system import MAX_LENGTH, System, Trained, evaluate
from triform.tasks.captioning.baselines import baseline_captions
from triform.tasks.captioning.caption_scores import caption_scores
from triform.tasks.captioning.content_accuracy import content_scores
from triform.tasks.captioning.data import load_table
from triform.text.vocabulary import tokenize

PRESETS = Path(__file__).parents[3] / "src/triform/systems/captioner/presets"


def tiny(*flags: str) -> Config:
    return parse(Config, ["--config", "tiny", "--device", "cpu", *flags], PRESETS)


def nearest_captions(table, train, rows) -> list[str]:
    """The first caption of the most similar training image, one by one."""

    def vector(row):
        small = Image.fromarray(table.images.image(int(row))).resize((32, 32))
        pixels = np.asarray(small, np.float64).ravel()
        return (pixels - pixels.mean()) / np.linalg.norm(pixels - pixels.mean())

    train_vectors = [vector(row) for row in train]
    captions = []
    for row in rows:
        scores = [vector(row) @ other for other in train_vectors]
        captions.append(table.captions[train[int(np.argmax(scores))]][0])
    return captions


@pytest.mark.parametrize("split", ["", "val", "test_held_out"])
def test_baselines_use_all_training_images(untrained, split):
    config = tiny()
    path = untrained(System(config))
    settings = VERBS["evaluate"](checkpoint=str(path), device="cpu", split=split, batch_size=3)
    report = evaluate(settings)
    table = load_table(config.data, config.seed)
    expected_split = split or ("test" if len(table.splits.get("test", ())) else "val")
    rows, train = table.rows(expected_split), table.rows("train")
    assert report["split"] == expected_split and report["images"] == len(rows)
    majority = Counter(text for row in train for text in table.captions[row]).most_common(1)[0][0]
    trained = Trained.from_checkpoint(path, "cpu")
    images = [table.images.image(int(row)) for row in rows]
    captions_by = {
        "captioner": [trained.text(each) for each in trained.caption(images, settings)],
        "majority": [majority] * len(rows),
        "nearest neighbour": nearest_captions(table, train, rows),
    }
    scores_by = {row["by"]: row for row in report["rows"]}
    assert list(scores_by)[:3] == list(captions_by)
    for name, captions in captions_by.items():
        expected, signature = caption_scores(table, rows, captions)
        assert {key: scores_by[name][key] for key in expected} == expected, name
        assert report["signature"] == signature
    only = evaluate(settings.model_copy(update={"baselines": False}))
    assert [row["by"] for row in only["rows"]] == ["captioner"]


def test_images_without_a_copy_are_scored_apart(untrained, monkeypatch):
    """Every second image counts as a near copy; each method's row has the scores of the others."""
    config = tiny()
    path = untrained(System(config))
    table = load_table(config.data, config.seed)

    def half_are_copies(table, train, rows):
        return train[:1].repeat(len(rows)), np.where(np.arange(len(rows)) % 2, 1.0, 0.0)

    monkeypatch.setattr(evaluation, "nearest_images", half_are_copies)
    report = evaluate(VERBS["evaluate"](checkpoint=str(path), device="cpu", split="val"))
    rows, train = table.rows("val"), table.rows("train")
    captions = baseline_captions(table, train, rows)
    assert table.contents and report["near_copies"] == len(rows) // 2
    for row in report["rows"][1:]:
        for key, value in content_scores(table, rows[::2], captions[row["by"]][::2]).items():
            assert row[f"{key}_without_copies"] == value, row["by"]


@torch.no_grad()
@pytest.mark.parametrize("split", ["val", "test_held_out", "train"])
def test_validation_is_a_mean_over_words_and_bleu_of_greedy_captions(split):
    """Batches hold other numbers of words: image by image it is the same."""
    flags = ["--detection", "0", "--doubly_stochastic", "0", "--batch_size", "3"]
    system = System(tiny(*flags, "--captions_per_image", "2"))
    system.captioner.eval()
    numbers = system.evaluate(split)
    batches, total, count = system.eval_batches[split], 0.0, 0
    for index in range(len(batches.rows)):
        batch = batches([index], torch.Generator())
        output = system.captioner(batch["images"], batch["captions"], batch["image_index"])
        log_probs = output.logits.log_softmax(2)
        for caption, steps in zip(batch["captions"], log_probs, strict=True):
            for step, token_id in enumerate(caption[1:].tolist()):
                if token_id:  # 0 is padding
                    total -= float(steps[step, token_id])
                    count += 1
    assert numbers["loss"] == pytest.approx(total / count, rel=1e-4)
    if split == "train":
        assert set(numbers) == {"loss"}
        return
    rows = system.table.rows(split)
    decoder = Decoder(system.captioner, system.vocabulary, MAX_LENGTH)
    captions = []
    for row in rows:
        image = batches.images(np.array([row]))
        (hypothesis,) = decoder.greedy(system.captioner.encode(image))
        captions.append(system.vocabulary.decode(hypothesis.token_ids))
    expected, _ = caption_scores(system.table, rows, captions)
    for name in ("bleu1", "bleu2", "bleu3", "bleu4"):
        assert numbers[name] == pytest.approx(expected[name], abs=6e-3)


def test_an_unknown_split_has_no_numbers():
    assert System(tiny()).evaluate("nowhere") == {}


def test_weights_of_the_losses():
    """The loss is that of words and attention plus 0.3 times that of detection."""
    system = System(tiny("--detection", "0.3", "--doubly_stochastic", "0.7"))
    for network in system.networks.values():
        network.eval()
    batch = next(iter(system.batches()))
    pushed = []
    losses = system.step(batch, pushed.append)
    output = system.captioner(batch["images"], batch["captions"], batch["image_index"])
    words = caption_loss(output.logits, batch["captions"], output.attention, 0.7)["loss"]
    detection = detection_loss(
        system.networks["detector"](output.features), batch["detection_targets"]
    )
    assert losses["loss"].item() == pytest.approx((words + 0.3 * detection).item(), rel=1e-5)
    assert losses["detection"].item() == pytest.approx(detection.item(), rel=1e-5)
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
    losses = caption_loss(logits, captions, attention, 0.5)
    expected = {"loss": words + 0.5 * squares, "words": words, "perplexity": math.exp(words)}
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(expected)
    assert float(caption_loss(logits, captions, attention)["loss"]) == pytest.approx(words)
    absence = torch.tensor([[math.log(2), 0.3, 0.0], [math.log(4), 2.0, 0.7]])
    targets = torch.tensor([[True, False, False], [True, False, False]])
    lost = math.log(2) + math.log(4 / 3) + 0.3 + 0.0 + 2.0 + 0.7
    assert float(detection_loss(absence, targets)) == pytest.approx(lost / 2)
    # a word that is surely absent and in the caption: its loss is bounded
    assert float(detection_loss(torch.zeros(1, 1), torch.ones(1, 1) > 0)) == pytest.approx(
        math.log(1e6), rel=1e-3
    )
    assert float(detection_loss(absence, torch.zeros(2, 3) > 0)) == pytest.approx(
        float(absence.sum())
    )


def test_captions_are_tokenized_in_lower_case():
    assert tokenize("Red cat!") == ["red", "cat"]


@pytest.mark.parametrize("decoding", ["beam", "known", "greedy", "sample"])
def test_captions_are_decoded_as_the_settings_say(untrained, decoding):
    trained = Trained.from_checkpoint(untrained(System(tiny())), "cpu")
    images = [np.random.default_rng(n).integers(0, 255, (40, 40, 3), np.uint8) for n in range(3)]
    settings = VERBS["evaluate"](
        checkpoint="",
        decoding=decoding,
        beam_size=3,
        length_penalty=0.4,
        max_length=5,
        temperature=0.8,
        top_k=7,
        top_p=0.9,
        seed=11,
    )
    hypotheses = trained.caption(images, settings)
    decoder, features = Decoder(trained.model, trained.vocabulary, 5), trained.encode(images)
    expected = {
        "beam": lambda: decoder.beam(features, 3, 0.4),
        "known": lambda: decoder.beam(features, 3, 0.4, trained.tree),
        "greedy": lambda: decoder.greedy(features),
        "sample": lambda: decoder.sample(
            features, temperature=0.8, top_k=7, top_p=0.9, generator=generator("caption", 11)
        ),
    }[decoding]()
    assert [(each.token_ids, each.score) for each in hypotheses] == [
        (each.token_ids, each.score) for each in expected
    ]

"""Choosing words: against brute force over all sentences, and one picture at a time."""

import itertools
import math

import pytest
import torch
from sentences import log_probability

from triform.systems.captioner.config import ModelConfig
from triform.systems.captioner.decoding import Decoder, _narrowed
from triform.systems.captioner.model import Captioner, State, pack_words, unpack_words
from triform.text.vocabulary import END, PAD, START, UNKNOWN, Vocabulary

WORDS = Vocabulary.build(["a b", "a"], 1)  # four special words and two others
SIZES = ModelConfig(
    embed_size=8, decoder_dim=8, encoder_dim=8, encoded_image_size=2, attention=True,
    attention_dim=8, dropout=0.5,
)  # fmt: skip


@pytest.fixture(
    params=[{}, {"attention_score": "dot"}, {"attention": False}],
    ids=["additive", "dot", "plain"],
)
def model(request) -> Captioner:
    torch.manual_seed(0)
    made = Captioner(SIZES.model_copy(update=request.param), 3, WORDS).eval()
    with torch.no_grad():
        made.to_words.weight.mul_(6)  # preferences that differ from picture to picture
    return made


def places(model: Captioner, count: int) -> torch.Tensor:
    torch.manual_seed(1)
    return model.encode(2 * torch.randn(count, 3, 4, 4)).detach()


def test_a_wide_beam_finds_the_best_of_all_sentences(model):
    longest, power = 3, 0.7
    end, said = WORDS.word_to_idx[END], [WORDS.word_to_idx[word] for word in "ab"]
    shown = places(model, 5)
    answers = Decoder(model, WORDS, longest).beam(shown, 64, power)
    for number, answer in enumerate(answers):
        best = max(
            (log_probability(model, WORDS, shown[number : number + 1], [*words, end])
             / (length + 1) ** power, list(words))
            for length in range(longest + 1)
            for words in itertools.product(said, repeat=length)
        )  # fmt: skip
        assert answer.finished and answer.words == best[1]
        assert answer.score == pytest.approx(best[0], abs=1e-5)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_all_pictures_at_once_is_one_after_the_other(model, size):
    shown, decoder = places(model, 7), Decoder(model, WORDS, 6)
    together = decoder.beam(shown, size)
    alone = [decoder.beam(shown[row : row + 1], size)[0] for row in range(7)]
    assert [said.words for said in together] == [said.words for said in alone]
    assert [said.score for said in together] == pytest.approx([said.score for said in alone])


def test_a_beam_of_one_is_greedy(model):
    shown, decoder = places(model, 7), Decoder(model, WORDS, 6)
    greedy, beam = decoder.choose(shown), decoder.beam(shown, 1, 0.0)
    assert [said.words for said in greedy] == [said.words for said in beam]
    assert [said.finished for said in greedy] == [said.finished for said in beam]


def test_sentences_that_never_end_are_kept_and_said_to_be(model):
    with torch.no_grad():
        model.to_words.bias[WORDS.word_to_idx[END]] = -1e4
    for said in (
        *Decoder(model, WORDS, 4).beam(places(model, 3), 2),
        *Decoder(model, WORDS, 4).choose(places(model, 3)),
    ):
        assert not said.finished and len(said.words) == 4


def test_what_is_never_said_is_never_said(model):
    with torch.no_grad():
        for word in (PAD, START, UNKNOWN):
            model.to_words.bias[WORDS.word_to_idx[word]] = 1e4
    decoder, random = Decoder(model, WORDS, 5), torch.Generator().manual_seed(0)
    said = [
        *decoder.choose(places(model, 4)),
        *decoder.choose(places(model, 4), temperature=2.0, random=random),
        *decoder.beam(places(model, 4), 3),
    ]
    assert {number for each in said for number in each.words} <= {4, 5}


def test_a_cold_draw_is_greedy_and_seeds_repeat(model):
    shown, decoder = places(model, 6), Decoder(model, WORDS, 5)
    cold = decoder.choose(shown, temperature=1e-6, random=torch.Generator().manual_seed(0))
    assert [said.words for said in cold] == [said.words for said in decoder.choose(shown)]
    warm = [
        decoder.choose(shown, temperature=3.0, random=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert [s.words for s in warm[0]] == [s.words for s in warm[1]] != [s.words for s in warm[2]]


def test_only_likely_words_are_drawn():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    kept = [
        (_narrowed(logits, 2, 1.0), [0, 1]),
        (_narrowed(logits, 0, 0.5), [0]),
        (_narrowed(logits, 0, 0.75), [0, 1]),
        (_narrowed(logits, 0, 0.81), [0, 1, 2]),
        (_narrowed(logits.flip(1), 0, 0.75).flip(1), [0, 1]),
        (_narrowed(logits, 0, 1e-6), [0]),
    ]
    for narrowed, expected in kept:
        assert torch.isfinite(narrowed[0]).nonzero().flatten().tolist() == expected


def test_looking_repeats_what_was_said(model):
    shown, decoder = places(model, 1), Decoder(model, WORDS, 5)
    with torch.no_grad():
        model.to_words.bias[WORDS.word_to_idx[END]] -= 3  # so that something is said
    said = decoder.choose(shown)[0]
    looked = decoder.look(shown, said.words)
    if model.attention is None:
        assert looked is None and said.attention is None
        return
    assert said.words and torch.allclose(looked, said.attention)
    assert torch.allclose(looked.sum(1), torch.ones(len(said.words)))


def test_words_travel_as_bytes():
    again = unpack_words(pack_words(WORDS))
    assert again == WORDS


@torch.no_grad()
def plain_beam(
    model, place, size: int, longest: int, power: float
) -> tuple[list[int], float, bool]:
    """One picture, sentence by sentence, never stopped before the longest length."""
    end = WORDS.word_to_idx[END]
    never = [WORDS.word_to_idx[word] for word in (PAD, START, UNKNOWN)]
    beams = [(0.0, [], model.start(place))]
    finished: list[tuple[float, list[int]]] = []
    for length in range(1, longest + 2):
        grown = []
        for score, said, state in beams:
            last = said[-1] if said else WORDS.word_to_idx[START]
            logits, after, _ = model.step(torch.tensor([last]), state)
            logits[:, never] = float("-inf")
            for word, value in enumerate(logits.log_softmax(1)[0].tolist()):
                if value > float("-inf"):
                    grown.append((score + value, [*said, word], after))
        grown = sorted(grown, key=lambda each: -each[0])[: 2 * size]
        for score, said, _ in grown[:size]:
            if said[-1] == end:
                finished.append((score / length**power, said[:-1]))
        beams = [each for each in grown if each[1][-1] != end][:size]
    if not finished:
        score, said, _ = beams[0]
        return said[:longest], score / (longest + 1) ** power, False
    score, said = max(finished, key=lambda each: each[0])
    return said, score, True


@pytest.mark.parametrize("power", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_stopping_early_says_what_running_to_the_end_says(model, size, power):
    shown, longest = places(model, 12), 8
    answers = Decoder(model, WORDS, longest).beam(shown, size, power)
    for place, answer in zip(shown.split(1), answers, strict=True):
        said, score, finished = plain_beam(model, place, size, longest, power)
        assert (answer.words, answer.finished) == (said, finished)
        assert answer.score == pytest.approx(score, abs=1e-5)


class Ripening:
    """Ends at once with 0.4, or says a (0.35) and then five times a for sure before it ends."""

    def start(self, places):
        count = len(places)
        return State(
            torch.zeros(count, 1), torch.zeros(count, 1), places, torch.zeros(count, 0, 0),
            torch.zeros(count, 1),
        )  # fmt: skip

    def step(self, words, state):
        end, a, b = WORDS.word_to_idx[END], *(WORDS.word_to_idx[word] for word in "ab")
        odds = torch.full((len(words), len(WORDS)), 1e-9)
        for row, step in enumerate(state.hidden[:, 0].tolist()):
            if step == 0:
                odds[row, [end, a, b]] = torch.tensor([0.4, 0.35, 0.25])
            else:
                odds[row, end if step == 5 else a] = 1
        return odds.log(), state._replace(hidden=state.hidden + 1), None


@pytest.mark.parametrize("size", [1, 2])
def test_a_long_sentence_may_overtake_a_short_one(size):
    """ln 0.4 / 1 is less than ln 0.35 / 6^0.7, of which nothing is to be seen after one word."""
    (answer,) = Decoder(Ripening(), WORDS, 5).beam(torch.zeros(1, 1, 1), size, 0.7)
    assert answer.words == [WORDS.word_to_idx["a"]] * 5 and answer.finished
    assert answer.score == pytest.approx(math.log(0.35) / 6**0.7, abs=1e-5)
    (short,) = Decoder(Ripening(), WORDS, 5).beam(torch.zeros(1, 1, 1), size, 0.0)
    assert short.words == [] and short.score == pytest.approx(math.log(0.4), abs=1e-5)

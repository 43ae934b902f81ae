"""Decoding, against brute force over all sentences and one image at a time."""

import itertools
import math

import pytest
import torch
from sentence_scores import log_probability

from triform.systems.captioner.config import ModelConfig
from triform.systems.captioner.decoding import Decoder, filter_logits
from triform.systems.captioner.model import Captioner, DecoderState
from triform.text.vocabulary import END, PAD, START, UNKNOWN, Vocabulary

VOCABULARY = Vocabulary.build(["a b", "a"], 1)  # four special tokens and two words
TOKEN_IDS = VOCABULARY.word_to_idx
SIZES = ModelConfig(
    embed_size=8,
    decoder_dim=8,
    encoder_dim=8,
    encoded_image_size=2,
    attention=True,
    attention_dim=8,
    dropout=0.5,
)


@pytest.fixture(
    params=[{}, {"attention_score": "dot"}, {"attention": False}],
    ids=["additive", "dot", "plain"],
)
def model(request) -> Captioner:
    torch.manual_seed(0)
    captioner = Captioner(SIZES.model_copy(update=request.param), 3, VOCABULARY).eval()
    with torch.no_grad():
        captioner.output_proj.weight.mul_(6)  # preferences that differ from image to image
    return captioner


def random_features(model: Captioner, count: int) -> torch.Tensor:
    torch.manual_seed(1)
    return model.encode(2 * torch.randn(count, 3, 4, 4)).detach()


def test_a_wide_beam_finds_the_best_of_all_sentences(model):
    max_length, penalty = 3, 0.7
    end_id, word_ids = TOKEN_IDS[END], [TOKEN_IDS[word] for word in "ab"]
    features = random_features(model, 5)
    hypotheses = Decoder(model, VOCABULARY, max_length).beam(features, 64, penalty)
    for image_features, hypothesis in zip(features.split(1), hypotheses, strict=True):
        score, token_ids = max(
            (
                log_probability(model, VOCABULARY, image_features, [*sentence, end_id])
                / (length + 1) ** penalty,
                list(sentence),
            )
            for length in range(max_length + 1)
            for sentence in itertools.product(word_ids, repeat=length)
        )
        assert hypothesis.finished and hypothesis.token_ids == token_ids
        assert hypothesis.score == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_batch_equals_image_by_image(model, size):
    features, decoder = random_features(model, 7), Decoder(model, VOCABULARY, 6)
    batch = decoder.beam(features, size)
    single = [decoder.beam(features[row : row + 1], size)[0] for row in range(7)]
    assert [each.token_ids for each in batch] == [each.token_ids for each in single]
    assert [each.score for each in batch] == pytest.approx([each.score for each in single])


def test_a_beam_of_one_is_greedy(model):
    features, decoder = random_features(model, 7), Decoder(model, VOCABULARY, 6)
    greedy, beam = decoder.greedy(features), decoder.beam(features, 1, 0.0)
    assert [each.token_ids for each in greedy] == [each.token_ids for each in beam]
    assert [each.finished for each in greedy] == [each.finished for each in beam]


def test_sentences_without_an_end_are_cut_and_marked(model):
    with torch.no_grad():
        model.output_proj.bias[TOKEN_IDS[END]] = -1e4
    decoder, features = Decoder(model, VOCABULARY, 4), random_features(model, 3)
    for hypothesis in (*decoder.beam(features, 2), *decoder.greedy(features)):
        assert not hypothesis.finished and len(hypothesis.token_ids) == 4


def test_special_tokens_are_never_predicted(model):
    with torch.no_grad():
        for word in (PAD, START, UNKNOWN):
            model.output_proj.bias[TOKEN_IDS[word]] = 1e4
    decoder, generator = Decoder(model, VOCABULARY, 5), torch.Generator().manual_seed(0)
    features = random_features(model, 4)
    hypotheses = [
        *decoder.greedy(features),
        *decoder.sample(features, temperature=2.0, generator=generator),
        *decoder.beam(features, 3),
    ]
    assert {token_id for each in hypotheses for token_id in each.token_ids} <= {4, 5}


def test_sampling_at_a_low_temperature_is_greedy_and_seeds_repeat(model):
    features, decoder = random_features(model, 6), Decoder(model, VOCABULARY, 5)

    def sample(temperature: float, seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        sampled = decoder.sample(features, temperature=temperature, generator=generator)
        return [hypothesis.token_ids for hypothesis in sampled]

    assert sample(1e-6, 0) == [each.token_ids for each in decoder.greedy(features)]
    assert sample(3.0, 1) == sample(3.0, 1) != sample(3.0, 2)


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        (2, 1.0, [0, 1]),
        (0, 0.5, [0]),
        (0, 0.75, [0, 1]),
        (0, 0.81, [0, 1, 2]),
        (0, 1e-6, [0]),
    ],
)
def test_top_k_and_top_p_keep_the_most_probable_tokens(top_k, top_p, expected):
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    filtered = filter_logits(logits, top_k, top_p)
    assert torch.isfinite(filtered[0]).nonzero().flatten().tolist() == expected
    reversed_order = filter_logits(logits.flip(1), top_k, top_p).flip(1)
    assert torch.equal(reversed_order, filtered)


def test_attention_maps_are_those_of_decoding(model):
    features, decoder = random_features(model, 1), Decoder(model, VOCABULARY, 5)
    with torch.no_grad():
        model.output_proj.bias[TOKEN_IDS[END]] -= 3  # so that there are words
    hypothesis = decoder.greedy(features)[0]
    maps = decoder.attention_maps(features, hypothesis.token_ids)
    if model.attention is None:
        assert maps is None and hypothesis.attention is None
        return
    assert hypothesis.token_ids and torch.allclose(maps, hypothesis.attention)
    assert torch.allclose(maps.sum(1), torch.ones(len(hypothesis.token_ids)))


@torch.no_grad()
def simple_beam(
    model, features, size: int, max_length: int, penalty: float
) -> tuple[list[int], float, bool]:
    """One image, sentence by sentence, never stopped before the maximal length."""
    end_id = TOKEN_IDS[END]
    suppressed = [TOKEN_IDS[word] for word in (PAD, START, UNKNOWN)]
    beams = [(0.0, [], model.init_state(features))]
    finished: list[tuple[float, list[int]]] = []
    for length in range(1, max_length + 2):
        extended = []
        for score, sentence, state in beams:
            last = sentence[-1] if sentence else TOKEN_IDS[START]
            logits, next_state, _ = model.step(torch.tensor([last]), state)
            logits[:, suppressed] = float("-inf")
            for token_id, value in enumerate(logits.log_softmax(1)[0].tolist()):
                if value > float("-inf"):
                    extended.append((score + value, [*sentence, token_id], next_state))
        extended = sorted(extended, key=lambda each: -each[0])[: 2 * size]
        for score, sentence, _ in extended[:size]:
            if sentence[-1] == end_id:
                finished.append((score / length**penalty, sentence[:-1]))
        beams = [each for each in extended if each[1][-1] != end_id][:size]
    if not finished:
        score, sentence, _ = beams[0]
        return sentence[:max_length], score / (max_length + 1) ** penalty, False
    score, sentence = max(finished, key=lambda each: each[0])
    return sentence, score, True


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_early_stopping_changes_no_result(model, size, penalty):
    features, max_length = random_features(model, 12), 8
    hypotheses = Decoder(model, VOCABULARY, max_length).beam(features, size, penalty)
    for image_features, hypothesis in zip(features.split(1), hypotheses, strict=True):
        sentence, score, finished = simple_beam(model, image_features, size, max_length, penalty)
        assert (hypothesis.token_ids, hypothesis.finished) == (sentence, finished)
        assert hypothesis.score == pytest.approx(score, abs=1e-5)


class LateEnd:
    """Ends at once with 0.4, or predicts a (0.35) and then surely five times a before the end."""

    def init_state(self, features):
        count = len(features)
        hidden, cell, gates = torch.zeros(3, count, 1)
        return DecoderState(hidden, cell, features, torch.zeros(count, 0, 0), gates)

    def step(self, token_ids, state):
        end, a, b = TOKEN_IDS[END], *(TOKEN_IDS[word] for word in "ab")
        probs = torch.full((len(token_ids), len(VOCABULARY)), 1e-9)
        for row, step in enumerate(state.hidden[:, 0].tolist()):
            if step == 0:
                probs[row, [end, a, b]] = torch.tensor([0.4, 0.35, 0.25])
            else:
                probs[row, end if step == 5 else a] = 1
        return probs.log(), state._replace(hidden=state.hidden + 1), None


@pytest.mark.parametrize("size", [1, 2])
def test_a_long_sentence_may_overtake_a_short_one(size):
    """ln 0.4 / 1 is less than ln 0.35 / 6^0.7, which does not show after one token."""
    (long,) = Decoder(LateEnd(), VOCABULARY, 5).beam(torch.zeros(1, 1, 1), size, 0.7)
    assert long.token_ids == [TOKEN_IDS["a"]] * 5 and long.finished
    assert long.score == pytest.approx(math.log(0.35) / 6**0.7, abs=1e-5)
    (short,) = Decoder(LateEnd(), VOCABULARY, 5).beam(torch.zeros(1, 1, 1), size, 0.0)
    assert short.token_ids == [] and short.score == pytest.approx(math.log(0.4), abs=1e-5)

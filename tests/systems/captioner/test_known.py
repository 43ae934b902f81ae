"""One of the known captions: against trying each of them."""

import pytest
import torch
from sentences import log_probability

from triform.systems.captioner.config import ModelConfig
from triform.systems.captioner.decoding import Decoder
from triform.systems.captioner.known import NOWHERE, KnownCaptions
from triform.systems.captioner.model import Captioner
from triform.text.vocabulary import END, Vocabulary

CAPTIONS = ("red chair", "red chair with arms", "red table", "chair", "small red chair", "lamp")
WORDS = Vocabulary.build(CAPTIONS, 1)
KNOWN = KnownCaptions([WORDS.encode(caption)[1:] for caption in CAPTIONS])
SIZES = ModelConfig(
    embed_size=8, decoder_dim=8, encoder_dim=8, encoded_image_size=2, attention=True,
    attention_dim=8,
)  # fmt: skip


@pytest.fixture
def model() -> Captioner:
    torch.manual_seed(0)
    made = Captioner(SIZES, 3, WORDS, known=CAPTIONS).eval()
    with torch.no_grad():
        made.to_words.weight.mul_(4)
        made.position.normal_()
    return made


@pytest.mark.parametrize("power", [0.0, 0.7])
def test_the_best_of_all_known_captions(model, power):
    torch.manual_seed(1)
    places = model.encode(20 * torch.randn(30, 3, 4, 4)).detach()
    answers = Decoder(model, WORDS, 8).beam(places, 16, power, KNOWN)
    found = set()
    sentences = [WORDS.encode(caption)[1:] for caption in CAPTIONS]
    for place, answer in zip(places.split(1), answers, strict=True):
        scored = [
            (log_probability(model, WORDS, place, words) / len(words) ** power, words)
            for words in sentences
        ]
        best, words = max(scored)
        assert answer.finished and answer.words == words[:-1]
        assert answer.score == pytest.approx(best, abs=1e-5)
        found.add(tuple(words))
    assert len(found) > 1  # or else the test would see nothing


def test_a_narrow_beam_stays_among_them(model):
    torch.manual_seed(2)
    places = model.encode(torch.randn(20, 3, 4, 4)).detach()
    for size in (1, 2):
        for answer in Decoder(model, WORDS, 8).beam(places, size, known=KNOWN):
            assert answer.finished and WORDS.decode(answer.words) in CAPTIONS
    free = {WORDS.decode(said.words) for said in Decoder(model, WORDS, 8).beam(places, 2)}
    assert free - set(CAPTIONS)  # without it, it does say other things


def test_the_tree():
    red, chair, end = (WORDS.word_to_idx[word] for word in ("red", "chair", END))
    start = torch.tensor([0, 0, NOWHERE])
    first = {WORDS.words[number] for number in KNOWN.allowed(start, len(WORDS))[0].nonzero()[:, 0]}
    assert first == {"red", "chair", "small", "lamp"}
    assert not KNOWN.allowed(start, len(WORDS))[2].any()
    nodes = KNOWN.follow(start, torch.tensor([red, end, red]))
    assert nodes[0] > 0 and nodes[1:].tolist() == [NOWHERE, NOWHERE]
    nodes = KNOWN.follow(nodes[:1], torch.tensor([chair]))
    after = {WORDS.words[number] for number in KNOWN.allowed(nodes, len(WORDS))[0].nonzero()[:, 0]}
    assert after == {END, "with"}
    assert KNOWN and not KnownCaptions([])

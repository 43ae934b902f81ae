"""Shapes, the shift of the loss, padding, attention."""

import pytest
import torch
from torch.nn import functional as F

from triform.systems.captioner.config import ModelConfig
from triform.systems.captioner.loss import caption_loss, detection_loss
from triform.systems.captioner.model import (
    Attention,
    Captioner,
    SmallEncoder,
    State,
    WordDetector,
)
from triform.text.vocabulary import Vocabulary

WORDS = Vocabulary.build(["a red dress above a blue bag"], 1)


def model(**changes) -> Captioner:
    torch.manual_seed(0)
    sizes = {"embed_size": 16, "decoder_dim": 16, "encoder_dim": 16, "attention_dim": 16, **changes}
    config = ModelConfig(encoder="small", dropout=0.0, **sizes)
    return Captioner(config, 32, WORDS, SmallEncoder(8))


def test_documented_shapes():
    """The grid is 14 x 14 whatever the maps: (B, 196, encoder_dim)."""
    for attention in (False, True):
        net = model(encoder_dim=24, attention=attention)
        assert net.encode(torch.rand(2, 3, 64, 64)).shape == (2, 196, 24)
        captions = torch.tensor([WORDS.encode("a red dress")] * 3)
        logits, looked, _ = net(torch.rand(2, 3, 64, 64), captions, torch.tensor([0, 1, 1]))
        assert logits.shape == (3, 4, len(WORDS))
        assert (looked is None) != attention
        if looked is not None:
            assert looked.shape == (3, 4, 196)
            assert torch.allclose(looked.sum(2), torch.ones(3, 4))


def test_a_word_is_judged_by_the_one_after_it():
    captions = torch.tensor([WORDS.encode("a red dress")])
    right = F.one_hot(captions[:, 1:], len(WORDS)).float() * 50
    assert caption_loss(right, captions)["loss"] < 1e-6
    same_place = F.one_hot(captions[:, :-1], len(WORDS)).float() * 50
    assert caption_loss(same_place, captions)["loss"] > 10


def test_padding_changes_nothing():
    net = model(attention=True).eval()
    images, one = torch.rand(1, 3, 32, 32), torch.tensor([WORDS.encode("a red dress")])
    padded = F.pad(one, (0, 4))
    picture = torch.tensor([0])
    losses = [
        caption_loss(*_swapped(net(images, captions, picture), captions), doubly_stochastic=1.0)
        for captions in (one, padded)
    ]
    for key in losses[0]:
        assert torch.allclose(losses[0][key], losses[1][key], atol=1e-6), key
    both = torch.cat([F.pad(torch.tensor([WORDS.encode("bag")]), (0, 2)), one])
    logits = net(images, both, torch.tensor([0, 0])).logits
    per_word = F.cross_entropy(logits.flatten(0, 1), both[:, 1:].flatten(), reduction="none")
    mean = per_word[both[:, 1:].flatten() != 0].mean()
    assert torch.allclose(caption_loss(logits, both)["loss"], mean)


def _swapped(answer, captions):
    logits, looked, _ = answer
    return logits, captions, looked


def test_doubly_stochastic_is_its_formula():
    captions = torch.tensor([[1, 4, 5, 2]])
    looked = torch.tensor([[[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]])
    logits = torch.zeros(1, 3, 8)
    plain, with_it = (caption_loss(logits, captions, looked, w)["loss"] for w in (0.0, 2.0))
    assert with_it - plain == pytest.approx(2 * 0.25, abs=1e-6)  # sums 1.5 and 1.5


KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"attention": True}, {"attention": True, "attention_score": "dot"}],
    ids=["plain", "additive", "dot"],
)


@KINDS
def test_every_parameter_learns_and_one_batch_is_learned_by_heart(kind):
    net = model(encoded_image_size=4, **kind)
    detector = WordDetector(16, len(WORDS))
    torch.manual_seed(1)
    images = torch.rand(4, 3, 32, 32)
    texts = ["a red dress", "a blue bag", "a bag above a dress", "a dress above a red bag"]
    captions = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(WORDS.encode(text)) for text in texts], batch_first=True
    )
    shown = torch.zeros(4, len(WORDS), dtype=torch.bool).scatter(1, captions, True)
    both = torch.nn.ModuleDict({"captioner": net, "detector": detector})
    optimizer = torch.optim.Adam(both.parameters(), 0.01)
    for step in range(120):
        logits, looked, places = net(images, captions, torch.arange(4))
        losses = caption_loss(logits, captions, looked, 0.1)
        detection = detection_loss(detector(places), shown)
        optimizer.zero_grad()
        (losses["loss"] + detection).backward()
        if step == 0:
            for name, parameter in both.named_parameters():
                assert parameter.grad is not None and parameter.grad.any(), name
        optimizer.step()
    assert losses["words"] < 0.05
    assert detection < 0.05


def test_a_word_is_shown_where_any_place_shows_it():
    """Noisy-or, against its formula in probabilities; sums over words, per word that is shown."""
    detector = WordDetector(6, 5)
    places = 3 * torch.randn(4, 7, 6)
    shown = torch.rand(4, 5) < 0.4
    nowhere = (1 - torch.sigmoid(detector.words(places))).double().prod(1)
    expected = F.binary_cross_entropy(1 - nowhere, shown.double(), reduction="sum") / shown.sum()
    assert detection_loss(detector(places), shown).item() == pytest.approx(expected.item(), 1e-4)


def test_what_is_surely_nowhere_has_a_finite_loss_and_slope():
    absence = torch.zeros(1, 2, requires_grad=True)
    loss = detection_loss(absence, torch.tensor([[True, False]]))
    loss.backward()
    assert bool(loss.isfinite()) and bool(absence.grad.isfinite().all())


def test_products_compare_as_torchs_attention_does():
    net = Attention(12, 8, 4, "dot")
    places, hidden = torch.randn(3, 9, 12), torch.randn(3, 5, 8)
    state = State(*[torch.empty(0)] * 2, places, net.key(places), torch.empty(0))
    seen, weights = net(hidden, state)
    query = net.query(hidden)
    expected = F.scaled_dot_product_attention(query, net.key(places), places)
    assert torch.allclose(seen, torch.sigmoid(net.gate(hidden)) * expected, atol=1e-6)
    assert torch.allclose(weights.sum(2), torch.ones(3, 5))


def test_sizes_of_the_small_encoder():
    encoder = SmallEncoder(8)
    assert encoder(torch.rand(2, 3, 64, 64)).shape == (2, encoder.out_channels, 8, 8)
    assert encoder(torch.rand(1, 3, 33, 47)).shape[:2] == (1, 32)


def test_the_lstm_is_that_of_torch():
    """Gates made in three parts are those of one product with words and mean side by side."""
    net = model().eval()
    state = net.start(net.encode(torch.rand(2, 3, 64, 64)))
    words = torch.tensor([4, 5])
    mean = net.encode(torch.rand(2, 3, 64, 64)).mean(1)
    state = net.start(mean[:, None])
    seen = torch.cat([net.embed(words), mean], 1)
    hidden, cell = net.lstm(seen, (state.hidden, state.cell))
    _, after, _ = net.step(words, state)
    assert torch.allclose(after.hidden, hidden, atol=1e-6)
    assert torch.allclose(after.cell, cell, atol=1e-6)


@KINDS
def test_all_words_at_once_are_one_word_after_the_other(kind):
    """With a gradient and without, one sentence about a picture or several."""
    net = model(**kind).eval()
    images = torch.rand(2, 3, 64, 64)
    captions = torch.tensor(
        [WORDS.encode(text) for text in ("a red dress", "a blue bag", "a red bag", "a blue dress")]
    )
    logits, looked, _ = net(images, captions, torch.tensor([0, 0, 1, 1]))
    with torch.no_grad():
        state = net.start(net.encode(images))
        state = state._replace(
            hidden=state.hidden.repeat_interleave(2, 0), cell=state.cell.repeat_interleave(2, 0)
        )
        for place, words in enumerate(captions[:, :-1].unbind(1)):
            scores, state, weights = net.step(words, state)
            assert torch.allclose(scores, logits[:, place], atol=1e-5)
            if looked is not None:
                assert torch.allclose(weights, looked[:, place], atol=1e-6)


def test_averages_may_be_taken_before_or_after():
    net = model(encoder_dim=24, encoded_image_size=14)
    images = torch.rand(2, 3, 64, 64)
    pooled = F.adaptive_avg_pool2d(net.encoder(images), 14)
    assert torch.allclose(net.encode(images), net.project(pooled).flatten(2).mT, atol=1e-5)


def test_words_are_missed_in_training_alone():
    net = model(word_dropout=0.9)
    images, captions = torch.rand(1, 3, 64, 64), torch.tensor([WORDS.encode("a red dress")] * 8)
    picture = torch.zeros(8, dtype=torch.long)
    heard = net(images, captions, picture)[0]
    assert torch.allclose(heard[:, 0], heard[:1, 0].expand(8, -1), atol=1e-5)  # after the start
    assert not torch.allclose(heard[:, 2], heard[:1, 2].expand(8, -1), atol=1e-5)
    net.eval()
    assert torch.allclose(*(net(images, captions, picture)[0] for _ in range(2)))

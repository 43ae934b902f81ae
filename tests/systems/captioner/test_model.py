"""The network and its losses: shapes, shifted targets, padding, attention."""

import pytest
import torch
from torch.nn import functional as F

from triform.systems.captioner.config import ModelConfig
from triform.systems.captioner.loss import caption_loss, detection_loss
from triform.systems.captioner.model import (
    Attention,
    Captioner,
    DecoderState,
    WordDetector,
)
from triform.systems.captioner.small_encoder import SmallEncoder
from triform.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(["a red dress above a blue bag"], 1)


def model(**changes) -> Captioner:
    torch.manual_seed(0)
    sizes = {"embed_size": 16, "decoder_dim": 16, "encoder_dim": 16, "attention_dim": 16, **changes}
    config = ModelConfig(encoder="small", dropout=0.0, **sizes)
    return Captioner(config, 32, VOCABULARY, SmallEncoder(8))


def test_documented_shapes():
    """The grid is 14 x 14 whatever the maps: (B, 196, encoder_dim)."""
    for attention in (False, True):
        net = model(encoder_dim=24, attention=attention)
        assert net.encode(torch.rand(2, 3, 64, 64)).shape == (2, 196, 24)
        captions = torch.tensor([VOCABULARY.encode("a red dress")] * 3)
        logits, weights, _ = net(torch.rand(2, 3, 64, 64), captions, torch.tensor([0, 1, 1]))
        assert logits.shape == (3, 4, len(VOCABULARY))
        assert (weights is None) != attention
        if weights is not None:
            assert weights.shape == (3, 4, 196)
            assert torch.allclose(weights.sum(2), torch.ones(3, 4))


def test_logits_are_compared_with_the_next_token():
    captions = torch.tensor([VOCABULARY.encode("a red dress")])
    right = F.one_hot(captions[:, 1:], len(VOCABULARY)).float() * 50
    assert caption_loss(right, captions)["loss"] < 1e-6
    same_step = F.one_hot(captions[:, :-1], len(VOCABULARY)).float() * 50
    assert caption_loss(same_step, captions)["loss"] > 10


def test_padding_changes_nothing():
    net = model(attention=True).eval()
    images, one = torch.rand(1, 3, 32, 32), torch.tensor([VOCABULARY.encode("a red dress")])
    padded = F.pad(one, (0, 4))
    image_index = torch.tensor([0])
    losses = [
        caption_loss(
            *_loss_inputs(net(images, captions, image_index), captions), doubly_stochastic=1.0
        )
        for captions in (one, padded)
    ]
    for key in losses[0]:
        assert torch.allclose(losses[0][key], losses[1][key], atol=1e-6), key
    both = torch.cat([F.pad(torch.tensor([VOCABULARY.encode("bag")]), (0, 2)), one])
    logits = net(images, both, torch.tensor([0, 0])).logits
    per_word = F.cross_entropy(logits.flatten(0, 1), both[:, 1:].flatten(), reduction="none")
    mean = per_word[both[:, 1:].flatten() != 0].mean()
    assert torch.allclose(caption_loss(logits, both)["loss"], mean)


def _loss_inputs(output, captions):
    return output.logits, captions, output.attention


def test_doubly_stochastic_is_its_formula():
    captions = torch.tensor([[1, 4, 5, 2]])
    weights = torch.tensor([[[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]])
    logits = torch.zeros(1, 3, 8)
    plain, with_it = (caption_loss(logits, captions, weights, w)["loss"] for w in (0.0, 2.0))
    assert with_it - plain == pytest.approx(2 * 0.25, abs=1e-6)  # sums 1.5 and 1.5


ATTENTION = pytest.mark.parametrize(
    "settings",
    [{}, {"attention": True}, {"attention": True, "attention_score": "dot"}],
    ids=["plain", "additive", "dot"],
)


@ATTENTION
def test_every_parameter_has_a_gradient_and_one_batch_is_overfitted(settings):
    net = model(encoded_image_size=4, **settings)
    detector = WordDetector(16, len(VOCABULARY))
    torch.manual_seed(1)
    images = torch.rand(4, 3, 32, 32)
    texts = ["a red dress", "a blue bag", "a bag above a dress", "a dress above a red bag"]
    captions = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(VOCABULARY.encode(text)) for text in texts], batch_first=True
    )
    targets = torch.zeros(4, len(VOCABULARY), dtype=torch.bool).scatter(1, captions, True)
    both = torch.nn.ModuleDict({"captioner": net, "detector": detector})
    optimizer = torch.optim.Adam(both.parameters(), 0.01)
    for step in range(120):
        logits, weights, features = net(images, captions, torch.arange(4))
        losses = caption_loss(logits, captions, weights, 0.1)
        detection = detection_loss(detector(features), targets)
        optimizer.zero_grad()
        (losses["loss"] + detection).backward()
        if step == 0:
            for name, parameter in both.named_parameters():
                assert parameter.grad is not None and parameter.grad.any(), name
        optimizer.step()
    assert losses["words"] < 0.05
    assert detection < 0.05


def test_a_word_is_shown_where_any_place_shows_it():
    """Noisy-or, against its formula in probabilities; sums over words, per word that is targets."""
    detector = WordDetector(6, 5)
    features = 3 * torch.randn(4, 7, 6)
    targets = torch.rand(4, 5) < 0.4
    absent = (1 - torch.sigmoid(detector.classifier(features))).double().prod(1)
    expected = F.binary_cross_entropy(1 - absent, targets.double(), reduction="sum") / targets.sum()
    assert detection_loss(detector(features), targets).item() == pytest.approx(
        expected.item(), 1e-4
    )


def test_the_loss_of_a_surely_absent_word_and_its_gradient_are_finite():
    absence = torch.zeros(1, 2, requires_grad=True)
    loss = detection_loss(absence, torch.tensor([[True, False]]))
    loss.backward()
    assert bool(loss.isfinite()) and bool(absence.grad.isfinite().all())


def test_dot_product_attention_is_torchs():
    net = Attention(12, 8, 4, "dot")
    features, hidden = torch.randn(3, 9, 12), torch.randn(3, 5, 8)
    state = DecoderState(*[torch.empty(0)] * 2, features, net.key(features), torch.empty(0))
    context, weights = net(hidden, state)
    query = net.query(hidden)
    expected = F.scaled_dot_product_attention(query, net.key(features), features)
    assert torch.allclose(context, torch.sigmoid(net.gate(hidden)) * expected, atol=1e-6)
    assert torch.allclose(weights.sum(2), torch.ones(3, 5))


def test_sizes_of_the_small_encoder():
    encoder = SmallEncoder(8)
    assert encoder(torch.rand(2, 3, 64, 64)).shape == (2, encoder.out_channels, 8, 8)
    assert encoder(torch.rand(1, 3, 33, 47)).shape[:2] == (1, 32)


def test_the_lstm_is_that_of_torch():
    """Gates summed from three parts are those of one product with the concatenated inputs."""
    net = model().eval()
    state = net.init_state(net.encode(torch.rand(2, 3, 64, 64)))
    token_ids = torch.tensor([4, 5])
    mean = net.encode(torch.rand(2, 3, 64, 64)).mean(1)
    state = net.init_state(mean[:, None])
    inputs = torch.cat([net.embedding(token_ids), mean], 1)
    hidden, cell = net.lstm(inputs, (state.hidden, state.cell))
    _, after, _ = net.step(token_ids, state)
    assert torch.allclose(after.hidden, hidden, atol=1e-6)
    assert torch.allclose(after.cell, cell, atol=1e-6)


@ATTENTION
def test_parallel_and_sequential_predictions_agree(settings):
    """With a gradient and without, one sentence about an image or several."""
    net = model(**settings).eval()
    images = torch.rand(2, 3, 64, 64)
    captions = torch.tensor(
        [
            VOCABULARY.encode(text)
            for text in ("a red dress", "a blue bag", "a red bag", "a blue dress")
        ]
    )
    logits, weights, _ = net(images, captions, torch.tensor([0, 0, 1, 1]))
    with torch.no_grad():
        state = net.init_state(net.encode(images))
        state = state._replace(
            hidden=state.hidden.repeat_interleave(2, 0), cell=state.cell.repeat_interleave(2, 0)
        )
        for step, token_ids in enumerate(captions[:, :-1].unbind(1)):
            step_logits, state, step_weights = net.step(token_ids, state)
            assert torch.allclose(step_logits, logits[:, step], atol=1e-5)
            if weights is not None:
                assert torch.allclose(step_weights, weights[:, step], atol=1e-6)


def test_projection_and_pooling_commute():
    net = model(encoder_dim=24, encoded_image_size=14)
    images = torch.rand(2, 3, 64, 64)
    pooled = F.adaptive_avg_pool2d(net.encoder(images), 14)
    assert torch.allclose(net.encode(images), net.feature_proj(pooled).flatten(2).mT, atol=1e-5)


def test_word_dropout_is_for_training_only():
    net = model(word_dropout=0.9)
    images, captions = (
        torch.rand(1, 3, 64, 64),
        torch.tensor([VOCABULARY.encode("a red dress")] * 8),
    )
    image_index = torch.zeros(8, dtype=torch.long)
    logits = net(images, captions, image_index)[0]
    assert torch.allclose(logits[:, 0], logits[:1, 0].expand(8, -1), atol=1e-5)
    assert not torch.allclose(logits[:, 2], logits[:1, 2].expand(8, -1), atol=1e-5)
    net.eval()
    assert torch.allclose(*(net(images, captions, image_index)[0] for _ in range(2)))

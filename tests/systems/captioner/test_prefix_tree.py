"""Beam search restricted to known captions, against scoring each of them."""

import pytest
import torch
from sentence_scores import log_probability

from triform.systems.captioner.config import ModelConfig
from triform.systems.captioner.decoding import Decoder
from triform.systems.captioner.model import Captioner
from triform.systems.captioner.prefix_tree import NO_NODE, PrefixTree
from triform.text.vocabulary import END, Vocabulary

CAPTIONS = ("red chair", "red chair with arms", "red table", "chair", "small red chair", "lamp")
VOCABULARY = Vocabulary.build(CAPTIONS, 1)
TREE = PrefixTree([VOCABULARY.encode(caption)[1:] for caption in CAPTIONS])
SIZES = ModelConfig(
    embed_size=8,
    decoder_dim=8,
    encoder_dim=8,
    encoded_image_size=2,
    attention=True,
    attention_dim=8,
)


@pytest.fixture
def model() -> Captioner:
    torch.manual_seed(0)
    captioner = Captioner(SIZES, 3, VOCABULARY).eval()
    with torch.no_grad():
        captioner.output_proj.weight.mul_(4)
        captioner.pos_embed.normal_()
    return captioner


@pytest.mark.parametrize("power", [0.0, 0.7])
def test_the_best_of_all_captions_in_the_tree(model, power):
    torch.manual_seed(1)
    features = model.encode(20 * torch.randn(30, 3, 4, 4)).detach()
    hypotheses = Decoder(model, VOCABULARY, 8).beam(features, 16, power, TREE)
    selected = set()
    sentences = [VOCABULARY.encode(caption)[1:] for caption in CAPTIONS]
    for image_features, hypothesis in zip(features.split(1), hypotheses, strict=True):
        scored = [
            (log_probability(model, VOCABULARY, image_features, words) / len(words) ** power, words)
            for words in sentences
        ]
        best, words = max(scored)
        assert hypothesis.finished and hypothesis.token_ids == words[:-1]
        assert hypothesis.score == pytest.approx(best, abs=1e-5)
        selected.add(tuple(words))
    assert len(selected) > 1  # else the test would prove nothing


def test_a_narrow_beam_stays_among_them(model):
    torch.manual_seed(2)
    features = model.encode(torch.randn(20, 3, 4, 4)).detach()
    for size in (1, 2):
        for hypothesis in Decoder(model, VOCABULARY, 8).beam(features, size, tree=TREE):
            assert hypothesis.finished and VOCABULARY.decode(hypothesis.token_ids) in CAPTIONS
    hypotheses = Decoder(model, VOCABULARY, 8).beam(features, 2)
    unrestricted = {VOCABULARY.decode(hypothesis.token_ids) for hypothesis in hypotheses}
    assert unrestricted - set(CAPTIONS)  # without it there are other captions


def allowed_words(nodes: torch.Tensor) -> set[str]:
    """Words that may follow the first node."""
    token_ids = TREE.allowed_tokens(nodes, len(VOCABULARY))[0].nonzero()[:, 0]
    return {VOCABULARY.words[token_id] for token_id in token_ids}


def test_the_tree():
    red, chair, end = (VOCABULARY.word_to_idx[word] for word in ("red", "chair", END))
    root = torch.tensor([0, 0, NO_NODE])
    assert allowed_words(root) == {"red", "chair", "small", "lamp"}
    assert not TREE.allowed_tokens(root, len(VOCABULARY))[2].any()
    nodes = TREE.next_nodes(root, torch.tensor([red, end, red]))
    assert nodes[0] > 0 and nodes[1:].tolist() == [NO_NODE, NO_NODE]
    nodes = TREE.next_nodes(nodes[:1], torch.tensor([chair]))
    assert allowed_words(nodes) == {END, "with"}
    assert TREE and not PrefixTree([])

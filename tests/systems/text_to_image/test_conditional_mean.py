"""The mean of the latents of a text: what is attended to, and which word belongs where."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from triform.systems.text_to_image.condition import TextCondition
from triform.systems.text_to_image.conditional_mean import (
    ConditionalMean,
    ContextEncoder,
    TransformerBlock,
)
from triform.systems.text_to_image.config import ModelConfig

MODEL = ModelConfig(
    latent_channels=4, prior_width=32, prior_heads=2, max_words=5, word_layers=1, mean_layers=1
)
TEXT_DIM = 6


def texts(words: torch.Tensor, lengths: list[int]) -> TextCondition:
    sentence = F.normalize(torch.ones(len(words), TEXT_DIM), dim=1)
    return TextCondition(
        sentence, words, torch.arange(words.shape[1]) < torch.tensor(lengths)[:, None]
    )


def test_block_without_weights_is_the_identity_and_sees_what_its_mask_shows():
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, cross_attention=True)
    x, context = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    first_alone = torch.tensor([[True, False, False, False]])
    cross = block.cross_attention
    assert cross is not None
    # A single token has all the attention: its value, whatever the queries are.
    value = cross.proj(cross.key_value(context[:, :1])[..., 8:]).expand(1, 3, 8)
    for parameter in (*block.attention.proj.parameters(), *block.mlp[2].parameters()):
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(block(x, first_alone, context), x + value)
    for parameter in cross.proj.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(block(x, first_alone, context), x)


def test_context_of_a_text_without_words_is_its_vector_beside_a_learned_one():
    torch.manual_seed(0)
    encoder = ContextEncoder(MODEL.model_copy(update={"max_words": 0}), TEXT_DIM, 0)
    text = texts(torch.zeros(2, 0, 0), [0, 0])
    context, mask = encoder(text)
    assert mask.tolist() == [[True, True], [True, True]]
    ones = encoder.sentence_in(torch.ones(2, TEXT_DIM))  # a unit vector times the root of its width
    first = encoder.norm_out(encoder.first).expand(2, -1)
    torch.testing.assert_close(context, torch.stack([first, encoder.norm_out(ones)], dim=1))
    without, _ = encoder(text.without_text(torch.tensor([True, False])))
    torch.testing.assert_close(without[0, 1], encoder.norm_out.bias)
    torch.testing.assert_close(without[1], context[1])


def test_words_before_and_behind_a_word_are_in_its_context():
    """By the convolution alone, without attention: five word pieces, and the zeros of the ends."""
    torch.manual_seed(0)
    encoder = ContextEncoder(MODEL, TEXT_DIM, 3)
    encoder.blocks = torch.nn.ModuleList()
    words = torch.randn(1, 5, 3)
    first, mask = encoder(texts(words, [5]))
    assert first.shape == (1, 6, 32) and mask.all()
    changed = words.clone()
    changed[0, 0] = 9.0
    second, _ = encoder(texts(changed, [5]))
    moved = (first != second).any(2)[0].tolist()
    assert moved == [False, True, True, True, False, False]


@pytest.mark.parametrize("max_words", [0, 5])
def test_every_parameter_of_the_mean_has_a_gradient(max_words):
    torch.manual_seed(0)
    model = ConditionalMean(MODEL.model_copy(update={"max_words": max_words}), 2, TEXT_DIM, 3)
    features, mean = model(texts(torch.randn(3, 5, 3), [5, 2, 4]))
    assert features.shape == (3, 4, 32) and mean.shape == (3, 4, 2, 2)
    mean.square().sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in model.parameters())


def test_which_colour_belongs_where_is_learned_for_pairs_that_were_never_seen():
    """Two colours in a row: the left cells have the first, the right cells the second."""
    torch.manual_seed(0)
    model = ConditionalMean(MODEL, 2, TEXT_DIM, 4)
    colors = torch.eye(4)
    pairs = torch.tensor(list(itertools.product(range(4), repeat=2)))
    held_out = (pairs[:, 1] - pairs[:, 0]) % 4 == 1
    # Cells of the first column have the colour of the first word.
    targets = torch.stack([colors[pairs], colors[pairs]], dim=1).permute(0, 3, 1, 2)
    text = texts(2 * colors[pairs], [2] * 16)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(200):
        _, mean = model(text[~held_out])
        loss = F.mse_loss(mean, targets[~held_out])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, mean = model(text[held_out])
    assert torch.equal(mean.argmax(1), targets[held_out].argmax(1))

"""Conditions of texts: what is kept of the encoder, padding, repeats, lookup."""

import numpy as np
import pytest
import torch

from triform.base.errors import UserError
from triform.pretrained.token_states import TokenStates
from triform.systems.text_to_image.condition import (
    TextCondition,
    concatenate,
    sentence_condition,
)
from triform.systems.text_to_image.condition_encoding import ConditionTable, encode_condition
from triform.systems.text_to_image.generation import interpolated
from triform.systems.text_to_image.trained import unknown_words


class Encoder:
    """The state of a word is its length, that of a text the number of its words."""

    name, dim, token_dim, fingerprint = "lengths", 2, 1, "lengths of the test"

    def __init__(self):
        self.calls = []

    def encode_tokens(self, texts, max_tokens):
        self.calls.append(list(texts))
        words = [[len(word) for word in text.split()][:max_tokens] for text in texts]
        states = np.zeros((len(texts), max(map(len, words)), 1), np.float32)
        mask = np.zeros(states.shape[:2], bool)
        for row, lengths in enumerate(words):
            states[row, : len(lengths), 0], mask[row, : len(lengths)] = lengths, True
        embeddings = np.array([[len(row), 0] for row in words], np.float32)
        return TokenStates(states, mask, embeddings)


def test_words_are_cut_and_vectors_have_length_one():
    condition = encode_condition(Encoder(), ["a red star", "stars"], 2)
    assert condition.words[..., 0].tolist() == [[1, 3], [5, 0]]
    assert condition.word_mask.tolist() == [[True, True], [True, False]]
    assert condition.sentence.tolist() == [[1, 0], [1, 0]]


def test_a_table_encodes_each_text_once():
    encoder = Encoder()
    table = ConditionTable(encoder, 4)
    first = table(["a red star", "stars", "stars"])
    assert first.words[..., 0].tolist() == [[1, 3, 4], [5, 0, 0], [5, 0, 0]]
    assert first.word_mask.sum(1).tolist() == [3, 1, 1]
    second = table(["stars", "two"])
    assert second.words[..., 0].tolist() == [[5], [3]]
    assert encoder.calls == [["a red star", "stars"], ["two"]]


def test_an_encoder_without_words_is_refused():
    class Sentences:
        name, dim, fingerprint = "sentences", 2, "of the test"

    with pytest.raises(UserError, match="--text_encoder sentences: it gives no states of single"):
        encode_condition(Sentences(), ["a"], 4)


def test_rows_are_repeated_joined_and_emptied():
    condition = encode_condition(Encoder(), ["a red star", "stars"], 3)
    repeated = condition.repeat_interleave(2)
    assert repeated.words[:, 0, 0].tolist() == [1, 1, 5, 5]
    assert torch.equal(condition[1:].words, condition.words[1:])
    both = condition.with_unknown()
    assert len(both) == 4 and torch.equal(both[:2].sentence, condition.sentence)
    assert not both.sentence[2:].any() and not both.word_mask[2:].any()
    joined = concatenate([condition[:1], condition])
    assert joined.word_mask.sum(1).tolist() == [3, 3, 1]
    empty = sentence_condition(torch.eye(2)).repeat_interleave(2)
    assert empty.words.shape == (4, 0, 0) and empty.word_mask.shape == (4, 0)


def test_between_two_prompts_words_are_mixed():
    prompts = TextCondition(
        torch.eye(2),
        torch.tensor([[[1.0], [2.0]], [[3.0], [0.0]]]),
        torch.tensor([[1, 1], [1, 0]]) > 0,
    )
    assert interpolated(prompts, 0.0).word_mask.tolist() == [[True, True]]
    assert interpolated(prompts, 1.0).word_mask.tolist() == [[True, False]]
    middle = interpolated(prompts, 0.5)
    assert middle.words[..., 0].tolist() == [[2, 1]]
    torch.testing.assert_close(middle.sentence, torch.full((1, 2), 0.5**0.5))


def test_words_of_no_training_caption_are_named_once():
    known = ["a", "red", "star"]
    prompts = ["A red pizza!", "a pizza on a star"]
    assert unknown_words(prompts, known) == ["pizza", "on"]
    assert unknown_words(prompts, []) == []

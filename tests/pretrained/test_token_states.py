"""States of tokens: what the encoders pool to their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from triform.pretrained.minilm import MiniLM
from triform.pretrained.token_states import TokenStates, TokenTable, pad_states

TEXTS = ("a round table with four legs", "a chair", "", "x " * 100)


def test_mean_of_minilm_states_is_the_embedding() -> None:
    encoder = MiniLM()
    encoded = encoder.encode_tokens(TEXTS[:3])
    np.testing.assert_array_equal(encoded.embeddings, encoder.encode(TEXTS[:3]))
    assert encoded.states.shape == (3, 8, encoder.token_dim)
    assert encoded.token_mask.sum(1).tolist() == [8, 4, 2]  # [CLS] and [SEP] included
    assert not encoded.states[~encoded.token_mask].any()
    mean = encoded.states.sum(1) / encoded.token_mask.sum(1, keepdims=True)
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, encoded.embeddings, atol=1e-6)


def test_texts_of_a_batch_do_not_change_each_other() -> None:
    encoder = MiniLM()
    alone = encoder.encode_tokens(TEXTS[1:2]).states[0]
    together = encoder.encode_tokens(TEXTS).states[1]
    np.testing.assert_allclose(together[:4], alone, atol=1e-5)
    assert encoder.encode_tokens(TEXTS, max_tokens=5).states.shape[1] == 5


def test_use_states_are_summed_to_the_embedding() -> None:
    pytest.importorskip("sentencepiece")
    from triform.pretrained.use_multilingual import MultilingualUSE

    encoder = MultilingualUSE()
    encoded = encoder.encode_tokens(("круглый стол", "a table"))
    np.testing.assert_array_equal(encoded.embeddings, encoder.encode(("круглый стол", "a table")))
    weights = encoder._weights
    x = torch.from_numpy(encoded.states.sum(1) / encoded.token_mask.sum(1, keepdims=True) ** 0.5)
    y = ((x.float() @ weights["d0"]).relu() @ weights["d1"] + x.float() @ weights["p1"]).relu()
    z = (y @ weights["d2"]).relu() @ weights["d3"] + y @ weights["p3"]
    expected = torch.nn.functional.normalize(z.tanh(), dim=-1).numpy()
    np.testing.assert_allclose(encoded.embeddings, expected, atol=1e-5)


class Letters:
    """Encoder whose token i of a text is its i-th letter's code, as one number."""

    token_dim = 1

    def encode_tokens(self, texts: Sequence[str], max_tokens: int = 32) -> TokenStates:
        rows = [
            np.array([[ord(letter)] for letter in text[:max_tokens] or " "], np.float32)
            for text in texts
        ]
        return pad_states(rows, np.array([[len(text)] for text in texts], np.float32))


def test_table_by_hand() -> None:
    table = TokenTable(Letters(), ["abc", "", "z", "abcdef"], max_tokens=4)
    assert len(table) == 4
    states, mask, embeddings = table.batch([2, 0, 1, 0])
    assert states[..., 0].tolist() == [[122, 0, 0], [97, 98, 99], [0, 0, 0], [97, 98, 99]]
    assert mask.sum(1).tolist() == [1, 3, 0, 3]
    assert embeddings[:, 0].tolist() == [1, 3, 0, 3]  # an empty text is all zeros
    assert table.batch([3])[0].shape == (1, 4, 1)
    assert table.batch([1])[1].tolist() == [[False]]

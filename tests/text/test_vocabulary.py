"""The vocabulary, and what is refused as one."""

import json
import pickle

import pytest

from triform.base.errors import UserError
from triform.text.vocabulary import SPECIAL_TOKENS, Vocabulary, tokenize


def test_words():
    assert tokenize("A red T-shirt, don't you see; №5_x!") == [
        "a",
        "red",
        "t-shirt",
        "don't",
        "you",
        "see",
        "5",
        "x",
    ]
    assert tokenize("Стул из дуба") == ["стул", "из", "дуба"]


def test_rare_words_are_unknown():
    vocabulary = Vocabulary.build(["a b", "a b", "a c"], freq_threshold=2)
    assert vocabulary.words == (*SPECIAL_TOKENS, "a", "b")
    numbers = vocabulary.encode("b c a")
    assert vocabulary.decode(numbers) == "b <UNK> a"
    assert vocabulary.decode([*numbers, 0, 0, 4]) == "b <UNK> a"
    assert (numbers[0], numbers[-1]) == (1, 2)


def test_there_and_back(tmp_path):
    vocabulary = Vocabulary.build(["ein Stuhl", "стул"], freq_threshold=1)
    vocabulary.save(tmp_path / "vocab.pkl")
    assert json.loads((tmp_path / "vocab.pkl").read_text("utf-8"))["freq_threshold"] == 1
    assert Vocabulary.load(tmp_path / "vocab.pkl") == vocabulary


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"a": 1}), "is a pickle"),
        (b"nonsense", "no vocabulary"),
        (b"[]", "no vocabulary"),
        (b'{"word_to_idx": {"a": 0, "b": 2}, "freq_threshold": 1}', "without a gap"),
        (b'{"word_to_idx": {"a": 0}, "freq_threshold": 1}', "lacks the word <PAD>"),
    ],
)
def test_anything_else_is_refused(content, message, tmp_path):
    path = tmp_path / "vocab.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        Vocabulary.load(path)

"""Word pieces: any text, the same again, ends kept, broken merges refused."""

import pytest

from triform.text.bpe import END_ID, MIN_VOCAB_SIZE, PAD_ID, START_ID, BytePairEncoding

TEXTS = ["a red chair", "a red table", "the chair and the table", "красный стул"] * 3


@pytest.fixture(scope="module")
def bpe():
    return BytePairEncoding.train(TEXTS, 320)


@pytest.mark.parametrize("text", ["a red chair", "красный стол", "椅子 😀 ß", "x" * 50, ""])
def test_any_text_comes_back(bpe, text):
    (ids,), num_cut = bpe.encode([text], 1000)
    assert ids[0] == START_ID and ids[-1] == END_ID and num_cut == 0
    assert PAD_ID not in ids and max(ids) < bpe.vocab_size
    assert bpe.decode(ids).strip() == text


def test_case_and_composition_do_not_matter(bpe):
    first, second, third = bpe.encode(
        ["A Red CHAIR é", "a red chair é", "a red chair e\u0301"], 99
    )[0]
    assert first == second == third


def test_frequent_words_are_one_piece(bpe):
    assert len(bpe.encode(["chair"], 99)[0][0]) == 3
    assert len(bpe.encode(["qzwxv"], 99)[0][0]) > 3


def test_long_texts_are_cut_before_their_end_and_counted(bpe):
    ids, num_cut = bpe.encode(["chair " * 100, "chair"], 10)
    assert num_cut == 1 and len(ids[0]) == 10 and ids[0][-1] == END_ID


def test_the_same_from_its_merges(bpe):
    again = BytePairEncoding(bpe.merges)
    assert again.vocab_size == bpe.vocab_size == MIN_VOCAB_SIZE + len(bpe.merges)
    assert again.encode(TEXTS, 77) == bpe.encode(TEXTS, 77)


def test_vocabulary_has_its_size():
    assert BytePairEncoding.train(TEXTS, 270).vocab_size == 270
    assert BytePairEncoding.train(["ab"], 5000).vocab_size == MIN_VOCAB_SIZE


@pytest.mark.parametrize("merges", [["a"], ["a b c"], ["zz y"], ["[PAD]x y"]])
def test_broken_merges_are_refused(merges):
    with pytest.raises(ValueError, match="no merge of known pieces"):
        BytePairEncoding(merges)

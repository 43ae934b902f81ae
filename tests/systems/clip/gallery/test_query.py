"""The query language."""

import pytest
from PIL import Image

from triform.base.errors import UsageError
from triform.systems.clip.gallery.query import Term, parse_query


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my pets").mkdir()
    for name in ("dog.jpg", "my pets/cat -1.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")


DOG = Term("./dog.jpg", is_image=True)
CASES = {
    "a dog on the beach": [Term("a dog on the beach")],
    "  a   dog ": [Term("a dog")],
    "a dog -a cat": [Term("a dog"), Term("a cat", is_negative=True)],
    "a dog +snow -a black cat +2:ice": [
        Term("a dog"),
        Term("snow"),
        Term("a black cat", is_negative=True),
        Term("ice", 2.0),
    ],
    "2.5:golden retriever": [Term("golden retriever", 2.5)],
    "an x-ray of a 3-year-old": [Term("an x-ray of a 3-year-old")],
    "16:9 photo, 3: dog": [Term("16:9 photo, 3: dog")],
    "a - b + c": [Term("a - b + c")],
    "./dog.jpg": [DOG],
    "dog.jpg": [Term("dog.jpg", is_image=True)],
    "./dog.jpg in the snow": [Term("in the snow"), DOG],
    "snow -./dog.jpg": [Term("snow"), Term("./dog.jpg", is_image=True, is_negative=True)],
    "my pets/cat -1.png": [Term("my pets/cat -1.png", is_image=True)],
    "notes.txt": [Term("notes.txt")],
    "missing.jpg": [Term("missing.jpg")],
    "и/или -кот": [Term("и/или"), Term("кот", is_negative=True)],
}


@pytest.mark.parametrize("text", CASES)
def test_terms(text):
    assert parse_query([text]) == CASES[text]


def test_several_texts_and_what_must_not_be_there():
    terms = parse_query(["a dog", "+2:snow -ice"], ["a cat", "./dog.jpg"])
    assert terms == [
        Term("a dog"),
        Term("snow", 2.0),
        Term("ice", is_negative=True),
        Term("a cat", is_negative=True),
        Term("./dog.jpg", is_image=True, is_negative=True),
    ]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([" "], "an empty text"),
        (["-a cat"], "only what must not be there"),
        (["0:dog"], "the weight is 0"),
        (["./missing.jpg"], r"\./missing\.jpg: not there"),
        (["./notes.txt"], r"\./notes\.txt: no image"),
        (["dog -/nowhere/a.png"], "not there"),
    ],
)
def test_wrong_queries_are_one_line(texts, message):
    with pytest.raises(UsageError, match=message) as error:
        parse_query(texts)
    assert "\n" not in str(error.value)

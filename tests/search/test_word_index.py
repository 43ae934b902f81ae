"""Words beside vectors in the exact gallery."""

import sqlite3

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.search.conditions import Range, StartsWith
from triform.search.exact import ExactGallery
from triform.search.gallery import open_gallery
from triform.search.word_index import WordIndex

NAMES = ["PinHeader_1x02", "PinSocket_1x02", "LED_D5.0mm", "Стол круглый", ""]
ANGLES = np.radians([0, 10, 20, 30, 40])
VECTORS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1).astype(np.float32)
QUERY = np.array([[1.0, 0.0]])
RECORDS = [
    {"path": f"parts/{n}%_/x", "date": f"2024-0{n + 1}-15", "size": n * 100} for n in range(5)
]


@pytest.fixture
def gallery():
    gallery = ExactGallery(encoder="toy")
    gallery.add(list("abcde"), VECTORS, RECORDS, encoder="toy", words=NAMES)
    return gallery


def ask(gallery, words, k=5, **options):
    hits = gallery.search(QUERY, k, encoder="toy", words=[words], **options)[0]
    return [(hit.id, hit.word_rank) for hit in hits]


def test_both_rankings_are_fused(gallery):
    """By hand: places by similarity are a b c d e; by words c alone, or d alone."""
    assert ask(gallery, "led") == [("c", 1), ("a", 0), ("b", 0), ("d", 0), ("e", 0)]
    assert ask(gallery, "СТОЛ")[0] == ("d", 1)
    hits = gallery.search(QUERY, 5, encoder="toy", words=["led"])[0]
    np.testing.assert_allclose(
        [h.similarity for h in hits], np.cos(ANGLES[[2, 0, 1, 3, 4]]), atol=1e-6
    )
    assert [hit.record for hit in hits] == [RECORDS[n] for n in (2, 0, 1, 3, 4)]
    # 0.001/61 does not lift c over b, which is 1/62 - 1/63 = 0.000256 before it
    assert ask(gallery, "led", word_weight=0.001)[2] == ("c", 1)
    assert ask(gallery, "led", word_weight=0) == [(name, 0) for name in "abcde"]
    assert ask(gallery, "sofa") == ask(gallery, "") == [(name, 0) for name in "abcde"]


def test_words_find_what_similarity_alone_does_not(gallery):
    """A group beyond the fused places of the similarities, with its own cosine."""
    count = 300
    angles = np.linspace(0.1, 1.5, count)
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1)
    names = [f"thing {n}" for n in range(count)]
    gallery.add(names, vectors, [{}] * count, encoder="toy", words=["x"] * 299 + ["violin"])
    hits = gallery.search(QUERY, 4, encoder="toy", words=["violin"])[0]
    found = next(hit for hit in hits if hit.id == "thing 299")
    assert found.word_rank == 1 and found.similarity == pytest.approx(np.cos(1.5), abs=1e-6)


def test_a_group_has_the_words_of_all_its_vectors():
    gallery = ExactGallery(encoder="toy")
    words = ["a chair", "", "a chair\nun fauteuil"]
    gallery.add(list("xyz"), VECTORS[:3], [{}] * 3, encoder="toy", groups=["g"] * 3, words=words)
    assert ask(gallery, "fauteuil") == [("g", 1)] and ask(gallery, "chair") == [("g", 1)]
    gallery.add(["w"], VECTORS[3:4], [{}], encoder="toy", groups=["g"], words=["Sessel"])
    assert ask(gallery, "sessel") == [("g", 1)] and ask(gallery, "chair") == [("g", 1)]
    assert gallery._rows.execute("SELECT words FROM groups").fetchall() == [
        ("a chair\nun fauteuil\nSessel",)
    ]


def test_equals_by_words_are_ordered_by_similarity():
    """A folder of 300 photos: their names say the same, the best of them is not the first."""
    gallery = ExactGallery(encoder="toy")
    angles = np.linspace(1.5, 0.2, 300)
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1)
    ids = [str(n) for n in range(300)]
    words = [f"beach/photo{n + 100}" for n in range(300)]
    gallery.add(ids, vectors, [{}] * 300, encoder="toy", words=words)
    gallery.add(["z"], QUERY, [{}], encoder="toy", words=["mountain"])
    assert ask(gallery, "beach", 3) == [("299", 1), ("298", 1), ("297", 1)]


def test_conditions_hold_for_both_rankings(gallery):
    assert ask(gallery, "pin", where={"size": Range(100)}) == [
        ("b", 1),
        ("c", 0),
        ("d", 0),
        ("e", 0),
    ]
    dated = ask(gallery, "pin led", where={"date": Range("2024-02", "2024-04")})
    assert {name for name, _ in dated} == {"b", "c"} and {rank for _, rank in dated} == {1, 2}
    assert ask(gallery, "led", where={"path": StartsWith("parts/0%_/")}) == [("a", 0)]
    assert ask(gallery, "led", where={"path": StartsWith("parts/%")}) == []
    assert ask(gallery, "led", where={"size": Range("a")}) == []  # numbers are no texts
    assert ask(gallery, "led", where={"date": Range(1)}) == []
    assert ask(gallery, "led", where={"size": Range(200, 300), "date": [RECORDS[2]["date"]]}) == [
        ("c", 1)
    ]


@pytest.mark.parametrize("aggregate", ["max", "mean"])
def test_similarity_of_a_group_found_by_words(aggregate):
    random = np.random.default_rng(0)
    x = random.standard_normal((900, 6))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    query = random.standard_normal((1, 6))
    query /= np.linalg.norm(query)
    groups = [f"g{n // 3}" for n in range(900)]
    means = (x @ query[0]).reshape(300, 3)
    values = getattr(means, aggregate)(axis=1)
    last = int(values.argmin())
    gallery = ExactGallery(encoder="toy")
    words = ["violin" if group == f"g{last}" else "" for group in groups]
    ids = [str(n) for n in range(900)]
    gallery.add(ids, x, [{"n": n} for n in range(900)], encoder="toy", groups=groups, words=words)
    hits = gallery.search(query, 300, encoder="toy", words=["violin"], aggregate=aggregate)[0]
    hit = next(hit for hit in hits if hit.id == f"g{last}")
    assert hit.similarity == pytest.approx(values[last], abs=1e-6)
    if aggregate == "max":
        assert hit.record["n"] == 3 * last + means[last].argmax()


def test_the_index_follows_every_change(gallery, tmp_path):
    assert ask(gallery, "led", 1) == [("c", 1)]
    gallery.remove(["c"])
    assert ask(gallery, "led") == [(name, 0) for name in "abde"]
    gallery.add(["c"], VECTORS[4:], [{}], encoder="toy", words=["sofa"])
    assert ask(gallery, "led")[0][1] == 0 and ("c", 1) in ask(gallery, "sofa")
    gallery.save(tmp_path / "a.gallery")
    opened = open_gallery(tmp_path / "a.gallery")
    for text in ("sofa", "pin header", "стол", "led"):
        assert ask(opened, text) == ask(gallery, text)


def test_hostile_words(gallery):
    """Nothing a user types is FTS5's syntax, and nothing breaks the table of words."""
    for text in (
        '"',
        "a* OR b",
        "NEAR(a b)",
        "words:x",
        "'; DROP TABLE groups; --",
        "\0",
        "^",
        "-",
    ):
        assert len(ask(gallery, text)) == 5
    gallery.add(["f"], VECTORS[:1], [{}], encoder="toy", words=["\0'\"; x\0y\n\nz"])
    assert ask(gallery, "x z", 1) == [("f", 1)]


def test_without_fts5_it_is_one_line(gallery, monkeypatch):
    monkeypatch.setattr(
        "triform.search.word_index._CREATE", "CREATE VIRTUAL TABLE w USING fts55(t)"
    )
    with pytest.raises(UserError, match="has no FTS5") as caught:
        ask(gallery, "led")
    assert "\n" not in str(caught.value)
    assert ask(gallery, "") == [(name, 0) for name in "abcde"]


def test_ranking_is_bm25_of_the_tokens():
    """The order that SQLite's documentation gives: k1 = 1.2, b = 0.75, by hand in numpy."""
    texts = ["pin", "pin header", "pin pin socket long name", "header", "nothing"]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE groups (number INTEGER PRIMARY KEY, name TEXT, words TEXT)")
    rows = [(n, text, text) for n, text in enumerate(texts)]
    connection.executemany("INSERT INTO groups VALUES (?, ?, ?)", rows)
    names = WordIndex(connection).search("pin", 9, None, "here")
    # one occurrence each (tokens stand once), so the shorter document is first
    assert list(names) == ["pin", "pin header", "pin pin socket long name"]
    assert list(names.values()) == [(1, 1.0), (2, 1.0), (3, 1.0)]


def test_all_words_come_before_some():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE groups (number INTEGER PRIMARY KEY, name TEXT, words TEXT)")
    texts = ["diode", "light emitting diode of a very long name", "light", "lamp"]
    rows = [(n, text, text) for n, text in enumerate(texts)]
    connection.executemany("INSERT INTO groups VALUES (?, ?, ?)", rows)
    index = WordIndex(connection)
    found = index.search("a light diode", 9, None, "here")
    assert list(found.items()) == [(texts[1], (1, 1.0)), ("diode", (2, 0.5)), ("light", (2, 0.5))]
    assert list(index.search("light diode", 1, None, "here")) == [texts[1]]
    assert list(index.search("light diode", 9, np.array([0, 3]), "here")) == ["diode"]

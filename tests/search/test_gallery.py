"""What every gallery promises: exact files, and a real Chroma server."""

import os
import subprocess
import sys

import numpy as np
import pytest

from triform.base.errors import UsageError, UserError
from triform.search.base_gallery import pad_to_unit_norm
from triform.search.conditions import Range, StartsWith
from triform.search.gallery import create_gallery, open_gallery

DIM = 24
RANDOM = np.random.default_rng(7)
VECTORS = RANDOM.standard_normal((400, DIM)).astype(np.float32) * 3
IDS = [f"chair {n}: ü/#{n}" for n in range(400)]
GROUPS = [f"object {n // 5}" for n in range(400)]
RECORDS = [
    {"kind": "view" if n % 5 else "points", "number": n, "odd": bool(n % 2), "more": {"a": [n]}}
    for n in range(400)
]


@pytest.fixture
def filled(place):
    gallery = create_gallery(place, encoder="toy 1", dim=DIM)
    for part in (slice(0, 150), slice(150, 151), slice(151, 400)):
        gallery.add(IDS[part], VECTORS[part], RECORDS[part], encoder="toy 1", groups=GROUPS[part])
    yield gallery
    gallery.close()


def brute(queries, rows=None, k=5, groups=GROUPS):
    """(group, best similarity) by numpy in float64."""
    x, q = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (VECTORS, queries))
    similarities = q.astype(np.float64) @ x.astype(np.float64).T
    answers = []
    for each in similarities:
        best = {}
        for row in range(400) if rows is None else rows:
            best[groups[row]] = max(best.get(groups[row], -2), each[row])
        answers.append(sorted(best.items(), key=lambda item: -item[1])[:k])
    return answers


def same(answers, expected):
    for hits, wanted in zip(answers, expected, strict=True):
        assert [hit.id for hit in hits] == [name for name, _ in wanted]
        np.testing.assert_allclose([h.similarity for h in hits], [s for _, s in wanted], atol=2e-6)


def test_the_best_vector_of_a_group_counts(filled):
    queries = RANDOM.standard_normal((7, DIM))
    same(filled.search(queries, 5, encoder="toy 1"), brute(queries))
    (hits,) = filled.search(VECTORS[123:124] * 9, 1, encoder="toy 1")
    assert hits[0].id == GROUPS[123] and hits[0].vector_id == IDS[123]
    assert hits[0].record == RECORDS[123] and hits[0].similarity == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"kind": "points"}, range(0, 400, 5)),
        ({"kind": "view", "odd": True}, [n for n in range(400) if n % 5 and n % 2]),
        ({"number": [3, 77, 300]}, [3, 77, 300]),
        ({"number": 399}, [399]),
        ({"number": Range(37, 44)}, range(37, 44)),
        ({"number": Range(stop=3.5), "kind": "view"}, [1, 2, 3]),
        ({"number": Range(395.5)}, range(396, 400)),
    ],
)
def test_filters(filled, where, rows):
    queries = np.random.default_rng(0).standard_normal((30, DIM))
    same(filled.search(queries, 4, encoder="toy 1", where=where), brute(queries, rows, 4))


def test_vectors_come_back(filled):
    ids = [IDS[n] for n in (300, 7, 7, 151)]
    expected = VECTORS[[300, 7, 7, 151]]
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(filled.vectors(ids), expected, atol=1e-6)
    assert filled.vectors([]).shape == (0, DIM)
    wrong(lambda: filled.vectors([IDS[0], "nobody"]), "'nobody'")


def test_records(filled):
    everything = dict(zip(IDS, RECORDS, strict=True))
    assert filled.records() == everything
    assert filled.records({"kind": "points"}) == {i: everything[i] for i in IDS[::5]}
    assert filled.records({"kind": "points", "odd": True}) == {i: everything[i] for i in IDS[5::10]}
    assert len(filled.records({"odd": False}, limit=7)) == 7
    assert filled.get([IDS[7], "nobody"]) == {IDS[7]: RECORDS[7]} and filled.get([]) == {}


def test_filter_that_nothing_meets(filled):
    queries = VECTORS[:2]
    assert filled.search(queries, 3, encoder="toy 1", where={"kind": "sound"}) == [[], []]
    assert filled.search(queries, 3, encoder="toy 1", where={"nothing": 1}) == [[], []]


def test_what_was_saved_comes_back(filled, place):
    queries = RANDOM.standard_normal((4, DIM))
    before = filled.search(queries, 6, encoder="toy 1")
    filled.save()
    again = open_gallery(place)
    assert (len(again), again.encoder, again.dim) == (400, "toy 1", DIM)
    assert again.search(queries, 6, encoder="toy 1") == before
    assert again.records() == dict(zip(IDS, RECORDS, strict=True))
    again.add(["new"], VECTORS[:1] + 0.1, [{}], encoder="toy 1")
    assert len(again) == 401
    again.close()


def test_removed_groups_are_gone(filled):
    gone = [f"object {n}" for n in (0, 13, 79)]
    assert filled.remove([*gone, "never there"]) == 15
    assert len(filled) == 385
    rows = [n for n in range(400) if GROUPS[n] not in gone]
    queries = VECTORS[[0, 1, 66, 399]]
    same(filled.search(queries, 5, encoder="toy 1"), brute(queries, rows))
    filled.add(IDS[:5], VECTORS[:5], RECORDS[:5], encoder="toy 1", groups=GROUPS[:5])
    same(
        filled.search(queries, 5, encoder="toy 1", where={"odd": False}),
        brute(queries, [n for n in [*range(5), *rows] if n % 2 == 0]),
    )


def test_inner_products_of_short_vectors(place):
    """Similarities are products with the query's direction, after saving as well."""
    short = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    short *= RANDOM.uniform(0.1, 1, (400, 1)).astype(np.float32)
    gallery = create_gallery(place, encoder="toy 1", metric="inner_product")
    gallery.add(IDS, short, RECORDS, encoder="toy 1", groups=GROUPS)
    assert (gallery.dim, gallery.metric) == (DIM, "inner_product")
    queries = RANDOM.standard_normal((6, DIM))
    products = queries @ short.T / np.linalg.norm(queries, axis=1, keepdims=True)
    best = products.reshape(6, -1, 5).max(2)
    order = np.argsort(-best, axis=1)[:, :5]
    expected = [
        [(f"object {n}", each[n]) for n in row] for row, each in zip(order, best, strict=True)
    ]
    same(gallery.search(queries, 5, encoder="toy 1"), expected)
    gallery.save()
    gallery.close()
    again = open_gallery(place)
    assert (again.dim, again.metric) == (DIM, "inner_product")
    same(again.search(queries, 5, encoder="toy 1"), expected)
    again.add(["one more"], short[:1], [{}], encoder="toy 1")
    wrong(lambda: again.add(["x"], VECTORS[:1], [{}], encoder="toy 1"), "'x'", "longer than 1")
    wrong(lambda: again.search(np.ones((1, DIM + 1)), 1, encoder="toy 1"), f"{DIM + 1} numbers")
    again.close()


def test_padded_vectors_keep_every_product():
    rows = RANDOM.standard_normal((50, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) * RANDOM.uniform(1, 3, (50, 1))
    rows[0] /= np.linalg.norm(rows[0])
    padded = pad_to_unit_norm(rows)
    np.testing.assert_allclose(np.linalg.norm(padded, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(padded[:, :8], rows, atol=1e-6)
    assert padded[0, 8] == 0


def test_more_answers_than_there_are(place):
    gallery = create_gallery(place, encoder="toy 1")
    gallery.add(["a", "b"], VECTORS[:2], [{}, {}], encoder="toy 1")
    (hits,) = gallery.search(VECTORS[1:2], 50, encoder="toy 1")
    assert [hit.id for hit in hits] == ["b", "a"]


def wrong(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_wrong_input_is_one_line(filled, place):
    def add(ids=("x",), vectors=VECTORS[:1], records=({},), encoder="toy 1", groups=None):
        filled.add(ids, vectors, records, encoder=encoder, groups=groups)

    broken = VECTORS[:1].copy()
    broken[0, 3] = np.nan
    wrong(lambda: add(encoder="toy 2"), place, "toy 1", "toy 2")
    wrong(lambda: add(vectors=VECTORS[:1, :7]), place, "7 numbers", f"{DIM}")
    wrong(lambda: add(vectors=broken), place, "'x'", "not finite")
    wrong(lambda: add(vectors=VECTORS[:1] * 0), place, "all zeros")
    wrong(lambda: add(vectors=VECTORS[:1, :, None]), place, "shape (1, 24, 1)")
    wrong(lambda: add(ids=("x", "x"), vectors=VECTORS[:2], records=({}, {})), "'x' stands twice")
    wrong(lambda: add(ids=("x", "y")), "2 ids")
    wrong(lambda: filled.add(["x"], VECTORS[:1], [{}], encoder="toy 1", words=[]), "0 texts")
    wrong(lambda: filled.search(VECTORS[:2], 1, encoder="toy 1", words=["a"]), "1 texts", "2 quer")
    wrong(lambda: add(records=({"a": {1, 2}},)), "no plain data")
    wrong(lambda: add(ids=(IDS[9],)), "in the gallery already")
    wrong(lambda: filled.search(VECTORS[:1], 3, encoder="toy 2"), "toy 1", "toy 2")
    wrong(lambda: filled.search(VECTORS[:1, 1:], 3, encoder="toy 1"), "23 numbers")
    wrong(lambda: filled.search(broken, 3, encoder="toy 1"), "query 0", "not finite")
    wrong(lambda: filled.search(VECTORS[:1], 0, encoder="toy 1"), "choose 1 or more")
    wrong(lambda: filled.search(VECTORS[:1], 1, encoder="toy 1", where={"a": None}), "None")
    wrong(lambda: filled.search(VECTORS[:1], 1, encoder="toy 1", where={'a"b': 1}), 'a"b')
    wrong(lambda: filled.search(VECTORS[:1], 1, encoder="toy 1", where={"a": Range()}), "one end")
    wrong(lambda: filled.search(VECTORS[:1], 1, encoder="toy 1", where={"a": Range(1, "b")}), "two")
    assert len(filled) == 400


def test_empty_gallery_is_one_line(place):
    gallery = create_gallery(place, encoder="toy 1", dim=DIM)
    gallery.add([], np.zeros((0, DIM)), [], encoder="toy 1")
    wrong(lambda: gallery.search(VECTORS[:1], 3, encoder="toy 1"), place, "empty")


def test_galleries_that_are_not_there(chroma_server, tmp_path):
    pytest.importorskip("chromadb")
    wrong(lambda: open_gallery(f"{chroma_server}/nothing-here"), "no collection 'nothing-here'")
    wrong(lambda: open_gallery("chroma://127.0.0.1:1/things"), "Could not connect", "chroma run")
    (tmp_path / "old.chroma").mkdir()
    (tmp_path / "old.chroma" / "chroma.sqlite3").touch()
    wrong(lambda: open_gallery(tmp_path / "old.chroma"), "old.chroma", "chroma run --path")
    wrong(lambda: open_gallery(tmp_path / "no.gallery"), "not there")
    wrong(lambda: open_gallery(tmp_path), "a folder, expected the file")
    with pytest.raises(UsageError, match="chroma://HOST:PORT/COLLECTION"):
        open_gallery("chroma://somewhere:99999999/things")


ADDER = """
import sys
import numpy as np
from triform.base.errors import UserError
from triform.search.gallery import open_gallery
location, name = sys.argv[1:]
for round in range(8):
    size = round + 1 if name == "x" else 1  # groups of one grow, those of the other do not
    saved = False
    while not saved:
        gallery = open_gallery(location)
        ids = [f"{name}{round}.{n}" for n in range(size)]
        vectors = np.random.default_rng(len(name) + round).standard_normal((size, 8))
        gallery.add(ids, vectors, [{}] * size, encoder="toy", groups=[f"{name}{round}"] * size)
        try:
            gallery.save()
            saved = True
        except UserError as error:
            assert "another process has changed it" in str(error)
        gallery.close()
"""


def test_two_processes_lose_nothing_of_each_other(place, tmp_path):
    """Many rounds at once, each with a cache folder of its own; all is found, here and anew."""
    gallery = create_gallery(place, encoder="toy", dim=8)
    gallery.add(["first"], np.ones((1, 8)), [{}], encoder="toy")
    gallery.save()
    gallery.close()
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, place, name],
            env={**os.environ, "TRIFORM_CACHE": str(tmp_path / name)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("x", "y")
    ]
    for program in programs:
        assert program.wait(120) == 0, program.communicate()[1]
    groups = {f"{name}{number}" for name in "xy" for number in range(8)} | {"first"}
    gallery = open_gallery(place)
    assert len(gallery) == 1 + 8 + 8 * 9 // 2
    (hits,) = gallery.search(np.ones((1, 8)), 100, encoder="toy")
    assert {hit.id for hit in hits} == groups
    gallery.close()


def test_a_strangers_collection_is_refused(chroma_server):
    chromadb = pytest.importorskip("chromadb")
    settings = chromadb.Settings(anonymized_telemetry=False)
    host, port = chroma_server.removeprefix("chroma://").split(":")
    client = chromadb.HttpClient(host=host, port=int(port), settings=settings)
    client.create_collection("strange", embedding_function=None)
    wrong(lambda: open_gallery(f"{chroma_server}/strange"), "not one of Triform's")


def test_what_chroma_has_not(chroma_server, tmp_path):
    """No mean, no words, no prefixes, no ranges of texts: a line each."""
    gallery = create_gallery(f"{chroma_server}/poor", encoder="toy 1")
    gallery.add(IDS[:4], VECTORS[:4], RECORDS[:4], encoder="toy 1", groups=GROUPS[:4])

    def search(**options):
        gallery.search(VECTORS[:1], 1, encoder="toy 1", **options)

    assert not gallery.has_words
    wrong(lambda: search(aggregate="mean"), "best vector only", "exact gallery")
    wrong(lambda: search(words=["chair"]), "no ranking by words", "exact gallery")
    wrong(lambda: search(where={"kind": StartsWith("vi")}), "'vi'", "exact gallery")
    wrong(lambda: search(where={"kind": Range("a", "b")}), "numbers alone", "exact gallery")
    wrong(lambda: gallery.save(tmp_path / "elsewhere"), "stays where it is")


def test_missing_package_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "chromadb", None)
    wrong(
        lambda: create_gallery("chroma://127.0.0.1/x", encoder="toy"),
        "pip install 'triform[chroma]'",
    )

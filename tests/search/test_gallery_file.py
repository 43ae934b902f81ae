"""Files that were added to, and files of format 2."""

import os
import sqlite3
import struct
import zlib

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.search import blocks, exact, gallery_file, segments
from triform.search.exact import ExactGallery
from triform.search.gallery import open_gallery
from triform.search.row_table import ROWS_SCHEMA
from triform.search.segments import ALIGNMENT

DIM = 16
RANDOM = np.random.default_rng(3)
VECTORS = RANDOM.standard_normal((400, DIM)).astype(np.float32)
QUERY = RANDOM.standard_normal((1, DIM))


def add(gallery, start, stop):
    """Rows of groups of three, the words of each from all of its rows."""
    rows = range(start, stop)
    gallery.add(
        [f"id {row}" for row in rows],
        VECTORS[start:stop],
        [{"row": row} for row in rows],
        encoder="toy",
        groups=[f"group {row // 3}" for row in rows],
        words=[f"word{row} ü" for row in rows],
    )


def whole(stop):
    gallery = ExactGallery(encoder="toy")
    add(gallery, 0, stop)
    return gallery


def same(gallery, other):
    assert len(gallery) == len(other) and gallery.records() == other.records()
    ids = list(gallery.records())
    np.testing.assert_array_equal(gallery.vectors(ids), other.vectors(ids))
    for words in (["word3 word301"], None):
        answers = [each.search(QUERY, 50, encoder="toy", words=words) for each in (gallery, other)]
        assert answers[0] == answers[1]
    return True


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "things.gallery"
    whole(200).save(path)
    return path


def grown(path, *stops):
    start = 200
    for stop in stops:
        gallery = open_gallery(path)
        add(gallery, start, stop)
        gallery.save()
        start = stop
    return path.read_bytes()


def test_saving_appends_what_was_added(path):
    """300 goes on in the group of 299; the bytes before stay where they are."""
    first = path.read_bytes()
    second = grown(path, 298)
    assert second[: len(first)] == first
    # Head, rows, vectors and end, each from a multiple of 64 bytes on.
    head = first.ljust(-(-len(first) // 64) * 64, b"\0")
    num_bytes = struct.unpack_from("<8sQ", second, len(head))[1]
    vectors = -(-num_bytes // 64) * 64 + 98 * DIM * 4
    assert len(second) == len(head) + 64 + vectors + 64
    assert same(open_gallery(path), whole(298))
    gallery = open_gallery(path)
    add(gallery, 298, 399)
    assert same(gallery, whole(399))  # before it is saved
    gallery.save()
    assert path.read_bytes()[: len(second)] == second
    assert same(open_gallery(path), whole(399))


def test_one_process_may_save_again_and_again(path):
    gallery = open_gallery(path)
    sizes = []
    for stop in (210, 211, 240):
        add(gallery, len(gallery), stop)
        gallery.save()
        sizes.append(path.stat().st_size)
        gallery.save()  # nothing is new
        assert path.stat().st_size == sizes[-1]
    assert sizes == sorted(sizes) and same(open_gallery(path), whole(240))


def test_what_is_removed_is_written_whole(path, tmp_path):
    grown(path, 230)
    gallery = open_gallery(path)
    assert gallery.remove(["group 0", "group 70"]) == 6
    gallery.save()
    gallery.save(tmp_path / "other.gallery")
    assert path.read_bytes() == (tmp_path / "other.gallery").read_bytes()
    assert len(open_gallery(path)) == 224
    other = whole(230)
    other.remove(["group 0", "group 70"])
    assert same(open_gallery(path), other)


@pytest.mark.parametrize(("limit", "steps"), [(2, (210, 220, 230)), (256, (210, 401))])
def test_the_file_is_written_anew_before_it_has_many_parts(
    path, tmp_path, monkeypatch, limit, steps
):
    monkeypatch.setattr(exact, "MAX_SEGMENTS", limit)
    grown(path, *(min(stop, 400) for stop in steps[:-1]))
    gallery = open_gallery(path)
    add(gallery, len(gallery), min(steps[-1], 400))
    if steps[-1] > 400:  # more than was written whole
        gallery.add(["more"], VECTORS[:1], [{}], encoder="toy")
    gallery.save()
    gallery.save(tmp_path / "other.gallery")
    assert path.read_bytes() == (tmp_path / "other.gallery").read_bytes()


def test_a_save_that_was_stopped_is_not_read(path, monkeypatch):
    """At any byte: what was there before is there, and the next save is as if nothing had been."""
    warnings = []
    monkeypatch.setattr(segments.logger, "warning", lambda text, *_: warnings.append(text))
    first = path.read_bytes()
    second = grown(path, 220)
    path.write_bytes(first)
    before = open_gallery(path)
    begin = -(-len(first) // ALIGNMENT) * ALIGNMENT
    places = {*RANDOM.integers(len(first) + 1, len(second), 40).tolist(), begin + 1, begin + 64}
    for place in sorted(places | {len(second) - 65, len(second) - 64, len(second) - 1}):
        path.write_bytes(second[:place])
        warnings.clear()
        assert len(open_gallery(path)) == 200
        assert ["a save is under way or was stopped" in text for text in warnings] == [True]
    assert same(open_gallery(path), before)
    # A power cut may have left zeros.
    path.write_bytes(second[: begin + 64].ljust(len(second), b"\0"))
    assert len(open_gallery(path)) == 200
    assert grown(path, 220) == second


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_other_names_of_a_file_keep_what_they_have(path, link):
    """A link, and a backup that shares its data: the file is written anew."""
    other = path.with_name("other.gallery")
    path.rename(other)
    link(other, path)
    first = other.read_bytes()
    grown(path, 220)
    assert other.read_bytes() == first and not path.is_symlink()
    assert same(open_gallery(path), whole(220)) and len(open_gallery(other)) == 200


def test_a_disk_that_is_full_leaves_the_file_as_it_was(path, monkeypatch):
    first = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    gallery = open_gallery(path)
    add(gallery, 200, 220)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        gallery.save()
    assert path.read_bytes() == first
    monkeypatch.undo()
    gallery.save()
    assert same(open_gallery(path), whole(220))


def test_damage_in_what_was_added_is_one_line(path):
    first, second = path.read_bytes(), grown(path, 220)
    reference = open_gallery(path)
    begin = -(-len(first) // ALIGNMENT) * ALIGNMENT
    survived = 0
    for place in RANDOM.integers(begin, len(second), 200):
        data = bytearray(second)
        data[place] ^= 1 << RANDOM.integers(8)
        path.write_bytes(data)
        try:
            gallery = open_gallery(path)
        except UserError as error:
            assert "\n" not in str(error) and "damaged" in str(error) and str(path) in str(error)
        else:  # what fills up to a multiple of 64 bytes
            survived += 1
            assert same(gallery, reference)
    assert survived < 10


def test_added_rows_that_lie(path):
    """With right checksums: a stranger computes them as well."""
    first, second = path.read_bytes(), grown(path, 201)
    begin = -(-len(first) // ALIGNMENT) * ALIGNMENT
    mark, num_bytes, count, dim, *_ = struct.unpack_from("<8sQQQII", second, begin)
    vectors = second[begin + 64 + -(-num_bytes // 64) * 64 :][: 4 * dim]
    for rows, some, message in (
        (b"", vectors, "rows that were added are missing"),
        (b"[" * 100_000 + b"\n", vectors, "damaged"),
        (b'["a", "b", "c"]\n', vectors, "damaged"),
        (b'["a", "b", "c", 1]\n', vectors, "a row that was added is not of texts"),
        (b'["id 3", "b", "c", "{}"]\n', vectors, "damaged"),
        (b'["a", "b", "c", "{}"]\n', vectors[:-4] + struct.pack("<f", 2), "not of length 1"),
        (b'["a", "b", "c", "{}"]\n', vectors[:-4] + struct.pack("<f", np.nan), "not of length 1"),
    ):
        head = struct.pack(
            "<8sQQQII", mark, len(rows), count, dim, zlib.crc32(rows), zlib.crc32(some)
        )
        head = (head + struct.pack("<I", zlib.crc32(head))).ljust(64, b"\0")
        padded = rows.ljust(-(-len(rows) // 64) * 64, b"\0") + some
        end = struct.pack("<8sI", b"TRIFORM.", zlib.crc32(head)).ljust(64, b"\0")
        path.write_bytes(first.ljust(begin, b"\0") + head + padded + end)
        with pytest.raises(UserError, match=message) as caught:
            open_gallery(path)
        assert "\n" not in str(caught.value)


def write_format_2(path, gallery):
    """As files were until 2026-11-30: vectors in a table, in parts of 150 rows."""
    database = sqlite3.connect(path, isolation_level=None)
    schema = gallery_file.HEADER_SCHEMA + gallery_file._CHUNKS_SCHEMA + ROWS_SCHEMA
    database.executescript(schema)
    checksum = 0
    for number, (identity, record) in enumerate(gallery.records().items()):
        group, text = number // 3, f'{{"row": {record["row"]}}}'
        words = "\n".join(
            f"word{3 * group + n} ü" for n in range(3) if 3 * group + n < len(gallery)
        )
        if number % 3 == 0:
            database.execute(
                "INSERT INTO groups VALUES (?, ?, ?)", (group + 1, f"group {group}", words)
            )
        database.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?)", (number, identity, group + 1, text)
        )
        line = f"{number}\0{identity}\0group {group}\0{words}\0{text}\n"
        checksum = zlib.crc32(line.encode(), checksum)
    vectors = gallery.vectors(list(gallery.records()))
    for first in range(0, len(vectors), 150):
        data = vectors[first : first + 150].tobytes()
        database.execute("INSERT INTO chunks VALUES (?, ?, ?)", (first, zlib.crc32(data), data))
    facts = {"format": "triform-gallery", "version": "2", "encoder": "toy", "dim": str(DIM)}
    facts |= {"count": str(len(vectors)), "rows": str(checksum), "metric": "cosine"}
    database.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
    database.close()


def test_a_file_of_format_2_is_read_and_written_in_format_3(tmp_path):
    path, reference = tmp_path / "old.gallery", whole(200)
    write_format_2(path, reference)
    gallery = open_gallery(path)
    assert same(gallery, reference)
    add(gallery, 200, 210)
    gallery.save()
    whole(210).save(tmp_path / "new.gallery")
    assert path.read_bytes() == (tmp_path / "new.gallery").read_bytes()


def test_vectors_of_a_file_are_mapped_until_something_is_removed(tmp_path, monkeypatch):
    """Whole blocks lie in the file; what is removed moves the others, in memory."""
    monkeypatch.setattr(blocks, "BLOCK", 64)
    whole(200).save(path := tmp_path / "things.gallery")
    gallery = open_gallery(path)
    mapped = [not block.vectors.flags.writeable for block in gallery._blocks._blocks]
    assert mapped == [True, True, True, False]
    gallery.remove(["group 30"])
    other = whole(200)
    other.remove(["group 30"])
    assert same(gallery, other)
    assert same(open_gallery(path), whole(200))


def test_records_are_parsed_together():
    texts = {"a": '{"x": 1}', "b": '{"y": [1, 2]}'}
    assert gallery_file.all_records(texts, "g") == {"a": {"x": 1}, "b": {"y": [1, 2]}}
    assert gallery_file.all_records({}, "g") == {}
    for damaged in ("{", "", "[1]", "{}, {}", "[" * 100_000):
        with pytest.raises(UserError, match="g: damaged: a record is no JSON object"):
            gallery_file.all_records({**texts, "c": damaged}, "g")

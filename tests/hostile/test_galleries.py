"""Galleries that somebody else made, and two processes at one gallery."""

import base64
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounded_memory import refused_cheaply, run_bounded
from PIL import Image

from triform.base.errors import UserError
from triform.search import gallery_file
from triform.search.exact import ExactGallery
from triform.search.gallery import open_gallery
from triform.systems.retrieval.gallery.entries import TILE, decode_tile, encode_tile

DIM = 4
GALLERY = "things.gallery"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of three vectors as we write it."""
    path = tmp_path_factory.mktemp("galleries") / GALLERY
    gallery = ExactGallery(encoder="toy", path=path)
    gallery.add(
        ["a", "b", "c"],
        np.eye(3, DIM, dtype=np.float32),
        [{"n": n} for n in range(3)],
        encoder="toy",
    )
    gallery.save()
    return path


@pytest.fixture
def evil(good: Path, place: Path) -> Path:
    """A copy of it, for a test to spoil."""
    shutil.copy(good, place / GALLERY)
    return place / GALLERY


@pytest.fixture
def evil_2(evil: Path) -> Path:
    """The same in format 2, whose vectors are in a table."""
    checksum, data = chunk(np.eye(3, DIM))
    change(
        evil,
        gallery_file._CHUNKS_SCHEMA,
        ("INSERT INTO chunks VALUES (0, ?, ?)", (checksum, data)),
        "UPDATE facts SET value = '2' WHERE name = 'version'",
        "DELETE FROM facts WHERE name = 'vectors'",
    )
    assert len(open_gallery(evil)) == 3
    return evil


def change(path: Path, *statements: str | tuple[str, Iterable[Any]]) -> None:
    """Change the file with SQLite, as its maker would, and put its vectors behind it again."""
    data = path.read_bytes()
    size = int.from_bytes(data[16:18], "big") * int.from_bytes(data[28:32], "big")
    path.write_bytes(data[:size])
    with sqlite3.connect(path) as connection:
        for statement in statements:
            text, values = (statement, ()) if isinstance(statement, str) else statement
            connection.execute(text, tuple(values))
    connection.close()
    with path.open("ab") as file:
        file.write(data[size:])


def refused(path: Path) -> str:
    output = refused_cheaply(lambda: open_gallery(path))
    assert GALLERY in output
    return output


BOMB = "(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n)"
GENERATED = (
    "CREATE TABLE facts2 (name TEXT PRIMARY KEY, value TEXT "
    "GENERATED ALWAYS AS (hex(zeroblob(400000000))) VIRTUAL)"
)
SCHEMAS: dict[str, tuple[str, ...]] = {
    "view": ("DROP TABLE facts", f"CREATE VIEW facts AS SELECT 'format' name, {BOMB} value"),
    "view more": (f"CREATE VIEW more AS SELECT {BOMB} x",),
    "trigger": ("CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END",),
    "table more": ("CREATE TABLE more (x)",),
    "index": ("CREATE INDEX i ON rows (record)",),
    "index of an expression": ("CREATE INDEX i ON rows (hex(zeroblob(n)))",),
    "generated column": (
        "DROP TABLE facts",
        GENERATED,
        "ALTER TABLE facts2 RENAME TO facts",
        "INSERT INTO facts (name) VALUES ('format')",
    ),
    "column with a default": ("ALTER TABLE rows ADD COLUMN more TEXT DEFAULT 'x'",),
    "constraint": (
        "ALTER TABLE facts RENAME TO old",
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL CHECK (value > ''))",
        "INSERT INTO facts SELECT * FROM old",
        "DROP TABLE old",
    ),
    "without rowid": (
        "DROP TABLE facts",
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    "table renamed": ("ALTER TABLE facts RENAME TO f", "ALTER TABLE f RENAME TO Facts"),
    "statistics": ("ANALYZE",),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_another_schema_is_refused(evil: Path, name: str) -> None:
    change(evil, *SCHEMAS[name])
    assert "not the file of a gallery" in refused(evil)


def test_a_schema_of_many_tables_is_not_even_read(evil: Path, monkeypatch: Any) -> None:
    """SQLite reads all of it before its first answer."""
    change(evil, *(f"CREATE TABLE t{n} (x)" for n in range(20)))
    gallery_file._schemas()
    monkeypatch.setattr(sqlite3, "connect", None)
    with pytest.raises(UserError, match="not the file of a gallery"):
        gallery_file._file_size(evil)


def test_a_long_schema_is_refused(evil: Path) -> None:
    """SQL of a megabyte, under the number of entries that we write."""
    with sqlite3.connect(evil) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        text = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'facts'").fetchone()
        long = text[0].replace("(", "(" + "/*" + "x" * 2**20 + "*/", 1)
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'facts'", (long,))
    connection.close()
    refused(evil)


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("dim", "1000000000"),
        ("dim", "16384"),
        ("dim", "-4"),
        ("count", "99999999999999"),
        ("count", "-1"),
        ("count", "9" * 4000),
        ("dim", "9" * 5000),
        ("count", "2"),
        ("encoder", "x" * 2**20),
        ("rows", "x"),
    ],
)
def test_facts_that_claim_much(evil: Path, fact: str, value: str) -> None:
    change(evil, ("UPDATE facts SET value = ? WHERE name = ?", (value, fact)))
    refused(evil)


def chunk(rows: np.ndarray) -> tuple[int, bytes]:
    data = rows.astype("<f4").tobytes()
    return zlib.crc32(data), data


@pytest.mark.parametrize(
    "number", [np.nan, np.inf, -np.inf, 3e38, 1.5], ids=["nan", "inf", "-inf", "huge", "long"]
)
def test_vectors_that_are_none(evil: Path, number: float) -> None:
    """NaN ended a search in a crash."""
    checksum, data = chunk(np.full((3, DIM), number))
    change(evil, ("UPDATE facts SET value = ? WHERE name = 'vectors'", (str(checksum),)))
    evil.write_bytes(evil.read_bytes()[: -len(data)] + data)
    assert "not of length 1" in refused(evil)


def test_chunks_of_vectors_that_are_none(evil_2: Path) -> None:
    checksum, data = chunk(np.full((3, DIM), np.nan))
    change(evil_2, ("UPDATE chunks SET checksum = ?, vectors = ?", (checksum, data)))
    assert "not of length 1" in refused(evil_2)


def test_chunks_that_overlap_or_leave_gaps(evil_2: Path) -> None:
    checksum, data = chunk(np.eye(1, DIM))
    for firsts in ((0, 2), (0, 1, 2, 3), (1, 2, 3)):
        insert = "INSERT INTO chunks VALUES (?, ?, ?)"
        rows = [(insert, (first, checksum, data)) for first in firsts]
        change(evil_2, "DELETE FROM chunks", *rows)
        assert "vectors from" in refused(evil_2)


def test_pages_in_a_circle(evil: Path, good: Path) -> None:
    """Every page of a larger gallery in turn replaced by another: refused, or the same."""
    gallery = ExactGallery(encoder="toy", path=evil)
    vectors = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    gallery.add([f"thing {n}" for n in range(300)], vectors, [{"t": "x" * 99}] * 300, encoder="toy")
    gallery.save()
    data = evil.read_bytes()
    pages = len(data) // 4096
    for number in range(1, pages, 3):
        for other in (0, pages - 1, number // 2):
            page = data[other * 4096 : (other + 1) * 4096]
            evil.write_bytes(data[: number * 4096] + page + data[(number + 1) * 4096 :])
            try:
                opened = ExactGallery.open(evil)
            except UserError as error:
                assert "\n" not in str(error)
            else:
                assert len(opened) == 300


def rows_with(record: str, evil: Path) -> None:
    """Put a record into every row, with the checksum that fits."""
    change(evil, ("UPDATE rows SET record = ?", (record,)))
    checksum = 0
    for n, name in enumerate("abc"):
        checksum = gallery_file.rows_checksum(checksum, [(n, name, n, name, "", record)])
    change(evil, ("UPDATE facts SET value = ? WHERE name = 'rows'", (str(checksum),)))


@pytest.mark.parametrize("record", ["[" * 100_000, "no JSON", "[1]", "3", "null", '{"a": "'])
def test_records_that_are_none_are_one_line(evil: Path, record: str) -> None:
    rows_with(record, evil)
    gallery = open_gallery(evil)
    query = np.eye(1, DIM, dtype=np.float32)
    calls: list[Callable[[], object]] = [
        lambda: gallery.search(query, 2, encoder="toy"),
        lambda: gallery.get(["a"]),
        lambda: gallery.records(),
    ]
    for call in calls:
        assert "record" in refused_cheaply(call)
    assert gallery.search(query, 2, encoder="toy", where={"n": 1}) == [[]]
    assert gallery.records({"n": 1}) == {}


def test_pipes_and_devices_are_refused(place: Path) -> None:
    os.mkfifo(place / GALLERY)
    assert "no regular file" in refused(place / GALLERY)
    (place / GALLERY).unlink()
    (place / GALLERY).symlink_to("/dev/zero")
    assert "no regular file" in refused(place / GALLERY)


def test_tiles_are_ours_or_white() -> None:
    """The images in a gallery's records: one size, one format."""

    def text(image: Image.Image, kind: str) -> str:
        file = io.BytesIO()
        image.save(file, kind, lossless=True)
        return base64.b64encode(file.getvalue()).decode()

    tile = Image.new("RGB", (TILE, TILE), (200, 30, 30))
    assert np.abs(np.asarray(decode_tile(encode_tile(tile)), int) - (200, 30, 30)).max() < 20
    white = np.full((TILE, TILE, 3), 255)
    large = text(Image.new("RGB", (3000, 3000)), "WEBP")
    for odd in (large, text(tile, "PNG"), text(tile.resize((8, 8)), "WEBP"), "", "no base 64 é"):
        assert np.array_equal(np.asarray(decode_tile(odd)), white)
    assert run_bounded(lambda: decode_tile(large))["kind"] == "done"


def test_no_more_numbers_than_can_be_read_again(place: Path) -> None:
    gallery = ExactGallery(encoder="toy", path=place / GALLERY)
    wide = np.ones((1, gallery_file.MAX_DIM + 1), np.float32)
    with pytest.raises(UserError, match="16385 numbers"):
        gallery.add(["a"], wide, [{}], encoder="toy")


def test_saving_goes_through_no_link(place: Path) -> None:
    """A link under a name of a temporary file that could be foreseen."""
    (place / "secret").write_bytes(b"mine")
    (place / f".{GALLERY}.{os.getpid()}.part").symlink_to(place / "secret")
    gallery = ExactGallery(encoder="toy", path=place / GALLERY)
    gallery.add(["a"], np.eye(1, DIM, dtype=np.float32), [{}], encoder="toy")
    gallery.save()
    assert (place / "secret").read_bytes() == b"mine"
    assert (place / f".{GALLERY}.{os.getpid()}.part").is_symlink()
    assert len(open_gallery(place / GALLERY)) == 1
    assert (place / GALLERY).stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# --- two processes -----------------------------------------------------------------------------

ADD = """
import sys, time
import numpy as np
from triform.search.gallery import open_gallery, updating
path, name, column, wait = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
with updating(path):
    gallery = open_gallery(path)
    print("opened", flush=True)
    time.sleep(wait)
    gallery.add([name], np.eye(4, dtype=np.float32)[column : column + 1], [{}], encoder="toy")
    gallery.save()
"""


def adding(path: Path, name: str, column: int, wait: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", ADD, str(path), name, str(column), str(wait)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_add_one_after_the_other(
    evil: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIFORM_CACHE", str(place / "cache"))
    first = adding(evil, "x", 3, 1.0)
    assert first.stdout is not None and first.stdout.readline() == "opened\n"
    second = adding(evil, "y", 3, 0.0)
    for process in (first, second):
        assert (process.wait(60), process.communicate()[1].count("Traceback")) == (0, 0)
    assert set(open_gallery(evil).records()) == {"a", "b", "c", "x", "y"}


def test_a_change_by_another_process_is_not_overwritten(
    evil: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock: whoever saves second is refused, and may open the file again."""
    monkeypatch.setenv("TRIFORM_CACHE", str(place / "cache"))
    gallery = open_gallery(evil)
    other = adding(evil, "x", 3, 0.0)
    assert other.wait(60) == 0, other.communicate()[1]
    gallery.add(["y"], np.eye(1, DIM, dtype=np.float32), [{}], encoder="toy")
    with pytest.raises(UserError, match="another process has changed it"):
        gallery.save()
    assert set(open_gallery(evil).records()) == {"a", "b", "c", "x"}
    repeated = open_gallery(evil)
    repeated.add(["y"], np.eye(1, DIM, dtype=np.float32), [{}], encoder="toy")
    repeated.save()
    repeated.save()  # its own file is no other process's
    assert json.dumps(sorted(open_gallery(evil).records())) == '["a", "b", "c", "x", "y"]'

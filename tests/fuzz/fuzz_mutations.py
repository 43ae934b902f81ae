"""Damage to files: of their bytes, and of what is inside them with the outside still in order.

A checksum or a length in front would turn away nearly every file whose bytes are changed blindly,
so archives, weights, JSON, YAML, gzip and SQLite are opened, changed inside and closed again.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import sqlite3
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from mutants import mutate as mutate_bytes

Mutation = Callable[[bytes, random.Random], bytes]
ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    -(10**30),
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "..",
    "../../canary",
    "/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "file:///etc/passwd",
    "https://127.0.0.1/x",
    "a\x00b",
    "\x1b]0;title\x07\x1b[2J",
    "a\nb",
    "\u202egnp.exe",
    "\ud800",
    "x" * 70_000,
    "=1+1",
    "$x^{",
    "%s{0}",
    [],
    {},
    [[]],
    {"": {}},
    [0] * 5000,
    "hf-hub:a/b",
    {"auto_map": {"AutoModel": "m.M"}},
    {"trust_remote_code": True},
)
MOST_PACKED = 2**24


def _odd(chance: random.Random) -> Any:
    """A copy of an odd value: later changes inside it must not reach other inputs."""
    return copy.deepcopy(chance.choice(ODD))


def mutate(data: bytes, name: str, chance: random.Random) -> bytes:
    """A damaged copy of a file, by what its name and its first bytes say that it is."""
    inside = _inside(data, name)
    if inside is not None and chance.random() < 0.75:
        try:
            return inside(data, chance)
        except (
            OSError,
            ValueError,
            KeyError,
            RecursionError,
            zipfile.BadZipFile,
            yaml.YAMLError,
            sqlite3.Error,
            struct.error,
            zipfile.LargeZipFile,
            UnicodeError,
        ):
            pass  # damaged before it came here: then the bytes alone
    return mutate_bytes(data, chance.randrange(2**32)) if data else b"\0"


def _inside(data: bytes, name: str) -> Mutation | None:
    suffix = name.rpartition(".")[2].lower()
    if data[:4] == b"PK\x03\x04":
        return mutate_zip
    if data[:2] == b"\x1f\x8b":
        return lambda old, chance: gzip.compress(
            mutate_bytes(gzip.decompress(old), chance.random().__hash__()), mtime=0
        )
    if data[:15] == b"SQLite format 3":
        return mutate_sqlite
    if data[:6] == b"\x93NUMPY":
        return mutate_npy
    return {
        "safetensors": mutate_safetensors,
        "json": mutate_json,
        "gltf": mutate_json,
        "yaml": mutate_yaml,
        "jsonl": mutate_lines,
        "csv": mutate_lines,
        "txt": mutate_lines,
        "properties": mutate_lines,
    }.get(suffix)


def mutate_tree(tree: Any, chance: random.Random) -> Any:
    """Plain data with one to three places replaced, removed, doubled or nested."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        positions = list(_places(tree))
        if not positions:
            return _odd(chance)
        holder, key = chance.choice(positions)
        match chance.randrange(8):
            case 0:
                del holder[key]
            case 1:
                other, other_key = chance.choice(positions)
                if other_key in other if isinstance(other, dict) else other_key < len(other):
                    holder[key] = json.loads(json.dumps(other[other_key]))
            case 2:
                deep: Any = 0
                for _ in range(chance.choice((10, 200, 100_000))):
                    deep = [deep]
                holder[key] = deep
            case 3 if isinstance(holder[key], int | float):
                holder[key] = holder[key] * chance.choice((-1, 0, 0.5, 2, 1000, 10**9))
            case 4 if isinstance(holder, dict):
                holder[chance.choice(("", "..", "auto_map", "tokenizer_kwargs", "x\x1b[2J"))] = (
                    _odd(chance)
                )
            case _:
                holder[key] = _odd(chance)
    return tree


def _places(tree: Any) -> Any:
    """Every (holder, key) in plain data."""
    waiting = [tree]
    while waiting:
        here = waiting.pop()
        keys = (
            here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        )
        for key in keys:
            yield here, key
            waiting.append(here[key])


def dump_json(tree: Any) -> bytes:
    """JSON of data that may be nested deeper than the writer goes."""
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"[" * 100_000 + b"]" * 100_000


def mutate_json(data: bytes, chance: random.Random) -> bytes:
    """Other values in a JSON file."""
    return dump_json(mutate_tree(json.loads(data), chance))


def mutate_yaml(data: bytes, chance: random.Random) -> bytes:
    """Other values in a YAML file, or aliases that multiply."""
    if chance.random() < 0.05:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
        return "\n".join(lines).encode() + b"\n" + data
    tree = mutate_tree(yaml.safe_load(data), chance)
    try:
        return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"data: " + b"[" * 20_000 + b"]" * 20_000


def mutate_lines(data: bytes, chance: random.Random) -> bytes:
    """Other cells in a table, other values in lines of JSON."""
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    if lines[at][:1] == b"{":
        lines[at] = mutate_json(lines[at], chance)
    else:
        cells = lines[at].split(chance.choice((b",", b"=", b" ")))
        odd = str(_odd(chance)).encode("utf-8", "surrogatepass")
        cells[chance.randrange(len(cells))] = odd
        lines[at] = b",".join(cells)
    if chance.random() < 0.2:
        lines[at:at] = [lines[chance.randrange(len(lines))]] * chance.choice((1, 3, 2000))
    return b"\n".join(lines)


def mutate_safetensors(data: bytes, chance: random.Random) -> bytes:
    """Another header: settings, names, shapes, types, places; its length in order or not."""
    length = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    notes = header.get("__metadata__", {})
    packed = [key for key, text in notes.items() if text[:1] in ("{", "[")]
    if packed and chance.random() < 0.7:
        key = chance.choice(packed)
        notes[key] = dump_json(mutate_tree(json.loads(notes[key]), chance)).decode(
            "utf-8", "replace"
        )
    else:
        header = mutate_tree(header, chance)
    text = dump_json(header)
    output = (
        len(text) if chance.random() < 0.9 else chance.choice((0, 1, 2**32, 2**63, len(text) + 9))
    )
    return struct.pack("<Q", output) + text + (rest if chance.random() < 0.9 else rest[:100])


def mutate_npy(data: bytes, chance: random.Random) -> bytes:
    """Another header of an array, or other numbers in it."""
    end = data.index(b"\n") + 1
    header = data[10:end]
    for _ in range(chance.choice((0, 1, 1, 2))):
        old = chance.choice(
            (b"(", b"<", b"|", b"False", b"fortran", b"f4", b"u1", b", ", b"1", b"2")
        )
        new = chance.choice(
            (
                b"(1000000, 1000000, ",
                b"O",
                b"True",
                b"<c16",
                b"|V99",
                b"-1",
                b"99999999999",
                b">",
                b"()",
                b"(0,",
                b"__import__('os')",
                b"((((((((((",
            )
        )
        header = header.replace(old, new, 1)
    body = data[end:]
    if chance.random() < 0.5 and body:
        body = mutate_bytes(body, chance.randrange(2**32))
    return data[:8] + struct.pack("<H", min(len(header), 65535)) + header + body


def mutate_zip(data: bytes, chance: random.Random) -> bytes:
    """One member of an archive damaged, renamed, doubled, made a bomb; packed or plain."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    if sum(len(content) for _, content in members) > MOST_PACKED:
        raise ValueError("too large to be packed again and again")
    at = chance.randrange(len(members))
    name, content = members[at]
    match chance.randrange(10):
        case 0:
            name = chance.choice(("../canary", "/tmp/canary", "a\\..\\..\\b", "", "x" * 300, name))
        case 1:
            members.append((name, content[::-1]))
        case 2:
            content = bytes(chance.choice((10**6, 3 * 10**8)))
        case 3:
            del content
            content = b""
        case _:
            content = mutate(content, name, chance)
    members[at] = (name, content)
    stored = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    if len(content) > MOST_PACKED:
        stored = zipfile.ZIP_DEFLATED
    memory = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(memory, "w", stored) as archive:
        warnings.simplefilter("ignore")  # two members of one name are meant
        for each, inside in members:
            info = zipfile.ZipInfo(each)
            info.compress_type = stored
            if chance.random() < 0.02:
                info.external_attr = 0o120777 << 16  # a link
            archive.writestr(info, inside)
    return memory.getvalue()


def mutate_sqlite(data: bytes, chance: random.Random) -> bytes:
    """Another value, row, view or trigger in a database."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.db")
        path.write_bytes(data)
        connection = sqlite3.connect(path, isolation_level=None)
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        table = chance.choice(names)[0]
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = chance.choice(columns)
        odd = chance.choice(
            (None, "x", b"", -1, 2**62, 1e308, "\x1b[2J", "[" * 5000, b"\xff" * 99, 0)
        )
        where = f"rowid IN (SELECT rowid FROM {table} ORDER BY random() LIMIT 1)"
        statements = (
            (f"UPDATE {table} SET {column} = ? WHERE {where}", (odd,)),
            (f"DELETE FROM {table} WHERE {where}", ()),
            (f"ALTER TABLE {table} RENAME TO gone", ()),
            (f"ALTER TABLE {table} RENAME COLUMN {column} TO gone", ()),
            ("CREATE VIEW extra AS SELECT randomblob(1000000000)", ()),
            (f"CREATE TRIGGER extra BEFORE INSERT ON {table} BEGIN SELECT randomblob(9); END", ()),
            (f"ALTER TABLE {table} ADD COLUMN more AS (hex(zeroblob(100000000)))", ()),
        )
        try:
            connection.execute(*chance.choice(statements))
        finally:
            connection.close()
        return path.read_bytes()

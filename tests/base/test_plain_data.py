"""JSON of strangers: plain, finite, of bounded depth and size."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from triform.base import plain_data
from triform.base.errors import UserError
from triform.base.plain_data import check_plain, parse_json, read_json

GOOD: list[Any] = [None, True, "x", -3, 2.5, [], {}, {"a": [1, {"b": None}]}]


@pytest.mark.parametrize("content", GOOD)
def test_plain_data_comes_back(content: Any, tmp_path: Path) -> None:
    assert parse_json(json.dumps(content)) == content
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_json(tmp_path / "a.json") == content


def test_numbers_that_json_does_not_have_are_none() -> None:
    assert parse_json('{"a": NaN, "b": [-Infinity]}') == {"a": None, "b": [None]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deep"),
        ("[" * 34 + "]" * 34, "nested too deep"),
        ("1e999", "not finite"),
        ("1" + "0" * 30, "too large"),
        ("9" * 5000, "digits"),
        ("{'a': 1}", "property name"),
        ("[" + "1," * 50_000 + "1]", "more than 50,000 values"),
    ],
)
def test_what_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: not a JSON file.*"):
        read_json(tmp_path / "a.json")


def test_the_limit_of_values_is_the_callers() -> None:
    text = "[" + "1," * 50_000 + "1]"
    assert len(parse_json(text, 50_002)) == 50_001
    with pytest.raises(ValueError, match="more than 50,001 values"):
        parse_json(text, 50_001)


def test_the_deepest_that_is_read() -> None:
    assert parse_json("[" * 33 + "]" * 33)


def test_the_same_list_at_many_places_counts_each_time() -> None:
    level: list[Any] = [1]
    for _ in range(30):
        level = [level, level]  # 2^30 values in 30 lists
    with pytest.raises(ValueError, match="more than"):
        check_plain(level)


@pytest.mark.parametrize("content", [{1: 2}, {"a": {1, 2}}, [object()], b"x", 1j])
def test_other_objects_are_refused(content: Any) -> None:
    with pytest.raises(ValueError, match="no plain data"):
        check_plain(content)


def test_files_are_regular_and_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UserError, match="expected a regular file"):
        read_json(tmp_path / "fifo")
    (tmp_path / "a.json").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"a\.json: not a JSON file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="larger than 0 bytes"):
        read_json(tmp_path / "a.json", 0)
    assert plain_data.MAX_BYTES == 1_000_000

"""The page of promises names tests that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))


def test_there_are_promises() -> None:
    assert len(NAMED) >= 30 and len(set(NAMED)) == len(NAMED)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda value: value)
def test_the_test_of_each_promise_is_there(file: str, name: str) -> None:
    path = ROOT / file
    assert path.is_file(), f"{PAGE.name} names {file}, which is not there"
    functions = {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert name in functions, f"{PAGE.name} names {file}::{name}, which is not there"


def test_every_row_of_the_tables_names_a_test() -> None:
    """But for heads and lines below them."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not re.fullmatch(r"\|[-|]+\|", line) and "| test |" not in line:
            assert re.search(r"`tests/[\w/]+\.py::\w+` \|$", line), line


def test_reporting_names_no_invented_address() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "docs/security.md" in text and "Report a vulnerability" in text
    assert "@" not in text

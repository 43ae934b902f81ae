"""A folder of a data set appears when it is complete, and never replaces one of the user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.datasets.managed_folder import is_managed, make_folder
from triform.datasets.shape import MARKER


def write(text: str, folder: Path) -> None:
    folder.mkdir()
    (folder / "data").write_text(text)


def test_made_with_a_marker_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "chairs"
    make_folder("chairs", target, lambda folder: write("old", folder), {"licence": "CC0"})
    assert is_managed(target) and not is_managed(tmp_path)
    assert json.loads((target / MARKER).read_text()) == {
        "name": "chairs",
        "made_by": "triform",
        "licence": "CC0",
    }
    make_folder("chairs", target, lambda folder: write("new", folder), {})
    assert (target / "data").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["chairs"]


def test_a_failure_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "chairs"
    make_folder("chairs", target, lambda folder: write("old", folder), {})

    def fail(folder: Path) -> None:
        write("half", folder)
        raise UserError("no connection")

    with pytest.raises(UserError, match="no connection"):
        make_folder("chairs", target, fail, {})
    assert (target / "data").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["chairs"]


def test_leftovers_go_and_folders_of_the_user_stay(tmp_path: Path) -> None:
    (tmp_path / ".chairs.abc.making").mkdir()
    (tmp_path / "chairs").mkdir()  # empty: not in the way
    make_folder("chairs", tmp_path / "chairs", lambda folder: write("new", folder), {})
    assert [path.name for path in tmp_path.iterdir()] == ["chairs"]
    write("mine", tmp_path / "tables")
    with pytest.raises(UserError, match="in the way"):
        make_folder("tables", tmp_path / "tables", lambda folder: write("new", folder), {})
    assert (tmp_path / "tables" / "data").read_text() == "mine"

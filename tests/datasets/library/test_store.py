"""Files in a folder and in memory behave alike."""

import pickle
import sys
from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.datasets.library.store import Store, StoreError


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, memory: str) -> Store:
    position = {"folder": str(tmp_path / "new"), "file": f"file://{tmp_path}/new", "memory": memory}
    return Store(position[request.param])


def test_files_come_back(store: Store) -> None:
    assert store.sizes("images") == {} and not store.exists("images/a.png")
    with pytest.raises(FileNotFoundError):
        store.read_bytes("images/a.png")
    store.write_bytes("images/a.png", b"12345")
    store.write_bytes("images/a.png", b"123")
    store.write_bytes("images/б.png", b"")
    store.write_bytes("top.json", b"{}")
    assert store.read_bytes("images/a.png") == b"123"
    assert store.exists("images/a.png")
    assert store.sizes("images") == {"images/a.png": 3, "images/б.png": 0}
    store.remove("images/a.png")
    store.remove("images/a.png")
    assert list(store.sizes("images")) == ["images/б.png"]


def test_another_process_opens_the_same_place(store: Store) -> None:
    reopened = pickle.loads(pickle.dumps(store))  # noqa: TID251
    store.write_bytes("x/y", b"1")
    assert reopened.read_bytes("x/y") == b"1"


def test_unfinished_files_are_not_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_bytes("images/a.png", b"1")
    (tmp_path / "images" / ".a.png.77.part").write_bytes(b"half")
    assert list(store.sizes("images")) == ["images/a.png"]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match=r"images/a\.png cannot be written \("):
        Store(tmp_path).write_bytes("images/a.png", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


@pytest.mark.parametrize("root", ["nonsense://x/y", "s3://bucket/library"])
def test_addresses_that_cannot_be_used(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as where it is not installed
    with pytest.raises(UserError, match=root):
        Store(root)

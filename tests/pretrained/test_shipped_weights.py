"""Shipped weights are found and checked."""

import hashlib
import json

import pytest

from triform.base.errors import UserError
from triform.pretrained import shipped_weights


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_weights, "FOLDER", tmp_path)
    (tmp_path / "toy.safetensors").write_bytes(b"numbers")
    checksum = hashlib.sha256(b"numbers").hexdigest()
    (tmp_path / "sha256.json").write_text(json.dumps({"toy": checksum}))
    return tmp_path


def test_whole_file_is_found(folder):
    assert shipped_weights.shipped("toy") == folder / "toy.safetensors"
    assert shipped_weights.names() == ["toy"]


def test_damaged_file_is_refused(folder):
    (folder / "toy.safetensors").write_bytes(b"numbers!")
    with pytest.raises(UserError, match="damaged"):
        shipped_weights.shipped("toy")


def test_unlisted_file_is_refused(folder):
    """A file that somebody put beside ours is not ours."""
    (folder / "other.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="no weights named 'other'"):
        shipped_weights.shipped("other")


@pytest.mark.parametrize("name", ["toyy", "../toy", "", "toy.safetensors"])
def test_unknown_names(folder, name):
    with pytest.raises(UserError, match="there are: toy"):
        shipped_weights.shipped(name)


def test_nothing_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_weights, "FOLDER", tmp_path / "none")
    assert shipped_weights.names() == []
    with pytest.raises(UserError, match="there are: none"):
        shipped_weights.shipped("toy")


def test_what_ships_is_whole():
    """Every file in the folder is listed, every listed file is there and has its checksum."""
    listed = {}
    if (shipped_weights.FOLDER / shipped_weights.CHECKSUMS).is_file():
        listed = json.loads((shipped_weights.FOLDER / shipped_weights.CHECKSUMS).read_text())
    assert sorted(listed) == shipped_weights.names()
    for name in listed:
        path = shipped_weights.shipped(name)
        assert path.stat().st_size <= 25_000_000

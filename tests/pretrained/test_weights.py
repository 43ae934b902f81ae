"""Shipped weights are found and checked."""

import hashlib
import json

import pytest

from triform.base.errors import UserError
from triform.pretrained import weights


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    (tmp_path / "toy.safetensors").write_bytes(b"numbers")
    checksum = hashlib.sha256(b"numbers").hexdigest()
    (tmp_path / "sha256.json").write_text(json.dumps({"toy": checksum}))
    return tmp_path


def test_whole_file_is_found(folder):
    assert weights.shipped("toy") == folder / "toy.safetensors"
    assert weights.names() == ["toy"]


def test_damaged_file_is_refused(folder):
    (folder / "toy.safetensors").write_bytes(b"numbers!")
    with pytest.raises(UserError, match="damaged"):
        weights.shipped("toy")


def test_unlisted_file_is_refused(folder):
    """A file that somebody put beside ours is not ours."""
    (folder / "other.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="no weights named 'other'"):
        weights.shipped("other")


@pytest.mark.parametrize("name", ["toyy", "../toy", "", "toy.safetensors"])
def test_unknown_names(folder, name):
    with pytest.raises(UserError, match="there are: toy"):
        weights.shipped(name)


def test_nothing_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "none")
    assert weights.names() == []
    with pytest.raises(UserError, match="there are: none"):
        weights.shipped("toy")


def test_what_ships_is_whole():
    """Every file in the folder is listed, every listed file is there and has its checksum."""
    listed = {}
    if (weights.FOLDER / weights.CHECKSUMS).is_file():
        listed = json.loads((weights.FOLDER / weights.CHECKSUMS).read_text())
    assert sorted(listed) == weights.names()
    for name in listed:
        path = weights.shipped(name)
        assert path.stat().st_size <= 10_000_000

"""Damage that the fuzzer once found to end in something else than one line."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triform.base.archive import unpack
from triform.base.errors import UserError
from triform.datasets.captioned.csv_file import load_csv
from triform.pretrained.text_encoder import read_cache
from triform.systems.retrieval.documented.embedding_file import (
    ImageEmbeddings,
    read_embeddings,
    write_embeddings,
)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': ((((((((((2, 4), }",
        b"{'descr': {}, 'fortran_order': False, 'shape': (2, 4), }",
        b"{'descr': [('a', '<f4', -1)], 'fortran_order': False, 'shape': (2, 4), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': ('2', 4), }",
        b"{['descr']: '<f4', 'fortran_order': False, 'shape': (2, 4), }",
    ],
)
def test_headers_of_embeddings(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    found = ImageEmbeddings(str(path), np.ones((2, 4), np.float32), ("a_0.png", "a_1.png"))
    write_embeddings(path, found)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    old = members["embeddings.npy"]
    text = header.ljust(len(old[10 : old.index(b"\n")])) + b"\n"
    members["embeddings.npy"] = (
        old[:8] + len(text).to_bytes(2, "little") + text + old[old.index(b"\n") + 1 :]
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(UserError, match=r"e\.npz"):
        read_embeddings(path)


@pytest.mark.parametrize("member", ["filenames.npy", "model.npy"])
def test_text_of_embeddings_that_is_no_text(member: str, tmp_path: Path) -> None:
    """Numbers beyond Unicode, which numpy reads and cannot turn into a string."""
    path = tmp_path / "e.npz"
    found = ImageEmbeddings(
        str(path), np.ones((2, 4), np.float32), ("a_0.png", "a_1.png"), model="small"
    )
    write_embeddings(path, found)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = members[member][:-4] + b"\xff\xff\xff\x7f"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(UserError, match=rf"e\.npz: damaged: {member} holds what is no text"):
        read_embeddings(path)


@pytest.mark.parametrize("texts", ['[{"a": 1}, "b"]', '{"a": 1}', "[1, 2]", "[" * 100_000, "7"])
def test_kept_texts_that_are_none_are_made_anew(texts: str, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    class Encoder:
        fingerprint, dim, name = "test", 4, "test"

    path = tmp_path / "t.safetensors"
    save_file(
        {"embeddings": np.ones((2, 4), np.float32)}, path, {"encoder": "test", "texts": texts}
    )
    assert read_cache(path, Encoder()) == {}  # type: ignore[arg-type]
    save_file(
        {"embeddings": np.ones((2, 4), np.float32)},
        path,
        {"encoder": "test", "texts": json.dumps(["a", "b"])},
    )
    assert list(read_cache(path, Encoder())) == ["a", "b"]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a\0.png", "a\x1b[2J.png", "\u202egnp.a"])
def test_names_of_images_that_cannot_be_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    memory = io.BytesIO()
    Image.new("RGB", (8, 8)).save(memory, "PNG")
    (tmp_path / "b.png").write_bytes(memory.getvalue())
    table = tmp_path / "captions.csv"
    table.write_text(f"image,caption\nb.png,a chair\n{name},a table\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"row 3: .* cannot be the name of an image"):
        load_csv(tmp_path, table, val_split=0.5, seed=0)


def test_a_member_of_an_archive_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"1")
    data = path.read_bytes()
    assert data.count(b"x") == 2  # once before the content, once in the directory
    nameless = data.replace(b"x", b"")
    # The length of the name stands 26 bytes into the header and 28 into the directory.
    at = nameless.index(b"PK\x01\x02")
    changed = bytearray(nameless)
    changed[26:28] = changed[at + 28 : at + 30] = b"\0\0"
    end = changed.index(b"PK\x05\x06")
    changed[end + 12 : end + 16] = (46).to_bytes(4, "little")
    changed[end + 16 : end + 20] = at.to_bytes(4, "little")
    path.write_bytes(bytes(changed))
    with pytest.raises(UserError, match=r"a\.zip"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()

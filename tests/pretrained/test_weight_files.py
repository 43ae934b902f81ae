"""Files of weights are read as tensors alone, and handed on as safetensors."""

import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from triform.base.errors import UserError
from triform.pretrained.weight_files import as_safetensors, read_pickled

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor(7)}


class Evil:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_safetensors_are_handed_on_untouched(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path)
    with as_safetensors(path) as actual:
        assert actual == path
    assert path.is_file()


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "state_dict_ema"])
@pytest.mark.parametrize("legacy", [False, True])
def test_pickles_become_safetensors(tmp_path, wrapper, legacy):
    path = tmp_path / "weights.bin"
    content = TENSORS if wrapper is None else {wrapper: TENSORS, "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with as_safetensors(path) as actual:
        assert actual.suffix == ".safetensors"
        assert {k: v.tolist() for k, v in load_file(actual).items()} == {
            "a.weight": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
            "a.count": 7,
        }
    assert not actual.exists()


def test_averaged_weights_come_first(tmp_path):
    other = {"a": torch.zeros(1)}
    torch.save({"model": other, "state_dict": other, "state_dict_ema": TENSORS}, tmp_path / "x.pth")
    assert list(read_pickled(tmp_path / "x.pth")) == list(TENSORS)


def test_tied_weights_are_kept_twice(tmp_path):
    tied = torch.arange(4.0)
    torch.save({"a": tied, "b": tied, "c": tied[1:3]}, tmp_path / "x.pth")
    with as_safetensors(tmp_path / "x.pth") as actual:
        assert [v.tolist() for v in load_file(actual).values()] == [[0, 1, 2, 3]] * 2 + [[1, 2]]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("legacy", [False, True])
def test_objects_are_refused_and_not_made(tmp_path, protocol, legacy):
    mark, path = tmp_path / "mark", tmp_path / "x.pth"
    torch.save(
        {"a": Evil(mark)},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(UserError, match=r"x\.pth: .*nothing in it was executed") as actual:
        read_pickled(path)
    assert not mark.exists() and "\n" not in str(actual.value)


def test_packed_records_are_refused_before_they_are_read(tmp_path, monkeypatch):
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"a": torch.zeros(1_000_000)}, plain)
    with (
        zipfile.ZipFile(plain) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert packed.stat().st_size < plain.stat().st_size / 100
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(UserError, match="is compressed"):
        read_pickled(packed)


def test_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.zeros(10_000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_pickled(path)


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(1)],
        torch.zeros(1),
        {},
        {"a": 1},
        {3: torch.zeros(1)},
        {"a": {"b": torch.ones(1)}},
    ],
)
def test_what_is_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x\.pth: .*no tensor"):
        read_pickled(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"", b"noise" * 99, b"PK\x03\x04" + bytes(200)])
def test_what_is_no_file_of_torch(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.pth: .*(file of weights|not a file that torch wrote)"):
        read_pickled(tmp_path / "x.pth")

"""Checkpoints: whole, safe, and clear about what is wrong with a file."""

import collections
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from triform.base.errors import UserError
from triform.engine.checkpoints import checkpoint

MARKER: list[str] = []


def mark() -> None:
    """What a hostile file tries to run."""
    MARKER.append("executed")


class Bomb:
    """Runs `mark` when it is unpickled."""

    def __reduce__(self) -> Any:
        """The trick."""
        return (mark, ())


def small_state(**more: Any) -> dict[str, Any]:
    """The least a checkpoint holds."""
    weights = collections.OrderedDict(w=torch.arange(6.0).reshape(2, 3), n=torch.tensor(3))
    return {
        "system": "toy",
        "config": {"seed": 1, "data": {"names": ["a"], "none": None}},
        "networks": {"model": weights},
        "ema": {},
        "optimizers": {},
        "step": 3,
        "epoch": 1,
        **more,
    }


def complaint(path: Path) -> str:
    """The one line that loading ends in; nothing was executed."""
    lines = []
    for load in (checkpoint.load, checkpoint.load_weights):
        with pytest.raises(UserError) as caught:
            load(path)
        lines.append(str(caught.value))
        assert "\n" not in lines[-1] and str(path) in lines[-1]
        assert caught.value.exit_status == 1
    assert not MARKER
    return lines[0]


def test_round_trip(tmp_path: Path) -> None:
    """What was saved comes back; tensors keep their types."""
    path = tmp_path / "new" / "a.pth"
    checkpoint.save(path, small_state(best={"value": float("-inf")}))
    state = checkpoint.load(path)
    assert state["config"] == small_state()["config"] and state["step"] == 3
    assert torch.equal(state["networks"]["model"]["w"], torch.arange(6.0).reshape(2, 3))
    assert state["networks"]["model"]["n"].dtype == torch.int64
    assert state["best"] == {"value": float("-inf")}
    torch.load(path, weights_only=True)
    assert list(path.parent.iterdir()) == [path]
    checkpoint.copy(path, tmp_path / "b.pth")
    assert (tmp_path / "b.pth").read_bytes() == path.read_bytes()


def test_averages_are_the_weights_to_use(tmp_path: Path) -> None:
    """Where there are any."""
    average = {"model": {"w": torch.ones(2, 3), "n": torch.tensor(3)}}
    checkpoint.save(tmp_path / "a.pth", small_state(ema=average))
    weights, config, system, metadata = checkpoint.load_weights(tmp_path / "a.pth")
    assert torch.equal(weights["model"]["w"], torch.ones(2, 3))
    assert system == "toy" and config["seed"] == 1 and metadata == {}


def test_an_incomplete_state_is_a_mistake_of_ours(tmp_path: Path) -> None:
    """Not the user's."""
    with pytest.raises(ValueError, match="needs step, epoch"):
        state = {key: value for key, value in small_state().items() if key not in ("step", "epoch")}
        checkpoint.save(tmp_path / "a.pth", state)


def test_python_objects_are_refused_and_not_executed(tmp_path: Path) -> None:
    """As a bare pickle, in torch's old format, in its new one, and deep inside a checkpoint."""
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(Bomb()))
    old = tmp_path / "old.pth"
    torch.save({"w": Bomb()}, old, _use_new_zipfile_serialization=False)
    new = tmp_path / "new.pth"
    torch.save(Bomb(), new)
    deep = tmp_path / "deep.pth"
    torch.save({"format": checkpoint.FORMAT, "version": 1, **small_state(extra=[Bomb()])}, deep)
    module = tmp_path / "module.pth"
    torch.save(torch.nn.Linear(1, 1), module)
    for path in (bare, old, new, deep, module):
        assert "refused, nothing in it was executed" in complaint(path)


def test_damaged_files_are_one_line_each(tmp_path: Path) -> None:
    """Cut at many places, one byte flipped, empty, text, an image, an archive, a folder."""
    whole = tmp_path / "whole.pth"
    checkpoint.save(whole, small_state())
    data = whole.read_bytes()
    path = tmp_path / "damaged.pth"
    for length in (0, 1, 2, 10, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        complaint(path)
    tensor = data.index(torch.arange(6.0).numpy().tobytes())
    flipped = bytearray(data)
    flipped[tensor + 5] ^= 0x40
    path.write_bytes(flipped)
    assert "does not match its checksum" in complaint(path)
    for content in (b"hello\n", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000), b"\x80\x02."):
        path.write_bytes(content)
        complaint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../evil.txt", "text")
    complaint(path)
    assert not (tmp_path.parent / "evil.txt").exists()
    (tmp_path / "folder.pth").mkdir()
    assert complaint(tmp_path / "folder.pth").endswith("a folder, expected a checkpoint file")
    assert complaint(tmp_path / "none.pth").endswith("not there, expected a checkpoint file")


def test_other_programs_files_are_told_apart(tmp_path: Path) -> None:
    """A bare state dict can be read on purpose, but is no checkpoint of ours."""
    path = tmp_path / "other.pth"
    torch.save({"encoder.weight": torch.ones(1)}, path)
    assert complaint(path).endswith("a torch file, but not a Triform checkpoint")
    assert torch.equal(checkpoint.read(path)["encoder.weight"], torch.ones(1))
    torch.save([1, 2], path)
    complaint(path)
    torch.save({"format": checkpoint.FORMAT, "version": 99}, path)
    assert complaint(path).endswith("format version 99, this Triform reads version 2")
    torch.save({"format": checkpoint.FORMAT, "version": checkpoint.VERSION, "step": 1}, path)
    assert "lacks system, config" in complaint(path)


def test_exported_weights(tmp_path: Path) -> None:
    """Safetensors with the config beside them; tied weights and views survive."""
    path = tmp_path / "weights.safetensors"
    shared = torch.randn(2, 2)
    networks = {"a": {"x.w": shared, "tied": shared}, "b": {"y": torch.arange(6).reshape(2, 3).T}}
    config = {"data": {"names": ["стол"]}, "lr": 1e-4}
    inputs = {"classes": ["стол", "a\nb"], "size": 28}
    checkpoint.export_weights(
        path, networks, config, system="toy", metadata=inputs, extra={"licence": "CC0"}
    )
    weights, loaded, system, metadata = checkpoint.load_weights(path)
    assert (loaded, system, metadata) == (config, "toy", inputs)
    assert weights.keys() == networks.keys()
    for name, tensors in networks.items():
        for key, tensor in tensors.items():
            assert torch.equal(weights[name][key], tensor)
    for wrong in ("weights.pth", "weights"):
        with pytest.raises(ValueError, match=r"\.safetensors"):
            checkpoint.export_weights(tmp_path / wrong, networks, {}, system="toy")
    with pytest.raises(ValueError, match="without a dot"):
        checkpoint.export_weights(path, {"a.b": {}}, {}, system="toy")


def test_broken_weights_files_are_one_line_each(tmp_path: Path) -> None:
    """Cut, empty, a pickle in disguise, a header that promises a petabyte, foreign."""
    path = tmp_path / "w.safetensors"
    checkpoint.export_weights(path, {"a": {"x": torch.ones(4)}}, {}, system="toy")
    data = path.read_bytes()
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 48], "data_offsets": [0, 1 << 50]}})
    huge = len(header).to_bytes(8, "little") + header.encode()
    pickled = io.BytesIO()
    torch.save(Bomb(), pickled)
    for content in (b"", data[:5], data[:-3], pickled.getvalue(), huge, b"\xff" * 8 + b"{}"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged, cut short, or not a safetensors") as caught:
            checkpoint.load_weights(path)
        assert "\n" not in str(caught.value)
    for metadata in (None, {"config": "{"}, {"config": "[1]", "system": "x"}, {"config": "{}"}):
        save_file({"x": torch.ones(1)}, path, metadata)
        with pytest.raises(UserError) as caught:
            checkpoint.load_weights(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="not there"):
        checkpoint.load_weights(tmp_path / "none.safetensors")
    save_file({"m.x": torch.ones(1)}, path, {"config": "{}", "system": "toy"})
    with pytest.raises(UserError, match="weights of format version 1, this Triform reads version"):
        checkpoint.load_weights(path)
    assert not MARKER

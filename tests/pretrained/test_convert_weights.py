"""Conversion of weights of format version 1: names change, numbers do not."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

SCRIPT = Path(__file__).parents[2] / "scripts" / "convert_weights.py"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The script, with rules of its own for the system `toy`."""
    spec = importlib.util.spec_from_file_location("convert_weights", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    (tmp_path / "toy.yaml").write_text(
        "tensors:\n  - ['\\.look\\.', '.attention.']\n"
        "settings:\n  data.pictures: data.images\n  model.gone: null\n"
        "values:\n  model.kind: {old: new}\n"
        "metadata:\n  size: {tensor: net.facts.shape, index: 1}\n"
        "  classes: {tensor: net.facts.names, text: lines}\n"
        "drop:\n  - '\\.facts\\.'\n"
        "system: toy2\n"
    )
    return module


def old_file(path: Path) -> dict[str, torch.Tensor]:
    """Write weights of format version 1; returns the tensors."""
    names = torch.tensor(list("стол\nкот".encode()), dtype=torch.uint8)
    tensors = {
        "net.look.weight": torch.randn(2, 3).half(),
        "net.bias": torch.arange(3),
        "net.facts.shape": torch.tensor([1, 28]),
        "net.facts.names": names,
    }
    config = {"data": {"pictures": 3}, "model": {"gone": 1, "kind": "old"}}
    save_file(tensors, path, {"system": "toy", "config": json.dumps(config), "licence": "CC0"})
    return tensors


def test_names_change_and_numbers_do_not(script, tmp_path: Path) -> None:
    before = old_file(tmp_path / "old.safetensors")
    script.convert(tmp_path / "old.safetensors", tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        header = file.metadata()
        after = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    assert after.keys() == {"net.attention.weight", "net.bias"}
    assert torch.equal(after["net.attention.weight"], before["net.look.weight"])
    assert torch.equal(after["net.bias"], before["net.bias"])
    assert (header["system"], header["version"], header["licence"]) == ("toy2", "2", "CC0")
    assert json.loads(header["config"]) == {"data": {"images": 3}, "model": {"kind": "new"}}
    assert json.loads(header["metadata"]) == {"size": 28, "classes": ["стол", "кот"]}


def test_names_that_meet_are_refused(script, tmp_path: Path) -> None:
    save_file(
        {"net.look.x": torch.ones(1), "net.attention.x": torch.zeros(1)},
        tmp_path / "old.safetensors",
        {"system": "toy", "config": "{}"},
    )
    with pytest.raises(ValueError, match="the same name"):
        script.convert(tmp_path / "old.safetensors", tmp_path / "new.safetensors")

"""Putting weights where the package finds them: a network of another run in the place of one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).parents[2] / "scripts" / "ship_weights.py"


def test_a_network_is_replaced_and_all_else_stays(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("ship_weights", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    before = {"decoder.w": 1.0, "flow.w": 3.0, "flow.b": 3.0, "flow_b.w": 4.0}
    save_file({name: torch.tensor([value]) for name, value in before.items()}, one, {"a": "b"})
    save_file({"flow.w": torch.tensor([2.0])}, other, {"a": "c"})
    module.replace_network(one, other, "flow")
    after = {name: tensor.item() for name, tensor in load_file(one).items()}
    assert after == {"decoder.w": 1.0, "flow_b.w": 4.0, "flow.w": 2.0}
    with safe_open(one, framework="pt") as file:
        assert file.metadata() == {"a": "b"}

"""Where to compute, and in which format."""

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from triform.base.errors import UsageError
from triform.engine import device as device_module
from triform.engine.config import SystemConfig, TrainingConfig
from triform.engine.device import (
    autocast,
    describe_device,
    has_fast_bf16,
    pick_device,
    pick_precision,
    to_device,
    with_available_device,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let torch believe in GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """auto takes a GPU where there is one; each local process its own."""
    pretend_gpus(monkeypatch, 0)
    assert pick_device("auto") == pick_device("cpu") == CPU
    for name in ("gpu", "cuda", "cuda:1"):
        with pytest.raises(UsageError, match=f"--device {name}: torch finds no GPU here"):
            pick_device(name)
    pretend_gpus(monkeypatch, 2)
    assert pick_device("auto") == pick_device("gpu") == pick_device("cuda") == GPU
    assert pick_device("cuda:1") == torch.device("cuda", 1) and pick_device("cpu") == CPU
    with pytest.raises(UsageError, match="no GPU 2, GPUs found: 2"):
        pick_device("cuda:2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device("auto") == torch.device("cuda", 1)


def test_a_gpu_that_a_file_names_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning, and what `auto` finds; a GPU that is there stays as it is named."""
    pretend_gpus(monkeypatch, 0)
    assert with_available_device(SystemConfig(device="cuda")).device == "auto"
    assert "device: cuda (of the file): not here; going on with cpu" in caplog.text
    pretend_gpus(monkeypatch, 2)
    assert with_available_device(SystemConfig(device="cuda:1")).device == "cuda:1"
    assert with_available_device(SystemConfig(device="cuda:2", seed=7)) == SystemConfig(seed=7)
    assert "going on with cuda:0" in caplog.text


def test_the_description_says_how_much_memory_there_is() -> None:
    """In words for people."""
    text = describe_device(CPU)
    assert text.startswith("cpu (") and "threads" in text and text.endswith("GB free")


@pytest.mark.parametrize(
    ("settings", "device", "fast", "expected"),
    [
        ({}, CPU, True, "bf16"),
        ({}, CPU, False, "float32"),
        ({}, GPU, True, "bf16"),
        ({}, GPU, False, "fp16"),
        ({"use_amp": False}, GPU, True, "float32"),
        ({"use_amp": False, "precision": "bf16"}, CPU, False, "bf16"),
        ({"precision": "float32"}, GPU, True, "float32"),
        ({"precision": "fp16"}, CPU, True, "fp16"),
    ],
)
def test_precision(
    settings: dict[str, Any],
    device: torch.device,
    fast: bool,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """auto lets the device decide, a named format is obeyed."""
    monkeypatch.setattr(device_module, "has_fast_bf16", lambda device: fast)
    assert pick_precision(TrainingConfig.model_validate(settings), device) == expected


def test_autocast_changes_the_format_of_products() -> None:
    """And is nothing for float32."""
    one = torch.ones(2, 2)
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        with autocast(CPU, name):  # type: ignore[arg-type]
            assert (one @ one).dtype == dtype
    with autocast(CPU, "float32"):
        assert (one @ one).dtype == torch.float32
    assert has_fast_bf16(CPU) in (True, False)


Pair = namedtuple("Pair", ["a", "b"])


@dataclass(frozen=True)
class Item:
    """A batch as a dataclass."""

    x: torch.Tensor
    name: str


def test_batches_are_moved_whatever_they_are_made_of() -> None:
    """Structure and everything that is no tensor stay."""
    tensor = torch.ones(2)
    batch = {"a": tensor, "b": [tensor, 3, "x"], "c": (tensor,), "d": Pair(tensor, None)}
    meta = torch.device("meta")
    moved = to_device({**batch, "e": Item(tensor, "n")}, meta)
    assert moved["a"].device == moved["b"][0].device == moved["c"][0].device == meta
    assert moved["b"][1:] == [3, "x"] and moved["d"].b is None and moved["d"].a.device == meta
    item = moved["e"]
    assert isinstance(item, Item) and item.x.device == meta and item.name == "n"
    assert tensor.device == CPU

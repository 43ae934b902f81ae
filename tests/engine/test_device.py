"""Where to compute, and in which format."""

from collections import namedtuple
from types import SimpleNamespace
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
    processor_name,
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


def test_batches_are_moved_whatever_they_are_made_of() -> None:
    """Structure and everything that is no tensor stay."""
    tensor = torch.ones(2)
    batch = {"a": tensor, "b": [tensor, 3, "x"], "c": (tensor,), "d": Pair(tensor, None)}
    meta = torch.device("meta")
    moved = to_device(batch, meta)
    assert moved["a"].device == moved["b"][0].device == moved["c"][0].device == meta
    assert moved["b"][1:] == [3, "x"] and moved["d"].b is None and moved["d"].a.device == meta
    assert tensor.device == CPU


def test_a_device_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free memory of all of it, in gigabytes with one digit."""
    memory = SimpleNamespace(available=1.26e9, total=3.54e9)
    monkeypatch.setattr(device_module.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(device_module, "processor_name", lambda: "Six Cores")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert describe_device(CPU) == "cpu (Six Cores), 7 threads, 1.3 of 3.5 GB free"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2.34e9, 8e9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert describe_device(torch.device("cuda", 1)) == "cuda:1 (GPU 1), 2.3 of 8.0 GB free"


def test_the_name_of_the_processor(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that Linux lists; elsewhere what Python knows."""
    file = tmp_path / "cpuinfo"
    file.write_text("processor: 0\nmodel name\t: Chip: A 1 \nmodel name: other\n")
    monkeypatch.setattr(device_module, "Path", {"/proc/cpuinfo": file}.__getitem__)
    assert processor_name() == "Chip: A 1"
    file.write_text("processor: 0\n")
    monkeypatch.setattr(device_module.platform, "processor", lambda: "generic")
    monkeypatch.setattr(device_module.platform, "machine", lambda: "riscv")
    assert processor_name() == "generic"
    file.unlink()
    monkeypatch.setattr(device_module.platform, "processor", lambda: "")
    assert processor_name() == "riscv"


@pytest.mark.parametrize(
    ("answers", "expected"), [({}, False), ({"bf16": True}, True), ({"amx": True}, True)]
)
def test_which_processors_have_bf16(
    answers: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either kind of instructions is enough; old versions of torch cannot tell."""
    names = {"bf16": "_is_avx512_bf16_supported", "amx": "_is_amx_tile_supported"}
    for key, name in names.items():
        monkeypatch.setattr(torch.cpu, name, lambda key=key: answers.get(key, False), raising=False)
    assert has_fast_bf16(CPU) is expected
    for key, name in names.items():
        if key not in answers:
            monkeypatch.delattr(torch.cpu, name)
    assert has_fast_bf16(CPU) is expected
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda **options: asked.append(options) or expected
    )
    assert has_fast_bf16(GPU) is expected and asked == [{"including_emulation": False}]


def test_batches_are_moved_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, *words, **more: asked.append((words, more))
    )
    to_device((torch.ones(1),), GPU)
    assert asked == [((GPU,), {"non_blocking": True})]


def test_a_wrong_name_of_a_device_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 2)
    for name in ("tpu", "cud:1"):
        with pytest.raises(UsageError, match="must be auto, cpu, gpu, cuda or cuda:N"):
            pick_device(name)
    settings = SimpleNamespace(device=None)
    assert with_available_device(settings) is settings  # type: ignore[type-var]


def test_names_may_be_made_at_run_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a file are: equal is enough."""
    pretend_gpus(monkeypatch, 2)

    def copied(text: str) -> Any:
        return "".join(list(text))

    assert pick_device(copied("cpu")) == CPU and pick_device(copied("auto")) == GPU
    assert pick_device(copied("cuda")) == GPU
    pretend_gpus(monkeypatch, 0)
    assert pick_device(copied("auto")) == CPU
    training = TrainingConfig.model_construct(precision=copied("auto"), use_amp=False)
    assert pick_precision(training, CPU) == "float32"
    with autocast(CPU, copied("float32")):
        assert not torch.is_autocast_enabled("cpu")

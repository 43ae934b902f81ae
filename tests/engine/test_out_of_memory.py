"""Which errors are a lack of memory, and what the advice is."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from toy_systems import ToyConfig, toy_config

from triform.engine.config import TrainingConfig
from triform.engine.out_of_memory import is_out_of_memory, memory_advice

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("anything"), True),
        (RuntimeError("CUDA Out of Memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("cannot allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_are_a_lack_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(
    ("size", "advice"),
    [
        (9, "try --batch_size 4 (it is 9)"),
        (2, "try --batch_size 1 (it is 2)"),
        (1, "try --precision bf16, a smaller preset, or a device with more memory"),
    ],
)
def test_the_number_to_lower(size: int, advice: str, tmp_path: Path) -> None:
    config = toy_config(tmp_path, {"data.batch_size": size})
    assert memory_advice(config, CPU) == f"out of memory on cpu: {advice}"


def test_knobs_are_lowered_in_their_order(tmp_path: Path) -> None:
    class Knobs(TrainingConfig):
        """Two numbers cost memory, and one is no number."""

        memory_knobs: ClassVar = ("lr", "num_threads", "batch_size")

    class Config(ToyConfig):
        """Train a toy."""

        training: Knobs = Knobs()

    assert memory_advice(Config(), CPU).endswith("try --batch_size 4 (it is 8)")
    more = Config(training=Knobs(num_threads=6))
    assert memory_advice(more, CPU).endswith("try --num_threads 3 (it is 6)")

"""What every system owes, run over all of them with their `tiny` presets.

A new system gets these tests by being there. What only it can assert stands in its own tests.
"""

import copy
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from triform import systems
from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.engine.checkpoints.checkpoint import best_weights, export_weights, load_weights
from triform.engine.fit import fit

FILES = ("__init__.py", "README.md", "config.py", "model.py", "system.py")
PAPER = re.compile(r"arxiv|doi\.org|openreview", re.IGNORECASE)
BOUNDS = re.compile(r"\[(-?[\d.]+), (-?[\d.]+)\]")
NAMES = systems.names()
TINY = [
    (name, path.stem) for name in NAMES for path in systems.load(name).presets.glob("tiny*.yaml")
]
GENERATING = [each for each in TINY if "generate" in systems.load(each[0]).config.VERBS]
each_system = pytest.mark.parametrize("name", NAMES)
PRESETS = [path for name in NAMES for path in sorted(systems.load(name).presets.rglob("*.yaml"))]
each_preset = pytest.mark.parametrize("path", PRESETS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")


@dataclass(frozen=True)
class Tiny:
    """One system with one of its tiny presets, in a folder that its tests share."""

    name: str
    preset: str
    folder: Path

    @cached_property
    def entry(self) -> systems.Entry:
        return systems.load(self.name)

    def config(self, *flags: str) -> Any:
        """The preset's settings with checkpoints nowhere but in the run, changed by flags."""
        quiet = ["--config", self.preset, "--device", "cpu", "--checkpoint", ""]
        return parse(self.entry.config.Config, [*quiet, *flags], self.entry.presets)

    def system(self, *flags: str) -> Any:
        return self.entry.system.System(self.config(*flags))

    def train(self, *flags: str) -> tuple[Path, list[dict[str, Any]]]:
        """Train as the verb does; returns the run directory and the logged numbers."""
        before = set(self.folder.glob("runs/*/run_*"))
        self.entry.verb("train")(self.config("--log_every", "1", *flags))
        (run,) = set(self.folder.glob("runs/*/run_*")) - before
        return run, numbers(run)


@pytest.fixture(scope="module", params=TINY, ids="-".join)
def tiny(request, tmp_path_factory) -> Iterator[Tiny]:
    """A tiny system; everything it writes goes to a temporary folder."""
    folder = tmp_path_factory.mktemp("-".join(request.param))
    before = Path.cwd()
    os.chdir(folder)
    yield Tiny(*request.param, folder)
    os.chdir(before)


@pytest.fixture(scope="module")
def trained(tiny) -> tuple[Path, list[dict[str, Any]]]:
    """One whole tiny run."""
    return tiny.train()


def numbers(run: Path) -> list[dict[str, Any]]:
    """Lines of `metrics.jsonl` that hold a training loss."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "train/loss" in line]


def checkpoint(run: Path, name: str) -> Path:
    """The checkpoint of a run, whatever the system's document calls it."""
    (path,) = (run / "checkpoints").glob(f"{name}*")
    return path


def losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["train/loss"] for line in lines]


def test_there_are_systems_and_the_folder_is_the_registry():
    folders = {path.name for path in systems.FOLDER.iterdir() if (path / "__init__.py").is_file()}
    assert NAMES and set(NAMES) == folders
    assert {name for name, _ in TINY} == folders


def test_a_wrong_system_or_checkpoint_is_one_line(tmp_path):
    for wrong in ("no.pth", "no.safetensors"):
        with pytest.raises(UserError) as caught:
            systems.from_checkpoint(tmp_path / wrong)
        assert "\n" not in str(caught.value)
    path = tmp_path / "other.safetensors"
    export_weights(path, {"a": {"b": torch.zeros(1)}}, {}, system="painter")
    with pytest.raises(UserError, match="the system 'painter', which is not installed here"):
        systems.from_checkpoint(path)


def batch_documentation(entry: systems.Entry) -> str:
    """Where the table of batch keys stands: `data.py`, or a base class of the task."""
    data = entry.folder / "data.py"
    own = data.read_text(encoding="utf-8") if data.is_file() else ""
    return "\n".join([own, *(inspect.getdoc(base) or "" for base in entry.system.System.__mro__)])


def test_batches_are_as_documented(tiny):
    """Keys, axes, types and bounds equal the documented table."""
    source = batch_documentation(tiny.entry)
    rows = re.findall(r"^\| `(\w+)` \| \(([^)]*)\) (\w+) \| (.*) \|$", source, re.MULTILINE)
    assert rows, (
        "neither data.py nor a base class holds a table `| `key` | (B, ...) type | values |`"
    )
    batch = next(iter(tiny.system().batches()))
    assert set(batch) == {key for key, *_ in rows}
    sizes: dict[str, int] = {}
    for key, axes, dtype, values in rows:
        tensor = batch[key]
        names = [axis.strip() for axis in axes.split(",") if axis.strip()]
        assert tensor.ndim == len(names) and str(tensor.dtype) == f"torch.{dtype}", key
        for axis, size in zip(names, tensor.shape, strict=True):
            assert size == (int(axis) if axis.isdigit() else sizes.setdefault(axis, size)), key
        assert torch.isfinite(tensor.float()).all()
        if values.startswith("0 or 1"):
            assert set(tensor.unique().tolist()) <= {0, 1}
        elif bounds := BOUNDS.search(values):
            assert float(bounds[1]) <= tensor.min() and tensor.max() <= float(bounds[2])


def gradients(tiny: Tiny, *flags: str) -> dict[str, torch.Tensor]:
    """Sum of the gradients of every trained parameter over a few steps."""
    torch.manual_seed(0)
    system = tiny.system("--epochs", "1", "--max_steps", "3", *flags)
    names = {
        parameter: f"{network}.{name}"
        for network, module in system.networks.items()
        for name, parameter in module.named_parameters()
    }
    found: dict[str, torch.Tensor] = {}
    frozen = [p for module in system.frozen.values() for p in module.parameters()]

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        assert all(parameter.grad is None for parameter in frozen)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    seen = parameter.grad.detach().double()
                    found[names[parameter]] = found.get(names[parameter], 0) + seen

    for optimizer in system.optimizers.values():
        optimizer.register_step_pre_hook(look)
    fit(system)
    assert set(names.values()) >= set(found)
    for parameter, name in names.items():
        assert not parameter.requires_grad or name in found, f"{name} is in no optimizer"
    return found


def test_every_trained_parameter_gets_a_gradient(tiny):
    found = gradients(tiny, "--precision", "float32")
    assert found and all(torch.isfinite(gradient).all() for gradient in found.values())
    assert not [name for name, gradient in found.items() if not gradient.any()]


def test_bf16_gradients_are_those_of_float32(tiny):
    """Rounding turns a gradient by degrees; a broken kernel turns it anywhere."""
    exact = gradients(tiny, "--precision", "float32", "--lr", "1e-12")
    rounded = gradients(tiny, "--precision", "bf16", "--lr", "1e-12")
    largest = max(float(gradient.norm()) for gradient in exact.values())
    wrong = {}
    for name, gradient in exact.items():
        if gradient.norm() < 1e-4 * largest:
            assert rounded[name].norm() < 1e-2 * largest, name
            continue
        cosine = float((gradient * rounded[name]).sum() / gradient.norm() / rounded[name].norm())
        ratio = float(rounded[name].norm() / gradient.norm())
        if not (cosine > 0.9 and 0.75 < ratio < 1.33):
            wrong[name] = (round(cosine, 3), round(ratio, 3))
    assert not wrong


def test_overfits_one_batch(tiny):
    """On the same few samples again and again the loss has to fall."""
    flags = ["--epochs", "80", "--max_steps", "80", "--scheduler.type", "none", "--log_every", "1"]
    system = tiny.system(*flags, "--sample_every", "0", "--evaluate_every", "80")
    batch = next(iter(system.batches()))
    system.batches = lambda: iter([copy.deepcopy(batch) for _ in range(80)])
    values = losses(numbers(fit(system).run_dir))
    assert len(values) == 80 and np.isfinite(values).all()
    assert np.mean(values[-5:]) < 0.8 * np.mean(values[:3]), (values[:3], values[-5:])


def test_same_seed_same_run_other_seed_other_run(tiny, trained):
    expected = losses(trained[1])
    assert len(expected) > 3
    assert losses(tiny.train()[1]) == expected
    assert losses(tiny.train("--seed", "43")[1]) != expected


def test_interrupted_and_resumed_equals_uninterrupted(tiny, trained):
    """Ctrl-C in the middle, resume: weights, optimizers and random states, bit for bit."""
    before = set(tiny.folder.glob("runs/*/run_*"))
    system = tiny.system("--log_every", "1")
    steps, step = [], system.step

    def interrupt(batch: Any, update: Any) -> Any:
        steps.append(1)
        if len(steps) == len(trained[1]) // 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(batch, update)

    system.step = interrupt
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        fit_as_verb(tiny, system)
    (run,) = set(tiny.folder.glob("runs/*/run_*")) - before
    tiny.entry.verb("train")(tiny.config("--log_every", "1", "--resume_from", str(run)))
    assert len(steps) == len(trained[1]) // 2
    assert losses(numbers(run)) == losses(trained[1])
    checkpoints = [
        torch.load(checkpoint(folder, "last"), weights_only=True) for folder in (run, trained[0])
    ]
    for key in ("networks", "ema", "optimizers", "stateful", "random", "step", "epoch", "best"):
        assert_equal(*(checkpoint[key] for checkpoint in checkpoints), place=key)


def fit_as_verb(tiny: Tiny, system: Any) -> None:
    """Run the verb `train` with a system that was made before."""
    module = tiny.entry.system
    original = module.System
    module.System = lambda config: system
    try:
        tiny.entry.verb("train")(system.config)
    finally:
        module.System = original


def assert_equal(a: Any, b: Any, place: str) -> None:
    """Equality of nested plain data and tensors, to the bit."""
    assert type(a) is type(b) or (isinstance(a, dict) and isinstance(b, dict)), place
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), place
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            assert_equal(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), place
        for number, pair in enumerate(zip(a, b, strict=True)):
            assert_equal(*pair, place=f"{place}.{number}")
    else:
        assert a == b, place


def test_run_directory_is_complete(trained):
    run, _ = trained
    for name in (
        "config.yaml",
        "environment.json",
        "training.log",
        "metrics.jsonl",
        "MODEL_CARD.md",
    ):
        assert (run / name).stat().st_size
    assert any((run / "samples").iterdir())


def test_checkpoint_loads_safely_and_as_weights(tiny, trained, tmp_path):
    path = checkpoint(trained[0], "best")
    state = torch.load(path, weights_only=True)
    assert state["system"] == tiny.name
    weights, config, system, metadata = load_weights(path)
    shared = tmp_path / "weights.safetensors"
    export_weights(
        shared, best_weights(state), state["config"], system=tiny.name, metadata=metadata
    )
    again, *others = load_weights(shared)
    assert_equal(again, weights, "weights")
    assert others == [config, system, metadata] and system == tiny.name
    for file in (path, shared):
        assert systems.from_checkpoint(file, device="cpu") is not None


def outputs(verb: Callable[[Any], Any], settings: Any, folder: Path) -> dict[str, bytes]:
    verb(settings)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("tiny", GENERATING, ids="-".join, indirect=True)
def test_generate_makes_the_same_twice(tiny, trained, tmp_path):
    settings = tiny.entry.config.VERBS["generate"]
    made = []
    for name in ("first", "second"):
        flags = ["--checkpoint", str(trained[0]), "--device", "cpu", "--seed", "7"]
        folder = tmp_path / name
        folder.mkdir()
        flags += ["--output", f"{folder}/"]
        made.append(outputs(tiny.entry.system.generate, parse(settings, flags), folder))
    assert made[0] and made[0] == made[1]
    assert all(content for content in made[0].values())


def test_samples_are_the_same_twice(tiny, tmp_path):
    images = []
    for name in ("first", "second"):
        torch.manual_seed(0)
        system = tiny.system()
        for network in system.networks.values():
            network.eval()
        (tmp_path / name).mkdir()
        torch.manual_seed(1)
        with torch.no_grad():
            system.sample(tmp_path / name, 3)
        images.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*.*"))])
    assert images[0] and images[0] == images[1]


@pytest.mark.slow
def test_two_processes_train_together(tiny, tmp_path):
    """Both end, and the weights they share are finite after as many steps."""
    launcher = "-m torch.distributed.run --standalone --nproc_per_node=2 -m triform"
    flags = f"train --config {tiny.preset} --device cpu --batch_size 2 --checkpoint= --runs_dir"
    command = [sys.executable, *launcher.split(), tiny.name, *flags.split(), str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    (path,) = tmp_path.rglob("checkpoints/last*")
    state = torch.load(path, weights_only=True)
    assert len(state["random"]) == 2
    for weights in state["networks"].values():
        assert all(torch.isfinite(tensor.float()).all() for tensor in weights.values())

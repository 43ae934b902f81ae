"""What every system owes, run over all of them with their `tiny` presets.

A new system gets these tests by being there. What only it can assert stands in its own tests.
"""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tiny_systems import NAMES, TINY, Tiny, losses, numbers, tiny
from triform import cli, systems
from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.datasets.testdataset import write_testdataset
from triform.engine.checkpoints.checkpoint import best_weights, export_weights, load_weights

BOUNDS = re.compile(r"\[(-?[\d.]+), (-?[\d.]+)\]")
GENERATING = [each for each in TINY if "generate" in systems.load(each[0]).config.VERBS]
__all__ = ["tiny"]


@pytest.fixture(scope="module")
def trained(tiny) -> tuple[Path, list[dict[str, Any]]]:
    """One whole tiny run, with a folder of checkpoints of its own and another one."""
    return tiny.train("--checkpoint_dir", "elsewhere")


def checkpoint(run: Path, name: str) -> Path:
    """The checkpoint of a run, whatever the system's document calls it."""
    (path,) = (run / "checkpoints").glob(f"{name}*")
    return path


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


SMALL = {
    **{"num_samples": 4, "num_images": 4, "episodes": 2, "n_way": 2, "n_query": 1, "pairs": 1},
    **{"units": 2, "rows": 2, "columns": 2, "steps": 2, "num_steps": 2, "max_samples": 24},
    **{"importance_samples": 1, "importance_images": 4, "beam_size": 1, "max_episode_steps": 5},
}
"""Numbers of settings that cost time."""


def verbs_of_trained(name: str) -> list[str]:
    """The verbs of a system that take `--checkpoint` and are no training."""
    return [
        verb
        for verb, settings in systems.load(name).config.VERBS.items()
        if "checkpoint" in settings.model_fields
    ]


def inputs(folder: Path) -> dict[str, list[str]]:
    """Flags that verbs cannot do without, or that make them small."""
    images = folder / "inputs"
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(name)).integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(images / name)
    (folder / "prompts.csv").write_text("prompt,group\na chair,chairs\na table,tables and desks\n")
    write_testdataset(folder / "meshes", 2)
    return {
        "images": [str(images / "a" / "1.png")],
        "examples": [str(images)],
        "prompts": [str(folder / "prompts.csv")],
        "gallery": [str(folder / "meshes")],
        "meshes": [str(next((folder / "meshes").rglob("*.obj")))],
        "text": ["a chair"],
        "classes": ["chair", "table"],
        "folders": [str(images)],
        "index_file": [str(folder / "photos.gallery")],
        "query": ["a chair"],
    }


def small_flags(settings: type[Any], given: dict[str, list[str]], output: Path) -> list[str]:
    """Flags for a quick call of a verb."""
    flags = ["--device", "cpu"]
    for name, field in settings.model_fields.items():
        if name in SMALL:
            least = next((each.ge for each in field.metadata if hasattr(each, "ge")), 0)
            flags += [f"--{name}", str(max(SMALL[name], least))]
        elif name == "output" and field.default is not None:
            flags += ["--output", str(output / Path(field.default).name)]
        elif name in given and field.annotation is not int:
            flags += [f"--{name}", *given[name]]
    return flags


def test_every_verb_takes_a_run_whose_checkpoints_lie_elsewhere(tiny, trained, tmp_path, capsys):
    """It uses what that run trained, and says so where it names its checkpoint."""
    run, given = trained[0], inputs(tmp_path)
    assert any((tiny.folder / "elsewhere").iterdir())
    for verb in verbs_of_trained(tiny.name):
        flags = small_flags(tiny.entry.config.VERBS[verb], given, tmp_path)
        status = cli.main([tiny.name, verb, "--checkpoint", str(run), *flags, "--json"])
        out, err = capsys.readouterr()
        assert status == 0, (verb, err)
        answer = json.loads(out)
        if isinstance(answer, dict) and "checkpoint" in answer:
            assert answer["checkpoint"].startswith(str(run)), verb


def test_wrong_checkpoints_are_one_line(tiny, trained, tmp_path, capsys):
    """No folder of a run, no file of torch, other weights, and 300 tensors of other names."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pth").write_text("no weights\n" * 50)
    export_weights(
        tmp_path / "other.safetensors", {"a": {"b": torch.zeros(1)}}, {}, system="painter"
    )
    state = torch.load(checkpoint(trained[0], "best"), weights_only=True)
    for tensors in (*state["networks"].values(), *filter(None, state["ema"].values())):
        tensors.update({f"other_{index}": torch.zeros(1) for index in range(300)})
        del tensors[next(iter(tensors))]
    torch.save(state, tmp_path / "renamed.pth")
    wrong = ("empty", "text.pth", "other.safetensors", "renamed.pth", "missing")
    given = inputs(tmp_path)
    for verb in verbs_of_trained(tiny.name):
        flags = small_flags(tiny.entry.config.VERBS[verb], given, tmp_path)
        for name in wrong:
            path = str(tmp_path / name)
            status = cli.main([tiny.name, verb, "--checkpoint", path, *flags])
            out, err = capsys.readouterr()
            assert (status, out) == (1, ""), (verb, name, err)
            assert err.count("\n") == 1 and len(err) < 420 and name in err, (verb, err)
            assert "traceback" not in err, (verb, err)

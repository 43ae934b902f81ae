"""Images whose brightness tells their split: a number says which of them it was measured on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from triform.engine.checkpoints.checkpoint import export_weights
from triform.tasks.image_generation import generation, image_splits
from triform.tasks.image_generation import system as image_system

BRIGHTNESS = {"train": 40, "val": 120, "test": 200}
COUNTS = {"train": 24, "val": 10, "test": 14}
SIZE = 8


@dataclass(frozen=True)
class Tagged:
    """A folder of grey images of two classes, as bright as their split says (within 15).

    Attributes:
        folder: Where they lie.
        images: The images (N, 1, 8, 8) uint8 of each split, in the order of their reading.
    """

    folder: Path
    images: dict[str, torch.Tensor]

    def split_of(self, images: torch.Tensor) -> str:
        """The split of all of these images."""
        (split,) = {
            min(BRIGHTNESS, key=lambda name: abs(BRIGHTNESS[name] - mean))
            for mean in images.double().flatten(1).mean(1).tolist()
        }
        return split


@pytest.fixture(scope="session")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Tagged:
    """The folder, with train, val and test parts."""
    folder, random = tmp_path_factory.mktemp("tagged"), np.random.default_rng(0)
    images: dict[str, torch.Tensor] = {}
    for split, brightness in BRIGHTNESS.items():
        made = random.integers(brightness - 15, brightness + 16, (COUNTS[split], SIZE, SIZE))
        for number, pixels in enumerate(made.astype(np.uint8)):
            # The first half of each part is of class a, so that names sort as numbers do.
            kind = "a" if 2 * number < COUNTS[split] else "b"
            path = folder / split / kind / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        images[split] = torch.from_numpy(made.astype(np.uint8))[:, None]
    return Tagged(folder, images)


@pytest.fixture
def untrained(
    tmp_path: Path, tagged: Tagged, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Writes the first weights of a system to a file, as if they were trained."""
    monkeypatch.chdir(tagged.folder.parent)  # files for sharing keep the last name of a folder

    def write(system, **networks) -> Path:
        path = tmp_path / "weights.safetensors"
        own = {**system.networks, **networks}
        config = system.config.model_dump(mode="json")
        weights = {name: network.state_dict() for name, network in own.items()}
        export_weights(path, weights, config, system=system.name, metadata=system.metadata())
        return path

    return write


@pytest.fixture
def measured(untrained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict]:
    """Evaluates a system that makes images, and returns what was measured against what."""

    def evaluate(system, verb, settings) -> dict:
        """Report, and `generated`, `real`, `train` as they were handed to the measure."""
        seen: list[dict] = []

        def quality(generated, real, train, *, held_out, inception_weights=None):
            assert torch.equal(held_out, real)
            given = {
                "generated": generated,
                "real": real,
                "train": train,
                "weights": inception_weights,
            }
            seen.append(given)
            return {"kernel_distance": 0.25}

        def sheet(generated, train, path):
            seen.append({"above": generated, "below": train, "path": path})

        monkeypatch.setattr(image_splits, "MIN_HELD_OUT", 4)
        monkeypatch.setattr(generation, "image_quality", quality)
        monkeypatch.setattr(generation, "save_nearest_neighbors", sheet)
        clock = SimpleNamespace(perf_counter=iter((10.0, 12.0)).__next__)
        monkeypatch.setattr(generation, "time", clock)  # two seconds for 200 images
        given = {"checkpoint": str(untrained(system)), "device": "cpu", "num_samples": 200}
        given |= {"output": tmp_path / "sheet.png", "inception_weights": tmp_path / "weights.pth"}
        report = verb(settings.model_validate({**given, "seed": 5, "batch_size": 64}))
        found = {"report": report}
        for some in seen:
            found |= {key: value for key, value in some.items() if key not in found}
        assert found["weights"] == tmp_path / "weights.pth"
        assert found["path"] == tmp_path / "sheet.png"
        assert report["kernel_distance"] == 0.25 and report["images"] == 200
        assert report["milliseconds_per_image"] == 10
        return found

    return evaluate


@pytest.fixture
def watched_kernel_distance(monkeypatch: pytest.MonkeyPatch) -> list:
    """Measures images themselves in place of their features, and records the compared pairs."""

    pairs: list[tuple[torch.Tensor, torch.Tensor, int]] = []

    def distance(generated, real, subsets=0):
        pairs.append((generated, real, subsets))
        return 0.25, 0.5

    monkeypatch.setattr(image_system, "image_features", lambda images: images)
    monkeypatch.setattr(image_system, "kernel_distance", distance)
    return pairs

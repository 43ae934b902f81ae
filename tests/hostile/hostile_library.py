"""A small shape library that somebody else made, to be spoiled by tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_place import BOX
from PIL import Image

ID = "boxes-box0"
CANARY = "canary.png"


@pytest.fixture
def lib(place: Path) -> Path:
    """A small library, a mesh folder that fits it, and an image that is none of its business."""
    (place / "boxes").mkdir()
    (place / "boxes" / "box0.obj").write_text(BOX)
    Image.new("RGBA", (16, 16), (255, 0, 0, 255)).save(place / CANARY)
    lib = place / "lib"
    for folder in ("images", "points", "cameras", "voxels"):
        (lib / folder).mkdir(parents=True)
    Image.new("RGBA", (16, 16), (0, 255, 0, 255)).save(lib / "images" / f"{ID}_view1.png")
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3)).astype(np.float32)
    np.save(lib / "points" / f"{ID}.npy", points)
    write_table(lib)
    return lib


def write_table(lib: Path, object_id: str = ID, **entry: Any) -> None:
    """Write `metadata.json`, as `shapes prepare` does, with one object."""
    files = {"images": [f"images/{ID}_view1.png"], "points": f"points/{ID}.npy", "parts": {}}
    table = {object_id: {"source": "boxes/box0", "dataset": "boxes", **files, **entry}}
    (lib / "metadata.json").write_text(json.dumps(table))

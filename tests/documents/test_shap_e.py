"""The data set of the Shap-E document, made by its steps and read as it describes."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from triform.datasets.library.library import Library

from .conftest import run_in


def test_the_prepared_library_has_the_documented_layout(library: Path) -> None:
    names = [each.object_id for each in Library.open(str(library)).objects]
    assert len(names) == 30
    for name in names[:3]:
        assert np.load(library / "points" / f"{name}.npy").shape == (256, 3)
        with Image.open(library / "images" / f"{name}_view1.png") as image:
            assert image.size == (32, 32)
        assert (library / "cameras" / f"{name}_view24.json").is_file()
    # A loader that takes every file of a folder counts right: nothing else lies there.
    assert len(list((library / "points").iterdir())) == 30
    assert len(list((library / "images").iterdir())) == 30 * 24
    with (library / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and list(rows[0])[:2] == ["object_id", "caption"]
    assert {row["object_id"] for row in rows} <= set(names)
    metadata = json.loads((library / "metadata.json").read_text())
    assert names[0] in json.dumps(metadata)


def test_a_library_made_by_hand_is_checked_and_read(tmp_path: Path) -> None:
    """Points (N, 3) and (3, N), a Russian caption, and nothing that the document leaves out."""
    folder = tmp_path / "dataset"
    for name in ("images", "points"):
        (folder / name).mkdir(parents=True)
    for number, shape in ((1, (64, 3)), (2, (3, 64))):
        points = np.random.default_rng(number).uniform(-0.5, 0.5, shape).astype(np.float32)
        np.save(folder / "points" / f"object{number}.npy", points)
        for view in (1, 2):
            image = Image.new("RGB", (16, 16), "red")
            image.save(folder / "images" / f"object{number}_view{view}.png")
    text = 'object_id,caption\nobject1,"красная ваза с узорами"\nobject2,a chair\n'
    (folder / "captions.csv").write_text(text, encoding="utf-8")
    run_in(tmp_path, ["shapes", "check", "dataset"])
    library = Library.open(str(folder))
    assert [each.object_id for each in library.objects] == ["object1", "object2"]

"""The programs in `examples/`, run as a reader would run them."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from triform.cli import main
from triform.datasets.testdataset import write_testdataset
from triform.geometry.io.load import load_mesh
from triform.geometry.voxels.surface import is_watertight

EXAMPLES = Path(__file__).parents[1] / "examples"
ran: set[str] = set()
Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with parametric furniture in `meshes`."""
    folder = tmp_path_factory.mktemp("examples")
    write_testdataset(folder / "meshes", 24)
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example as a program of its own name; returns what it prints."""
    monkeypatch.chdir(folder)

    def run(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *words])
        ran.add(name)
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_voxelize_a_mesh(folder: Path, run: Run) -> None:
    mesh = sorted((folder / "meshes").glob("*.obj"))[0]
    said = run("voxelize_a_mesh.py", str(mesh), "grid.glb")
    inside, total = int(said.split()[0]), int(said.split()[2])
    assert total == 64**3 and 0.005 < inside / total < 0.9
    assert is_watertight(load_mesh(folder / "grid.glb"))


def test_train_on_a_folder_and_generate_from_a_prompt(folder: Path, run: Run) -> None:
    said = run("train_on_a_folder.py", "meshes", "--config", "tiny", "--epochs", "1")
    run_dir, _, iou = said.strip().partition(": held-out IoU ")
    assert 0 <= float(iou) <= 1
    words = ("a round table with four legs", "table.glb", run_dir)
    said = run("generate_from_a_prompt.py", *words)
    # After one epoch the shape may well be empty; the file is a closed mesh all the same.
    assert re.fullmatch(r"table\.glb \[.*\] closed: (True|empty)\n", said)
    assert is_watertight(load_mesh(folder / "table.glb"))


def test_generate_images(folder: Path, run: Run) -> None:
    """Bags are brighter than nothing and darker than white."""
    said = run("generate_images.py", "bags.png", "bag", "4")
    match = re.fullmatch(r"bags.png: 4 images of \(28, 28\), mean (\d+)\n", said)
    assert match and 40 < int(match[1]) < 160
    with Image.open(folder / "bags.png") as image:
        assert image.size[0] == image.size[1] > 2 * 28


def test_caption_images(folder: Path, run: Run) -> None:
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((24, 24, 104, 104), fill=(255, 204, 50))
    image.save(folder / "face.png")
    said = run("caption_images.py", "face.png")
    assert re.fullmatch(r"face\.png: \w+( \w+)+\n", said)


def test_classify_by_words(folder: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A CLIP after two epochs: every image has a class, and the others stand behind it."""
    assert main(["clip", "train", "--config", "tiny", "--sample_every", "0"]) == 0
    (trained,) = (folder / "runs" / "clip").glob("run_*")
    capsys.readouterr()
    for name in ("a", "b"):
        Image.new("RGB", (32, 32), "black").save(folder / f"{name}.png")
    said = run("classify_by_words.py", str(trained), "a.png", "b.png", "--", "a red two", "a one")
    pattern = r"{}\.png: (a red two|a one) \(\d+%\); (a red two|a one) 0\.\d\d"
    first, second = said.splitlines()
    assert re.fullmatch(pattern.format("a"), first) and re.fullmatch(pattern.format("b"), second)
    assert first[1:] == second[1:]


def test_search_meshes(folder: Path, run: Run) -> None:
    write_testdataset(folder / "few", 3)
    lines = run("search_meshes.py", "few", "a chair with four legs").splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    similarities = [float(line.split()[-1]) for line in lines]
    assert similarities == sorted(similarities, reverse=True)


def test_classify_by_examples(folder: Path, run: Run) -> None:
    """Crosses and circles, two of each to learn from, drawn anew to classify."""

    def draw(path: Path, kind: str, size: int) -> None:
        image = Image.new("L", (64, 64), 255)
        pen, box = ImageDraw.Draw(image), (32 - size, 32 - size, 32 + size, 32 + size)
        if kind == "circle":
            pen.ellipse(box, outline=0, width=5)
        else:
            pen.line(box, fill=0, width=5)
            pen.line((box[0], box[3], box[2], box[1]), fill=0, width=5)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)

    for kind in ("circle", "cross"):
        for size in (18, 24):
            draw(folder / "drawn" / kind / f"{size}.png", kind, size)
        draw(folder / "new" / f"{kind}.png", kind, 21)
    said = run("classify_by_examples.py", "drawn", "new").splitlines()
    assert [line.partition(" (")[0] for line in said] == [
        "new/circle.png: circle",
        "new/cross.png: cross",
    ]


def test_train_an_agent(run: Run) -> None:
    flags = ["--epochs", "1", "--steps_per_epoch", "200", "--evaluation_episodes", "2"]
    said = run("train_an_agent.py", "CartPole-v1", *flags)
    match = re.fullmatch(r"score (\d+); of random actions (\d+)\n", said)
    assert match and 8 <= int(match[1]) <= 500 and 15 <= int(match[2]) <= 35


def test_use_the_web_api(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "web"))
    from live_server import LiveServer

    server = LiveServer(folder, "--no_warm_up")
    try:
        said = run("use_the_web_api.py", server.address, "an office chair", "web.glb")
        assert said.startswith("web.glb {'size_mm': [100, 50, 25]")
        assert (folder / "web.glb").read_bytes()[:4] == b"glTF"
    finally:
        server.end()


def test_every_example_is_short_and_run() -> None:
    """A program that is added here is tested here."""
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix == ".py"}
    assert names == ran
    for name in names:
        code = (EXAMPLES / name).read_text().split('"""')[2].split("\n")
        assert sum(bool(line.strip()) for line in code) <= 13

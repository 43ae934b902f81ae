"""Two folders through the command line: train, translate, evaluate; and wrong input."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.systems.cycle_gan.config import TranslateConfig
from triform.systems.cycle_gan.system import translate


def run(*words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triform", "cycle_gan", *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert answer.returncode == status, answer.stderr
    return answer


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Folders of discs and of squares, two tests each."""
    folder = tmp_path_factory.mktemp("cycle_gan")
    y, x = np.mgrid[:12, :12] - 5.5
    random = np.random.default_rng(0)
    for kind, far in (("discs", np.hypot(x, y)), ("squares", np.maximum(abs(x), abs(y)))):
        for number in range(12):
            part = folder / kind / ("train" if number < 10 else "test")
            part.mkdir(parents=True, exist_ok=True)
            shape = far < random.uniform(2, 5)
            Image.fromarray((shape * random.integers(120, 255)).astype(np.uint8)).save(
                part / f"{number}.png"
            )
    return folder


@pytest.fixture(scope="module")
def trained(place) -> Path:
    """A run on the two folders."""
    answer = run(
        "train",
        "--config",
        "tiny",
        "--domain_a",
        place / "discs",
        "--domain_b",
        place / "squares",
        "--batch_size",
        "4",
        "--runs_dir",
        place / "runs",
        "--device",
        "cpu",
        "--json",
    )
    return Path(json.loads(answer.stdout)["run"])


def test_training_leaves_samples_and_a_falling_rate(trained):
    assert list((trained / "samples").glob("*.png"))
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert all(f"train/{name}" in lines[0] for name in ("loss", "cycle", "identity"))


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_translations_keep_their_size_and_name(place, trained, direction):
    other = place / "photos"
    other.mkdir(exist_ok=True)
    Image.new("RGB", (31, 20), "red").save(other / "red.jpg")
    Image.effect_noise((16, 9), 80).save(other / "10.png")
    Image.effect_noise((16, 9), 80).save(other / "sheet.png")
    output = place / f"out_{direction}"
    answer = run(
        "translate",
        "--images",
        place / "discs/test",
        other / "*.*",
        "--checkpoint",
        trained,
        "--output",
        output,
        "--direction",
        direction,
        "--json",
    )
    assert json.loads(answer.stdout)["images"] == 5
    assert "red.jpg: nearly constant" in answer.stderr
    sizes = {path.name: Image.open(path).size for path in output.glob("[!.]*")}
    sheet = sizes.pop("sheet.png")
    assert sizes == {
        "10.png": (12, 12),
        "11.png": (12, 12),
        "10-2.png": (16, 9),
        "red.png": (31, 20),
        "sheet-2.png": (16, 9),
    }
    assert sheet[0] > 2 * sheet[1]  # five columns, two rows


def test_evaluation_measures_both_ways(place, trained):
    sheet = place / "rounds.png"
    answer = run("evaluate", "--checkpoint", trained, "--output", sheet, "--json")
    numbers = json.loads(answer.stdout)
    assert numbers["images_a"] == numbers["images_b"] == 2
    assert 0 < numbers["cycle_a"] < 1 and "l1_a2b" not in numbers
    assert Image.open(sheet).width > 0
    repeated = run(
        "evaluate",
        "--checkpoint",
        trained,
        "--domain_a",
        place / "discs",
        "--domain_b",
        place / "squares",
        "--json",
    )
    assert json.loads(repeated.stdout)["cycle_b"] == numbers["cycle_b"]


def test_known_pairs_are_scored(tmp_path):
    done = run("train", "--config", "tiny", "--max_steps", "2", "--runs_dir", tmp_path, "--json")
    scores = json.loads(
        run("evaluate", "--checkpoint", json.loads(done.stdout)["run"], "--json").stdout
    )
    assert 0 < scores["l1_a2b"] < 1 and 0.3 < scores["l1_untranslated"] < 0.8
    assert 0 <= scores["agreement"] <= 1


def test_damaged_images_among_good_ones_are_counted(place, trained, tmp_path, caplog):
    """The others are translated; nothing stops in the middle."""
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"\x89PNG broken")
    Image.new("L", (3, 30)).save(folder / "b.png")
    shutil.copy(min((place / "discs").rglob("*.png")), folder / "c.png")
    (folder / "d.docx").write_text("no image")
    flags = ["--checkpoint", str(trained), "--output", str(output), "--images", str(folder)]
    assert translate(parse(TranslateConfig, flags))["images"] == 1
    assert sorted(path.name for path in output.iterdir()) == ["c.png", "sheet.png"]
    assert "2 of 3 images are left out; the first: " in caplog.text
    (folder / "c.png").unlink()
    flags[3] = str(tmp_path / "none")
    with pytest.raises(UserError, match=r"a\.png: damaged or no image"):
        translate(parse(TranslateConfig, flags))
    assert not (tmp_path / "none").exists()


def test_wrong_input_is_one_line(place, trained, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no image")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    Image.new("L", (3, 30)).save(tmp_path / "narrow.png")
    for words, wrong, error in (
        (["--images", tmp_path / "nowhere.png"], "no images there", UsageError),
        (["--images", tmp_path / "empty"], "no images there", UsageError),
        (["--images", tmp_path / "broken.png"], "damaged or no image", UserError),
        (["--images", tmp_path / "narrow.png"], "3 x 30 pixels are too few", UserError),
        (["--images", place / "discs", "--output", tmp_path / "file"], "is a file", UsageError),
    ):
        flags = [*map(str, words), "--checkpoint", str(trained)]
        if "--output" not in flags:
            flags += ["--output", str(tmp_path / "out")]
        with pytest.raises(error, match=wrong) as caught:
            translate(parse(TranslateConfig, flags))
        assert "\n" not in str(caught.value)
    answer = run("train", "--domain_a", "nowhere", "--domain_b", place / "discs", status=2)
    assert "domain_a: no folder 'nowhere'" in answer.stderr and "Traceback" not in answer.stderr
    small = [
        "train",
        "--domain_a",
        place / "discs",
        "--domain_b",
        place / "squares",
        "--image_size",
        "8",
        "--runs_dir",
        tmp_path,
    ]
    assert "too small for these networks" in run(*small, status=2).stderr


def test_half_a_pair_of_folders_is_told_in_plain_words(tmp_path):
    output = run("train", "--domain_a", tmp_path, status=2).stderr
    assert output == "triform: domain_b: missing; two folders are needed, or none and a dataset\n"

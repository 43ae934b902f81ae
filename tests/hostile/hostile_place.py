"""What a refusal has to look like, and a small trained model to be hostile to."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from triform import cli
from triform.base.settings.config import load
from triform.engine.checkpoints import checkpoint
from triform.systems.voxel_gan.config import Config
from triform.systems.voxel_gan.model import build_cvae
from triform.systems.voxel_gan.system import System

CORNERS = [f"v {x} {y} {z}" for x in (0, 1) for y in (0, 1) for z in (0, 1)]
FACES = ("1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4")
BOX = "\n".join([*CORNERS, *(f"f {face}" for face in FACES), ""])
LONGEST_LINE = 700

Refused = Callable[..., str]


class Evil:
    """A pickle of this leaves the file `executed` behind wherever it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("touch executed",))


def contents(folder: Path) -> dict[str, object]:
    """Everything below a folder: what is in each file, where each link leads."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else 0
        if stat.S_ISREG(mode):
            # Not `read_bytes`, which a test lets fail for the program alone.
            with path.open("rb") as file:
                found[name] = file.read()
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command runs, with a file in it that must survive."""
    monkeypatch.chdir(tmp_path)
    Path("kept.obj").write_text(BOX)
    return tmp_path


@pytest.fixture
def refused(place: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that has to be refused; returns what it said.

    One line on standard error that names the culprit, nothing on standard output, the right exit
    status, no crash report, and not one file in the folder made, changed, removed or executed,
    but those that `may_change` names.
    """

    def run(*words: str, status: int, names: str, may_change: tuple[str, ...] = ()) -> str:
        before = contents(place)
        actual = cli.main(words)
        out, err = capsys.readouterr()
        assert err.startswith("triform: ") and err.count("\n") == 1, err
        assert "Traceback" not in err and "traceback" not in err, err
        assert names in err and len(err) < LONGEST_LINE and err.rstrip("\n").isprintable(), err
        assert (actual, out) == (status, ""), err
        after = contents(place)
        changed = {
            name for name in {*before, *after} if before.get(name, ...) != after.get(name, ...)
        }
        assert not changed - set(may_change), f"{changed} changed: {err}"
        return err

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a checkpoint of the tiny documented network holds (untrained)."""
    config = load(Config, presets() / "tiny.yaml")
    cvae = build_cvae(config.model, config.data.voxel_size)
    cvae.decoder.deconv2.bias.data.zero_()  # occupancy on both sides of 1/2: there is a surface
    networks = {"cvae": cvae.state_dict()}
    return {
        "system": System.name,
        "config": config.model_dump(mode="json"),
        "networks": networks,
        "ema": {},
        "optimizers": {},
        "step": 1,
        "epoch": 1,
    }


def presets() -> Path:
    from triform.systems.voxel_gan import system

    return Path(system.__file__).parent / "presets"


@pytest.fixture
def model(trained: dict[str, object], place: Path) -> Path:
    """A checkpoint that works."""
    path = place / "model.pth"
    checkpoint.save(path, trained)
    return path


@pytest.fixture
def boxes(place: Path) -> Path:
    """A folder of twelve different boxes: enough for every split."""
    folder = place / "boxes"
    folder.mkdir()
    for number in range(12):
        stretched = BOX.replace("v 1", f"v {1 + number / 4}")
        (folder / f"box{number}.obj").write_text(f"mtllib ../../../etc/passwd\n{stretched}")
    return folder

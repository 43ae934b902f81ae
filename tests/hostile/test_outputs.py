"""Places that cannot be written to, and a machine that knows no Unicode."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_place import BOX, contents

from triform import cli

GENERATE = ("voxel_gan", "generate", "--checkpoint", "model.pth", "--output")
ANALYZE = ("voxel_gan", "analyze", "--output")


@pytest.mark.parametrize(
    ("words", "status", "names"),
    [
        ((*GENERATE, "kept.obj/new.obj"), 1, "kept.obj"),
        ((*GENERATE, "/proc/none/new.obj"), 1, "/proc/none"),
        ((*GENERATE, "/dev/null/new.obj"), 1, "/dev/null"),
        ((*GENERATE, "x" * 300 + ".obj"), 1, "xxx"),
        ((*GENERATE, "new.tar.gz"), 2, ".gz"),
        ((*GENERATE, "new.obj", "--sheet", "kept.obj/sheet.png"), 1, "kept.obj"),
        ((*ANALYZE, "kept.obj"), 1, "kept.obj"),
        ((*ANALYZE, "/proc/none/analysis"), 1, "/proc/none"),
        (("data", "get", "testdataset:2", "--download_path", "/proc/none"), 1, "/proc/none"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, tuple) else "",
)
def test_bad_output_is_named(
    refused: Callable[..., str],
    model: Path,
    words: tuple[str, ...],
    status: int,
    names: str,
) -> None:
    # A model that was saved before its image could not be is whole.
    saved = ("new.obj",) if "--sheet" in words else ()
    refused(*words, status=status, names=names, may_change=saved)


def test_output_that_is_a_folder_keeps_what_is_in_it(
    place: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place / "models.obj"
    folder.mkdir()
    (folder / "mine.obj").write_text(BOX)
    before = contents(place)
    assert cli.main([*GENERATE, "models.obj"]) == 0
    after = contents(place)
    assert {**after, **before} == after
    new = [name for name in after.keys() - before.keys() if ".triform" not in name]
    assert len(new) == 1  # beside the record of the command
    assert capsys.readouterr().err.count("\n") <= 1


def test_failed_generation_leaves_the_old_file(
    place: Path, model: Path, refused: Callable[..., str]
) -> None:
    model.write_bytes(model.read_bytes()[:-99])
    refused(*GENERATE, "kept.obj", status=1, names="model.pth")


def test_terminal_without_unicode(
    model: Path, triform: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Not every machine speaks UTF-8; an answer is an answer, an error one line."""
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    answer = triform(*GENERATE, "стул.obj", **plain)
    assert answer.returncode == 0, answer.stderr
    assert Path("стул.obj").is_file() and "Traceback" not in answer.stderr
    answer = triform("voxel_gan", "generate", "--checkpoint", "модель.pth", **plain)
    assert answer.returncode == 1 and answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("triform: ") and "Traceback" not in answer.stderr


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
@pytest.mark.parametrize(
    "words",
    [(*GENERATE, "{}.obj"), (*GENERATE, "new.obj", "--sheet", "{}.png")],
    ids=["model", "sheet"],
)
def test_what_is_no_plain_file_is_not_replaced(
    refused: Callable[..., str], model: Path, place: Path, kind: str, words: tuple[str, ...]
) -> None:
    """A link may lead to somebody's file, a device is the machine's."""
    name = Path(words[-1].format("output"))
    if kind == "pipe":
        os.mkfifo(name)
    else:
        name.symlink_to(place / "kept.obj" if kind == "link" else "/dev/null")
    saved = ("new.obj",) if "--sheet" in words else ()
    refused(*(w.format("output") for w in words), status=1, names=str(name), may_change=saved)

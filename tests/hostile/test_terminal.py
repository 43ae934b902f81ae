"""Names of strangers reach terminals, logs and tables as text that can be seen."""

import csv
import json
import logging
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_place import BOX

from triform import cli
from triform.base.logging import add_log_file, get_logger, remove_log_file
from triform.engine.checkpoints import checkpoint

# An escape that clears the screen, an 8-bit one, a forged line, a name turned round.
EVIL = "\x1b[2J\x9b31m\u202eexe"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(place: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; nothing that it prints may act on a terminal."""

    def command(*words: str) -> tuple[int, str, str]:
        status = cli.main(words)
        out, err = capsys.readouterr()
        for text in (out, err):
            hidden = {c for c in text if not c.isprintable() and c not in "\n"}
            assert not hidden, (hidden, text)
        return status, out, err

    return command


@pytest.fixture
def shapes(place: Path) -> Path:
    """A folder of meshes whose names, captions and classes are hostile."""
    folder = place / f"shapes{EVIL}"
    folder.mkdir()
    for number in range(3):
        (folder / f"box{EVIL}{number}.obj").write_text(BOX.replace("v 1", f"v {1 + number}"))
    (folder / f"broken{EVIL}.obj").write_text("f 1 2 3\n")
    with (folder / "captions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "caption"])
        writer.writerows(
            (path.name, f"a box\n{EVIL}\r\nforged: line") for path in sorted(folder.glob("*.obj"))
        )
    return folder


def test_unknown_words(run: Run) -> None:
    for words in ((f"x{EVIL}",), ("voxel_gan", f"x{EVIL}"), ("vae", "train", f"--{EVIL}", "1")):
        status, _, err = run(*words)
        assert status == 2 and r"\x1b" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("voxel_gan", "generate", "--checkpoint", "{}.pth"),
        ("voxel_gan", "train", "--config", "{}.yaml"),
        ("voxel_gan", "generate", "--checkpoint", "model.pth", "--output", "{}/x.obj/\0"),
        ("retrieval", "search", "--gallery", "{}.gallery", "--text", "x"),
        ("captioner", "caption", "--images", "{}.png"),
        ("shapes", "check", "--library", "{}"),
        ("shapes", "show", "--library", "{}"),
        ("runs", "open", "{}"),
        ("runs", "list", "--runs_dir", "{}"),
        ("data", "get", "{}"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_names_of_files_in_errors(run: Run, words: tuple[str, ...]) -> None:
    """Of files that are not there, of whatever command."""
    _, _, err = run(*(word.format(f"a{EVIL}\nb") for word in words))
    assert err.count("\n") <= 1


def test_prepare_check_and_show_a_library(run: Run, shapes: Path, place: Path) -> None:
    """Ids, captions and reasons go through tables, JSON and CSV."""
    status, _, _ = run(
        "shapes",
        "prepare",
        "--meshes",
        str(shapes),
        "--library",
        "library",
        "--views",
        "1",
        "--image_size",
        "8",
        "--points",
        "16",
        "--voxel_size",
        "8",
        "--workers",
        "1",
    )
    assert status in (0, 1)
    for words in (("check", "--workers", "1"), ("show", "--output", "s.png")):
        for flags in ((), ("--json",)):
            _, out, _ = run("shapes", words[0], "--library", "library", *words[1:], *flags)
            if flags and out:
                json.loads(out)
    for path in (place / "library").glob("*.csv"):
        text = path.read_text("utf-8")
        assert all(c.isprintable() or c == "\n" for c in text), path.name
        with path.open(newline="", encoding="utf-8") as file:
            assert len(list(csv.reader(file))) == text.count("\n")


def test_runs_of_strangers(run: Run, place: Path) -> None:
    """The name of a run, its metrics and why it ended are shown in three tables and as JSON."""
    for number in (1, 2):
        folder = place / "runs" / "voxel_gan" / f"run_{number}{EVIL}"
        folder.mkdir(parents=True)
        best = {"monitor": f"iou{EVIL}", "value": 0.5, "epoch": 1, "step": 1}
        summary = {"system": f"s{EVIL}", "best": best, "reason": f"done\n{EVIL}", "step": 1}
        (folder / "summary.json").write_text(json.dumps(summary))
        settings = f'seed: {number}\n? "a{EVIL.encode("unicode_escape").decode()}"\n: {number}\n'
        (folder / "config.yaml").write_text(settings)
        (folder / "metrics.jsonl").write_text(
            json.dumps({"step": 1, "epoch": 1, f"m{EVIL}": number}) + "\n"
        )
    for words in (("list",), ("compare", "run_1", "run_2"), ("open", "run_1", "--no-show")):
        for flags in ((), ("--json",)):
            _, out, _ = run("runs", *words, *flags)
            if flags and out:
                assert repr(EVIL)[1:-1] in repr(json.loads(out))


def test_a_checkpoint_whose_settings_are_hostile(
    run: Run, trained: dict[str, object], place: Path
) -> None:
    checkpoint.save(place / "bad.pth", {**trained, "system": f"voxel{EVIL}\nforged"})
    status, _, err = run("voxel_gan", "generate", "--checkpoint", "bad.pth")
    assert status == 1 and err.count("\n") == 1 and r"\x1b[2J\x9b31m\u202e" in err


def test_texts_of_an_analysis(run: Run, place: Path) -> None:
    """A report for a spreadsheet: neither escapes nor formulas."""
    Path("texts.txt").write_text(f"=1+1\na chair {EVIL}\n@x\n")
    status, _, err = run(
        "voxel_gan",
        "analyze",
        "--text_file",
        "texts.txt",
        "--text_encoder",
        "minilm",
        "--output",
        "analysis",
    )
    assert status == 0, err
    rows = list(csv.reader((place / "analysis" / "pca.csv").open(encoding="utf-8")))
    assert [row[0] for row in rows] == ["text", "'=1+1", r"a chair \x1b[2J\x9b31m\u202eexe", "'@x"]


@pytest.fixture
def own_logger() -> Iterator[None]:
    """Put the loggers back as they were."""
    logger = logging.getLogger("triform")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    shown = warnings.formatwarning
    yield
    logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate
    warnings.formatwarning = shown


@pytest.mark.usefixtures("own_logger")
def test_a_log_cannot_be_forged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One message is one line, in the file and on the terminal; a traceback is indented."""
    cli.set_up_console()
    capsys.readouterr()
    handler = add_log_file(tmp_path / "training.log")
    get_logger("triform.x").warning("%s: cannot be read", f"a{EVIL}\n2026-01-01 WARNING forged")
    try:
        raise ValueError(f"inner\n{EVIL}")
    except ValueError:
        get_logger("triform.x").exception("failed %s", "\r\n")
    remove_log_file(handler)
    text = (tmp_path / "training.log").read_text()
    assert all(c.isprintable() or c == "\n" for c in text)
    lines = text.splitlines()
    assert sum(not line.startswith("    ") for line in lines) == 2
    assert r"a\x1b[2J\x9b31m\u202eexe\n2026-01-01 WARNING forged: cannot be read" in lines[0]
    err = capsys.readouterr().err
    assert err.count("\n") == 2 and all(c.isprintable() or c == "\n" for c in err)


@pytest.mark.usefixtures("own_logger")
def test_messages_of_libraries(capfd: pytest.CaptureFixture[str]) -> None:
    cli.set_up_console()
    with warnings.catch_warnings():
        assert warnings.formatwarning(f"odd {EVIL}\n", UserWarning, "f.py", 1).count("\n") == 1
        assert "\x1b" not in warnings.formatwarning(f"odd {EVIL}", UserWarning, "f.py", 1)
    record = logging.LogRecord("trimesh", logging.WARNING, "f", 1, f"odd {EVIL}\n", (), None)
    assert logging.lastResort is not None
    line = logging.lastResort.format(record)
    assert line == r"odd \x1b[2J\x9b31m\u202eexe\n"


def test_the_crash_file_is_new_private_and_printable(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two crashes in one second, with links laid where the old names would have been."""
    folder = place / "shared"
    folder.mkdir()
    victim = place / "victim"
    victim.write_text("mine")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr("time.strftime", lambda _: "20260101-000000")
    (folder / f"triform-error-20260101-000000-{os.getpid()}.log").symlink_to(victim)

    def fail(_: object) -> None:
        raise RuntimeError(f"broken {EVIL}\nforged")

    monkeypatch.setattr(cli, "run", fail)
    paths = set()
    for _ in range(2):
        assert cli.main(["x"]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and err.rstrip("\n").isprintable()
        paths.add(Path(err.partition("traceback is in ")[2].rstrip(")\n")))
    assert victim.read_text() == "mine" and len(paths) == 2
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = path.read_text()
        assert "RuntimeError" in text and "\x1b" not in text and "\u202e" not in text


def test_a_line_has_an_end(run: Run) -> None:
    """A megabyte of name is not a megabyte of error."""
    _, _, err = run("voxel_gan", "generate", "--checkpoint", "x" * 10**6)
    assert len(err) < 3000

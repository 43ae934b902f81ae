"""The fuzzer notices what it is there for, and every reader stands a moment of it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fuzz_child
import pytest
from fuzz_loop import Fuzzer
from fuzz_mutations import mutate
from fuzz_seeds import Seed

from triform.base.errors import UserError

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits and /proc of Linux"
)
Try = Callable[[Callable[[Path], object]], fuzz_child.Outcome]


@pytest.fixture
def outcome(tmp_path: Path) -> Try:
    """What comes of a reader."""
    (tmp_path / "input").mkdir()
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "secret").write_text("mine")
    return lambda reader: fuzz_child.run(reader, tmp_path / "input")


def refuse(_: Path) -> None:
    raise UserError("no")


def test_reading_and_refusing_are_no_findings(outcome: Try) -> None:
    assert outcome(lambda folder: (folder / "own").write_text("x")).kind == "read"
    actual = outcome(refuse)
    assert (actual.kind, actual.text, actual.is_finding) == ("refused", "no", False)


def test_other_exceptions_are_found(outcome: Try) -> None:
    def fail(_: Path) -> None:
        raise KeyError("x")

    actual = outcome(fail)
    assert actual.kind == "exception" and "KeyError" in actual.text and actual.is_finding


def test_signals_are_found(outcome: Try) -> None:
    actual = outcome(lambda _: os.kill(os.getpid(), signal.SIGKILL))
    assert (actual.kind, actual.text) == ("signal", "SIGKILL")
    assert outcome(lambda _: os._exit(0)).kind == "signal"


def test_hangs_are_found(outcome: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_child, "SECONDS", 0.5)
    assert outcome(lambda _: time.sleep(30)).kind == "timeout"


def test_memory_is_found(outcome: Try) -> None:
    """More than may be had is an exception; what is had and too much is seen in the end."""
    assert "MemoryError" in outcome(lambda _: bytearray(2**36)).text


@pytest.mark.parametrize(
    "act",
    [
        lambda outside: (outside / "new").write_text("x"),
        lambda outside: (outside / "secret").unlink(),
        lambda outside: (outside / "secret").read_text(),
        lambda outside: (outside / "secret").rename(outside / "other"),
        lambda outside: (outside / "folder").mkdir(),
        lambda outside: (outside / "link").symlink_to("x"),
        lambda outside: (outside / "secret").chmod(0o777),
        lambda outside: subprocess.run(["true"], check=False),
        lambda outside: os.system("true"),
    ],
    ids=["write", "remove", "read", "rename", "mkdir", "symlink", "chmod", "Popen", "system"],
)
def test_what_is_touched_outside_is_found(
    outcome: Try, act: Callable[[Path], object], tmp_path: Path
) -> None:
    actual = outcome(lambda _: act(tmp_path / "canary"))
    assert actual.kind == "touched", actual


def test_links_out_of_the_folder_are_found(outcome: Try, tmp_path: Path) -> None:
    (tmp_path / "input" / "link").symlink_to(tmp_path / "canary")
    actual = outcome(lambda folder: (folder / "link" / "new").write_text("x"))
    assert actual.kind == "touched"


def test_what_acts_on_a_terminal_is_found(outcome: Try) -> None:
    actual = outcome(lambda _: os.write(1, b"\x1b[2J"))
    assert actual.kind == "terminal" and "x1b" in actual.text


def test_the_same_number_gives_the_same_damage(tmp_path: Path) -> None:
    data = b'{"a": [1, 2, {"b": "c"}]}'
    for number in range(50):
        first, second = (mutate(data, "x.json", random.Random(number)) for _ in range(2))
        assert first == second
    assert len({mutate(data, "x.json", random.Random(number)) for number in range(50)}) > 30


def test_a_finding_is_kept_with_its_number(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        if (folder / "f").read_bytes() != b"good":
            raise ValueError("bad")

    fuzzer = Fuzzer([Seed("r", {"f": b"good"}, ("f",))], {"r": fail}, tmp_path / "run", seed=3)
    assert fuzzer.check_seeds() == []
    for number in range(5):
        fuzzer.try_one(number)
    assert fuzzer.findings.counts["r"].inputs == 5
    assert fuzzer.findings.counts["r"].findings >= 4
    assert (tmp_path / "run" / "findings" / "3-1" / "f").is_file()


@pytest.mark.parametrize("minutes", ["0.1", pytest.param("10", marks=pytest.mark.slow)])
def test_every_reader_for_a_moment(minutes: str, tmp_path: Path) -> None:
    """All readers with another seed each time it is raised here; the long run is `--minutes 60`."""
    report = tmp_path / "report.md"
    words = ["--minutes", minutes, "--seed", "1", "--report", str(report), "--no_training"]
    answer = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "fuzz_readers.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-2000:]
    assert "Nothing was found." in report.read_text(encoding="utf-8")


def test_damage_depends_on_its_number_alone():
    """Odd values that are put into one input are not changed by the next ones."""
    data = json.dumps({"a": {"b": [1, 2]}, "c": [{}]}).encode()

    def damaged(seed):
        return mutate(data, "x.json", random.Random(seed))

    first = [damaged(seed) for seed in range(300)]
    assert [damaged(seed) for seed in range(300)] == first

"""Messages to standard error, answers to standard output."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from triform.base.logging import (
    add_log_file,
    get_logger,
    remove_log_file,
    set_up_console,
    write_output,
)


@pytest.fixture(autouse=True)
def keep_logger() -> Iterator[None]:
    """Put the project's logger back."""
    logger = logging.getLogger("triform")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


def test_piped_output_shows_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    """A script that reads our answers is not disturbed."""
    set_up_console()
    set_up_console()  # twice must not mean every line twice
    get_logger("triform.somewhere").info("working")
    get_logger("triform.somewhere").warning("look out")
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "warning: look out\n"


def test_a_terminal_shows_what_happens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Information without a prefix, but no debugging."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    set_up_console()
    get_logger("triform.x").info("working")
    get_logger("triform.x").debug("details")
    assert capsys.readouterr().err == "working\n"


def test_the_file_gets_everything(tmp_path: Path) -> None:
    """Until it is taken away; a second time appends."""
    path = tmp_path / "training.log"
    for word in ("first", "second"):
        handler = add_log_file(path)
        get_logger("triform.x").debug(word)
        remove_log_file(handler)
        get_logger("triform.x").debug("lost")
    text = path.read_text()
    assert "DEBUG" in text and "first" in text and "second" in text and "lost" not in text


def test_loggers_belong_to_the_project() -> None:
    """Whatever the name."""
    assert get_logger("triform.a").name == "triform.a"
    assert get_logger("elsewhere").name == "triform.elsewhere"


def test_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """Text as it is, data as JSON that keeps its letters."""
    write_output("table")
    write_output({"name": "стол"}, as_json=True)
    text = capsys.readouterr().out
    assert text.startswith("table\n") and json.loads(text[6:]) == {"name": "стол"}
    assert "стол" in text

"""A bar on a terminal, lines in the log elsewhere."""

from __future__ import annotations

import logging

import pytest

from triform.base import progress


def test_lines_without_a_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a time between them, every update is a line."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with caplog.at_level(logging.INFO):
        bar = progress.progress_bar(desc="fields", total=3, unit="mesh")
        for _ in range(3):
            bar.update()
        bar.close()
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in lines] == [f"fields: {n} of 3 mesh" for n in range(4)]
    assert all(line.endswith(" left") for line in lines)


def test_what_else_is_counted_stands_at_the_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with caplog.at_level(logging.INFO):
        bar = progress.progress_bar(desc="photos", total=2, unit="file")
        bar.set_postfix(unreadable=1, refresh=False)
        bar.update()
        bar.close()
    assert caplog.records[-1].getMessage().endswith(" left, unreadable=1")


def test_what_was_done_before_and_large_numbers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with caplog.at_level(logging.INFO):
        bar = progress.progress_bar(
            desc="file", total=3000, initial=1000, unit="B", unit_scale=True
        )
        bar.update(500)
        bar.close()
    lines = [record.getMessage().split(" B,")[0] for record in caplog.records]
    assert lines == ["file: 1.00k of 3.00k", "file: 1.50k of 3.00k"]


def test_a_bar_that_is_disabled_says_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with caplog.at_level(logging.INFO):
        assert list(progress.progress_bar(range(3), desc="tasks", disable=True)) == [0, 1, 2]
    assert not caplog.records


def test_nothing_is_said_of_what_is_quick(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(progress.progress_bar(range(3), desc="quick")) == [0, 1, 2]
    assert not caplog.records


def test_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(progress.progress_bar(range(3), desc="fields", unit="mesh")) == [0, 1, 2]
    assert "fields:" in capsys.readouterr().err

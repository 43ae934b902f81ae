"""The cache folder."""

from pathlib import Path

import pytest

from triform.base.paths import cache_dir


def test_the_variable_wins_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking where the cache is does not make it."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache" and not cache_dir().exists()
    monkeypatch.setenv("TRIFORM_CACHE", "~/cache")
    assert cache_dir() == Path.home() / "cache"


def test_otherwise_the_user_s_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's place, under the project's name."""
    monkeypatch.delenv("TRIFORM_CACHE", raising=False)
    assert cache_dir().is_absolute() and "triform" in cache_dir().parts

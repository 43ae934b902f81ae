"""Versions of installed packages, without importing them. No torch here."""

import importlib.metadata

GIGABYTE = 1e9


def package_version(name: str) -> str | None:
    """Version of an installed package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

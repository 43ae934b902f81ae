"""Presets whose networks fit weights that a training may begin with. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from safetensors import SafetensorError, safe_open

from triform import systems
from triform.base.errors import UserError
from triform.base.plain_data import parse_json
from triform.base.settings.config import differences
from triform.base.settings.yaml_file import read_yaml
from triform.engine.config import SHIPPED
from triform.engine.runs.run import read_config
from triform.pretrained import shipped_weights
from triform.web.access import Access

NO_PRESET = ""
"""The defaults of the system, as a preset."""
EXPECTED = ("model", "data")
"""Groups whose settings say how near a preset is to those of the weights."""


def shipped_name(system: str) -> str:
    """Name of the weights of a system that ship; empty where none do.

    They have the name of the system, or one that continues it (`dqn_cartpole`).
    """
    names = shipped_weights.names()
    return next((name for name in names if f"{name}_".startswith(f"{system}_")), "")


def fitting_presets(system: str, weights: str, access: Access) -> list[str]:
    """Presets with the networks of weights, those first that differ least from their training.

    Args:
        system: Name of the system.
        weights: `shipped`, or a reference to a run.
        access: Looks references up.

    Raises:
        NotAllowed: No such run.
    """
    entry = systems.load(system)
    if not (trained := _settings_of(system, weights, access)):
        return []
    files = {path.stem: path for path in entry.presets.glob("*.yaml")}
    counts: dict[str, int] = {}
    for name, path in {NO_PRESET: None, **files}.items():
        try:
            values, _ = entry.config.Config.adapt_file(read_yaml(path) if path else {})
            settings = entry.config.Config.model_validate(values).model_dump(mode="json")
        except (UserError, pydantic.ValidationError):
            continue
        if not _differences(trained, settings, "model"):
            counts[name] = sum(len(_differences(trained, settings, group)) for group in EXPECTED)
    return sorted(counts, key=lambda name: (counts[name], name))


def _differences(trained: dict[str, Any], settings: dict[str, Any], group: str) -> list[str]:
    """Settings of a group that differ, of those that both know: older files have other names."""
    found = differences(trained.get(group) or {}, settings.get(group) or {})
    return [name for name, values in found.items() if None not in values]


def _settings_of(system: str, weights: str, access: Access) -> dict[str, Any]:
    """The settings that weights were trained with; empty where they are unreadable."""
    if weights != SHIPPED:
        path = access.resolve(weights)
        return read_config(path)
    name = shipped_name(system)
    path = Path(shipped_weights.FOLDER, f"{name}.safetensors")
    try:
        with safe_open(path, framework="numpy") as file:
            content: dict[str, Any] = parse_json((file.metadata() or {})["config"])
    except (SafetensorError, OSError, ValueError, KeyError):
        return {}
    return content

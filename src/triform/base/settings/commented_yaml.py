"""Settings as YAML with their descriptions, to be changed and given to `--config`."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import yaml

from triform.base.settings.config import Group, Settings, parse

WIDTH = 96


def print_settings(settings: type[Settings], command: str, presets: Path, preset: str) -> None:
    """Print all settings with their descriptions, as a file that `--config` reads.

    Args:
        settings: Class of the settings.
        command: The command that reads them.
        presets: Folder of the presets.
        preset: One of them, or empty for the defaults.

    Raises:
        UsageError: No such preset.
    """
    parsed = parse(settings, ["--config", preset] if preset else [], presets)
    sys.stdout.write(f"{commented_yaml(parsed, command)}\n")


def commented_yaml(settings: Group, command: str) -> str:
    """All settings with their descriptions as comments.

    Args:
        settings: The settings.
        command: The command that reads them, for the first line.
    """
    return "\n".join([f"# {command} --config FILE", *_lines(settings, 0)])


def _lines(group: Group, depth: int) -> list[str]:
    indent = "  " * depth
    lines = []
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, Group):
            summary = (type(value).__doc__ or "").strip().partition("\n")[0]
            lines += ["", f"{indent}# {summary}", f"{indent}{name}:", *_lines(value, depth + 1)]
            continue
        for line in textwrap.wrap(field.description or "", WIDTH - len(indent)):
            lines.append(f"{indent}# {line}")
        lines.append(f"{indent}{name}: {_yaml_value(value)}")
    return lines


def _yaml_value(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").removesuffix("\n")

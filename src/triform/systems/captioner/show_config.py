"""The verb `config`: the settings of the training as a commented YAML file."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import yaml

from triform.base.settings.config import Group, parse
from triform.systems.captioner.config import Config, ShowConfig

PRESETS = Path(__file__).parent / "presets"
WIDTH = 96


def config(settings: ShowConfig) -> None:
    """Print all settings with their descriptions, as a file that `--config` reads.

    Raises:
        UsageError: No such preset.
    """
    flags = ["--config", settings.preset] if settings.preset else []
    lines = ["# triform captioner train --config FILE", *_lines(parse(Config, flags, PRESETS), 0)]
    sys.stdout.write("\n".join(lines) + "\n")


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

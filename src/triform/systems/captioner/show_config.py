"""The verb `config`: the settings of the training as a commented YAML file."""

from __future__ import annotations

import sys
from pathlib import Path

from triform.base.settings.commented_yaml import commented_yaml
from triform.base.settings.config import parse
from triform.systems.captioner.config import Config, ShowConfig

PRESETS = Path(__file__).parent / "presets"


def config(settings: ShowConfig) -> None:
    """Print all settings with their descriptions, as a file that `--config` reads.

    Raises:
        UsageError: No such preset.
    """
    flags = ["--config", settings.preset] if settings.preset else []
    text = commented_yaml(parse(Config, flags, PRESETS), "triform captioner train")
    sys.stdout.write(f"{text}\n")

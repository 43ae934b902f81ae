"""The verb `config`: the settings of the training as a commented YAML file."""

from __future__ import annotations

from pathlib import Path

from triform.base.settings.commented_yaml import print_settings
from triform.engine.config import ShowConfig
from triform.systems.shap_e.config import Config


def config(settings: ShowConfig) -> None:
    """Print all settings with their descriptions, as a file that `--config` reads.

    Raises:
        UsageError: No such preset.
    """
    presets = Path(__file__).parent / "presets"
    print_settings(Config, "triform shap_e train", presets, settings.preset)

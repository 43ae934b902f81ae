"""YAML files as mappings; what is wrong with one is tested with the settings."""

from pathlib import Path

from triform.base.settings.yaml_file import read_yaml


def test_read_yaml_of_an_empty_file(tmp_path: Path) -> None:
    """No settings are settings too."""
    (tmp_path / "empty.yaml").write_text("# only words\n")
    assert read_yaml(tmp_path / "empty.yaml") == {}

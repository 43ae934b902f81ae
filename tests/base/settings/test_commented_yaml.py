"""Settings as commented YAML read back to the same settings."""

import yaml
from pydantic import Field

from triform.base.settings.commented_yaml import commented_yaml
from triform.base.settings.config import Group, Settings


class Inner(Group):
    """A group."""

    rate: float = Field(1e-5, description="A rate.")
    names: tuple[str, ...] = Field(("a", "б"), description="Names.")


class Outer(Settings):
    """All."""

    seed: int = Field(3, description="A seed.")
    inner: Inner = Inner()


def test_values_come_back_and_descriptions_are_comments():
    settings = Outer.model_validate({"inner": {"rate": 0.25, "names": []}})
    text = commented_yaml(settings, "triform x train")
    lines = text.splitlines()
    assert lines[0] == "# triform x train --config FILE"
    assert {"# A seed.", "seed: 3", "# A group.", "inner:", "  # A rate."} <= set(lines)
    assert Outer.model_validate(yaml.safe_load(text)) == settings
    assert Outer.model_validate(yaml.safe_load(commented_yaml(Outer(), ""))) == Outer()

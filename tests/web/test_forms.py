from typing import Literal

import pytest
from pydantic import Field

from triform import systems
from triform.base.settings.config import Group, Settings
from triform.systems.voxel_gan.config import Config, GenerateConfig
from triform.web.forms import CAPS, form, is_usable


class Inner(Group):
    rate: float = Field(0.5, gt=0, le=1, description="Rate.")
    steps: int = Field(3, ge=1, description="Steps.")


class Outer(Settings):
    prompt: tuple[str, ...] = Field((), description="Prompt.")
    mode: Literal["a", "b"] = Field("b", description="Mode.")
    count: int | None = Field(None, ge=0, lt=9, description="Count.")
    fast: bool = Field(True, description="Fast.")
    text_file: str = Field("", description="File.")
    output: str = Field("x.png", description="File.")
    inner: Inner = Inner(steps=7)


def by_name(settings):
    return {each["name"]: each for each in form(settings)}


def test_bounds_become_sliders_choices_lists_descriptions_hints():
    fields = by_name(Outer)
    assert list(fields) == ["prompt", "mode", "count", "fast", "inner.rate", "inner.steps"]
    assert fields["prompt"]["kind"] == "text" and fields["prompt"]["many"]
    assert fields["mode"]["choices"] == ["a", "b"] and fields["mode"]["default"] == "b"
    count = fields["count"]
    assert (count["kind"], count["min"], count["max"], count["step"]) == ("slider", 0, 8, 1)
    assert count["optional"] and count["default"] is None
    assert fields["fast"]["kind"] == "switch" and fields["fast"]["hint"] == "Fast."
    rate = fields["inner.rate"]
    assert (rate["kind"], rate["min"], rate["max"], rate["step"]) == ("slider", 0, 1, 0.01)
    steps = fields["inner.steps"]
    assert (steps["kind"], steps["max"], steps["default"], steps["group"]) == (
        "number",
        None,
        7,
        "inner",
    )


def test_a_verb_that_needs_a_file_has_no_form():
    class Needs(Settings):
        seed: int = Field(1, description="Seed.")
        weights_file: str = Field(description="File.")

    assert is_usable(Outer) and not is_usable(Needs)


@pytest.mark.parametrize("name", systems.names())
def test_forms_of_all_systems_offer_no_file(name):
    """What a page can set is a number, a switch, a choice, a text, or a reference."""
    for settings in systems.load(name).config.VERBS.values():
        for field in form(settings):
            leaf = field["name"].rpartition(".")[2]
            assert leaf not in ("output", "index", "runs_dir", "download_path", "text_encoder")
            assert "wandb" not in field["name"] and field["hint"]
            if field["kind"] == "model":  # only by its name, of those that the settings give
                assert field["choices"]
            if field["kind"] in ("slider", "number") and leaf in CAPS:
                assert field["max"] is not None


def test_forms_know_the_defaults_of_groups():
    fields = by_name(Config)
    assert fields["training.epochs"]["default"] == 50
    assert fields["scheduler.type"]["default"] == "CosineAnnealingLR"
    assert "training.checkpoint" not in fields and "training.resume_from" in fields
    assert by_name(GenerateConfig)["num_samples"]["max"] == CAPS["num_samples"]

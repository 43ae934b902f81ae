"""Defaults of settings: those of a group's default, and how they are typed."""

import pytest
from pydantic import AliasChoices, Field

from triform.base.settings.config import Group, Settings, parse


class Inner(Group):
    """A group within a group."""

    project: str = Field("triform", description="A project.")


class Training(Group):
    """How to train."""

    epochs: int = Field(50, ge=1, le=1000, description="Passes.")
    lr: float = Field(1e-3, gt=0, description="Learning rate.")
    use_amp: bool = Field(
        False, validation_alias=AliasChoices("use_amp", "amp"), description="Mixed precision."
    )
    resume_from: str | None = Field(None, description="Where from.")
    inner: Inner = Inner()


class Toy(Settings):
    """Train a toy."""

    dataset: str | list[str] = Field("testdataset", description="Data.")
    prompts: tuple[str, ...] = Field((), description="Sentences.")
    training: Training = Training()


def test_a_value_of_a_group_leaves_the_other_values_of_its_default() -> None:
    """`--epochs` of a command whose training has another rate keeps that rate."""

    class Long(Settings):
        """Train for long."""

        training: Training = Training(epochs=500, use_amp=True, inner=Inner(project="long"))

    settings = parse(Long, ["--lr", "0.5"])
    assert (settings.training.epochs, settings.training.lr) == (500, 0.5)
    assert settings.training.use_amp and settings.training.inner.project == "long"
    assert parse(Long, ["--no_amp"]).training == Training(epochs=500, inner=Inner(project="long"))
    assert Long.model_validate({"training": {"amp": False}}).training.use_amp is False


def test_help_shows_the_default_of_the_group(capsys: pytest.CaptureFixture[str]) -> None:
    class Long(Settings):
        """Train for long."""

        training: Training = Training(epochs=500, inner=Inner(project="two words"))

    with pytest.raises(SystemExit):
        parse(Long, ["--help"])
    screen = " ".join(capsys.readouterr().out.split())
    assert "(default: 500)" in screen and "(default: 'two words')" in screen
    assert "(default: 50)" not in screen and "(default: none)" in screen


def test_none_and_the_empty_list_can_be_typed() -> None:
    assert parse(Toy, ["--resume_from", "none"]).training.resume_from is None
    assert parse(Toy, ["--resume_from=None"]).training.resume_from is None
    assert parse(Toy, ["--prompts", "a", "--prompts", "[]"]).prompts == ()
    assert parse(Toy, ["--prompts", "none"]).prompts == ("none",)  # a word like any other

"""Flags of other verbs on a command line."""

import pytest
from pydantic import AliasChoices, Field

from triform.base.errors import UsageError
from triform.base.settings.config import Group, Settings, parse


class Training(Group):
    """How to train."""

    epochs: int = Field(50, ge=1, description="Passes.")
    lr: float = Field(1e-3, gt=0, description="Learning rate.")
    use_amp: bool = Field(
        False, validation_alias=AliasChoices("use_amp", "amp"), description="Mixed precision."
    )


class Train(Settings):
    """Train a toy."""

    seed: int = Field(42, ge=0, description="Seed.")
    prompts: tuple[str, ...] = Field((), description="Sentences.")
    training: Training = Training()


def test_flags_of_another_verb_are_compared_or_said_to_have_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A document gives the same flags to every mode."""

    class Use(Settings):
        """Use a toy."""

        also_accepts = (Train,)
        compares = ("training.epochs",)
        seed: int = Field(default=1, description="Its own.")

    words = ["--epochs", "7", "--amp", "--prompts", "a", "b", "--seed", "3", "--lr=0.5"]
    used = parse(Use, words)
    assert used.seed == 3 and used.settings_to_compare == {"training.epochs": 7}
    assert caplog.messages == ["--use_amp, --prompts, --lr: without effect on this command"]
    assert parse(Use, []).settings_to_compare == {} and len(caplog.messages) == 1
    for wrong, message in (
        (["--epochs", "many"], "--epochs many: input should be a valid integer"),
        (["--epochs", "0"], "--epochs 0: input should be greater than or equal to 1"),
        (["--epoks", "1"], "unknown flag --epoks"),
    ):
        with pytest.raises(UsageError, match=message):
            parse(Use, wrong)

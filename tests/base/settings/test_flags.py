"""Which names a flag has, and what hints are given."""

from typing import Literal

import pytest
from pydantic import Field

from triform.base.errors import UsageError
from triform.base.settings.config import Group, Settings, parse
from triform.base.settings.flags import FlagTable


class Data(Group):
    """Data."""

    seed: int = Field(default=1, description="Seed of the data.")
    size: int = Field(default=1, description="Size.")


class Model(Group):
    """Model."""

    size: int = Field(default=1, description="Size of the model.")


class Both(Settings):
    """A top-level setting shares its name with one in a group."""

    seed: int = Field(default=0, description="Seed.")
    data: Data = Data()
    model: Model = Model()


def test_every_setting_has_exactly_one_shown_name() -> None:
    """Shared names keep their group; a top-level name stays what it is."""
    table = FlagTable(Both)
    assert [flag.name for flag in table.flags] == [
        "seed",
        "data.seed",
        "data.size",
        "model.size",
    ]
    assert table.find("seed")[0].path == ("seed",)
    assert len(set(table.names())) == len(table.names())
    assert table.read(["--data.seed", "3", "--seed", "4"]) == {
        ("data", "seed"): "3",
        ("seed",): "4",
    }


def test_allowed_numbers_are_accepted_from_the_command_line() -> None:
    """A word that stands for an allowed number is that number."""

    class Channels(Settings):
        """Settings with a few allowed numbers."""

        channels: Literal[0, 1, 3] = Field(0, description="Channels.")
        depth: Literal[8, 16] | None = Field(None, description="Bits.")

    assert [parse(Channels, ["--channels", word]).channels for word in "013"] == [0, 1, 3]
    assert parse(Channels, ["--depth=16"]).depth == 16
    with pytest.raises(UsageError, match=r"--channels: '2' is not allowed: must be 0, 1 or 3"):
        parse(Channels, ["--channels", "2"])


def test_words_before_the_flags() -> None:
    """They go to the settings that are declared for them; one of these may take several."""

    class Copy(Settings):
        """Settings with leading words."""

        positional = ("sources", "target")

        sources: tuple[str, ...] = Field(min_length=1, description="Files.")
        target: str = Field(description="Folder.")
        force: bool = Field(False, description="Replace.")

    inputs = parse(Copy, ["a", "b", "c", "--force"])
    assert (inputs.sources, inputs.target, inputs.force) == (("a", "b"), "c", True)
    assert parse(Copy, ["a", "b", "--target", "t"]).sources == ("a", "b")
    with pytest.raises(UsageError, match="TARGET is needed, before the flags or as --target"):
        parse(Copy, ["a"])
    with pytest.raises(UsageError, match="unexpected 'y'"):
        parse(Copy, ["x", "--force", "true", "y"])

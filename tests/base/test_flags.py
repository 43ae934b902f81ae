"""Which names a flag has, and what hints are given."""

from pydantic import Field

from triform.base.config import Group, Settings
from triform.base.flags import FlagTable, nearest


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


def test_hints() -> None:
    """A part of a name, letters in common, or nothing."""
    known = ["none", "ReduceLROnPlateau", "CosineAnnealingLR", "batch_size"]
    assert nearest("plateau", known) == "; perhaps you meant ReduceLROnPlateau"
    assert nearest("batch_sise", known, prefix="--") == "; perhaps you meant --batch_size"
    assert nearest("xyz", known) == ""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from triform.base.settings.config import Group
from triform.base.settings.path_role import Input, Output, Storage, path_role


class Base(Group):
    output: Annotated[Path | None, Output(".png", or_folder=True)] = Field(None, description="A.")
    weights: Annotated[tuple[str, ...], Input()] = Field((), min_length=0, description="B.")
    store: Annotated[str, Storage()] = Field("x", min_length=1, description="C.")
    text: str = Field("", description="D.")


class Derived(Base):
    output: Path | None = Path("grid.png")
    store: str = Field("y", description="Of its own, and a role of its own.")


def roles(group):
    return {name: path_role(field) for name, field in group.model_fields.items()}


def test_a_role_is_found_beside_the_bounds():
    expected = {"weights": Input(), "store": Storage(), "text": None}
    assert roles(Base) == {"output": Output(".png", or_folder=True), **expected}
    assert Base(output="a.png").output == Path("a.png")


def test_a_new_default_keeps_the_role_and_a_new_description_does_not():
    assert roles(Derived)["output"] == Output(".png", or_folder=True)
    assert roles(Derived)["store"] is None

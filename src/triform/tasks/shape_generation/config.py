"""Settings of every verb that writes meshes. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from triform.base.settings.config import Settings


class MeshOutputConfig(Settings):
    """Size, axes and floor of the meshes that a verb writes."""

    size_mm: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Longest side in millimetres (GLB is in metres); 0 = 100 in STL and 3MF, "
        "one unit in other formats.",
    )
    up: Literal["auto", "y", "z"] = Field(
        "auto",
        description="Axis that points up; auto: z in STL and 3MF, as printers have it, else y.",
    )
    on_floor: bool = Field(
        False, description="Stand on height 0, with the ends of all feet in one plane."
    )

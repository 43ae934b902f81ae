"""Countable words of a shape's description: kind, numbers of parts, form, material, color, size.

A generator that only sees a sentence vector does not count legs. Here every such word has a slot
and every slot fixed integer ids, so that a network can have a token for each. Id 0 is unknown in
every slot. Ids are stored in weights: new values are only ever added at the end of a slot.

| slot | values |
|---|---|
| `group` | coarse category of the kind, eleven of them |
| `kind` | what the shape is: "chair", "coffee table", ... |
| `legs` `shelves` `doors` `drawers` `seats` | 0 to 12, or present without a number |
| `armrests` `back` | no, yes |
| `form` | "round", "square", ...; of the top or of the whole |
| `material` `color` | of the whole, not of a part |
| `height` `width` | words of comparison: "tall", "narrow" |
| `width_to_height` `depth_to_height` | ratios of the bounding box in half octaves, 1/8 to 8 |
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEVERAL = -1
"""Count of parts that are there in an unknown number ("with drawers")."""
MAX_COUNT = 12
COUNTS = ("legs", "shelves", "doors", "drawers", "seats")
MAX_HALF_OCTAVES = 6
"""Ratios are clipped to 2^(-6/2) ... 2^(6/2)."""

KINDS_BY_GROUP: dict[str, tuple[str, ...]] = {
    "chairs": (
        *("chair", "armchair", "office chair", "stool", "bench", "rocking chair"),
        *("folding chair", "sun lounger"),
    ),
    "tables and desks": (
        *("table", "coffee table", "side table", "bar table", "desk", "corner desk"),
        *("picnic table", "dressing table"),
    ),
    "beds": ("bed", "bunk bed", "crib"),
    "sofas": ("sofa", "corner sofa", "daybed", "ottoman"),
    "shelves and cabinets": (
        *("bookcase", "shelf", "wall shelf", "cube shelf", "cabinet", "wardrobe"),
        *("chest of drawers", "sideboard", "nightstand"),
    ),
    "lamps": (
        *("floor lamp", "table lamp", "desk lamp", "pendant lamp", "ceiling lamp", "wall lamp"),
        *("chandelier", "street lamp"),
    ),
    "doors and windows": ("door", "window", "french window", "mirror"),
    "basins and toilets": ("washbasin", "toilet", "bathtub", "vanity", "bidet", "shower"),
    "people": ("person",),
    "vehicles": (
        *("car", "pickup truck", "truck", "bus", "van", "bicycle", "motorcycle", "airplane"),
    ),
    "others": (
        *("fridge", "oven", "dishwasher", "washing machine", "microwave", "kitchen unit"),
        *("range hood", "television", "computer", "phone", "speaker", "piano", "guitar", "plant"),
        *("tree", "flowers", "vase", "dishes", "fruit", "book", "clock", "picture", "curtain"),
        *("carpet", "fan", "radiator", "fireplace", "stairs", "fence", "column", "pool"),
        *("parasol", "barbecue", "bin", "box", "coat rack", "dog", "cat", "horse", "bird", "toy"),
        *("ball", "boat", "sign", "tap", "gym", "pool table"),
    ),
}
GROUP_OF_KIND = {kind: group for group, kinds in KINDS_BY_GROUP.items() for kind in kinds}
FORMS = ("round", "oval", "square", "rectangular", "l-shaped", "hexagonal")
MATERIALS = (
    *("wood", "metal", "glass", "plastic", "leather", "fabric", "stone", "ceramic", "wicker"),
)
COLORS = (
    *("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "beige", "grey"),
    *("black", "white"),
)


@dataclasses.dataclass(frozen=True)
class Attributes:
    """What a text or a parametric description says of a shape; what it does not say is unknown.

    Attributes:
        kind: one of `GROUP_OF_KIND`, or "".
        legs: number of legs, 0 for none, `SEVERAL`, or None. So also the other counts.
        shelves: boards inside a bookcase, or all boards of an open shelf.
        doors: of a piece of furniture, or leaves of a door.
        drawers: all of them.
        seats: places to sit or lie.
        armrests: whether there are any, or None.
        back: whether a seat has a backrest, or None.
        form: one of `FORMS`, or "".
        material: one of `MATERIALS`, or "".
        color: one of `COLORS`, or "".
        height: "low", "tall" or "".
        width: "narrow", "wide" or "".
        width_to_height: extent along x over that along y, or None.
        depth_to_height: extent along z over that along y, or None.
    """

    kind: str = ""
    legs: int | None = None
    shelves: int | None = None
    doors: int | None = None
    drawers: int | None = None
    seats: int | None = None
    armrests: bool | None = None
    back: bool | None = None
    form: str = ""
    material: str = ""
    color: str = ""
    height: str = ""
    width: str = ""
    width_to_height: float | None = None
    depth_to_height: float | None = None

    @property
    def group(self) -> str:
        """The coarse category of the kind, or ""."""
        return GROUP_OF_KIND.get(self.kind, "")

    def with_extents(self, extents: Sequence[float]) -> Attributes:
        """These attributes with the ratios of a bounding box: width, height, depth (x, y, z)."""
        width, height, depth = extents
        if height <= 0:
            return self
        return dataclasses.replace(
            self, width_to_height=width / height, depth_to_height=depth / height
        )

    def merged(self, other: Attributes) -> Attributes:
        """These attributes, and those of `other` where they are unknown here."""
        values = {
            field.name: getattr(other, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) in ("", None)
        }
        return dataclasses.replace(self, **values)


@dataclasses.dataclass(frozen=True)
class Slot:
    """A slot and its known values; value i has the id i + 1."""

    name: str
    values: tuple[Any, ...]

    @property
    def size(self) -> int:
        """Number of ids, unknown included."""
        return len(self.values) + 1


class AttributeVocabulary:
    """Slots and the fixed integer ids of their values.

    Attributes:
        slots: S slots in a fixed order.
        sizes: number of ids of each slot, 0 (unknown) included: the rows of its embedding table.
        offsets: first row of each slot in one table of `total` rows for all slots.
        total: rows of that table.
    """

    def __init__(self, slots: Iterable[Slot]) -> None:
        self.slots = tuple(slots)
        self.sizes = tuple(slot.size for slot in self.slots)
        self.offsets = tuple(int(offset) for offset in np.cumsum((0, *self.sizes[:-1])))
        self.total = sum(self.sizes)
        self._ids = [{value: i + 1 for i, value in enumerate(slot.values)} for slot in self.slots]

    def __len__(self) -> int:
        return len(self.slots)

    def ids(self, attributes: Attributes) -> NDArray[np.int64]:
        """Ids (S,) int64 of attributes; 0 where unknown."""
        return np.array(
            [
                ids.get(_slot_value(attributes, slot.name), 0)
                for slot, ids in zip(self.slots, self._ids, strict=True)
            ],
            dtype=np.int64,
        )

    def describe(self) -> dict[str, list[Any]]:
        """Plain data for the metadata of weights: the values of every slot."""
        return {slot.name: list(slot.values) for slot in self.slots}


def _slot_value(attributes: Attributes, name: str) -> Any:
    value = getattr(attributes, name)
    if name.endswith("_to_height") and value is not None:
        half_octaves = round(2 * math.log2(value)) if value > 0 else -MAX_HALF_OCTAVES
        return max(-MAX_HALF_OCTAVES, min(MAX_HALF_OCTAVES, half_octaves))
    if name in COUNTS and value is not None:
        return min(value, MAX_COUNT)
    return value


_COUNT_VALUES = (*range(MAX_COUNT + 1), SEVERAL)
_RATIOS = tuple(range(-MAX_HALF_OCTAVES, MAX_HALF_OCTAVES + 1))
VOCABULARY = AttributeVocabulary(
    (
        Slot("group", tuple(KINDS_BY_GROUP)),
        Slot("kind", tuple(GROUP_OF_KIND)),
        *(Slot(name, _COUNT_VALUES) for name in COUNTS),
        Slot("armrests", (False, True)),
        Slot("back", (False, True)),
        Slot("form", FORMS),
        Slot("material", MATERIALS),
        Slot("color", COLORS),
        Slot("height", ("low", "tall")),
        Slot("width", ("narrow", "wide")),
        Slot("width_to_height", _RATIOS),
        Slot("depth_to_height", _RATIOS),
    )
)
"""The vocabulary of all shape systems."""


def attribute_ids(attributes: Attributes) -> NDArray[np.int64]:
    """Ids (S,) int64 of attributes in `VOCABULARY`; 0 where unknown."""
    return VOCABULARY.ids(attributes)

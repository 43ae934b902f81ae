"""Reading the fields of VRML nodes: defaults, prototypes, and values of the wrong kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from triform.geometry.mesh import MeshError
from triform.geometry.vrml.syntax import Node, Reference

LARGEST_PROTOTYPE_DEPTH = 16
# The fields of the prototype around a node: their values, and what those refer to in turn.
Surroundings = dict[str, tuple[Any, Any]]


@dataclass(frozen=True, eq=False)
class Placed:
    """A node where it stands: what `IS` means in it depends on the prototype around it."""

    node: Node
    around: Surroundings

    @property
    def type(self) -> str:
        """The type of the node."""
        return self.node.type

    def flag(self, name: str, default: bool) -> bool:
        """Return the boolean of a field."""
        value = self._get(name)[0]
        return value[0] if isinstance(value, list) and value[:1] in ([True], [False]) else default

    def numbers(self, name: str, columns: int = 1) -> Float[np.ndarray, "n k"]:
        """Return the numbers of a field as rows; none where it is not given.

        Raises:
            MeshError: it holds something else, or a broken row.
        """
        value = self._get(name)[0]
        if value is None or (isinstance(value, list) and not value):
            return np.empty((0, columns))
        if not isinstance(value, np.ndarray) or len(value) % columns:
            raise MeshError(f"{self.type}.{name} has to hold numbers in rows of {columns}")
        return value.reshape(-1, columns)

    def vector(self, name: str, default: tuple[float | int, ...]) -> Float[np.ndarray, " n"]:
        """Return the numbers of a field that has a fixed number of them.

        Raises:
            MeshError: it holds something else.
        """
        rows = self.numbers(name, len(default))
        if len(rows) > 1:
            raise MeshError(f"{self.type}.{name} has {rows.size} numbers, it needs {len(default)}")
        return np.asarray(rows[0] if len(rows) else default, dtype=np.float64)

    def integers(self, name: str) -> Int[np.ndarray, " n"]:
        """Return the whole numbers of a field; none where it is not given.

        Raises:
            MeshError: it holds something else.
        """
        values = self.numbers(name).ravel()
        if not bool((np.abs(values) < 2**53).all()):
            raise MeshError(f"{self.type}.{name} holds a number that is too large for an index")
        return values.astype(np.int64)

    def texts(self, name: str) -> list[str]:
        """Return the texts of a field."""
        value = self._get(name)[0]
        texts = value if isinstance(value, list) else []
        return [text.decode("utf-8", "replace") for text in texts if isinstance(text, bytes)]

    def nodes(self, name: str) -> list[Placed]:
        """Return the nodes of a field."""
        value, around = self._get(name)
        nodes = value if isinstance(value, list) else []
        return [Placed(node, around) for node in nodes if isinstance(node, Node)]

    def first(self, name: str) -> Placed | None:
        """Return the node of a field, an instance of a prototype as what it consists of.

        Raises:
            MeshError: prototypes that consist of others, too often.
        """
        for node in self.nodes(name):
            found: Placed | None = node
            for _ in range(LARGEST_PROTOTYPE_DEPTH):
                if found is None or found.node.prototype is None:
                    return found
                found = found.unfold()
            raise MeshError(f"prototypes within {LARGEST_PROTOTYPE_DEPTH} others")
        return None

    def unfold(self) -> Placed | None:
        """Return what an instance of a prototype consists of, or None where that is nothing."""
        prototype = self.node.prototype
        if prototype is None:
            return self
        around: Surroundings = {name: (value, {}) for name, value in prototype.defaults.items()}
        around |= {name: self._get(name) for name in self.node.fields}
        for node in prototype.body:
            if isinstance(node, Node):
                return Placed(node, around)
        return None

    def _get(self, name: str) -> tuple[Any, Surroundings]:
        value = self.node.fields.get(name)
        if isinstance(value, Reference):
            return self.around.get(value.name, (None, {}))
        return value, self.around

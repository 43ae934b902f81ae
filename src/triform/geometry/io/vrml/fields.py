"""Typed access to the fields of VRML nodes, with defaults, prototypes and checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from triform.geometry.io.vrml.parser import Node, Reference
from triform.geometry.mesh import MeshError

MAX_PROTOTYPE_DEPTH = 16
# Fields of the enclosing prototype: name -> (value, scope in which the value is resolved).
Scope = dict[str, tuple[Any, Any]]


@dataclass(frozen=True, eq=False)
class Instance:
    """A node with its scope: the enclosing prototype's fields, which `IS` refers to."""

    node: Node
    scope: Scope

    @property
    def type(self) -> str:
        """The type of the node."""
        return self.node.type

    def flag(self, name: str, default: bool) -> bool:
        """Return the boolean of a field."""
        value = self._get(name)[0]
        return value[0] if isinstance(value, list) and value[:1] in ([True], [False]) else default

    def numbers(self, name: str, columns: int = 1) -> Float[np.ndarray, "n k"]:
        """Return the numbers of a field as rows; no rows for a missing field.

        Raises:
            MeshError: other values, or an incomplete row.
        """
        value = self._get(name)[0]
        if value is None or (isinstance(value, list) and not value):
            return np.empty((0, columns))
        if not isinstance(value, np.ndarray) or len(value) % columns:
            raise MeshError(f"{self.type}.{name} has to hold numbers in rows of {columns}")
        return value.reshape(-1, columns)

    def vector(self, name: str, default: tuple[float | int, ...]) -> Float[np.ndarray, " n"]:
        """Return the numbers of a field of fixed length.

        Raises:
            MeshError: other values, or another length.
        """
        rows = self.numbers(name, len(default))
        if len(rows) > 1:
            raise MeshError(f"{self.type}.{name} has {rows.size} numbers, it needs {len(default)}")
        return np.asarray(rows[0] if len(rows) else default, dtype=np.float64)

    def integers(self, name: str) -> Int[np.ndarray, " n"]:
        """Return the integers of a field; none for a missing field.

        Raises:
            MeshError: other values.
        """
        values = self.numbers(name).ravel()
        if not bool((np.abs(values) < 2**53).all()):
            raise MeshError(f"{self.type}.{name} holds a number that is too large for an index")
        return values.astype(np.int64)

    def texts(self, name: str) -> list[str]:
        """Return the strings of a field."""
        value = self._get(name)[0]
        texts = value if isinstance(value, list) else []
        return [text.decode("utf-8", "replace") for text in texts if isinstance(text, bytes)]

    def nodes(self, name: str) -> list[Instance]:
        """Return the nodes of a field."""
        value, scope = self._get(name)
        nodes = value if isinstance(value, list) else []
        return [Instance(node, scope) for node in nodes if isinstance(node, Node)]

    def first(self, name: str) -> Instance | None:
        """Return the first node of a field, prototypes expanded.

        Raises:
            MeshError: prototypes nested too deeply.
        """
        for node in self.nodes(name):
            instance: Instance | None = node
            for _ in range(MAX_PROTOTYPE_DEPTH):
                if instance is None or instance.node.prototype is None:
                    return instance
                instance = instance.expand()
            raise MeshError(f"prototypes within {MAX_PROTOTYPE_DEPTH} others")
        return None

    def expand(self) -> Instance | None:
        """Return the first node in the body of the node's prototype, or None if it is empty."""
        prototype = self.node.prototype
        if prototype is None:
            return self
        scope: Scope = {name: (value, {}) for name, value in prototype.defaults.items()}
        scope |= {name: self._get(name) for name in self.node.fields}
        for node in prototype.body:
            if isinstance(node, Node):
                return Instance(node, scope)
        return None

    def _get(self, name: str) -> tuple[Any, Scope]:
        value = self.node.fields.get(name)
        if isinstance(value, Reference):
            return self.scope.get(value.name, (None, {}))
        return value, self.scope

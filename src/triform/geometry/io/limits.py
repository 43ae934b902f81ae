"""Limits against small files that expand to billions of faces.

glTF, COLLADA and 3MF place one mesh many times, and the last two nest such instances: thirty lines
can ask for 2^30 copies. Their number is counted here before any reader starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triform.geometry.mesh import MeshError

MAX_DEPTH = 256
MAX_INSTANCE_COUNT = 100_000
MAX_FACE_COUNT = 10_000_000
# Three corners for each face, and as many vertices as faces.
MAX_CORNER_COUNT = 4 * MAX_FACE_COUNT
# Memory of reading as a multiple of the unpacked file size (measured at 2.5 million faces). glTF
# files are mostly images; their vertices and faces are counted instead.
MEMORY_FACTORS = {"obj": 8, "off": 10, "wrl": 10, "ply": 14, "stl": 14, "dae": 15, "3mf": 15}
MAX_MEMORY = 3 * 2**30

Tree = dict[Any, list[Any]]


def max_file_size(file_type: str) -> int:
    """Return the largest file of a format, in bytes, that can be read in `MAX_MEMORY`."""
    return MAX_MEMORY // MEMORY_FACTORS.get(file_type, 3)


def check_bytes(size: int, file_type: str) -> None:
    """Check the unpacked size of a file against the memory that reading it takes.

    Raises:
        MeshError: the file is too large.
    """
    if size > max_file_size(file_type):
        raise MeshError(
            f"{size} bytes of {file_type.upper()} would take too much memory, the limit is "
            f"{max_file_size(file_type)}; simplify the model first"
        )


def check_tree(children: Tree, root: Any) -> None:
    """Count the instances of the nodes below a root, one for each path to a node.

    Raises:
        MeshError: more than 100,000 instances, more than 256 levels, or a node inside itself.
    """
    visits: dict[Any, int] = {}
    stack: list[tuple[Any, Iterator[Any]]] = [(root, iter(children.get(root, ())))]
    path = {root}
    while stack:
        node, remaining_children = stack[-1]
        for child in remaining_children:
            if child in path:
                raise MeshError("a node of its scene contains itself")
            if child not in visits:
                stack.append((child, iter(children.get(child, ()))))
                path.add(child)
                break
        else:
            stack.pop()
            path.discard(node)
            visits[node] = 1 + sum(visits[child] for child in children.get(node, ()))
            if visits[node] > MAX_INSTANCE_COUNT:
                raise MeshError(f"its scene has more than {MAX_INSTANCE_COUNT} parts")
        if len(stack) > MAX_DEPTH:
            raise MeshError(f"its scene is nested more than {MAX_DEPTH} levels deep")

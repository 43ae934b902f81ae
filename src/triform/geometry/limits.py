"""Refusing files whose few bytes promise or unfold into billions of faces.

glTF, COLLADA and 3MF place one mesh many times, and the last two nest such placements: thirty lines
can ask for 2^30 copies. The numbers are added up here before any reader
starts.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, iterparse

from triform.geometry.mesh import MeshError

LARGEST_DEPTH = 256
LARGEST_INSTANCE_COUNT = 100_000
LARGEST_FACE_COUNT = 10_000_000
# Their corners, and as many vertices.
LARGEST_ITEM_COUNT = 4 * LARGEST_FACE_COUNT
# Reading takes this many times the size of the unpacked file (measured at 2.5 million faces). The
# bytes of glTF are mostly pictures; there the numbers of vertices and faces count.
MEMORY_FACTORS = {"obj": 8, "off": 10, "wrl": 10, "ply": 14, "stl": 14, "dae": 15, "3mf": 15}
LARGEST_MEMORY = 3 * 2**30

Tree = dict[Any, list[Any]]


def largest_size(file_type: str) -> int:
    """Return how many bytes a file of a format may have so that it fits into memory."""
    return LARGEST_MEMORY // MEMORY_FACTORS.get(file_type, 3)


def check_bytes(size: int, file_type: str) -> None:
    """Compare the size of a file, unpacked, with the memory that reading it takes.

    Raises:
        MeshError: the file is too large.
    """
    if size > largest_size(file_type):
        raise MeshError(
            f"{size} bytes of {file_type.upper()} would take too much memory, the limit is "
            f"{largest_size(file_type)}; simplify the model first"
        )


def check_size(data: bytes, file_type: str) -> None:
    """Add up what a file asks for.

    Raises:
        MeshError: the file asks for too much, contains itself, or cannot be read.
    """
    try:
        if file_type in ("glb", "gltf"):
            _check_gltf(data, file_type)
        elif file_type == "dae":
            check_tree(_read_dae(io.BytesIO(data)), "scene")
        elif file_type == "ply":
            _check_ply(data)
        elif file_type == "3mf":
            check_tree(_read_3mf(data), "build")
    except MeshError:
        raise
    except Exception as error:  # damaged files fail anywhere in here
        raise MeshError(
            f"damaged, or no {file_type.upper()} file ({type(error).__name__}: {error})"
        ) from None


def check_tree(children: Tree, root: Any) -> None:
    """Count how often the nodes below a root are visited when every path to them is walked.

    Raises:
        MeshError: more than 100,000 visits, more than 256 levels, or a node inside itself.
    """
    visits: dict[Any, int] = {}
    open_nodes: list[tuple[Any, Iterator[Any]]] = [(root, iter(children.get(root, ())))]
    path = {root}
    while open_nodes:
        node, rest = open_nodes[-1]
        for child in rest:
            if child in path:
                raise MeshError("a node of its scene contains itself")
            if child not in visits:
                open_nodes.append((child, iter(children.get(child, ()))))
                path.add(child)
                break
        else:
            open_nodes.pop()
            path.discard(node)
            visits[node] = 1 + sum(visits[child] for child in children.get(node, ()))
            if visits[node] > LARGEST_INSTANCE_COUNT:
                raise MeshError(f"its scene has more than {LARGEST_INSTANCE_COUNT} parts")
        if len(open_nodes) > LARGEST_DEPTH:
            raise MeshError(f"its scene is nested more than {LARGEST_DEPTH} levels deep")


def _check_ply(data: bytes) -> None:
    """Compare the counts of the header with what follows it: a line each, or a byte at least."""
    header, _, body = data.partition(b"end_header")
    lines = [line.split() for line in header.splitlines()]
    promised = sum(int(line[2]) for line in lines if line[:1] == [b"element"])
    present = body.count(b"\n") if b"ascii" in header[:80] else len(body)
    if promised > present:
        raise MeshError(f"it promises {promised} vertices and faces, but there are fewer")


def _check_gltf(data: bytes, file_type: str) -> None:
    if file_type == "glb":
        length = struct.unpack_from("<I", data, 12)[0]
        data = data[20 : 20 + length]
    tree = json.loads(data)
    nodes, accessors = tree.get("nodes", []), tree.get("accessors", [])
    children: Tree = {i: node.get("children", []) for i, node in enumerate(nodes)}
    for scene in tree.get("scenes", []):
        check_tree(children | {"scene": scene.get("nodes", [])}, "scene")
    counts = [accessor["count"] for accessor in accessors]
    parts = []
    for mesh in tree.get("meshes", []):
        for primitive in mesh["primitives"]:
            used = [primitive["attributes"]["POSITION"]]
            used += [primitive["indices"]] if "indices" in primitive else []
            parts.append(sum(counts[index] for index in used))
    if min(counts, default=0) < 0 or max(sum(counts), sum(parts)) > LARGEST_ITEM_COUNT:
        raise MeshError(f"its meshes have more than {LARGEST_ITEM_COUNT} corners together")


def _read_dae(file: io.BytesIO | Any) -> Tree:
    """Map every node of a COLLADA file to the nodes that it holds or refers to."""
    children: Tree = {"scene": []}
    stack: list[Any] = ["scene"]
    for event, element in _walk(file):
        name = _local(element.tag)
        if name == "node" and event == "start":
            key = "#" + element.get("id", f"node {len(children)}")
            children.setdefault(stack[-1], []).append(key)
            stack.append(key)
        elif name == "node":
            children.setdefault(stack.pop(), [])
        elif name in ("instance_node", "instance_geometry") and event == "start":
            children.setdefault(stack[-1], []).append(element.get("url", ""))
    return children


def _read_3mf(data: bytes) -> Tree:
    """Map every object of a 3MF archive to its components; "build" holds what is placed."""
    children: Tree = {"build": []}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        check_bytes(size, "3mf")
        for entry in archive.infolist():
            if not entry.filename.lower().endswith(".model"):
                continue
            current = "build"
            with archive.open(entry) as file:
                for event, element in _walk(file):
                    name = _local(element.tag)
                    if event == "start" and name == "object":
                        current = element.get("id", "")
                    elif event == "start" and name in ("component", "item"):
                        holder = "build" if name == "item" else current
                        children.setdefault(holder, []).append(element.get("objectid"))
    return children


def _walk(file: Any) -> Iterator[tuple[str, Element]]:
    for event, element in iterparse(file, events=("start", "end")):
        yield event, element
        if event == "end":
            element.clear()


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]

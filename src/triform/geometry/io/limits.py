"""Limits against small files that expand to billions of faces.

glTF, COLLADA and 3MF place one mesh many times, and the last two nest such instances: thirty lines
can ask for 2^30 copies. Their number is counted here before any reader starts.
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


def check_size(data: bytes, file_type: str) -> None:
    """Check the numbers of instances, vertices and faces in a file.

    Raises:
        MeshError: they exceed the limits, a node contains itself, or the file cannot be read.
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


def _check_ply(data: bytes) -> None:
    """Check the counts of the header against the body: a line, or at least a byte, each."""
    header, _, body = data.partition(b"end_header")
    lines = [line.split() for line in header.splitlines()]
    num_promised = sum(int(line[2]) for line in lines if line[:1] == [b"element"])
    num_available = body.count(b"\n") if b"ascii" in header[:80] else len(body)
    if num_promised > num_available:
        raise MeshError(f"it promises {num_promised} vertices and faces, but there are fewer")


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
    corner_counts = []
    for mesh in tree.get("meshes", []):
        for primitive in mesh["primitives"]:
            accessor_indices = [primitive["attributes"]["POSITION"]]
            accessor_indices += [primitive["indices"]] if "indices" in primitive else []
            corner_counts.append(sum(counts[index] for index in accessor_indices))
    if min(counts, default=0) < 0 or max(sum(counts), sum(corner_counts)) > MAX_CORNER_COUNT:
        raise MeshError(f"its meshes have more than {MAX_CORNER_COUNT} corners together")


def _read_dae(file: io.BytesIO | Any) -> Tree:
    """Map every node of a COLLADA file to its children and the nodes it refers to."""
    children: Tree = {"scene": []}
    stack: list[Any] = ["scene"]
    for event, element in _iterate_xml(file):
        name = _local_name(element.tag)
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
    """Map every object of a 3MF archive to its components; "build" is the root."""
    children: Tree = {"build": []}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        check_bytes(size, "3mf")
        for entry in archive.infolist():
            if not entry.filename.lower().endswith(".model"):
                continue
            object_id = "build"
            with archive.open(entry) as file:
                for event, element in _iterate_xml(file):
                    name = _local_name(element.tag)
                    if event == "start" and name == "object":
                        object_id = element.get("id", "")
                    elif event == "start" and name in ("component", "item"):
                        parent = "build" if name == "item" else object_id
                        children.setdefault(parent, []).append(element.get("objectid"))
    return children


def _iterate_xml(file: Any) -> Iterator[tuple[str, Element]]:
    for event, element in iterparse(file, events=("start", "end")):
        yield event, element
        if event == "end":
            element.clear()


def _local_name(tag: str) -> str:
    return tag.rpartition("}")[2]

"""The elements of a PLY file: its header, and the values of its body."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from triform.geometry.mesh import MeshError

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8", "int64": "i8"},
    **{"uint64": "u8", "long": "i8", "ulong": "u8"},
}
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(eq=False)
class Column:
    """A property of an element: `values` of all rows; a list's rows have `counts` of them.

    `dtype` and `count_dtype` are as stored, where all numbers of text are floats; `declared` is the
    type in the header.
    """

    name: str
    dtype: str
    count_dtype: str = ""
    declared: str = ""
    values: np.ndarray = field(default_factory=lambda: np.empty(0))
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(eq=False)
class Element:
    """An element of a PLY file: the rows of a table, with their properties."""

    name: str
    count: int
    columns: list[Column]

    def column(self, *names: str) -> np.ndarray | None:
        """Return the values of the first scalar property of a name, or None."""
        found = {c.name: c.values for c in self.columns if not c.count_dtype}
        return next((found[name] for name in names if name in found), None)

    def list_column(self, *names: str) -> Column | None:
        """Return the first list property of a name, or None."""
        found = {column.name: column for column in self.columns if column.count_dtype}
        return next((found[name] for name in names if name in found), None)


def read_header(data: bytes) -> tuple[list[Element], str, list[str], int]:
    """Return the elements, the format, the names of textures, and where the body starts."""
    if data[:3] != b"ply" or data[3:4] not in (b"\n", b"\r", b" ", b"\t"):
        raise MeshError("damaged, or no PLY file: it does not begin with ply")
    # All lines end as the first does: the first byte of a binary body may be a line feed.
    first = data[:200].partition(b"\n")[0]
    if b"\r" not in first:
        line_end = b"\n"
    else:
        line_end = b"\r\n" if first.endswith(b"\r") and first.count(b"\r") == 1 else b"\r"
    elements: list[Element] = []
    textures: list[str] = []
    kind, start = "", 0
    while True:
        stop = data.find(line_end, start)
        if stop < 0:
            raise MeshError("damaged or cut off: its header does not end")
        words = data[start:stop].decode("utf-8", errors="replace").split()
        start = stop + len(line_end)
        key = words[0].lower() if words else ""
        try:
            if key == "end_header":
                break
            if key == "format":
                kind = words[1].lower()
            elif key == "comment" and len(words) > 2 and words[1].lower() == "texturefile":
                textures.append(" ".join(words[2:]))
            elif key == "element":
                elements.append(Element(words[1].lower(), int(words[2]), []))
                if elements[-1].count < 0:
                    raise ValueError
            elif key == "property":
                kinds = [_TYPES[word.lower()] for word in words[1:-1] if word.lower() != "list"]
                *count_kind, dtype = kinds
                is_list = words[1].lower() == "list"
                if len(count_kind) != is_list:
                    raise ValueError
                count_dtype = count_kind[0] if count_kind else ""
                elements[-1].columns.append(Column(words[-1].lower(), dtype, count_dtype, dtype))
        except (IndexError, KeyError, ValueError):
            raise MeshError(f"damaged PLY header: {' '.join(words)!r}") from None
    if kind not in _ORDERS:
        raise MeshError(f"damaged PLY header: its format is {kind!r}")
    return elements, kind, textures, start


def read_body(data: bytes, start: int, elements: list[Element], kind: str) -> int:
    """Read the values of all elements; return the number of values or bytes behind them."""
    order = _ORDERS[kind]
    if kind == "ascii":
        body = _parse_numbers(data[start:])
        for element in elements:
            for column in element.columns:
                column.dtype, column.count_dtype = "f8", "f8" if column.count_dtype else ""
    else:
        body = np.frombuffer(data, np.uint8, offset=start)
    position = 0
    for element in elements:
        if not element.columns or not element.count:
            continue
        size = _read_rows(body, position, element, order)
        if size is None:
            size = _read_lists(body, position, element, order)
        position += size
    num_behind = len(body) - position
    if kind != "ascii":
        return 0 if num_behind <= 2 else num_behind  # a last line feed is no data
    num_rows = sum(element.count for element in elements if element.columns)
    if num_behind and sum(1 for line in data[start:].splitlines() if line.split()) == num_rows:
        raise MeshError(
            f"damaged PLY file: its rows hold {len(body)} numbers, its header declares {position}"
        )
    return num_behind


def _parse_numbers(text: bytes) -> np.ndarray:
    if not text.strip():
        return np.empty(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            # A NUL would end the text.
            return np.fromstring(text.replace(b"\0", b" "), dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            raise MeshError("damaged PLY file: there are words between its numbers") from None


def _read_rows(body: np.ndarray, position: int, element: Element, order: str) -> int | None:
    """Read rows of equal sizes; return their size, or None if lists have different lengths."""
    unit = body.itemsize
    fields: list[tuple[str, str, tuple[int, ...]]] = []
    size = 0
    for number, column in enumerate(element.columns):
        shape: tuple[int, ...] = ()
        if column.count_dtype:
            dtype = np.dtype(order + column.count_dtype)
            offset = position * unit + size
            if offset + dtype.itemsize > body.nbytes:
                raise _cut_off(element, 0)
            length = float(np.frombuffer(body.data, dtype, 1, offset)[0])
            if not 0 <= length <= body.nbytes or length != int(length):
                raise MeshError(f"damaged: a list of {element.name} has {length:g} values")
            fields.append((f"count {number}", order + column.count_dtype, ()))
            shape = (int(length),)
            size += dtype.itemsize
        fields.append((str(number), order + column.dtype, shape))
        size += np.dtype(order + column.dtype).itemsize * (shape[0] if shape else 1)
    has_lists = any(column.count_dtype for column in element.columns)
    if size * element.count > body.nbytes - position * unit:
        if has_lists:
            return None
        raise _cut_off(element, (body.nbytes - position * unit) // size)
    rows = np.frombuffer(body.data, np.dtype(fields), element.count, position * unit)
    for number, column in enumerate(element.columns):
        if column.count_dtype and (rows[f"count {number}"] != rows[f"count {number}"][0]).any():
            return None
    for number, column in enumerate(element.columns):
        values = rows[str(number)]
        if column.count_dtype:
            column.counts = np.full(element.count, values.shape[1], dtype=np.int64)
            values = values.reshape(-1)
        column.values = values
    return size * element.count // unit


def _read_lists(body: np.ndarray, position: int, element: Element, order: str) -> int:
    """Read rows whose lists have different lengths; return their size."""
    unit = body.itemsize
    sizes = np.array([np.dtype(column.dtype).itemsize // unit for column in element.columns])
    counts = [column.count_dtype for column in element.columns]
    count_sizes = np.array([np.dtype(kind).itemsize // unit if kind else 0 for kind in counts])
    is_float = np.array([kind[:1] == "f" and unit == 1 for kind in counts])
    if is_float.any():
        raise MeshError("damaged PLY header: a list has a count that is no integer")
    # A row takes at least its counts and scalars.
    smallest = int(np.where(count_sizes > 0, count_sizes, sizes).sum())
    if smallest * element.count > len(body) - position:
        raise _cut_off(element, (len(body) - position) // smallest)
    starts = np.zeros((element.count, len(counts)), dtype=np.int64)
    lengths = np.zeros((element.count, len(counts)), dtype=np.int64)
    walk = _walk_numbers if unit > 1 else _walk_bytes
    stop, num_rows = walk(body, position, sizes, count_sizes, order == ">", starts, lengths)
    if num_rows < element.count:
        raise _cut_off(element, num_rows)
    for number, column in enumerate(element.columns):
        dtype = np.dtype(order + column.dtype)
        counts_of_row = lengths[:, number]
        total = int(counts_of_row.sum())
        first = np.cumsum(counts_of_row) - counts_of_row
        within = np.arange(total) - np.repeat(first, counts_of_row)
        indices = np.repeat(starts[:, number], counts_of_row) + within * sizes[number]
        if unit > 1:
            column.values = body[indices]
        else:
            raw = body[indices[:, None] + np.arange(dtype.itemsize)]
            column.values = np.ascontiguousarray(raw).view(dtype).reshape(-1)
        column.counts = counts_of_row
    return int(stop - position)


def _cut_off(element: Element, num_rows: int) -> MeshError:
    return MeshError(
        f"damaged or cut off: it promises {element.count} of {element.name}, but there are fewer, "
        f"about {num_rows}"
    )


@njit(cache=True, nogil=True)
def _walk_bytes(body, position, sizes, count_sizes, is_big, starts, lengths):  # type: ignore[no-untyped-def]
    """Find the lists of rows; return the end and the number of complete rows."""
    for row in range(len(starts)):
        for number in range(len(sizes)):
            length = 1
            if count_sizes[number]:
                width = count_sizes[number]
                if position + width > len(body):
                    return position, row
                length = 0
                for i in range(width):
                    index = position + i if is_big else position + width - 1 - i
                    length = length * 256 + body[index]
                    if length > len(body):
                        return position, row
                position += width
            starts[row, number], lengths[row, number] = position, length
            position += length * sizes[number]
            if position > len(body):
                return position, row
    return position, len(starts)


@njit(cache=True, nogil=True)
def _walk_numbers(body, position, sizes, count_sizes, is_big, starts, lengths):  # type: ignore[no-untyped-def]
    """Find the lists of rows of text; return the end and the number of complete rows."""
    for row in range(len(starts)):
        for number in range(len(sizes)):
            length = 1
            if count_sizes[number]:
                if position >= len(body) or not 0 <= body[position] <= len(body):
                    return position, row
                length = int(body[position])
                if length != body[position]:
                    return position, row
                position += 1
            starts[row, number], lengths[row, number] = position, length
            position += length
            if position > len(body):
                return position, row
    return position, len(starts)

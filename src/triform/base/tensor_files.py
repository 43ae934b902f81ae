"""Read files of tensors safely: checked before torch or safetensors gets them, nothing unpickled.

A file can ask for far more memory than it has bytes: by compressed members, members that overlap,
a header of any length, or tensors that show the same numbers many times.
"""

import os
import struct
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from triform.base.errors import UserError

MAX_HEADER = 8_000_000
"""Bytes of a safetensors header or a zip's directory; ours have some thousands."""
MAX_OBJECTS = 5_000_000
SHARING = 2
"""How often a stored number may be used: tied weights are two names for one tensor."""
SLACK = 1_000_000
_ZIP_START = b"PK\x03\x04"
_END, _END64, _LOCATOR64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), 20
_IN_ZIP64 = 0xFFFFFFFF


def read_torch_file(path: Path, kind: str, *, mmap: bool = False) -> Any:
    """Read a file of `torch.save` that holds tensors and plain data; nothing in it is executed.

    Args:
        path: The file.
        kind: What it should be, for messages: `checkpoint`, `file of weights`.
        mmap: Map the tensors into memory; their bytes are read where they are used.

    Raises:
        UserError: Damaged, larger in memory than on disk, or it holds Python objects.
    """
    try:
        check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about a file before it refuses it
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        check_tensors(content, path)
    except UserError:
        raise
    except Exception as error:  # a hostile file may make the reader fail in any way
        if "weights" in str(error).lower():  # the words of torch's restricted unpickler
            raise UserError(
                f"{path}: holds Python objects or is no {kind}; refused, nothing in it was executed"
            ) from error
        raise UserError(f"{path}: damaged, cut short, or not a {kind}") from error
    return content


def check_archive(path: Path) -> None:
    """Refuse a zip that torch has not written; files that are no zip are left to torch.

    Raises:
        UserError: A member is compressed, shares bytes with another or is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP_START)) != _ZIP_START:  # torch looks at these bytes alone
            return
        _check_directory(path, file)
        with zipfile.ZipFile(file) as archive:
            total = 0
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise UserError(
                        f"{path}: {member.filename[:80]!r} in it is compressed, which torch never "
                        "does; refused unread"
                    )
                total += member.file_size
            if total > path.stat().st_size:
                raise UserError(f"{path}: parts of it overlap; refused unread")
            # torch does not compare checksums when it reads; a flipped bit would become a weight.
            damaged = archive.testzip()
    if damaged is not None:
        raise UserError(f"{path}: damaged ({damaged[:80]!r} does not match its checksum)")


def _check_directory(path: Path, file: IO[bytes]) -> None:
    """Refuse a zip whose directory is too large or not where every reader looks for it.

    Readers that search differently could otherwise be shown two different lists of members.
    """
    size = file.seek(0, os.SEEK_END)
    wrong = UserError(f"{path}: damaged, cut short, or not a file that torch wrote")
    if size < _END.size:
        raise wrong
    file.seek(size - _END.size)
    mark, *_, length, start, _ = _END.unpack(file.read(_END.size))
    end = size - _END.size
    if mark != b"PK\x05\x06":
        raise wrong
    if end >= _LOCATOR64 + _END64.size:
        file.seek(end - _LOCATOR64 - _END64.size)
        mark, *_, length64, start64 = _END64.unpack(file.read(_END64.size))
        if mark == b"PK\x06\x06":
            end -= _LOCATOR64 + _END64.size
            agrees = (length in (length64, _IN_ZIP64)) and (start in (start64, _IN_ZIP64))
            length, start = (length64, start64) if agrees else (-1, -1)
    if start + length != end or length > MAX_HEADER:
        raise wrong


def check_header(path: Path) -> None:
    """Refuse a safetensors file whose header is longer than any of ours or than the file.

    Raises:
        UserError: It is.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > min(MAX_HEADER, path.stat().st_size - 8):
        raise UserError(
            f"{path}: damaged, cut short, or not a safetensors file (its header "
            f"says that it has {length:,} bytes)"
        )


def check_tensors(content: Any, path: Path) -> None:
    """Refuse tensors that would take far more memory than the file they came from.

    Raises:
        UserError: A tensor is not a dense one on the processor, or all of them together show more
            numbers than the file has room for.
    """
    remaining = SHARING * path.stat().st_size + SLACK
    visited: set[int] = set()
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
                raise UserError(f"{path}: holds a tensor that is not a plain dense one; refused")
            remaining -= value.numel() * value.element_size()
        elif isinstance(value, dict | list | tuple | set) and id(value) not in visited:
            visited.add(id(value))  # the same list at many places would be walked without an end
            pending += [*value, *value.values()] if isinstance(value, dict) else value
        if remaining < 0 or len(pending) > MAX_OBJECTS:
            raise UserError(
                f"{path}: its tensors ask for more memory than the file has numbers; refused"
            )

"""What a checkpoint file may hold before anything of it is given to torch or safetensors.

A file can ask for far more memory than it has bytes: by compressed members, members that overlap,
a header of any length, or tensors that show the same numbers many times.
"""

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UserError

MAX_HEADER = 8_000_000
"""Bytes of a safetensors header or a zip's directory; ours have some thousands."""
MAX_OBJECTS = 5_000_000
SHARING = 2
"""How often the numbers of a file may be shown: tied weights are two names for one tensor."""
SLACK = 1_000_000
_ZIP_START = b"PK\x03\x04"
_END, _END64, _LOCATOR64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), 20
_IN_ZIP64 = 0xFFFFFFFF


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


def _check_directory(path: Path, file: Any) -> None:
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
        raise UserError(f"{path}: damaged, cut short, or not a safetensors file (its header "
                        f"says that it has {length:,} bytes)")  # fmt: skip


def check_tensors(content: Any, path: Path) -> None:
    """Refuse tensors that would take far more memory than the file they came from.

    Raises:
        UserError: A tensor is not a dense one on the processor, or all of them together show more
            numbers than the file has room for.
    """
    allowed = SHARING * path.stat().st_size + SLACK
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
                raise UserError(f"{path}: holds a tensor that is not a plain dense one; refused")
            allowed -= value.numel() * value.element_size()
        elif isinstance(value, dict | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))  # the same list at many places would be walked without an end
            waiting += [*value, *value.values()] if isinstance(value, dict) else value
        if allowed < 0 or len(waiting) > MAX_OBJECTS:
            raise UserError(
                f"{path}: its tensors ask for more memory than the file has numbers; refused"
            )

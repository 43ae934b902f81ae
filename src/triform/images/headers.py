"""Kind, orientation and promises of an image file, read from its bytes before any decoder starts.

Decoders read every tag and comment that a file has, each into memory of its own: a file of a
megabyte may name the same megabyte thousands of times. What a decoder would read is added up here
first.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import struct
from collections.abc import Iterator

# Sizes in bytes of the numbers of a TIFF tag by their type; all others count as one byte.
_TYPE_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT, _BITS, _SAMPLE_FORMAT = 274, 322, 323, 258, 339
_PHOTOMETRIC = 262
# When the shutter was released, when the image was digitized, when the file was changed; the
# first that is there counts.
_DATES = (36867, 36868, 306)
_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
# Tags that lead to further tables: of the camera, of the place, of other sizes of the image.
_TABLES = (330, 34665, 34853, 40965)
_MOST_TAGS = 4096
_MOST_TABLES = 64
# Of all comments, profiles and tags of one file.
_MOST_METADATA = 2**22
_MOST_SEGMENTS = 10_000
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])")


class Tags:
    """The tags of a TIFF file or of an EXIF block.

    Attributes:
        numbers: first number of those tags of the first table that have whole numbers in place.
        dates: texts of the tags with dates, of all tables.
        promised: bytes that all tags of all tables take together.
        has_more: whether another image follows.
    """

    def __init__(self, block: bytes) -> None:
        """Walk all tables.

        Raises:
            ValueError: more tags or tables than a camera writes.
        """
        self.numbers: dict[int, int] = {}
        self.dates: dict[int, str] = {}
        self.promised = 0
        self.has_more = False
        order = {b"II": "<", b"MM": ">"}.get(block[:2])
        if order is None or len(block) < 16:
            return
        is_big = struct.unpack_from(order + "H", block, 2)[0] == 43
        self._count, self._entry, self._offset_format = (
            (order + "Q", order + "HHQ", order + "Q")
            if is_big
            else (order + "H", order + "HHI", order + "I")
        )
        self._short_format = order + "H"
        open_tables = [struct.unpack_from(self._offset_format, block, 8 if is_big else 4)[0]]
        visited: set[int] = set()
        while open_tables:
            at = open_tables.pop(0)
            if at in visited or at + 2 > len(block):
                continue
            visited.add(at)
            if len(visited) > _MOST_TABLES:
                raise ValueError(f"more than {_MOST_TABLES} tables of tags")
            try:
                open_tables += self._walk(block, at, is_first=len(visited) == 1)
            except struct.error:  # cut off: a decoder says so where it matters
                continue

    def _walk(self, block: bytes, at: int, *, is_first: bool) -> list[int]:
        width = struct.calcsize(self._offset_format)
        step = 4 + 2 * width
        count = struct.unpack_from(self._count, block, at)[0]
        at += struct.calcsize(self._count)
        if min(count, (len(block) - at) // step) > _MOST_TAGS:
            raise ValueError(f"{count} tags in one table")
        tables = []
        for number in range(min(count, _MOST_TAGS)):
            tag, kind, length = struct.unpack_from(self._entry, block, at + number * step)
            size = _TYPE_SIZES.get(kind, 1) * length
            self.promised += size
            position = at + number * step + 4 + width
            if tag in _DATES and kind == 2 and length in (19, 20):
                start = struct.unpack_from(self._offset_format, block, position)[0]
                self.dates.setdefault(tag, block[start : start + 19].decode("latin-1"))
            if size <= width and length and kind in (3, 4, 13, 16):
                form = self._short_format if kind == 3 else self._offset_format
                value = struct.unpack_from(form, block, position)[0]
                if is_first:
                    self.numbers.setdefault(tag, value)
                if tag in _TABLES and kind != 3:
                    tables.append(value)
        if is_first:
            after = at + count * step
            self.has_more = struct.unpack_from(self._offset_format, block, after)[0] != 0
        return tables

    @property
    def orientation(self) -> int:
        """1 to 8, as EXIF numbers the ways to hold a camera."""
        value = self.numbers.get(_ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def taken(self) -> str:
        """When the photo was taken, as YYYY-MM-DDTHH:MM:SS in the camera's time; "" if unknown."""
        for tag in _DATES:
            if match := _DATE.fullmatch(self.dates.get(tag, "")):
                date = datetime.datetime
                with contextlib.suppress(ValueError):
                    return date(*map(int, match.groups())).isoformat()  # type: ignore[arg-type]
        return ""

    @property
    def tile_pixels(self) -> int:
        """Pixels of one tile, which may be larger than the image; 0 where it has none."""
        return self.numbers.get(_TILE_WIDTH, 0) * self.numbers.get(_TILE_HEIGHT, 0)

    @property
    def bits(self) -> int:
        """Bits of a number of the image where it has one number for each pixel; else 0."""
        return self.numbers.get(_BITS, 0)

    @property
    def is_inverted(self) -> bool:
        """Whether 0 is white."""
        return self.numbers.get(_PHOTOMETRIC, 1) == 0

    @property
    def is_signed(self) -> bool:
        """Whether the numbers of the image may be below zero."""
        return self.numbers.get(_SAMPLE_FORMAT, 1) == 2


class Header:
    """What is known of an image before it is decoded.

    Attributes:
        kind: Pillow's name of the format, "HEIF", or "" where it is none that is read.
        orientation: 1 to 8; 1 for TIFF and AVIF, which Pillow turns or whose turn it computes.
        has_more: whether further frames or pages follow.
        tags: of a TIFF file.
        taken: when the photo was taken, as in `Tags`.
    """

    def __init__(self, data: bytes, *, is_tga: bool = False) -> None:
        """Look at the first bytes, and add up what a decoder would read besides the pixels.

        Raises:
            ValueError: too much of it.
        """
        self.kind = _kind(data) or ("TGA" if is_tga else "")
        self.orientation, self.has_more = 1, False
        self.tags: Tags | None = None
        self.taken = ""
        if self.kind == "TIFF":
            self.tags = Tags(data)
            _check_promise(self.tags, len(data))
            self.has_more, self.taken = self.tags.has_more, self.tags.taken
        elif self.kind == "JPEG":
            self._read_jpeg(data)
        elif self.kind == "PNG":
            self._read_png(data)
        elif self.kind == "WEBP":
            self._read_webp(data)
        elif self.kind == "GIF":
            self.has_more = _gif_has_more(data)
        elif self.kind in ("AVIF", "HEIF"):
            for found in re.finditer(rb"II\*\0|MM\0\*", data):
                block = data[found.start() : found.start() + _MOST_METADATA]
                tags = Tags(block)
                _check_promise(tags, _MOST_METADATA)
                self.taken = self.taken or tags.taken

    def _read_jpeg(self, data: bytes) -> None:
        exif, size, turn = b"", 0, 0
        for number, (marker, payload) in enumerate(_jpeg_segments(data)):
            size += len(payload) if marker >= 0xE0 else 0
            if number > _MOST_SEGMENTS or size > 4 * _MOST_METADATA:
                raise ValueError("too much besides its pixels")
            if marker == 0xE1 and payload.startswith(b"Exif\0\0"):
                exif += payload[6:]
                if len(exif) > _MOST_METADATA:
                    raise ValueError("its EXIF block is too large")
            elif marker == 0xE1 and (found := _XMP_ORIENTATION.search(payload)):
                turn = turn or int(found[1])
            elif marker == 0xE2 and payload.startswith(b"MPF\0"):
                _check_promise(Tags(payload[4:]), len(payload))
        tags = Tags(exif)
        _check_promise(tags, len(exif))
        self.taken = tags.taken
        self.orientation = tags.orientation if _ORIENTATION in tags.numbers else turn or 1

    def _read_png(self, data: bytes) -> None:
        at, number, turn = 8, 0, 0
        while at + 8 <= len(data):
            length, name = struct.unpack_from(">I4s", data, at)
            number += 1
            if number > _MOST_SEGMENTS + len(data) // 256:
                raise ValueError("too many chunks")
            if name == b"eXIf":
                tags = Tags(data[at + 8 : at + 8 + length])
                self.orientation, self.taken = tags.orientation, tags.taken
            elif name == b"iTXt" and (found := _XMP_ORIENTATION.search(data, at, at + length)):
                turn = int(found[1])
            elif name == b"acTL":
                self.has_more = length >= 8 and struct.unpack_from(">I", data, at + 8)[0] > 1
            at += 12 + length
        self.orientation = self.orientation if self.orientation != 1 else turn or 1

    def _read_webp(self, data: bytes) -> None:
        at, number, frames = 12, 0, 0
        while at + 8 <= len(data) and number < _MOST_SEGMENTS:
            name, length = struct.unpack_from("<4sI", data, at)
            if name == b"EXIF":
                block = data[at + 8 : at + 8 + length]
                tags = Tags(block.removeprefix(b"Exif\0\0"))
                self.orientation, self.taken = tags.orientation, tags.taken
            frames += name == b"ANMF"
            at, number = at + 8 + length + length % 2, number + 1
        self.has_more = frames > 1


def _kind(data: bytes) -> str:
    """The format by the first bytes."""
    starts = {
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"\xff\xd8\xff": "JPEG",
        b"GIF87a": "GIF",
        b"GIF89a": "GIF",
        b"BM": "BMP",
        b"II*\0": "TIFF",
        b"MM\0*": "TIFF",
        b"II+\0": "TIFF",
        b"MM\0+": "TIFF",
    }
    for start, kind in starts.items():
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in b"123456f" and data[2:3].isspace():
        return "PPM"
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if any(brand in brands for brand in (b"hei", b"hev", b"mif1", b"msf1")):
            return "HEIF"
    return ""


def _check_promise(tags: Tags, length: int) -> None:
    """Tags do not overlap, so that together they are no larger than what holds them."""
    if tags.promised > length + 2**16:
        raise ValueError(f"its tags promise {tags.promised} bytes, there are {length}")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of all segments before the pixels."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at = data.find(b"\xff", at)
            if at < 0:
                return
        marker = data[at + 1] if at + 1 < len(data) else 0xD9
        if marker == 0xFF:
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            yield marker, b""
            at += 2
        elif marker in (0xD9, 0xDA):
            return
        else:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            yield marker, data[at + 4 : at + 2 + length]
            at += 2 + max(length, 2)


def _gif_has_more(data: bytes) -> bool:
    """Whether a GIF has a second image.

    Raises:
        ValueError: comments and the like before the first image that are too large.
    """
    at, images, size = 13, 0, 0
    if len(data) > 10 and data[10] & 0x80:
        at += 3 << ((data[10] & 7) + 1)
    in_blocks = False
    # A block has up to 255 bytes; files of more blocks are not looked through to their end.
    for _ in range(2**20):
        if at >= len(data):
            return False
        byte = data[at]
        if in_blocks:
            in_blocks = byte > 0
            at += 1 + byte
            size += byte if images == 0 else 0
            if size > _MOST_METADATA // 16:
                raise ValueError("its comments are too large")
        elif byte == 0x2C:
            images += 1
            if images == 2:
                return True
            flags = data[at + 9] if at + 9 < len(data) else 0
            at += 11 + ((3 << ((flags & 7) + 1)) if flags & 0x80 else 0)
            in_blocks = True
        elif byte == 0x21:
            at += 2
            in_blocks = True
        elif byte == 0x3B:
            return False
        else:
            at += 1
    return False

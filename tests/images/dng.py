"""A small RAW photo in Adobe's DNG, with and without a preview."""

import io
import struct

import numpy as np
from PIL import Image

SHORT, LONG, ASCII, BYTE, RATIONAL = 3, 4, 2, 1, 5
FORMATS = {BYTE: "B", ASCII: "s", SHORT: "H", LONG: "I", RATIONAL: "II"}


def dng(mosaic: np.ndarray, preview: Image.Image | None, *, orientation: int, date: str) -> bytes:
    """A file of a mosaic (H, W) uint16 of red, green, green and blue."""
    height, width = mosaic.shape
    jpeg = io.BytesIO()
    if preview is not None:
        preview.save(jpeg, "JPEG", quality=95)
    raw, small = mosaic.astype("<u2").tobytes(), jpeg.getvalue()
    raw_at, small_at = 8, 8 + len(raw)
    directory_at = (small_at + len(small) + 1) // 2 * 2
    of_raw = [
        (254, LONG, [0]),
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [16]),
        (259, SHORT, [1]),
        (262, SHORT, [32803]),
        (273, LONG, [raw_at]),
        (277, SHORT, [1]),
        (278, LONG, [height]),
        (279, LONG, [len(raw)]),
        (33421, SHORT, [2, 2]),
        (33422, BYTE, [0, 1, 1, 2]),
        (50717, LONG, [65535]),
    ]
    camera = [
        (271, ASCII, b"Maker\0"),
        (272, ASCII, b"Camera\0"),
        (274, SHORT, [orientation]),
        (306, ASCII, date.encode() + b"\0"),
        (50706, BYTE, [1, 4, 0, 0]),
        (50708, ASCII, b"Maker Camera\0"),
    ]
    if preview is None:
        first = directory(sorted([*of_raw, *camera]), directory_at)
        second = b""
    else:
        of_preview = [
            (254, LONG, [1]),
            (256, LONG, [preview.width]),
            (257, LONG, [preview.height]),
            (258, SHORT, [8, 8, 8]),
            (259, SHORT, [7]),
            (262, SHORT, [6]),
            (273, LONG, [small_at]),
            (277, SHORT, [3]),
            (278, LONG, [preview.height]),
            (279, LONG, [len(small)]),
        ]
        entries = sorted([*of_preview, *camera, (330, LONG, [0])])
        second_at = directory_at + len(directory(entries, directory_at))
        entries = sorted([*of_preview, *camera, (330, LONG, [second_at])])
        first = directory(entries, directory_at)
        second = directory(of_raw, second_at)
    head = struct.pack("<2sHI", b"II", 42, directory_at)
    body = head + raw + small
    return body + b"\0" * (directory_at - len(body)) + first + second


def directory(entries: list, at: int) -> bytes:
    """A table of tags that begins at a position of the file."""
    size = 2 + 12 * len(entries) + 4
    table, values = struct.pack("<H", len(entries)), b""
    for tag, kind, value in entries:
        data = value if kind == ASCII else struct.pack("<" + FORMATS[kind] * len(value), *value)
        count = len(value)
        if len(data) > 4:
            field = struct.pack("<I", at + size + len(values))
            values += data + b"\0" * (len(data) % 2)
        else:
            field = data.ljust(4, b"\0")
        table += struct.pack("<HHI", tag, kind, count) + field
    return table + struct.pack("<I", 0) + values

"""Fast PNG encoder.

Pillow tries all five filters on every row, which takes most of the time that a small image
needs. Rendered images pack as small with the filter "up" alone, which numpy does at once: on 224
pixel views this is 2 to 3 times as fast for the same size of file.
"""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bit depth and colour type of the format, by (dtype, channels).
_FORMATS = {
    ("uint8", 1): (8, 0),
    ("uint16", 1): (16, 0),
    ("uint8", 2): (8, 4),
    ("uint8", 3): (8, 2),
    ("uint8", 4): (8, 6),
}
_UP = 2


def encode_png(pixels: np.ndarray, *, level: int = 1) -> bytes:
    """Encode an image as PNG, without a time or anything else that changes between runs.

    Args:
        pixels: (H, W) uint8 or uint16 grey, or (H, W, C) uint8 with C = 1 (grey), 2 (grey, alpha),
            3 (RGB) or 4 (RGBA).
        level: Compression level of zlib, 0 to 9.

    Raises:
        ValueError: The array is not such an image.
    """
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    png_format = _FORMATS.get((pixels.dtype.name, channels))
    if png_format is None or pixels.ndim not in (2, 3) or pixels.size == 0:
        raise ValueError(f"png: {pixels.dtype} {pixels.shape} cannot be written as an image")
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">"))
    rows = rows.view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, *png_format, 0, 0, 0)
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(filtered.data, level)),
            (b"IEND", b""),
        )
    )

"""Grey images of 16 or 32 bits or of fractions, brought to 8 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from triform.images.headers import Header


def eight_bits(image: Image.Image, header: Header) -> Image.Image:
    """Grey of 16 or 32 bits or of fractions as L; Pillow would cut off what is above 255."""
    values = np.asarray(image)
    scale = _scale(values, image, header)
    grey = np.empty(values.shape, np.uint8)
    rows = max(1, 2**20 // max(1, values.shape[1]))
    is_wide = scale < 0
    for start in range(0, len(values), rows):
        part = values[start : start + rows].astype(np.float64)
        if is_wide:  # unsigned, which Pillow holds as signed numbers
            part = np.where(part < 0, part + 2**32, part)
        part = np.nan_to_num(part, nan=0.0, posinf=np.finfo(np.float64).max, neginf=0.0)
        part = np.clip(part * abs(scale), 0, 255)
        grey[start : start + rows] = np.rint(part) if values.dtype.kind == "f" else part
    if header.tags is not None and header.tags.is_inverted:
        grey = 255 - grey
    result = Image.fromarray(grey)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        result.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return result


def _scale(values: np.ndarray, image: Image.Image, header: Header) -> float:
    """What values are multiplied by; negative where they are unsigned numbers of 32 bits."""
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        largest = float(known.max(initial=0))
        for limit in (1.0, 255.0, 65535.0):
            if largest <= limit:
                return 255 / limit
        return 255 / largest
    bits = header.tags.bits if header.tags is not None else 16
    is_signed = header.tags is not None and header.tags.is_signed
    if image.mode != "I" or bits <= 16:
        return 2.0 ** (8 - max(bits - is_signed, 8))
    if not is_signed and values.min(initial=0) < 0:
        return -(2.0**-24)
    largest = int(values.max(initial=0))
    used = next((bits for bits in (8, 16, 24) if largest < 2**bits), 31 if is_signed else 32)
    return 2.0 ** (8 - used)

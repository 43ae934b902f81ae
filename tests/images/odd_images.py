"""Images of every odd kind with the pixels that a viewer shows, on white."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# Rows of different colours and a mark in the corner, so that no turn looks like another.
COLORS = np.zeros((6, 4, 3), np.uint8)
COLORS[..., 0] = np.arange(6)[:, None] * 50
COLORS[..., 1] = np.arange(4)[None] * 80
COLORS[0, 0] = (250, 10, 20)
GREY = COLORS[..., 0]
# EXIF's number of how a camera was held -> what turns the pixels upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def encoded(image, kind, **options):
    """The content of an image file."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name, data):
    """One part of a PNG."""
    whole = struct.pack(">I", len(data)) + name + data
    return whole + struct.pack(">I", zlib.crc32(name + data))


def raw_png(width, height, color, bits, body, *extra):
    """A PNG of any header: `color` is 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = (chunk(b"IHDR", head), *extra, chunk(b"IDAT", body), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def deep_png(values, color, *extra):
    """A PNG of 16 bits from (H, W) or (H, W, C) numbers."""
    rows = values.astype(">u2").reshape(len(values), -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return raw_png(values.shape[1], values.shape[0], color, 16, body, *extra)


def grey_tiff(values, *, photometric=1, sample_format=1):
    """A TIFF of one strip from (H, W) numbers; photometric 0 has white at 0."""
    height, width = values.shape
    strip = values.tobytes()
    tags = {
        256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: photometric,
        273: 8, 277: 1, 278: height, 279: len(strip), 339: sample_format,
    }  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    table = struct.pack("<H", len(tags)) + table + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + table


def turned(kind, number, **options):
    """An image with an orientation; its pixels are `COLORS`."""
    exif = Image.Exif()
    exif[0x0112] = number
    return encoded(COLORS, kind, exif=exif, **options)


def grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, 2)


def on_white(colors, alpha):
    share = np.asarray(alpha, float)[..., None] / 255
    return np.rint(colors * share + 255 * (1 - share)).astype(np.uint8)


def odd_images():
    """Name -> (content, pixels on white (H, W, 3), tolerance)."""
    found = {}
    for number, upright in UPRIGHT.items():
        found[f"exif{number}.png"] = turned("PNG", number), upright(COLORS), 0
        found[f"exif{number}.tif"] = turned("TIFF", number), upright(COLORS), 0
        found[f"exif{number}.webp"] = turned("WEBP", number, lossless=True), upright(COLORS), 0
        options = {"quality": 100, "subsampling": 0}
        found[f"exif{number}.jpg"] = turned("JPEG", number, **options), upright(COLORS), 12
    bits = GREY > 100
    found["one_bit.png"] = encoded(Image.fromarray(bits), "PNG"), grey(bits * 255), 0
    found["one_bit.tif"] = encoded(Image.fromarray(bits), "TIFF"), grey(bits * 255), 0
    found["grey.png"] = encoded(GREY, "PNG"), grey(GREY), 0
    deep = (GREY.astype(np.uint16) << 8) + 7
    found["grey16.png"] = encoded(deep, "PNG"), grey(GREY), 0
    found["grey16.tif"] = encoded(deep, "TIFF"), grey(GREY), 0
    dim = (GREY > 100).astype(np.uint16) * 200  # almost black: no more than 200 of 65535
    found["dim16.png"] = encoded(dim, "PNG"), grey(GREY * 0), 0
    clear = chunk(b"tRNS", struct.pack(">H", int(deep[1, 0])))
    alpha = np.where(deep == deep[1, 0], 0, 255)
    found["clear16.png"] = deep_png(deep, 0, clear), on_white(grey(GREY), alpha), 0
    found["color16.png"] = deep_png(COLORS.astype(np.uint16) << 8, 2), COLORS, 0
    for bits in (16, 23):
        wide = encoded(GREY.astype(np.int32) << bits, "TIFF")
        found[f"grey32_of_{bits + 8}.tif"] = wide, grey(GREY), 0
    wide = encoded((GREY.astype(np.uint32) << 24).view(np.int32), "TIFF")
    signed, unsigned = (struct.pack("<HHIHH", 339, 3, 1, form, 0) for form in (2, 1))
    assert signed in wide
    found["grey32.tif"] = wide.replace(signed, unsigned), grey(GREY), 0
    found["grey32_of_16.tif"] = encoded(deep.astype(np.int32), "TIFF"), grey(GREY), 0
    found["grey32_of_8.tif"] = encoded(GREY.astype(np.int32), "TIFF"), grey(GREY), 0
    found["white_at_0_of_8.tif"] = grey_tiff(255 - GREY, photometric=0), grey(GREY), 0
    found["white_at_0_of_16.tif"] = grey_tiff(65535 - deep, photometric=0), grey(GREY), 0
    low = (GREY.astype(np.int16) << 7) + 3
    found["signed16.tif"] = grey_tiff(low, sample_format=2), grey(GREY), 0
    found["grey16.pgm"] = b"P5\n4 6\n65535\n" + deep.astype(">u2").tobytes(), grey(GREY), 0
    black = np.packbits(GREY <= 100, axis=1).tobytes()
    found["one_bit.pbm"] = b"P4\n4 6\n" + black, grey((GREY > 100) * 255), 0
    fractions = GREY.astype(np.float32)
    found["fractions.tif"] = encoded(fractions / 255, "TIFF"), grey(GREY), 0
    found["fractions_of_8.tif"] = encoded(fractions, "TIFF"), grey(GREY), 0
    found["fractions_of_16.tif"] = encoded(fractions * 257, "TIFF"), grey(GREY), 0
    holes = fractions / 255
    holes[1, 1], holes[2, 2] = np.nan, -1
    black = GREY.copy()
    black[1, 1] = black[2, 2] = 0
    found["not_a_number.tif"] = encoded(holes, "TIFF"), grey(black), 0
    palette = Image.fromarray((np.arange(24).reshape(6, 4) % 3).astype(np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    shown = np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255]])[np.arange(24).reshape(6, 4) % 3]
    clear = on_white(shown, np.where(np.arange(24).reshape(6, 4) % 3 == 1, 0, 255))
    found["palette.png"] = encoded(palette, "PNG"), shown, 0
    found["palette_clear.png"] = encoded(palette, "PNG", transparency=1), clear, 0
    found["palette_clear.gif"] = encoded(palette, "GIF", transparency=1), clear, 0
    half = bytes([255, 128, 0])
    half_clear = on_white(shown, np.uint8([255, 128, 0])[np.arange(24).reshape(6, 4) % 3])
    found["palette_half.png"] = encoded(palette, "PNG", transparency=half), half_clear, 1
    ink = np.zeros((6, 4, 4), np.uint8)
    ink[..., :3], ink[..., 3] = 255 - COLORS, 40
    paper = np.rint(COLORS * (1 - 40 / 255))
    found["cmyk.tif"] = encoded(Image.fromarray(ink, "CMYK"), "TIFF"), paper, 1
    found["cmyk.jpg"] = (
        encoded(Image.fromarray(ink, "CMYK"), "JPEG", quality=100, subsampling=0),
        paper,
        6,
    )
    shade = np.full((6, 4), 60, np.uint8)
    both = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(shade)])
    found["grey_alpha.png"] = encoded(both, "PNG"), on_white(grey(GREY), shade), 1
    rgba = Image.fromarray(np.dstack([COLORS, shade]))
    found["alpha.png"] = encoded(rgba, "PNG"), on_white(COLORS, shade), 1
    others = [Image.fromarray(np.full_like(COLORS, 90 * n)) for n in (1, 2)]
    films = {"save_all": True, "append_images": others}
    found["film.png"] = encoded(COLORS, "PNG", **films), COLORS, 0
    found["film.webp"] = encoded(COLORS, "WEBP", lossless=True, **films), COLORS, 0
    found["film.gif"] = encoded(palette, "GIF", **films), shown, 0
    found["pages.tif"] = encoded(COLORS, "TIFF", **films), COLORS, 0
    options = {"quality": 100, "subsampling": 0}
    found["photo.jfif"] = encoded(COLORS, "JPEG", **options), COLORS, 12
    found["photo.AVIF"] = encoded(COLORS, "AVIF", quality=100, subsampling="4:4:4"), COLORS, 6
    for number, upright in UPRIGHT.items():
        options = {"quality": 100, "subsampling": "4:4:4"}
        found[f"exif{number}.avif"] = turned("AVIF", number, **options), upright(COLORS), 6
    for name, kind in (("a.bmp", "BMP"), ("a.TIF", "TIFF"), ("a.ppm", "PPM"), ("a.tga", "TGA")):
        found[name] = encoded(COLORS, kind), COLORS, 0
    found["lossless.webp"] = encoded(COLORS, "WEBP", lossless=True), COLORS, 0
    return found


def flat_png(width, height, color=0, bits=8):
    """A PNG of zeros, packed without ever being whole."""
    row = bytes(1 + width * {0: 1, 2: 3, 6: 4}[color] * bits // 8)
    packer = zlib.compressobj(1)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return raw_png(width, height, color, bits, body)

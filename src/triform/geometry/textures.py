"""The textures of one model: each decoded once, whatever it is called, and all of them bounded."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import posixpath
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.geometry.mesh import MeshError
from triform.images.read import decoding_size, read_image

logger = get_logger(__name__)

# The content of a file that the model refers to, or None where it may not or cannot be read.
Find = Callable[[str], bytes | None]
Buffer = bytes | memoryview
# Larger textures are reduced to a side of 2048, twice what views look at (`texels.LARGEST_SIDE`),
# and further the more pixels a model has: sides by the pixels that are kept so far.
SIDES = ((2**24, 2048), (3 * 2**23, 1024), (2**25, 512))
# Of all textures of a model together: as they are kept, and as they are decoded.
LARGEST_PIXELS = 5 * 2**23
LARGEST_WORK = 2**28
# What may be read for them, each spelling of a name counted: a name has thousands of them.
LARGEST_BYTES = 2**29
MOST_FILES = 20_000


class Textures:
    """Decode the textures that a model names.

    A damaged or missing one leaves the model without it and is said once; too many or too large
    ones together are refused.
    """

    def __init__(self, find: Find, model: str = "model") -> None:
        """Remember where textures come from.

        Args:
            find: gives the content of a file that the model names.
            model: what a warning calls the model.
        """
        self.find, self.model = find, model
        self.refused: MeshError | None = None
        self._by_name: dict[str, np.ndarray | None] = {}
        self._by_content: dict[bytes, np.ndarray | None] = {}
        self._pairs: dict[tuple[int, int], np.ndarray] = {}
        self._opaque: dict[int, np.ndarray] = {}
        self._shown: list[np.ndarray] = []
        self._numbers: dict[int, int] = {}
        self._pixels = self._work = self._bytes = 0
        self._problems: list[str] = []

    def get(self, name: str, *, may_miss: bool = False) -> UInt8[np.ndarray, "h w c"] | None:
        """Return a texture (H, W, 3), or (H, W, 4) where it is transparent somewhere, or None.

        Args:
            name: its file, as the model names it.
            may_miss: it is one of several names of which one is there.

        Raises:
            MeshError: the model's textures take too much together.
        """
        key = posixpath.normpath(name.strip().replace("\\", "/"))
        if key not in self._by_name:
            data = self.content(name)
            self._by_name[key] = None if data is None else self.decode(data, name)
            if data is None and not may_miss:
                self._problems.append(f"{_shown_name(name)}: not in the folder of the model")
            if len(self._by_name) > MOST_FILES:
                self._refuse(f"it names more than {MOST_FILES} textures")
        return self._by_name[key]

    def content(self, uri: str) -> bytes | None:
        """Return what a name or a `data:` URI stands for, or None.

        Raises:
            MeshError: too many bytes so far.
        """
        found: bytes | None
        if uri.startswith("data:"):
            try:
                found = base64.b64decode(uri.partition("base64,")[2])
            except ValueError:
                return None
        else:
            found = self.find(uri)
            unquoted = urllib.parse.unquote(uri)
            found = self.find(unquoted) if found is None and unquoted != uri else found
        self.count_bytes(len(found or b""))
        return found

    def count_bytes(self, size: int) -> None:
        """Count what has been read.

        Raises:
            MeshError: too much together.
        """
        self._bytes += size
        if self._bytes > LARGEST_BYTES:
            self._refuse(f"its textures have more than {LARGEST_BYTES} bytes, each name counted")

    def decode(self, data: bytes, name: str) -> UInt8[np.ndarray, "h w c"] | None:
        """Return a texture from the content of its file, as `get` does.

        Raises:
            MeshError: the model's textures take too much together.
        """
        key = _digest(data)
        if key not in self._by_content:
            called = _shown_name(name)
            longest = next((side for limit, side in SIDES if self._pixels < limit), 256)
            try:
                self._work += decoding_size(data, called)
                if self._work > LARGEST_WORK:
                    self._refuse(f"its textures have more than {LARGEST_WORK} pixels together")
                image = read_image(data, called, longest=longest, is_texture=True)
            except MeshError:
                raise
            except UserError as error:
                self._problems.append(str(error))
                self._by_content[key] = None
            else:
                self._count(image.width * image.height)
                self._by_content[key] = pixels_of(image)
        return self._by_content[key]

    def decode_all(
        self, files: Sequence[tuple[Buffer, str]]
    ) -> list[UInt8[np.ndarray, "h w c"] | None]:
        """Return many textures, each as `decode` does; sizes are added up before the first.

        Raises:
            MeshError: the model's textures take too much together.
        """
        sizes: dict[bytes, int] = {}
        for data, name in files:
            self.count_bytes(len(data))
            key = _digest(data)
            if key not in sizes:
                sizes[key] = 0
                with contextlib.suppress(UserError):
                    sizes[key] = decoding_size(bytes(data), _shown_name(name))
        if sum(sizes.values()) > LARGEST_WORK:
            self._refuse(f"its textures have more than {LARGEST_WORK} pixels together")
        return [self.decode(bytes(data), name) for data, name in files]

    def with_alpha(
        self, texture: UInt8[np.ndarray, "h w c"] | None, mask: UInt8[np.ndarray, "h2 w2 c2"]
    ) -> UInt8[np.ndarray, "h w 4"]:
        """Return a texture, or white, with the transparency of a mask: its alpha or brightness.

        Raises:
            MeshError: the model's textures take too much together.
        """
        key = (id(texture), id(mask))
        if key not in self._pairs:
            alpha = mask[..., 3] if mask.shape[2] == 4 else mask[..., :3].mean(axis=2)
            alpha = alpha.astype(np.uint8)
            height, width = (alpha if texture is None else texture).shape[:2]
            self._count(height * width)
            if alpha.shape != (height, width):
                size = (width, height)
                alpha = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BILINEAR))
            colors = np.full((height, width, 3), 255, np.uint8) if texture is None else texture
            self._pairs[key] = np.concatenate([colors[..., :3], alpha[..., None]], axis=2)
        return self._pairs[key]

    def opaque(self, texture: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
        """Return a texture without its alpha; the same array each time, so that it is one."""
        return self._opaque.setdefault(id(texture), texture[..., :3])

    def stand_in(self, texture: UInt8[np.ndarray, "h w c"]) -> bytes:
        """Return a PNG of one pixel that stands for a texture in what another library reads."""
        number = self._numbers.setdefault(id(texture), len(self._shown))
        if number == len(self._shown):
            self._shown.append(texture)
        file = io.BytesIO()
        color = (number & 255, number >> 8 & 255, number >> 16)
        Image.new("RGB", (1, 1), color).save(file, "PNG")
        return file.getvalue()

    def stand_in_uri(self, texture: UInt8[np.ndarray, "h w c"]) -> str:
        """Return what `stand_in` does as a `data:` URI."""
        return "data:image/png;base64," + base64.b64encode(self.stand_in(texture)).decode()

    def stood_for(self, image: Any) -> UInt8[np.ndarray, "h w c"] | None:
        """Return the texture that a PNG of `stand_in` stands for, as Pillow opened it."""
        if image is None or image.size != (1, 1):
            return None
        red, green, blue = image.convert("RGB").getpixel((0, 0))
        number = red | green << 8 | blue << 16
        return self._shown[number] if number < len(self._shown) else None

    def finish(self) -> None:
        """Say once what could not be used.

        Raises:
            MeshError: what was refused while another library was reading, which keeps errors.
        """
        if self.refused is not None:
            raise self.refused
        if self._problems:
            more = len(self._problems) - 1
            also = f" (and {more} more)" if more else ""
            logger.warning("%s: without its texture %s%s", self.model, self._problems[0], also)

    def _count(self, pixels: int) -> None:
        self._pixels += pixels
        if self._pixels > LARGEST_PIXELS:
            self._refuse(f"its textures have more than {LARGEST_PIXELS} pixels together")

    def _refuse(self, reason: str) -> None:
        self.refused = MeshError(f"{reason}; make them fewer or smaller")
        raise self.refused


def pixels_of(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    """Return (H, W, 3) sRGB, or (H, W, 4) where alpha is somewhere not full."""
    pixels = np.asarray(image)
    if image.mode == "RGBA" and pixels[..., 3].min() == 255:
        return np.ascontiguousarray(pixels[..., :3])
    return pixels


def _digest(data: Buffer) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _shown_name(name: str) -> str:
    """What a complaint calls a texture: no whole `data:` URI, and its suffix stays."""
    return name if len(name) <= 80 else f"{name[:40]}...{name[-30:]}"

"""The textures of one model: each decoded once under all its names, their total size limited."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import posixpath
import urllib.parse
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.printable import printable
from triform.geometry.mesh import MeshError
from triform.images.read import decoding_size, read_image

logger = get_logger(__name__)

# Content of a file that the model refers to; None where it is missing or not allowed.
FileFinder = Callable[[str], bytes | None]
Buffer = bytes | memoryview
# Larger textures are reduced to a side of 2048, twice `mipmaps.MAX_TEXTURE_SIZE`, and further the
# more pixels a model has: (pixels decoded so far, longest side).
SIZE_LIMITS = ((2**24, 2048), (3 * 2**23, 1024), (2**25, 512))
# Pixels of all textures of a model together: after and before they are reduced.
MAX_PIXELS = 5 * 2**23
MAX_DECODED_PIXELS = 2**28
# Bytes and files read for them, each spelling of a name counted: a name has thousands of them.
MAX_BYTES = 2**29
MAX_FILES = 20_000


class Textures:
    """Reader and cache of the textures that a model names.

    Damaged or missing textures are left out with one warning; too many or too large ones are an
    error.
    """

    def __init__(self, find: FileFinder, model: str = "model") -> None:
        """Create an empty cache.

        Args:
            find: returns the content of a file that the model names.
            model: name of the model in warnings.
        """
        self.find, self.model = find, model
        self._texture_of_name: dict[str, np.ndarray | None] = {}
        self._texture_of_content: dict[bytes, np.ndarray | None] = {}
        self._with_alpha: dict[tuple[int, int], np.ndarray] = {}
        self._without_alpha: dict[int, np.ndarray] = {}
        self._num_pixels = self._num_decoded_pixels = self._num_bytes = 0
        self._problems: list[str] = []

    def get(self, name: str, *, may_miss: bool = False) -> UInt8[np.ndarray, "h w c"] | None:
        """Return a texture (H, W, 3), or (H, W, 4) where it is transparent somewhere, or None.

        Args:
            name: its file, as the model names it.
            may_miss: no warning where the file is missing, as for one of several alternatives.

        Raises:
            MeshError: the model's textures take too much together.
        """
        key = posixpath.normpath(name.strip().replace("\\", "/"))
        if key not in self._texture_of_name:
            data = self.content(name)
            self._texture_of_name[key] = None if data is None else self.decode(data, name)
            if data is None and not may_miss:
                self._problems.append(f"{_short_name(name)}: not in the folder of the model")
            if len(self._texture_of_name) > MAX_FILES:
                self._exceed(f"it names more than {MAX_FILES} textures")
        return self._texture_of_name[key]

    def content(self, uri: str) -> bytes | None:
        """Return the content behind a name or a `data:` URI, or None.

        Raises:
            MeshError: too many bytes so far.
        """
        content = content_of_uri(uri, self.find)
        self.count_bytes(len(content or b""))
        return content

    def count_bytes(self, size: int) -> None:
        """Add to the bytes read so far.

        Raises:
            MeshError: too much together.
        """
        self._num_bytes += size
        if self._num_bytes > MAX_BYTES:
            self._exceed(f"its textures have more than {MAX_BYTES} bytes, each name counted")

    def decode(self, data: bytes, name: str) -> UInt8[np.ndarray, "h w c"] | None:
        """Return a texture from the content of its file, as `get` does.

        Raises:
            MeshError: the model's textures take too much together.
        """
        key = _digest(data)
        if key not in self._texture_of_content:
            label = _short_name(name)
            max_side = next((side for limit, side in SIZE_LIMITS if self._num_pixels < limit), 256)
            try:
                self._num_decoded_pixels += decoding_size(data, label)
                if self._num_decoded_pixels > MAX_DECODED_PIXELS:
                    self._exceed(
                        f"its textures have more than {MAX_DECODED_PIXELS} pixels together"
                    )
                image = read_image(data, label, longest=max_side, is_texture=True)
            except MeshError:
                raise
            except UserError as error:
                self._problems.append(str(error))
                self._texture_of_content[key] = None
            else:
                self._count_pixels(image.width * image.height)
                self._texture_of_content[key] = pixels_of(image)
        return self._texture_of_content[key]

    def decode_all(
        self, files: Sequence[tuple[Buffer, str]]
    ) -> list[UInt8[np.ndarray, "h w c"] | None]:
        """Decode many textures as `decode` does, after a check of their total size.

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
                    sizes[key] = decoding_size(bytes(data), _short_name(name))
        if sum(sizes.values()) > MAX_DECODED_PIXELS:
            self._exceed(f"its textures have more than {MAX_DECODED_PIXELS} pixels together")
        return [self.decode(bytes(data), name) for data, name in files]

    def with_alpha(
        self, texture: UInt8[np.ndarray, "h w c"] | None, mask: UInt8[np.ndarray, "h2 w2 c2"]
    ) -> UInt8[np.ndarray, "h w 4"]:
        """Return a texture, or white, with the alpha of a mask, or its brightness without alpha.

        Raises:
            MeshError: the model's textures take too much together.
        """
        key = (id(texture), id(mask))
        if key not in self._with_alpha:
            alpha = mask[..., 3] if mask.shape[2] == 4 else mask[..., :3].mean(axis=2)
            alpha = alpha.astype(np.uint8)
            height, width = (alpha if texture is None else texture).shape[:2]
            self._count_pixels(height * width)
            if alpha.shape != (height, width):
                size = (width, height)
                alpha = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BILINEAR))
            colors = np.full((height, width, 3), 255, np.uint8) if texture is None else texture
            self._with_alpha[key] = np.concatenate([colors[..., :3], alpha[..., None]], axis=2)
        return self._with_alpha[key]

    def opaque(self, texture: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
        """Return a texture without its alpha; the same array for the same texture."""
        return self._without_alpha.setdefault(id(texture), texture[..., :3])

    def report_later(self, problem: str) -> None:
        """Add a problem to the warning of `report_problems`."""
        self._problems.append(problem)

    def report_problems(self) -> None:
        """Warn once of the textures that could not be used."""
        if self._problems:
            num_more = len(self._problems) - 1
            others = f" (and {num_more} more)" if num_more else ""
            logger.warning("%s: without its texture %s%s", self.model, self._problems[0], others)

    def _count_pixels(self, pixels: int) -> None:
        self._num_pixels += pixels
        if self._num_pixels > MAX_PIXELS:
            self._exceed(f"its textures have more than {MAX_PIXELS} pixels together")

    def _exceed(self, reason: str) -> None:
        raise MeshError(f"{reason}; make them fewer or smaller")


def content_of_uri(uri: str, find: FileFinder) -> bytes | None:
    """Return the content behind a name, percent-encoded or not, or a `data:` URI; or None."""
    if uri.startswith("data:"):
        header, _, body = uri.partition(",")
        content = urllib.parse.unquote_to_bytes(body)
        if not header.endswith(";base64"):
            return content
        try:
            return base64.b64decode(content)
        except ValueError:
            return None
    content_or_none = find(uri)
    unquoted = urllib.parse.unquote(uri)
    return find(unquoted) if content_or_none is None and unquoted != uri else content_or_none


def pixels_of(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    """Return (H, W, 3) sRGB, or (H, W, 4) where alpha is somewhere not full."""
    pixels = np.asarray(image)
    if image.mode == "RGBA" and pixels[..., 3].min() == 255:
        return np.ascontiguousarray(pixels[..., :3])
    return pixels


def _digest(data: Buffer) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _short_name(name: str) -> str:
    """Name of a texture in messages: long `data:` URIs are cut, the suffix stays."""
    name = printable(name)
    return name if len(name) <= 80 else f"{name[:40]}...{name[-30:]}"

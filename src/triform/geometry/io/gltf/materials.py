"""Base colours of glTF materials, with their images decoded by our own reader."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from triform.base.errors import UserError
from triform.geometry.appearance import Material
from triform.geometry.colors import srgb_from_linear
from triform.geometry.io.gltf.document import SPECULAR_GLOSSINESS, TEXTURE_TRANSFORM, Document
from triform.geometry.io.textures import Buffer
from triform.geometry.mesh import MeshError
from triform.images.read import decoding_size

# Extensions of a texture that name an alternative image, in the order of preference.
IMAGE_EXTENSIONS = ("EXT_texture_webp", "EXT_texture_avif")
# A specular-glossiness material with a darker diffuse colour is a metal.
MAX_METAL_DIFFUSE = 0.01


@dataclass(frozen=True, eq=False)
class BaseColor:
    """The base colour of a material.

    Attributes:
        textured: the material of surfaces with texture coordinates, or None without a texture.
        plain: the material of other surfaces.
        tex_coord: the set of texture coordinates.
        transform: (2, 3) of the texture coordinates, or None.
        uses_alpha: whether opacities of the texture and of vertices count.
    """

    textured: Material | None
    plain: Material
    tex_coord: int
    transform: np.ndarray | None
    uses_alpha: bool


def read_base_colors(document: Document) -> list[BaseColor]:
    """Read the base colours of all materials of a file.

    Raises:
        MeshError: its textures are too large together.
    """
    slots = [_base_color(material) for material in document.objects("materials")]
    selected = [_choose_image(document, slot.get("texture", {})) for slot in slots]
    contents = {image[0]: image[1:] for image in selected if image is not None}
    decoded = document.textures.decode_all(list(contents.values()))
    texture_of_image = dict(zip(contents, decoded, strict=True))
    colors = []
    for slot, image in zip(slots, selected, strict=True):
        texture = None if image is None else texture_of_image[image[0]]
        info, uses_alpha = slot.get("texture", {}), slot["uses_alpha"]
        rgb = np.rint(srgb_from_linear(np.array(slot["factor"][:3])) * 255).astype(np.uint8)
        opacity = float(np.clip(slot["factor"][3], 0, 1)) if uses_alpha else 1.0
        textured = None
        if texture is not None:
            texture = texture if uses_alpha else document.textures.opaque(texture)
            textured = Material(rgb, texture, opacity)
        transform = info.get("extensions", {}).get(TEXTURE_TRANSFORM)
        tex_coord = (transform or {}).get("texCoord", info.get("texCoord", 0))
        matrix = None if transform is None else _uv_matrix(transform)
        colors.append(
            BaseColor(textured, Material(rgb, None, opacity), tex_coord, matrix, uses_alpha)
        )
    return colors


def _base_color(material: dict[str, Any]) -> dict[str, Any]:
    """Return the factor, texture and use of alpha of a material, of either model of shading."""
    base = material.get("pbrMetallicRoughness", {})
    factor, texture = base.get("baseColorFactor"), base.get("baseColorTexture", {})
    diffuse = material.get("extensions", {}).get(SPECULAR_GLOSSINESS)
    if diffuse is not None:
        factor, texture = diffuse.get("diffuseFactor"), diffuse.get("diffuseTexture", {})
        specular = diffuse.get("specularFactor")
        if specular and factor and not texture and max(factor[:3]) < MAX_METAL_DIFFUSE:
            factor = [*specular[:3], *factor[3:]]
    factor = [*(factor or []), 1.0, 1.0, 1.0, 1.0][: max(4, len(factor or []))]
    return {
        "factor": [float(value) for value in factor],
        "texture": texture,
        "uses_alpha": material.get("alphaMode", "OPAQUE") != "OPAQUE",
    }


def _choose_image(document: Document, info: dict[str, Any]) -> tuple[int, Buffer, str] | None:
    """Return index, content and name of the first image of a texture that can be read."""
    if "index" not in info:
        return None
    try:
        texture = document.object_at("textures", info["index"])
    except MeshError:
        document.textures.report_later(f"{info['index']!r}, which is not in the file")
        return None
    extensions = texture.get("extensions", {})
    sources = [extensions.get(name, {}).get("source") for name in IMAGE_EXTENSIONS]
    sources = [source for source in (*sources, texture.get("source")) if source is not None]
    if not sources:
        document.textures.report_later(
            f"{info['index']}: in no format that is read ({', '.join(extensions)})"
        )
        return None
    unreadable = None
    for source in sources:
        content, name = _image_content(document, source)
        if content is None:
            continue
        unreadable = unreadable or (source, content, name)
        if len(sources) == 1:
            break
        document.textures.count_bytes(len(content))
        with contextlib.suppress(UserError):
            decoding_size(bytes(content), name)
            return source, content, name
    if unreadable is None:
        document.textures.report_later(f"{name[:80]}: not in the folder of the model")
    return unreadable


def _image_content(document: Document, index: Any) -> tuple[Buffer | None, str]:
    """Return the bytes, or None, and the name of an image."""
    name = f"image {index}"
    try:
        image = document.object_at("images", index)
        if "bufferView" in image:
            return document.view(image["bufferView"]), name
        name = str(image.get("uri") or name)
        return document.image_file(name) if "uri" in image else None, name
    except (MeshError, LookupError, TypeError):  # a reference to something missing
        return None, name


def _uv_matrix(transform: dict[str, Any]) -> np.ndarray:
    """Return the (2, 3) matrix of KHR_texture_transform: scaled, rotated, then moved."""
    (u, v), (du, dv) = transform.get("scale", (1, 1)), transform.get("offset", (0, 0))
    angle = transform.get("rotation", 0)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos * u, sin * v, du], [-sin * u, cos * v, dv]], dtype=np.float64)

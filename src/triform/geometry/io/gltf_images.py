"""Decoding of the images of a glTF file by our own reader, before trimesh reads the file."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from triform.geometry.io.textures import Buffer, Textures
from triform.geometry.mesh import MeshError

_JSON = 0x4E4F534A
# Extensions of a texture that name an alternative image, in the order of preference.
TEXTURE_EXTENSIONS = ("EXT_texture_webp", "EXT_texture_avif")
SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"


def replace_images(data: bytes, file_type: str, textures: Textures) -> bytes:
    """Decode the base-colour images of a file and replace them by placeholders.

    All other images (roughness, normals, emission) are dropped.

    Args:
        data: content of a file.
        file_type: "glb" or "gltf".
        textures: decoder of the images.

    Returns:
        The file with placeholders in place of its images.

    Raises:
        MeshError: its textures are too large together.
    """
    tree, binary = _parse(data, file_type)
    images = tree.get("images")
    if not images:
        return data
    for material in tree.get("materials", []):
        _use_diffuse_color(material)
    base_color_images = set(_base_color_images(tree))
    contents = _image_contents(
        tree, [n for n in sorted(base_color_images) if 0 <= n < len(images)], binary, textures
    )
    decoded = textures.decode_all(list(contents.values()))
    texture_of_image = dict(zip(contents, decoded, strict=True))
    tree["images"] = [
        {}
        if (texture := texture_of_image.get(index)) is None
        else {"uri": textures.placeholder_uri(texture)}
        for index in range(len(images))
    ]
    return _serialize(tree, data, file_type)


def _parse(data: bytes, file_type: str) -> tuple[dict[str, Any], Buffer | None]:
    """Return the JSON of a file and its binary chunk, or None without one."""
    if file_type == "gltf":
        tree, binary = json.loads(data), None
    else:
        length, kind = struct.unpack_from("<II", data, 12)
        if kind != _JSON:
            raise MeshError("damaged: the first part of a GLB file has to be JSON")
        tree, binary = json.loads(data[20 : 20 + length]), memoryview(data)[28 + length :]
    if not isinstance(tree, dict):
        raise MeshError("damaged: glTF has to be an object")
    return tree, binary


def _serialize(tree: dict[str, Any], data: bytes, file_type: str) -> bytes:
    text = json.dumps(tree).encode()
    if file_type == "gltf":
        return text
    text += b" " * (-len(text) % 4)
    remaining = memoryview(data)[20 + struct.unpack_from("<I", data, 12)[0] :]
    header = data[:8] + struct.pack("<III", 20 + len(text) + len(remaining), len(text), _JSON)
    return b"".join((header, text, remaining))


def _base_color_images(tree: dict[str, Any]) -> Iterator[int]:
    """Yield the indices of base-colour images; the source of each texture is set to that image."""
    textures = tree.get("textures", [])
    for material in tree.get("materials", []):
        base = material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
        index = base.get("index")
        if not isinstance(index, int) or not 0 <= index < len(textures):
            continue
        texture = textures[index]
        for name in TEXTURE_EXTENSIONS:
            alternative = texture.get("extensions", {}).get(name, {}).get("source")
            if isinstance(alternative, int):
                texture["source"] = alternative
                break
        texture.pop("extensions", None)
        if isinstance(texture.get("source"), int):
            yield texture["source"]


def _use_diffuse_color(material: dict[str, Any]) -> None:
    """Replace a textured specular-glossiness material by its diffuse colour.

    trimesh would compute a new texture for each such material, however many share one.
    """
    specular_glossiness = material.get("extensions", {}).get(SPECULAR_GLOSSINESS)
    if not specular_glossiness or not {"diffuseTexture", "specularGlossinessTexture"} & set(
        specular_glossiness
    ):
        return
    del material["extensions"][SPECULAR_GLOSSINESS]
    base = material.setdefault("pbrMetallicRoughness", {})
    for old, new in (("diffuseFactor", "baseColorFactor"), ("diffuseTexture", "baseColorTexture")):
        if old in specular_glossiness:
            base[new] = specular_glossiness[old]


def _image_contents(
    tree: dict[str, Any], indices: list[int], binary: Buffer | None, textures: Textures
) -> dict[int, tuple[Buffer, str]]:
    """Return the bytes and a name of images by their indices; missing ones are left out."""
    buffers: dict[int, Buffer | None] = {} if binary is None else {0: binary}
    file_contents: dict[str, Buffer | None] = {}
    contents: dict[int, tuple[Buffer, str]] = {}
    for index in indices:
        image = tree["images"][index]
        content: Buffer | None
        try:
            if "bufferView" in image:
                view = tree["bufferViews"][image["bufferView"]]
                buffer = view["buffer"]
                if buffer not in buffers:
                    uri = tree["buffers"][buffer].get("uri")
                    buffers[buffer] = textures.content(uri) if uri else None
                start, buffer_data = view.get("byteOffset", 0), buffers[buffer]
                stop = start + view["byteLength"]
                # A memoryview, because many images may share the bytes.
                content = None if buffer_data is None else memoryview(buffer_data)[start:stop]
                name = f"image {index}"
            else:
                name = str(image.get("uri", ""))
                if name not in file_contents:
                    file_contents[name] = textures.content(name) if name else None
                content = file_contents[name]
        except (LookupError, TypeError, AttributeError):  # a reference to something missing
            content = None
        if content is not None:
            contents[index] = content, name
    return contents

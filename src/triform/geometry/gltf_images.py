"""The images of a glTF file, read by our own reader before trimesh sees the file."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from triform.geometry.mesh import MeshError
from triform.geometry.textures import Buffer, Textures

_JSON = 0x4E4F534A
# Extensions of a texture that name another image for it, the better one first.
_OTHER_SOURCES = ("EXT_texture_webp", "EXT_texture_avif")
_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"


def replace_images(data: bytes, file_type: str, textures: Textures) -> bytes:
    """Decode the images that give a colour, and put stand-ins into their places.

    All other images (of roughness, normals, light) are dropped.

    Args:
        data: content of a file.
        file_type: "glb" or "gltf".
        textures: decodes them.

    Returns:
        The file without images of its own.

    Raises:
        MeshError: its textures take too much together.
    """
    tree, binary = _unpacked(data, file_type)
    images = tree.get("images")
    if not images:
        return data
    for material in tree.get("materials", []):
        _use_diffuse(material)
    used = set(_color_images(tree))
    contents = _contents(tree, [n for n in sorted(used) if 0 <= n < len(images)], binary, textures)
    found = textures.decode_all(list(contents.values()))
    shown = dict(zip(contents, found, strict=True))
    tree["images"] = [
        {} if (texture := shown.get(number)) is None else {"uri": textures.stand_in_uri(texture)}
        for number in range(len(images))
    ]
    return _packed(tree, data, file_type)


def _unpacked(data: bytes, file_type: str) -> tuple[dict[str, Any], Buffer | None]:
    """The tree of a file and the binary part behind it, where there is one."""
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


def _packed(tree: dict[str, Any], data: bytes, file_type: str) -> bytes:
    text = json.dumps(tree).encode()
    if file_type == "gltf":
        return text
    text += b" " * (-len(text) % 4)
    rest = memoryview(data)[20 + struct.unpack_from("<I", data, 12)[0] :]
    head = data[:8] + struct.pack("<III", 20 + len(text) + len(rest), len(text), _JSON)
    return b"".join((head, text, rest))


def _color_images(tree: dict[str, Any]) -> Iterator[int]:
    """Numbers of the images that are the colour of some material; sets each texture's source."""
    textures = tree.get("textures", [])
    for material in tree.get("materials", []):
        base = material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
        number = base.get("index")
        if not isinstance(number, int) or not 0 <= number < len(textures):
            continue
        texture = textures[number]
        for name in _OTHER_SOURCES:
            other = texture.get("extensions", {}).get(name, {}).get("source")
            if isinstance(other, int):
                texture["source"] = other
                break
        texture.pop("extensions", None)
        if isinstance(texture.get("source"), int):
            yield texture["source"]


def _use_diffuse(material: dict[str, Any]) -> None:
    """Show a textured material of the older kind by its diffuse colour.

    trimesh computes a new texture for each such material, however many share one.
    """
    older = material.get("extensions", {}).get(_GLOSSINESS)
    if not older or not {"diffuseTexture", "specularGlossinessTexture"} & set(older):
        return
    del material["extensions"][_GLOSSINESS]
    base = material.setdefault("pbrMetallicRoughness", {})
    for old, new in (("diffuseFactor", "baseColorFactor"), ("diffuseTexture", "baseColorTexture")):
        if old in older:
            base[new] = older[old]


def _contents(
    tree: dict[str, Any], numbers: list[int], binary: Buffer | None, textures: Textures
) -> dict[int, tuple[Buffer, str]]:
    """The bytes of images by their numbers, with a name; of those that are there."""
    buffers: dict[int, Buffer | None] = {} if binary is None else {0: binary}
    files: dict[str, Buffer | None] = {}
    found: dict[int, tuple[Buffer, str]] = {}
    for number in numbers:
        image = tree["images"][number]
        part: Buffer | None
        try:
            if "bufferView" in image:
                view = tree["bufferViews"][image["bufferView"]]
                buffer = view["buffer"]
                if buffer not in buffers:
                    uri = tree["buffers"][buffer].get("uri")
                    buffers[buffer] = textures.content(uri) if uri else None
                start, whole = view.get("byteOffset", 0), buffers[buffer]
                stop = start + view["byteLength"]
                # A view of the bytes: many images may share them.
                part = None if whole is None else memoryview(whole)[start:stop]
                name = f"image {number}"
            else:
                name = str(image.get("uri", ""))
                if name not in files:
                    files[name] = textures.content(name) if name else None
                part = files[name]
        except (LookupError, TypeError, AttributeError):  # it names what is not there
            part = None
        if part is not None:
            found[number] = part, name
    return found

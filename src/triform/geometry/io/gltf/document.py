"""The JSON tree, the buffers and the accessors of a glTF file."""

from __future__ import annotations

import importlib.util
import json
import struct
from typing import Any

import numpy as np

from triform.geometry.io.textures import Buffer, Textures, content_of_uri
from triform.geometry.mesh import MeshError

_COMPONENT_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COMPONENT_COUNTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
DRACO = "KHR_draco_mesh_compression"
INSTANCING = "EXT_mesh_gpu_instancing"
SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"
TEXTURE_TRANSFORM = "KHR_texture_transform"
# Extensions that are read, or that change nothing of shapes and base colours.
KNOWN_EXTENSIONS = {
    *MESHOPT,
    DRACO,
    INSTANCING,
    TEXTURE_TRANSFORM,
    "KHR_mesh_quantization",
    "KHR_node_visibility",
    "KHR_animation_pointer",
    "KHR_lights_punctual",
    "KHR_texture_basisu",
    "KHR_xmp",
    "KHR_xmp_json_ld",
    "EXT_texture_webp",
    "EXT_texture_avif",
    "EXT_lights_image_based",
    "EXT_mesh_features",
    "EXT_instance_features",
    "EXT_structural_metadata",
    "EXT_feature_metadata",
    "CESIUM_primitive_outline",
    "CESIUM_RTC",
    "MSFT_lod",
    "MSFT_texture_dds",
}
# Materials of any kind have a base colour beside what the extension adds.
KNOWN_PREFIXES = ("KHR_materials_", "EXT_materials_", "VRM")


class Document:
    """A parsed glTF file whose accessors are read on demand."""

    def __init__(self, data: bytes, textures: Textures) -> None:
        """Parse the file and check that all that it requires can be read.

        Args:
            data: content of a glTF or GLB file.
            textures: source of the files that it names.

        Raises:
            MeshError: damaged, another version, or an extension is required that is not read.
        """
        self.textures = textures
        self.tree, binary = _parse(data)
        self._buffers: dict[int, Buffer | None] = {} if binary is None else {0: binary}
        self._views: dict[int, Buffer] = {}
        self._files: dict[str, bytes | None] = {}
        version = str(self.tree.get("asset", {}).get("version", "2.0"))
        if version.split(".")[0] != "2":
            raise MeshError(f"glTF {version} is not read; convert it to glTF 2.0")
        for name in self.tree.get("extensionsRequired", []):
            if name not in KNOWN_EXTENSIONS and not str(name).startswith(KNOWN_PREFIXES):
                raise MeshError(
                    f"it requires the glTF extension {name}, which is not read; export it without"
                )

    def objects(self, key: str) -> list[dict[str, Any]]:
        """Return one of the tree's lists, or an empty one."""
        values = self.tree.get(key, [])
        if not isinstance(values, list):
            raise MeshError(f"damaged: {key!r} is no list")
        return values

    def object_at(self, key: str, index: Any) -> dict[str, Any]:
        """Return an item of one of the tree's lists.

        Raises:
            MeshError: there is none.
        """
        values = self.objects(key)
        if not isinstance(index, int) or not 0 <= index < len(values):
            raise MeshError(f"damaged: it uses {key} {index!r}, but there are {len(values)}")
        if not isinstance(values[index], dict):
            raise MeshError(f"damaged: {key} {index} is no object")
        return values[index]

    def view(self, index: Any) -> Buffer:
        """Return the bytes of a buffer view, decompressed.

        Raises:
            MeshError: its buffer is missing or too short, or it cannot be decompressed.
        """
        if index not in self._views:
            view = self.object_at("bufferViews", index)
            compressed = _extension(view, *MESHOPT)
            if compressed is None or (not has_meshopt() and self._is_readable(view)):
                self._views[index] = self._slice(view, f"buffer view {index}")
            else:
                self._views[index] = self._decompress(compressed, view)
        return self._views[index]

    def _is_readable(self, view: dict[str, Any]) -> bool:
        """Return whether the buffer of a compressed view holds an uncompressed copy as well."""
        buffer = self.object_at("buffers", view["buffer"])
        is_fallback = _extension(buffer, *MESHOPT) is not None or "uri" not in buffer
        return view["buffer"] in self._buffers or not is_fallback

    def _decompress(self, compressed: dict[str, Any], view: dict[str, Any]) -> Buffer:
        if not has_meshopt():
            raise compression_error(MESHOPT[0], "meshopt")
        import meshopt

        source = self._slice(compressed, "the compressed buffer view")
        count, stride = compressed["count"], compressed["byteStride"]
        if count * stride != view["byteLength"]:
            raise MeshError(f"damaged: {MESHOPT[0]} has another size than its buffer view")
        try:
            decoded = meshopt.decode_gltf_buffer(
                bytes(source), count, stride, compressed["mode"], compressed.get("filter")
            )
        except Exception as error:
            raise MeshError(f"its {MESHOPT[0]} data is damaged ({error})") from None
        return memoryview(np.ascontiguousarray(decoded).tobytes())

    def _slice(self, view: dict[str, Any], name: str) -> Buffer:
        buffer = memoryview(self._buffer(view["buffer"]))
        start = view.get("byteOffset", 0)
        stop = start + view["byteLength"]
        if start < 0 or stop > len(buffer) or stop < start:
            raise MeshError(
                f"damaged or cut off: {name} ends at byte {stop}, its buffer has {len(buffer)}"
            )
        return buffer[start:stop]

    def _buffer(self, index: Any) -> Buffer:
        if index not in self._buffers:
            uri = self.object_at("buffers", index).get("uri")
            self._buffers[index] = content_of_uri(uri, self.textures.find) if uri else None
        content = self._buffers[index]
        if content is None:
            uri = str(self.object_at("buffers", index).get("uri", ""))
            name = repr(uri[:80]) if uri else f"{index}, without a name,"
            raise MeshError(f"its buffer {name} is not in the file nor in the folder of the model")
        return content

    def image_file(self, uri: str) -> bytes | None:
        """Return the content of an image outside the buffers, or None."""
        if uri not in self._files:
            self._files[uri] = self.textures.content(uri)
        return self._files[uri]

    def accessor(self, index: Any) -> np.ndarray:
        """Return the values of an accessor, (count, components); normalized integers as floats.

        Raises:
            MeshError: it is damaged.
        """
        accessor = self.object_at("accessors", index)
        dtype = np.dtype(_COMPONENT_TYPES[accessor["componentType"]])
        shape = (accessor["count"], _COMPONENT_COUNTS[accessor["type"]])
        if "bufferView" in accessor:
            view = self.object_at("bufferViews", accessor["bufferView"])
            stride = view.get("byteStride") or 0
            values = self._array(
                accessor["bufferView"], accessor.get("byteOffset", 0), dtype, shape, stride
            )
        else:
            values = np.zeros(shape, dtype)
        if "sparse" in accessor:
            values = self._sparse(accessor["sparse"], values)
        if accessor.get("normalized") and dtype.kind in "iu":
            values = normalized(values)
        return np.asarray(values)

    def _sparse(self, sparse: dict[str, Any], values: np.ndarray) -> np.ndarray:
        count, indices, new = sparse["count"], sparse["indices"], sparse["values"]
        dtype = np.dtype(_COMPONENT_TYPES[indices["componentType"]])
        rows = self._array(
            indices["bufferView"], indices.get("byteOffset", 0), dtype, (count, 1), 0
        )
        if count and rows.max() >= len(values):
            raise MeshError(f"damaged: a sparse accessor replaces row {rows.max()}")
        values = values.copy()
        values[rows[:, 0]] = self._array(
            new["bufferView"],
            new.get("byteOffset", 0),
            values.dtype,
            (count, values.shape[1]),
            0,
        )
        return values

    def _array(
        self, view: Any, offset: int, dtype: np.dtype[Any], shape: tuple[int, int], stride: int
    ) -> np.ndarray:
        buffer = self.view(view)
        row = dtype.itemsize * shape[1]
        stride = stride or row
        needed = offset + (shape[0] - 1) * stride + row if shape[0] else 0
        if offset < 0 or stride < 0 or needed > len(buffer):
            raise MeshError(
                f"damaged or cut off: an accessor needs {needed} bytes of buffer view {view}, "
                f"which has {len(buffer)}"
            )
        strides = (stride, dtype.itemsize)
        return np.asarray(np.ndarray(shape, dtype, buffer, offset, strides))


def normalized(values: np.ndarray) -> np.ndarray:
    """Return integers as floats, the largest of their type as 1."""
    return np.asarray(np.maximum(values / np.iinfo(values.dtype).max, -1.0))


def has_meshopt() -> bool:
    """Return whether the package that decompresses meshopt is installed."""
    return importlib.util.find_spec("meshopt") is not None


def compression_error(extension: str, extra: str) -> MeshError:
    """Return the error of a file whose compression needs a package that is missing."""
    return MeshError(
        f"compressed with {extension}; decompress it first (or pip install 'triform[{extra}]')"
    )


def _extension(holder: dict[str, Any], *names: str) -> dict[str, Any] | None:
    extensions = holder.get("extensions", {})
    return next((extensions[name] for name in names if name in extensions), None)


def _parse(data: bytes) -> tuple[dict[str, Any], Buffer | None]:
    """Return the JSON of a file and its binary chunk, or None without one."""
    binary: Buffer | None = None
    if data.startswith(b"glTF"):
        data, binary = _chunks(data)
    try:
        tree = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise MeshError(f"damaged, or no glTF file: its JSON cannot be read ({error})") from None
    if not isinstance(tree, dict):
        raise MeshError("damaged: glTF has to be an object")
    return tree, binary


def _chunks(data: bytes) -> tuple[bytes, Buffer | None]:
    """Return the JSON and the binary chunk of a GLB file."""
    if len(data) < 20:
        raise MeshError(f"cut off: a GLB file has at least 20 bytes, this one {len(data)}")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise MeshError(f"glTF {version} is not read; convert it to glTF 2.0")
    if length > len(data):
        raise MeshError(f"cut off: it promises {length} bytes and has {len(data)}")
    text, binary, start = None, None, 12
    while start + 8 <= length:
        size, kind = struct.unpack_from("<II", data, start)
        start += 8
        if start + size > len(data):
            raise MeshError(f"cut off: a part of it ends at byte {start + size} of {len(data)}")
        if text is None and kind != _JSON_CHUNK:
            raise MeshError("damaged: the first part of a GLB file has to be JSON")
        if text is None:
            text = data[start : start + size]
        elif kind == _BINARY_CHUNK and binary is None:
            binary = memoryview(data)[start : start + size]
        start += size
    if text is None:
        raise MeshError("damaged: a GLB file without JSON")
    return text.rstrip(b"\0 "), binary

"""Reading of MTL, the material library of Wavefront OBJ."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from triform.geometry.appearance import Material
from triform.geometry.colors import UNCOLORED, to_bytes
from triform.geometry.io.text import (
    decode_name,
    join_continued_lines,
    normalize_text,
    strip_comment,
)
from triform.geometry.io.textures import FileFinder, Textures

# Options of a map with one argument; the name of the file follows all options.
ONE_ARGUMENT_OPTIONS = b"-blendu -blendv -boost -bm -cc -clamp -imfchan -texres -type".split()
OPTION_ARGUMENT_COUNTS = {**dict.fromkeys(ONE_ARGUMENT_OPTIONS, 1), b"-mm": 2}


def read_materials(
    data: bytes,
    find: FileFinder,
    textures: Textures | None = None,
    names: Collection[str] | None = None,
) -> dict[str, tuple[Material, Material]]:
    """Read a material library.

    Damaged lines are skipped: a model without a colour is still a model.

    Args:
        data: content of the file.
        find: returns the content of the images that it names.
        textures: decoder of the images, shared by the libraries of a model.
        names: of the materials that are read, with or without a comment behind them; None reads
            all. One library may hold thousands for a whole collection of models.

    Returns:
        Material name -> materials of faces with texture coordinates and of those without. A
        texture replaces the diffuse colour, as in most programs.
    """
    textures = textures or Textures(find)
    colors: dict[str, np.ndarray] = {}
    opacities: dict[str, float] = {}
    maps: dict[tuple[str, bytes], np.ndarray] = {}
    name = ""
    for line in join_continued_lines(normalize_text(data)).split(b"\n"):
        keyword, arguments = (*line.split(maxsplit=1), b"", b"")[:2]
        key = keyword.lower()
        if key == b"newmtl":
            name = decode_name(arguments)
            if names is not None and name not in names and strip_comment(name) not in names:
                name = ""
                continue
            colors[name], opacities[name] = np.array(UNCOLORED, dtype=np.uint8), 1.0
            maps.pop((name, b"map_kd"), None)
            maps.pop((name, b"map_d"), None)
        elif name and key == b"kd":
            values = _parse_floats(arguments)
            if len(values) == 1:
                values *= 3  # red stands for all three
            if len(values) >= 3:
                colors[name] = to_bytes(np.array(values[:3]))
        elif name and key in (b"d", b"tr"):
            values = _parse_floats(arguments.removeprefix(b"-halo"))
            # Tr is 1 - d; the last of the two counts.
            if values and 0 <= values[0] <= 1:
                opacities[name] = values[0] if key == b"d" else 1 - values[0]
        elif name and key in (b"map_kd", b"map_d"):
            texture = textures.get(_file_name(arguments))
            if texture is not None:
                maps[name, key] = texture
    materials = {}
    for name, color in colors.items():
        untextured = Material(color, None, opacities[name])
        texture, mask = maps.get((name, b"map_kd")), maps.get((name, b"map_d"))
        if texture is not None:
            textured = texture if mask is None else textures.with_alpha(texture, mask)
            white = np.full(3, 255, dtype=np.uint8)
            materials[name] = (Material(white, textured, opacities[name]), untextured)
        elif mask is not None:
            # A white texture, so that one array serves all colours.
            textured = textures.with_alpha(None, mask)
            materials[name] = (Material(color, textured, opacities[name]), untextured)
        else:
            materials[name] = (untextured, untextured)
    return materials


def _file_name(arguments: bytes) -> str:
    """Return the file name of a map, which follows its options and may contain spaces."""
    while arguments.startswith(b"-"):
        option, arguments = _next_word(arguments)
        if option in (b"-o", b"-s", b"-t"):
            # One to three numbers.
            for _ in range(3):
                word, remainder = _next_word(arguments)
                if not _parse_floats(word) or not remainder:
                    break
                arguments = remainder
        else:
            for _ in range(OPTION_ARGUMENT_COUNTS.get(option, 0)):
                arguments = _next_word(arguments)[1]
    return decode_name(arguments)


def _next_word(text: bytes) -> tuple[bytes, bytes]:
    """Split the first word from the rest."""
    word, remainder = (*text.split(maxsplit=1), b"", b"")[:2]
    return word, remainder


def _parse_floats(text: bytes) -> list[float]:
    try:
        return [float(word) for word in text.partition(b"#")[0].split()]
    except ValueError:
        return []

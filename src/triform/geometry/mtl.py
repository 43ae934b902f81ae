"""Reading MTL, the material library of Wavefront OBJ."""

from __future__ import annotations

import numpy as np

from triform.geometry.appearance import Material
from triform.geometry.colors import UNCOLORED, to_bytes
from triform.geometry.textures import Find, Textures

# How many words follow an option of a map; the file's name stands after all of them.
_OPTION_WORDS = {
    b"-blendu": 1, b"-blendv": 1, b"-boost": 1, b"-bm": 1, b"-cc": 1, b"-clamp": 1,
    b"-imfchan": 1, b"-mm": 2, b"-texres": 1, b"-type": 1,
}  # fmt: skip


def read_materials(
    data: bytes, fetch: Find, textures: Textures | None = None
) -> dict[str, tuple[Material, Material]]:
    """Read a material library.

    Damaged lines are skipped: a model without a colour is still a model.

    Args:
        data: content of the file.
        fetch: gives the content of the images that it names.
        textures: decodes them, and knows those of other libraries of the same model.

    Returns:
        Material name -> how faces look that have texture coordinates, and how others do. A
        texture stands in place of the diffuse colour, as in most programs.
    """
    textures = textures or Textures(fetch)
    colors: dict[str, np.ndarray] = {}
    opacities: dict[str, float] = {}
    maps: dict[tuple[str, bytes], np.ndarray] = {}
    name = ""
    for line in data.splitlines():
        key, rest = (*line.split(maxsplit=1), b"", b"")[:2]
        if key == b"newmtl":
            name = _text(rest)
            colors[name], opacities[name] = np.array(UNCOLORED, dtype=np.uint8), 1.0
            maps.pop((name, b"map_Kd"), None)
            maps.pop((name, b"map_d"), None)
        elif name and key == b"Kd":
            values = _numbers(rest)
            if len(values) >= 3:
                colors[name] = to_bytes(np.array(values[:3]))
        elif name and key in (b"d", b"Tr"):
            values = _numbers(rest.removeprefix(b"-halo"))
            # Both say the same thing, one the wrong way round; the last one counts.
            if values and 0 <= values[0] <= 1:
                opacities[name] = values[0] if key == b"d" else 1 - values[0]
        elif name and key in (b"map_Kd", b"map_d"):
            texture = textures.get(_file_name(rest))
            if texture is not None:
                maps[name, key] = texture
    materials = {}
    for name, color in colors.items():
        plain = Material(color, None, opacities[name])
        texture, mask = maps.get((name, b"map_Kd")), maps.get((name, b"map_d"))
        if texture is not None:
            cut = texture if mask is None else textures.with_alpha(texture, mask)
            white = np.full(3, 255, dtype=np.uint8)
            materials[name] = (Material(white, cut, opacities[name]), plain)
        elif mask is not None:
            # White, so that one array serves all colours.
            cut = textures.with_alpha(None, mask)
            materials[name] = (Material(color, cut, opacities[name]), plain)
        else:
            materials[name] = (plain, plain)
    return materials


def _file_name(rest: bytes) -> str:
    """Return the file in a map's line; options stand before it, and it may hold spaces itself."""
    while rest.startswith(b"-"):
        option, _, rest = rest.partition(b" ")
        if option in (b"-o", b"-s", b"-t"):
            # One to three numbers.
            for _ in range(3):
                word, _, others = rest.lstrip().partition(b" ")
                if not _numbers(word) or not others:
                    break
                rest = others
        else:
            for _ in range(_OPTION_WORDS.get(option, 0)):
                rest = rest.lstrip().partition(b" ")[2]
        rest = rest.lstrip()
    return _text(rest)


def _numbers(words: bytes) -> list[float]:
    try:
        return [float(word) for word in words.split()]
    except ValueError:
        return []


def _text(words: bytes) -> str:
    return words.strip().decode("utf-8", errors="replace")

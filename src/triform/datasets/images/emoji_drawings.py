"""Emoji of one maker as SVG texts by code point.

Makers identify their drawings in three ways: by code points, by names in different spellings, and
flags by the letters of their country (ISO 3166).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path


def key(hexcode: str) -> str:
    """Code points without the variation selector for colour, which not all makers write."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def short_key(hexcode: str) -> str:
    """Code points without joiners as well, which some makers leave out of file names."""
    return "-".join(part for part in key(hexcode).split("-") if part != "200d")


def read_openmoji(package: Path) -> dict[str, str]:
    """SVG texts by code points, from one file per emoji."""
    return {
        key(path.stem): path.read_text("utf-8")
        for path in sorted((package / "color" / "svg").glob("*.svg"))
    }


class Icons:
    """An icon set of Iconify: drawings by name, and for some sets names by code point.

    Raises:
        OSError: a file is missing.
        ValueError: one is damaged.
        KeyError: one holds no icons.
    """

    def __init__(self, package: Path):
        content = json.loads((package / "icons.json").read_text("utf-8"))
        self.icons = content["icons"]
        self.size = content.get("width", 16), content.get("height", 16)
        aliases = {
            name: entry["parent"]
            for name, entry in content.get("aliases", {}).items()
            if len(entry) == 1  # the others are rotated or mirrored
        }
        self.names = {**aliases, **{name: name for name in self.icons}}
        """Name or alias -> name of the drawing."""
        table = package / "chars.json"
        chars = json.loads(table.read_text("utf-8")) if table.is_file() else {}
        self.names_by_code = {key(hexcode): name for hexcode, name in chars.items()}

    def drawings(self, hexcode_of_name: Mapping[str, str]) -> dict[str, str]:
        """SVG texts by code points.

        Args:
            hexcode_of_name: code points by normalized name, for sets without code points.
        """
        named = self.names_by_code
        if not named:
            named = {}
            for name, icon in self.names.items():
                spellings = (normalized_name(name), normalized_name(_without_variant(name)))
                hexcode = next(filter(None, map(hexcode_of_name.get, spellings)), None)
                if hexcode:
                    named.setdefault(hexcode, icon)
        return {hexcode: self.svg(name) for hexcode, name in named.items() if name in self.icons}

    def flags(self) -> dict[str, str]:
        """SVG texts by code points of a set that names flags by country; 4x3 if possible."""
        flags: dict[str, str] = {}
        for name in sorted(self.icons, reverse=True):  # "ad-4x3" before "ad-1x1"
            if letters := re.fullmatch(r"([a-z])([a-z])(-\dx\d)?", name):
                hexcode = "-".join(
                    f"{ord(letter) - ord('a') + 0x1F1E6:x}" for letter in letters.group(1, 2)
                )
                flags.setdefault(hexcode, self.svg(name))
        return flags

    def svg(self, name: str) -> str:
        """The drawing of a name as a complete SVG file."""
        icon = self.icons[name]
        box = f"0 0 {icon.get('width', self.size[0])} {icon.get('height', self.size[1])}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">{icon["body"]}</svg>'
        )


def normalized_name(name: str) -> str:
    """A name without different spellings: "Flag: Andorra", "flag-for-andorra"."""
    return re.sub(r"\bfor\b|[^a-z0-9]", "", name.lower().replace("_", " "))


def hexcodes_by_name(names: Mapping[str, str], sets: Sequence[Icons]) -> dict[str, str]:
    """Code points by normalized name.

    Args:
        names: names by code points, with the highest priority.
        sets: icon sets; those with code points add their names. Unicode has the lowest priority.
    """
    hexcode_of_name = {normalized_name(name): hexcode for hexcode, name in names.items()}
    for icons in sets:
        for hexcode, name in icons.names_by_code.items():
            hexcode_of_name.setdefault(normalized_name(name), hexcode)
    for hexcode in names:
        if "-" not in hexcode and (name := unicodedata.name(chr(int(hexcode, 16)), "")):
            hexcode_of_name.setdefault(normalized_name(name), hexcode)
    return hexcode_of_name


def _without_variant(name: str) -> str:
    """A name without the number of its variant: "cactus" for "cactus-1"."""
    return re.sub(r"-\d+$", "", name)

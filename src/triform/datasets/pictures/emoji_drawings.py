"""One maker's emoji as SVG texts by code point.

Makers say in three ways what they drew: by code points, by names that each writes differently, and
flags by the letters of their country (ISO 3166).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path


def key(hexcode: str) -> str:
    """Code points without the selector that asks for colour: makers differ in writing it."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def short_key(hexcode: str) -> str:
    """The same without joiners as well, which some makers leave out of their files' names."""
    return "-".join(part for part in key(hexcode).split("-") if part != "200d")


def read_openmoji(package: Path) -> dict[str, str]:
    """SVG texts by code points, from one file each."""
    return {
        key(path.stem): path.read_text("utf-8")
        for path in sorted((package / "color" / "svg").glob("*.svg"))
    }


class Icons:
    """A set of Iconify: drawings by name, and for some sets names by code point.

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
            if len(entry) == 1  # the others are turned or mirrored
        }
        self.names = {**aliases, **{name: name for name in self.icons}}
        """The drawing that each name stands for."""
        table = package / "chars.json"
        chars = json.loads(table.read_text("utf-8")) if table.is_file() else {}
        self.codes = {key(code): name for code, name in chars.items()}

    def drawings(self, known: Mapping[str, str]) -> dict[str, str]:
        """SVG texts by code points.

        Args:
            known: code points by plain name, for sets that do not say theirs.
        """
        named = self.codes
        if not named:
            named = {}
            for name, drawn in self.names.items():
                if code := known.get(plain(name)) or known.get(plain(_first(name))):
                    named.setdefault(code, drawn)
        return {code: self.svg(name) for code, name in named.items() if name in self.icons}

    def flags(self) -> dict[str, str]:
        """SVG texts by code points of a set that names flags by country; oblong where it can."""
        found: dict[str, str] = {}
        for name in sorted(self.icons, reverse=True):  # "ad-4x3" before "ad-1x1"
            if letters := re.fullmatch(r"([a-z])([a-z])(-\dx\d)?", name):
                code = "-".join(
                    f"{ord(letter) - ord('a') + 0x1F1E6:x}" for letter in letters.group(1, 2)
                )
                found.setdefault(code, self.svg(name))
        return found

    def svg(self, name: str) -> str:
        """The drawing of a name as a file of its own."""
        icon = self.icons[name]
        box = f"0 0 {icon.get('width', self.size[0])} {icon.get('height', self.size[1])}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">{icon["body"]}</svg>'
        )


def plain(name: str) -> str:
    """A name without all that makers write differently: "Flag: Andorra", "flag-for-andorra"."""
    return re.sub(r"\bfor\b|[^a-z0-9]", "", name.lower().replace("_", " "))


def known_names(things: Mapping[str, str], sets: Sequence[Icons]) -> dict[str, str]:
    """Code points by plain name.

    Args:
        things: names by code points, which count most.
        sets: those that say their code points add what they call them; last comes Unicode.
    """
    known = {plain(name): code for code, name in things.items()}
    for icons in sets:
        for code, name in icons.codes.items():
            known.setdefault(plain(name), code)
    for code in things:
        if "-" not in code and (name := unicodedata.name(chr(int(code, 16)), "")):
            known.setdefault(plain(name), code)
    return known


def _first(name: str) -> str:
    """A name without the number of its variant: "cactus-1" is a cactus."""
    return re.sub(r"-\d+$", "", name)

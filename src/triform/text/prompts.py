"""Prompts from names: what a file or folder name says about the thing, and nothing else.

Instance numbers (``chair_0001``), hashes and words of the file system (``model_normalized``) never
enter a prompt: a text encoder would learn the numbers by heart instead of the shapes.
"""

from __future__ import annotations

import re

# Words that say how a file was made, not what it shows.
_FILE_WORDS = frozenset({
    "3d", "asset", "copy", "export", "final", "geometry", "lowpoly", "highpoly", "lod",
    "mesh", "model", "models", "new", "normalized", "obj", "object", "off", "old", "ply",
    "scan", "scene", "shape", "stl", "test", "textured", "tmp", "train", "untitled", "val",
    "version", "vrml", "wrl",
})  # fmt: skip
_COUNTED = frozenset({
    "arm", "arms", "bedroom", "door", "doors", "drawer", "drawers", "leg", "legs", "light",
    "lights", "pane", "panes", "panel", "panels", "piece", "seat", "seater", "seats", "shelf",
    "shelves", "step", "steps", "tier", "tiers", "wheel", "wheels",
})  # fmt: skip
_PLURAL_ONLY = frozenset({
    "glasses", "jeans", "people", "scissors", "shelves", "shorts", "stairs", "trousers",
})  # fmt: skip
_PREPOSITIONS = frozenset({"at", "for", "from", "in", "of", "on", "under", "with", "without"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LETTERS_THEN_NUMBER = re.compile(r"(?<=[^\W\d_])(?=\d)")
_HASH = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9a-f]*\d)[0-9a-f]{8,}", re.IGNORECASE
)
_VERSION = re.compile(r"v\d+", re.IGNORECASE)
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")


def caption_from_name(name: str) -> str:
    """Turns a file or class name into a caption: ``"night_stand_0007.off"`` -> ``"night stand"``.

    Args:
        name: a file name, with or without folders and suffix, or a class name, in any alphabet.

    Returns:
        Lower-case words; empty where the name says nothing ("0001.off", a hash).
    """
    stem = _SUFFIX.sub("", re.split(r"[\\/]", name.strip())[-1])
    words: list[str] = []
    for token in re.split(r"[\s_\-.,;+()\[\]]+", _HASH.sub(" ", stem)):
        if not _VERSION.fullmatch(token):
            words += _LETTERS_THEN_NUMBER.sub(" ", _CAMEL.sub(" ", token)).split()
    kept = [
        word.lower()
        for position, word in enumerate(words)
        if _says_something(
            word.lower(), words[position + 1].lower() if position + 1 < len(words) else ""
        )
    ]
    return " ".join(kept)


def _says_something(word: str, following: str) -> bool:
    if word.isdigit():
        # "table_4_legs" counts legs; every other number tells two files apart.
        return len(word) == 1 and following in _COUNTED
    if re.fullmatch(r"\d+\w?", word) or not any(letter.isalpha() for letter in word):
        return False
    return word not in _FILE_WORDS and (len(word) > 1 or not word.isascii() or following != "")


def with_article(name: str) -> str:
    """Puts "a" or "an" before an English name, where it takes one: ``"a chair"``, ``"shelves"``."""
    words = name.split()
    if not words or words[0].lower() in {"a", "an", "the"}:
        return name
    end = next(
        (place for place, word in enumerate(words) if place and word in _PREPOSITIONS), len(words)
    )
    head = words[end - 1].lower()
    if head in _PLURAL_ONLY or (head.endswith("s") and not head.endswith(("ss", "us", "is"))):
        return name
    silent = words[0].lower().startswith(("hour", "honest", "heir"))
    like_you = words[0].lower().startswith(("uni", "use", "usu", "eu", "one"))
    vowel = (words[0][0].lower() in "aeiou" and not like_you) or silent
    return f"{'an' if vowel else 'a'} {name}"


def plain_prompts(name: str) -> tuple[str, ...]:
    """The ways people ask for a thing by its bare name: ``("a chair", "3d model of a chair")``."""
    phrase = with_article(name)
    return (phrase, f"3d model of {phrase}")

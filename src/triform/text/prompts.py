"""Prompts from names of files, folders and classes.

Instance numbers (``chair_0001``), hashes and words of the file system (``model_normalized``) never
enter a prompt: a text encoder would memorise the numbers instead of the shapes. Sizes (``D5.0mm``)
and part numbers (``PJ-063AH``) say what a thing is, and stay as they are written.
"""

from __future__ import annotations

import itertools
import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words about how a file was made, not about what it shows.
_FILE_WORDS = _words(
    "3d asset copy export final geometry lowpoly highpoly lod mesh model models new "
    "normalized obj object off old ply scan scene shape stl test textured tmp train untitled "
    "val version vrml wrl"
)
_COUNTABLE_PARTS = _words(
    "arm arms bedroom door doors drawer drawers leg legs light lights pane panes panel panels "
    "piece seat seater seats shelf shelves step steps tier tiers wheel wheels"
)
_PLURAL_ONLY = _words("glasses jeans people scissors shelves shorts stairs trousers")
_PREPOSITIONS = _words("at for from in of on under with without")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Z][a-z]{2})")
_LETTERS_THEN_NUMBER = re.compile(r"(?<=[^\W\d_])(?=\d)")
_HASH = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9a-f]*\d)[0-9a-f]{8,}", re.IGNORECASE
)
_VERSION = re.compile(r"v\d+", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s_;+()\[\]{}]+")
_NUMBERS = r"\d+(?:[.,]\d+)?(?:[xX\u00d7]\d+(?:[.,]\d+)?)*"
_SIZE = re.compile(
    rf"[A-Za-z]{{0,2}}{_NUMBERS}(?:mm|cm|m|in|inch|mil|um|deg)|\d+,\d+|(?=\d.*[xX\u00d7]){_NUMBERS}"
    r"|\d{4,5}Metric"
)
"""A length with its unit, perhaps after the letter of a drawing; counts such as ``2x40``; or the
size of a chip (``2012Metric``)."""
_SIZE_AT_END = re.compile(rf"(?<=[a-z]{{3}})(?={_NUMBERS}mm$|\d+x\d+$)")
_PART_NUMBER = re.compile(
    # Capitals and digits, perhaps x for any of several; in pieces that belong together.
    r"(?=.*[A-Z].*\d|.*\d.*[A-Z])(?!.*(?!xxx)[a-z]{3})[A-Za-z0-9]+(?:[-.,/][A-Za-z0-9]+)*"
    r"|(?!(?:19|20)\d\d-\d\d-\d\d)(?=.*\d{3})\d+(?:-\d+)+"
)
_INSTANCE = re.compile(
    r"[A-Z]{3,}-?0\d{0,2}|[A-Z]{4,}-?0\d*|[A-Z]{5,}-?\d+|[A-Z][a-z]+-?\d+"
    r"|\d+-?(?:[A-Z]{4,}|[A-Z][a-z]+)"
)
"""A word with a number that counts files, such as ``CHAIR-01`` and ``Bed2``."""
_PLAIN_NUMBER = re.compile(r"[1-9]\d{3,}|0(?:1005|201|402|603|805)")
"""A part number without letters or the size of a chip, where the rest of a name is technical."""
_SUFFIX = re.compile(r"\.(?:3mf|[A-Z][A-Z0-9]{1,4})$", re.IGNORECASE)


def caption_from_name(name: str) -> str:
    """A caption from a file or class name: ``"night_stand_0007.off"`` -> ``"night stand"``.

    Args:
        name: A file name, with or without folders and suffix, or a class name, in any alphabet.

    Returns:
        Lower-case words, sizes and part numbers; empty if the name has nothing descriptive
        ("0001.off", a hash).
    """
    stem = _SUFFIX.sub("", re.split(r"[\\/]", name.strip())[-1])
    fields = [field.strip("-.,") for field in _SEPARATORS.split(_HASH.sub(" ", stem))]
    is_technical = any(map(_is_code, fields))
    words: list[str] = []
    for field in fields:
        if _is_code(field) or (is_technical and _PLAIN_NUMBER.fullmatch(field)):
            words.append(field)
            continue
        parts = [part for part in _SIZE_AT_END.sub(" ", field).split() if part]
        tokens = [part if _is_code(part) else re.sub("[-.,]+", " ", part) for part in parts]
        for token in _CAMEL.sub(" ", " ".join(tokens)).split():
            if _is_code(token):
                words.append(token)
            elif not _VERSION.fullmatch(token):
                words += _LETTERS_THEN_NUMBER.sub(" ", token).lower().split()
    pairs = itertools.zip_longest(words, words[1:], fillvalue="")
    return " ".join(
        word
        for word, following in pairs
        if _is_code(word)
        or (is_technical and _PLAIN_NUMBER.fullmatch(word))
        or _is_descriptive(word, following)
    )


def _is_code(word: str) -> bool:
    """Whether a word is a size or a part number."""
    if _SIZE.fullmatch(word):
        return True
    if not _PART_NUMBER.fullmatch(word) or _INSTANCE.fullmatch(word) or _VERSION.fullmatch(word):
        return False
    return not any(part.lower() in _FILE_WORDS for part in re.findall("[A-Za-z]+", word))


def _is_descriptive(word: str, following: str) -> bool:
    if word.isdigit():
        # "table_4_legs" counts legs; every other number distinguishes files.
        return len(word) == 1 and following in _COUNTABLE_PARTS
    if re.fullmatch(r"\d+\w?", word) or not any(letter.isalpha() for letter in word):
        return False
    return word not in _FILE_WORDS and (len(word) > 1 or not word.isascii() or following != "")


def with_article(name: str) -> str:
    """An English name with "a" or "an" in front, if it takes one: ``"a chair"``, ``"shelves"``."""
    words = name.split()
    if not words or words[0].lower() in {"a", "an", "the"}:
        return name
    end = next(
        (index for index, word in enumerate(words) if index and word in _PREPOSITIONS), len(words)
    )
    head = words[end - 1].lower()
    if head in _PLURAL_ONLY or (head.endswith("s") and not head.endswith(("ss", "us", "is"))):
        return name
    silent_h = words[0].lower().startswith(("hour", "honest", "heir"))
    sounds_like_you = words[0].lower().startswith(("uni", "use", "usu", "eu", "one"))
    vowel = (words[0][0].lower() in "aeiou" and not sounds_like_you) or silent_h
    return f"{'an' if vowel else 'a'} {name}"


def plain_prompts(name: str) -> tuple[str, ...]:
    """Prompts for a bare name: ``("a chair", "3d model of a chair")``."""
    phrase = with_article(name)
    return (phrase, f"3d model of {phrase}")

"""The known name that a mistyped one is nearest to."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`; perhaps you meant NAME`, or an empty string where no name is near.

    A name that contains the whole word (`cosine` in `CosineAnnealingLR`) is a better hint than
    one with letters in common.

    Args:
        word: As typed, in any case.
        known: The names that are accepted.
        prefix: In front of the name, such as `--`.
    """
    word, names = word.lower(), {name.lower(): name for name in known}
    containing = sorted((name for name in names if len(word) > 2 and word in name), key=len)
    name = containing[0] if containing else closest_name(word, names)
    return f"; perhaps you meant {prefix}{names[name]}" if name else ""


def closest_name(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name with the most letters in common; None where none is near enough.

    Args:
        word: As typed.
        known: The names, in the same case.
        cutoff: Least similarity in [0, 1], as `difflib` counts it.
    """
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), None)

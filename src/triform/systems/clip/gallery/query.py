"""The query language: words, images, weights, and what must not be there.

| query | finds |
|---|---|
| `a dog on the beach` | what fits these words |
| `a dog -a cat` | the same without cats |
| `a dog +snow`, `a dog +2:snow` | both, the second one with twice the weight |
| `./dog.jpg`, `./dog.jpg +snow -beach` | what looks like an image, in the snow, not on the beach |

A `+` or `-` counts at the beginning of a word alone: an x-ray is one word. Several texts are put
together as with `+`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from triform.base.errors import UsageError
from triform.images.read import IMAGE_SUFFIXES

_WEIGHT = re.compile(r"(\d{1,4}(?:\.\d{1,4})?):(?=[^\s\d])")
_SIGNED = re.compile(r"(?:^|(?<=\s))([+-])(?=\S)")


@dataclass(frozen=True)
class Term:
    """A part of a query.

    Attributes:
        text: Words, or the path of an image.
        weight: Its share, above 0.
        is_image: Whether it is the path of an image.
        is_negative: Whether it must not be there.
    """

    text: str
    weight: float = 1.0
    is_image: bool = False
    is_negative: bool = False


def parse_query(texts: Sequence[str], without: Sequence[str] = ()) -> list[Term]:
    """Parse texts in the query language.

    Args:
        texts: Queries, which are put together.
        without: Further terms that must not be there.

    Raises:
        UsageError: Nothing is searched for, an image is not there, or a weight is 0.
    """
    terms: list[Term] = []
    for text in texts:
        if not text.strip():
            raise UsageError("query: an empty text; say what is looked for")
        # A file may have a name with blanks and signs.
        pieces = [text] if os.path.isfile(text.strip()) else _SIGNED.split(text)
        terms += _terms(pieces[0], is_negative=False)
        for sign, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            terms += _terms(piece, is_negative=sign == "-")
    for text in without:
        terms += _terms(text, is_negative=True)
    if not any(not term.is_negative for term in terms):
        words = terms[0].text if terms else ""
        raise UsageError(
            f"query: only what must not be there (-{words}); also say what is looked for"
        )
    return terms


def _terms(text: str, *, is_negative: bool) -> list[Term]:
    """Terms of a piece without signs: images among its words are terms of their own."""
    text = text.strip()
    weight = 1.0
    if match := _WEIGHT.match(text):
        weight = float(match[1])
        text = text[match.end() :].strip()
        if weight == 0:
            raise UsageError(f"query {match[0]}{text}: the weight is 0; leave the term out")
    if not text:
        return []
    if _is_image(text):
        return [Term(os.path.expanduser(text), weight, True, is_negative)]
    words = text.split()
    images = [word for word in words if _is_image(word)]
    rest = " ".join(word for word in words if word not in images)
    terms = [Term(rest, weight, False, is_negative)] if rest else []
    return terms + [Term(os.path.expanduser(each), weight, True, is_negative) for each in images]


def _is_image(text: str) -> bool:
    """Whether a text is the path of an image.

    Raises:
        UsageError: It looks like one that is not there.
    """
    path = os.path.expanduser(text)
    has_suffix = path.lower().endswith(IMAGE_SUFFIXES)
    if has_suffix and os.path.isfile(path):
        return True
    is_path = text.startswith(("./", "../", "/", "~/", ".\\", "..\\"))
    if is_path and not any(letter.isspace() for letter in text):
        reason = "not there" if not os.path.exists(path) else "no image"
        raise UsageError(f"query {text}: {reason}; expected an image, or words")
    return False

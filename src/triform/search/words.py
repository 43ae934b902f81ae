"""Splits names, captions and paths into the tokens that are searched, and writes FTS5 queries.

A part number or a size is a token as it is written ("D5.0mm", "SOT-23", "LM7805"), and its parts
are tokens too; names of files are split at underscores and where a capital begins a word
("PinHeader_1x02" is found by "pin header" and by "PinHeader"). Case, accents of Latin letters and
the dots of the Russian letter yo make no difference, in any alphabet.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator

TOKENIZER = "ascii tokenchars '.-+#&'"
"""FTS5's tokenizer that leaves every token of `index_tokens` as it is: all that is not ASCII is
part of a word for it, and Python knows the letters of all alphabets."""
MIN_PREFIX = 3
"""Letters from which on a word of a query also finds longer words."""

_PIECE = re.compile(r"[^\W_]+(?:[.,+#&'\u2019-]+[^\W_]+)*[+#]*")
_JOINT = re.compile(r"[+#&'\u2019,-]+|(?<!\d)\.+|\.+(?!\d)")
_CAMEL = re.compile(r"(?<=[a-zа-яё])(?=[A-ZА-ЯЁ])|(?<=[A-ZА-ЯЁ])(?=[A-ZА-ЯЁ][a-zа-яё])")
_UNITS = (
    r"mm|cm|m|km|um|nm|in|inch|mil|deg|px|mpx|kg|g|mg|l|ml|w|kw|v|kv|mv|a|ma|ohm|hz|khz|mhz|ghz"
)
_APART = re.compile(rf"(?<![\w.,])(\d+(?:[.,]\d+)?)[ \u00a0]+({_UNITS})(?!\w)", re.IGNORECASE)
"""A number and its unit with a space between them, which are one token."""
_SIZE = re.compile(rf"([a-z]{{0,2}})(\d+)(?:\.(\d+))?({_UNITS})?")
_COUNTS = re.compile(r"\d+(?:\.\d+)?(?:x\d+(?:\.\d+)?)+(?:[a-z]{1,3})?")
_LETTERS_AND_NUMBER = re.compile(r"([^\W\d_]{3,})(\d[\dx.]*)")
_UNDECOMPOSED = frozenset("йЙ")
_ENGLISH = "a an and at by for from in is it of on or that the this to with"
_RUSSIAN = "без в во для до за и из или к на над не о от по под при с со у это"
_STOP_WORDS = frozenset(f"{_ENGLISH} {_RUSSIAN}".split())


def index_tokens(text: str) -> list[str]:
    """Tokens that a text is found by, each once, in their order.

    Args:
        text: Any; of paths, the caller leaves away what says nothing (suffixes, the root).
    """
    tokens: dict[str, None] = {}
    for piece in _pieces(text):
        tokens |= dict.fromkeys(_tokens_of(piece))
    return list(tokens)


def match_expression(text: str) -> str:
    """The FTS5 expression that finds texts with some of the words of a query; "" for none.

    Every token is quoted, so that nothing in a user's text is read as an operator. A whole word
    stands in the expression twice, as itself and as a prefix, and so counts more than the
    beginning of a longer one.
    """
    pieces = list(_pieces(text))
    told = [piece for piece in pieces if fold(piece) not in _STOP_WORDS]
    tokens: dict[str, None] = {}
    for piece in told or pieces:
        tokens |= dict.fromkeys(_tokens_of(piece))
    for first, second in itertools.pairwise(told):
        if first.isalpha() and second.isalpha():  # "pin header" finds "pinheader"
            tokens |= dict.fromkeys([fold(first + second)])
    terms = []
    for token in tokens:
        terms.append(f'"{token}"')
        terms += [f'"{prefix}" *' for prefix in _prefixes(token)]
    return " OR ".join(terms)


def fold(text: str) -> str:
    """A text as it is compared: compatible forms, lower case, Latin letters without accents."""
    return "".join(map(_fold_letter, unicodedata.normalize("NFKC", text).casefold()))


def _fold_letter(letter: str) -> str:
    if letter.isascii() or letter in _UNDECOMPOSED:
        return letter
    first, *marks = unicodedata.normalize("NFD", letter)
    if marks and (first.isascii() or "\u0400" <= first <= "\u04ff"):
        return first
    return letter


def _pieces(text: str) -> Iterator[str]:
    """Runs of letters, digits and what joins them within one word."""
    text = unicodedata.normalize("NFKC", text).replace("\0", " ")
    text = _APART.sub(r"\1\2", text.replace("\u00d7", "x"))
    return (match[0] for match in _PIECE.finditer(text))


def _tokens_of(piece: str) -> Iterator[str]:
    """A piece as it is, its parts, and sizes in their plainest form."""
    whole = fold(piece).replace("\u2019", "'").replace("'", "").replace(",", ".")
    yield whole
    for part in filter(None, _JOINT.split(piece)):
        words = _CAMEL.split(part)
        for word in [part, *words] if len(words) > 1 else [part]:
            folded = fold(word)
            yield folded
            yield from _plain_sizes(folded)


def _plain_sizes(token: str) -> Iterator[str]:
    """Other ways to write a size: "d5.0mm" as "d5mm" and "5mm", "1x02" as "1x2"."""
    if match := _SIZE.fullmatch(token):
        letters, whole, fraction, unit = match.groups()
        if unit or fraction:
            digits = (fraction or "").rstrip("0")
            number = f"{int(whole)}.{digits}" if digits else str(int(whole))
            yield f"{letters}{number}{unit or ''}"
            if letters and unit:
                yield f"{number}{unit}"
    elif _COUNTS.fullmatch(token):
        yield re.sub(r"(?<![\d.])0+(?=\d)", "", token)
    elif match := _LETTERS_AND_NUMBER.fullmatch(token):  # "pin1", "usb3"
        yield match[1]
        yield match[2]


def _prefixes(token: str) -> list[str]:
    """Beginnings of the longer words that a token of a query finds as well."""
    if len(token) < MIN_PREFIX or not any(letter.isalpha() for letter in token):
        return []
    is_plural = token.isalpha() and token.isascii() and token.endswith("s") and len(token) > 3
    return [token, token[:-1]] if is_plural else [token]

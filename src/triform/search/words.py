"""Splits names, captions and paths into the tokens that are searched, and writes FTS5 queries.

A part number or a size is a token as it is written ("D5.0mm", "SOT-23", "LM7805"), and its parts
are tokens too; names of files are split at underscores and where a capital begins a word
("PinHeader_1x02" is found by "pin header" and by "PinHeader"). Case, accents of Latin letters and
the dots of the Russian letter yo make no difference, in any alphabet.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

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
_SPACED_UNIT = re.compile(rf"(?<![\w.,])(\d+(?:[.,]\d+)?)[ \u00a0]+({_UNITS})(?!\w)", re.IGNORECASE)
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


@dataclass(frozen=True)
class QueryWord:
    """A word of a query: met by one of its forms as a whole, or by all of its parts.

    Attributes:
        forms: Ways to write it.
        parts: Ways to write each of its parts; empty where it has none.
    """

    forms: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...] = ()

    def expression(self) -> str:
        """What FTS5 looks for. Every token is quoted: nothing typed is read as an operator.

        A whole word stands in it twice, as itself and as a prefix, and so counts more than the
        beginning of a longer one.
        """
        whole = " OR ".join(_terms(self.forms))
        if not self.parts:
            return f"({whole})"
        parts = " AND ".join(f"({' OR '.join(_terms(forms))})" for forms in self.parts)
        return f"({whole} OR ({parts}))"

    def is_met(self, tokens: Collection[str]) -> bool:
        """Whether a text with these tokens has the word."""

        def has(forms: tuple[str, ...]) -> bool:
            beginnings = tuple(prefix for form in forms for prefix in _prefixes(form))
            return any(one in forms or one.startswith(beginnings) for one in tokens)

        return has(self.forms) or (bool(self.parts) and all(map(has, self.parts)))


def query_words(text: str) -> list[QueryWord]:
    """The words of what somebody typed; function words count only where there is nothing else."""
    pieces = list(_pieces(text))
    content_words = [piece for piece in pieces if fold(piece) not in _STOP_WORDS] or pieces
    words = []
    for number, piece in enumerate(content_words):
        parts = _parts_of(piece)
        forms = [_whole(piece), *_plain_sizes(_whole(piece))]
        for start in range(max(number - 1, 0), min(number + 1, len(content_words) - 1)):
            if all(one.isalpha() for one in content_words[start : start + 2]):
                forms.append(fold("".join(content_words[start : start + 2])))  # "pinheader"
        inner = tuple((part, *_plain_sizes(part)) for part in parts) if len(parts) > 1 else ()
        words.append(QueryWord(tuple(dict.fromkeys(forms)), inner))
    return words


def fold(text: str) -> str:
    """A text as it is compared: compatible forms, lower case, Latin letters without accents."""
    return "".join(map(_fold_letter, unicodedata.normalize("NFKC", text).casefold()))


def _fold_letter(letter: str) -> str:
    if letter.isascii() or letter in _UNDECOMPOSED:
        return letter
    decomposed = unicodedata.normalize("NFD", letter)
    first = decomposed[0]
    if len(decomposed) > 1 and (first.isascii() or "\u0400" <= first <= "\u04ff"):
        return first
    return letter


def _pieces(text: str) -> Iterator[str]:
    """Runs of letters, digits and what joins them within one word."""
    text = unicodedata.normalize("NFKC", text).replace("\0", " ")
    text = _SPACED_UNIT.sub(r"\1\2", text.replace("\u00d7", "x"))
    return (match[0] for match in _PIECE.finditer(text))


def _whole(piece: str) -> str:
    """A piece as one token."""
    return fold(piece).replace("\u2019", "'").replace("'", "").replace(",", ".")


def _parts_of(piece: str) -> list[str]:
    """The smallest words of a piece."""
    parts = filter(None, _JOINT.split(piece))
    return [fold(word) for part in parts for word in _CAMEL.split(part)]


def _tokens_of(piece: str) -> Iterator[str]:
    """A piece as it is, its parts, and sizes in their plainest form."""
    yield _whole(piece)
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


def _terms(forms: Sequence[str]) -> list[str]:
    """Forms of a word, and beginnings of longer words, as FTS5's terms."""
    prefixes = dict.fromkeys(prefix for form in forms for prefix in _prefixes(form))
    return [*(f'"{form}"' for form in forms), *(f'"{prefix}" *' for prefix in prefixes)]


def _prefixes(token: str) -> list[str]:
    """Beginnings of the longer words that a token of a query finds as well."""
    if len(token) < MIN_PREFIX or not any(letter.isalpha() for letter in token):
        return []
    is_plural = token.isalpha() and token.isascii() and token.endswith("s") and len(token) > 3
    return [token, token[:-1]] if is_plural else [token]

"""Lexicon of attribute words of one language, read from `lexicon/LANGUAGE.csv`.

A row is `slot,value,words` with words separated by `|`. A word may be a phrase; `стол*` is a stem
that takes one of the language's endings, which the row `ending` lists. Every kind and part also
matches with the plural endings of the row `plural`.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import re
from pathlib import Path

FOLDER = Path(__file__).with_name("lexicon")
_TOKEN = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+(?:['\u2019][^\W\d_]+)?|[,;:()]")
_SEPARATORS = frozenset(",;:()")


@dataclasses.dataclass(frozen=True)
class Phrase:
    """A phrase of a text with its meanings: slot -> value; none for an unknown word."""

    words: tuple[str, ...]
    slots: dict[str, str]

    @property
    def is_separator(self) -> bool:
        """Whether it ends a phrase: punctuation, or a word such as "with"."""
        return self.words[0] in _SEPARATORS or "tail" in self.slots


@dataclasses.dataclass(frozen=True)
class _Pattern:
    words: tuple[str, ...]
    slot: str
    value: str


def tokenize(text: str) -> list[str]:
    """Lower-case words, numbers and punctuation; hyphens separate words."""
    return _TOKEN.findall(text.casefold().replace("ё", "е"))


class Lexicon:
    """Attribute words of a language.

    Attributes:
        language: code of the language.
        head_is_last: whether the noun comes last in its phrase ("a wooden chair").
    """

    def __init__(self, language: str) -> None:
        with (FOLDER / f"{language}.csv").open(encoding="utf-8", newline="") as file:
            rows = [
                (row["slot"], row["value"], row["words"].split("|")) for row in csv.DictReader(file)
            ]
        self.language = language
        self.head_is_last = ("setting", "head", ["last"]) in rows
        settings = {slot: words for slot, _, words in rows if slot in ("ending", "plural")}
        # Longest first, so that a stem takes as much of a word as it can.
        self._endings = frozenset(
            ["", *(word.replace("ё", "е") for word in settings.get("ending", []))]
        )
        self._plurals = settings.get("plural", [])
        self._prefixes = [
            (word.replace("ё", "е"), value)
            for slot, value, words in rows
            if slot == "prefix"
            for word in words
        ]
        self._exact: dict[str, list[_Pattern]] = {}
        self._stems: dict[str, list[_Pattern]] = {}
        for slot, value, words in rows:
            if slot not in ("setting", "ending", "plural", "prefix"):
                for phrase in words:
                    self._add(phrase, slot, value)

    def _add(self, phrase: str, slot: str, value: str) -> None:
        words = tuple(
            token + "*" if is_stem else token
            for part in phrase.split()
            for is_stem in [part.endswith("*")]
            for token in tokenize(part.rstrip("*"))
        )
        variants = {words}
        if slot in ("kind", "part", "other part", "multiple", "unit"):
            variants |= {(*words[:-1], plural) for plural in self._plural_forms(words[-1])}
        if not self.head_is_last and slot == "kind" and len(words) == 2:
            variants.add(words[::-1])  # the adjective may follow
        for variant in variants:
            pattern = _Pattern(variant, slot, value)
            # Stems are found by their first two letters.
            first = variant[0]
            table, key = (self._stems, first[:2]) if first.endswith("*") else (self._exact, first)
            table.setdefault(key, []).append(pattern)

    def _plural_forms(self, word: str) -> list[str]:
        if not self._plurals or word.endswith("*"):
            return []
        if word.endswith(("s", "x", "ch", "sh")):
            return [word + "es"]
        if word.endswith("y") and word[-2:-1] not in tuple("aeiou"):
            return [word[:-1] + "ies"]
        return [word + ending for ending in self._plurals]

    def phrases(self, text: str) -> list[Phrase]:
        """The phrases of a text, each as long as possible."""
        tokens = tokenize(text)
        phrases: list[Phrase] = []
        index = 0
        while index < len(tokens):
            length, slots = self._longest(tokens, index)
            if slots:
                phrases.append(Phrase(tuple(tokens[index : index + length]), slots))
                index += length
                continue
            phrases += self._compound(tokens[index])
            index += 1
        return phrases

    def _longest(self, tokens: list[str], index: int) -> tuple[int, dict[str, str]]:
        """Length in tokens of the longest phrase at an index, and its meanings."""
        first = tokens[index]
        if first[0].isdigit() and first not in self._exact:
            return 1, {"number": first.replace(",", ".")}
        found: dict[tuple[int, int], dict[str, str]] = {}
        for pattern in (*self._exact.get(first, ()), *self._stems.get(first[:2], ())):
            length = len(pattern.words)
            words = tokens[index : index + length]
            if len(words) == length and all(map(self._matches, pattern.words, words)):
                # Of equally many words the most letters decide: "настольн" before "стол".
                key = (length, sum(len(word.rstrip("*")) for word in pattern.words))
                found.setdefault(key, {}).setdefault(pattern.slot, pattern.value)
        if not found:
            return 1, {}
        best = max(found)
        return best[0], found[best]

    def _matches(self, pattern: str, word: str) -> bool:
        if not pattern.endswith("*"):
            return pattern == word
        stem = pattern[:-1]
        return word.startswith(stem) and word[len(stem) :] in self._endings

    def _compound(self, token: str) -> list[Phrase]:
        """A word with a number in front of a part, "трехдверный", as two phrases."""
        for prefix, value in self._prefixes:
            rest = token.removeprefix(prefix)
            if rest and rest != token:
                slots = self._longest([rest], 0)[1]
                if "part" in slots:
                    return [Phrase((prefix,), {"number": value}), Phrase((rest,), slots)]
        return [Phrase((token,), {})]


@functools.cache
def load_lexicon(language: str) -> Lexicon:
    """The lexicon of a language, read once."""
    return Lexicon(language)


@functools.cache
def languages() -> tuple[str, ...]:
    """Codes of the languages that have a lexicon, English first."""
    names = sorted(path.stem for path in FOLDER.glob("*.csv"))
    return tuple(sorted(names, key=lambda code: code != "en"))

"""Attributes from any prompt or caption, by rules: "a round table with four legs".

The rules know nouns, numbers and what belongs to which noun; the words are those of
`lexicon/LANGUAGE.csv`. What they do not understand stays unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from triform.tasks.shape_generation.attribute_words import Phrase, languages, load_lexicon
from triform.tasks.shape_generation.attributes import COUNTS, MAX_COUNT, SEVERAL, Attributes

MAX_ADJECTIVES = 3
"""Words between a number and its noun, at most: "four short wooden legs"."""
_SEATS = ("chairs", "sofas", "")
_UNCOUNTED = {("seats", "chairs"), ("shelves", "beds")}
"""A chair has one seat, and the levels of a bunk bed are no shelves."""
_NOUNS = ("kind", "part", "other part")


def parse_attributes(text: str, language: str = "") -> Attributes:
    """Attributes that a text names.

    Args:
        text: a prompt or caption in any language; of a language without a lexicon, nothing is
            understood.
        language: code of a language with a lexicon; "" chooses the one that knows most words.
    """
    names = (language,) if language in languages() else languages()
    candidates = [_Sentence(code, text) for code in names]
    return max(candidates, key=lambda sentence: sentence.num_known).attributes()


@functools.lru_cache(maxsize=4096)
def cached_attributes(text: str) -> Attributes:
    """`parse_attributes`, computed once for texts that come again."""
    return parse_attributes(text)


class _Sentence:
    """The phrases of a text, its head noun and what belongs to it."""

    def __init__(self, language: str, text: str) -> None:
        lexicon = load_lexicon(language)
        self.head_is_last = lexicon.head_is_last
        phrases = lexicon.phrases(text)
        while phrases and ("template" in phrases[0].slots or "article" in phrases[0].slots):
            if "article" in phrases[0].slots and not any(
                "template" in phrase.slots for phrase in phrases[1:2]
            ):
                break
            phrases = phrases[1:]
        if phrases and phrases[0].slots.keys() == {"tail"} and phrases[0].words[0] == "of":
            phrases = phrases[1:]
        end = Phrase(("",), {})
        # "light" of "light blue" is no lamp.
        self.phrases = [
            Phrase(phrase.words, {})
            if "modifier" in phrase.slots and "color" in following.slots
            else phrase
            for phrase, following in zip(phrases, [*phrases[1:], end][: len(phrases)], strict=True)
        ]
        self.num_known = sum(len(phrase.words) for phrase in self.phrases if phrase.slots)
        self.head_end = next(
            (i for i, phrase in enumerate(self.phrases) if phrase.is_separator), len(self.phrases)
        )
        self.head = self._find_head()

    def _find_head(self) -> int | None:
        """Index of the noun that the text is about."""
        kinds = [i for i in range(self.head_end) if "kind" in self.phrases[i].slots]
        if len(kinds) > 1:
            # "wardrobe 3 doors": what is counted is a part.
            is_counted = [
                "part" in self.phrases[i].slots and i > 0 and "number" in self.phrases[i - 1].slots
                for i in kinds
            ]
            kinds = [i for i, counted in zip(kinds, is_counted, strict=True) if not counted] or [
                kinds[-1]
            ]
        if kinds:
            head = kinds[-1] if self.head_is_last else kinds[0]
            following = self.phrases[head + 1 : min(head + 2, self.head_end)]
            # "dog house": the noun is a word that is unknown here.
            is_name = self.head_is_last and any(not phrase.slots for phrase in following)
            return None if is_name else head
        rest = range(self.head_end, len(self.phrases))
        nouns = [i for i in rest if "kind" in self.phrases[i].slots]
        alone = [i for i in nouns if "part" not in self.phrases[i].slots]
        return next(iter(alone or nouns), None) if self.head_end == 0 or alone else None

    def attributes(self) -> Attributes:
        kind = "" if self.head is None else self.phrases[self.head].slots["kind"]
        values: dict[str, Any] = {"kind": kind}
        group = Attributes(kind=kind).group
        counts: dict[str, list[int]] = {name: [] for name in COUNTS}
        for index, phrase in enumerate(self.phrases):
            if "implied legs" in phrase.slots:
                counts["legs"].append(int(phrase.slots["implied legs"]))
            for slot in ("form", "material", "color", "height", "width"):
                if (
                    slot in phrase.slots
                    and not values.get(slot)
                    and not self._is_unit(index - 1)  # "80 cm high" is a size
                    and self._describes_head(index)
                ):
                    values[slot] = phrase.slots[slot]
            part = phrase.slots.get("part")
            if part is None or index == self.head:
                continue
            count = self._count(index)
            if part in ("armrests", "back"):
                if count is not None and group in _SEATS:
                    values.setdefault(part, count != 0)
            elif count is not None and (part, group) not in _UNCOUNTED:
                self._add_count(counts, part, count, index)
        for name, numbers in counts.items():
            known = [number for number in numbers if number != SEVERAL]
            if numbers:
                values[name] = min(sum(known), MAX_COUNT) if known else SEVERAL
        self._add_beds_and_leaves(values, group)
        for word in ("armless", "backless"):
            if any(word in phrase.slots for phrase in self.phrases):
                values["armrests" if word == "armless" else "back"] = False
        return Attributes(**values, **self._ratios())

    def _add_count(self, counts: dict[str, list[int]], part: str, count: int, index: int) -> None:
        """Add the count of a part to the counts of its slot."""
        before = self.phrases[max(0, index - 4) : index]
        if part in ("compartments", "rows"):
            # Three compartments, one above the other, have two boards between them.
            if count > 1 and not any(phrase.words[0] == "open" for phrase in before):
                counts["shelves"].append(count - 1)
        elif part == "feet":
            if not any(phrase.words[-1] in ("column", "columns") for phrase in before):
                counts["legs"].append(count)
        else:
            counts[part].append(count)

    def _count(self, index: int) -> int | None:
        """Number of the part at an index: 0 after "without", `SEVERAL` without a number."""
        position = index - 1
        has_article = False
        for _ in range(MAX_ADJECTIVES + 1):
            if position < 0:
                break
            phrase = self.phrases[position]
            if "number" in phrase.slots:
                number = float(phrase.slots["number"])
                if not number.is_integer() or number > MAX_COUNT:
                    return None
                return int(number) * self._multiple(position)
            if "article" in phrase.slots:
                has_article = True
                break
            if phrase.is_separator or "negation" in phrase.slots:
                break
            position -= 1
        if self._is_negated(index):
            return 0
        if has_article:
            return 1 if index > self.head_end else None
        return SEVERAL if index > self.head_end else None

    def _multiple(self, position: int) -> int:
        """2 for the number of "two columns of three drawers", else 1."""
        if position < 3 or self.phrases[position - 1].words[0] not in ("of", "по"):
            return 1
        multiple, number = self.phrases[position - 2], self.phrases[position - 3]
        if "multiple" in multiple.slots and "number" in number.slots:
            return int(float(number.slots["number"]))
        return 1

    def _is_negated(self, index: int) -> bool:
        """Whether the list that a part stands in begins with "without" or "no"."""
        for position in range(index - 1, -1, -1):
            phrase = self.phrases[position]
            if "negation" in phrase.slots:
                return True
            if phrase.is_separator and phrase.words[0] not in (",", "and", "or", "и", "или"):
                return False
            if "kind" in phrase.slots and position == self.head:
                return False
        return False

    def _describes_head(self, index: int) -> bool:
        """Whether the adjective at an index belongs to the head noun and to no part."""
        if self.head is None or index == self.head:
            return index == self.head
        previous = self.phrases[max(0, index - 2) : index]
        if (
            len(previous) == 2
            and previous[1].words[0] in ("of", "из")
            and index - 2 != self.head
            and not previous[0].slots.keys().isdisjoint(_NOUNS)
        ):
            return False  # "with legs of steel"
        num_unknown = 0
        for position in range(index + 1, len(self.phrases)):
            phrase = self.phrases[position]
            if position == self.head:
                return True
            if phrase.is_separator:
                break
            if any(slot in phrase.slots for slot in _NOUNS):
                # A noun before the head is part of its name: "a square bathroom sink".
                return position < self.head and "part" not in phrase.slots
            num_unknown += not phrase.slots
        # "with red flowers": of something that has no word here.
        is_color_of_all = any(
            word.startswith(("colo", "finish", "paint", "цвет"))
            for phrase in self.phrases[index + 1 : index + 2]
            for word in phrase.words
        )
        return index < self.head_end or not num_unknown or is_color_of_all

    def _is_unit(self, index: int) -> bool:
        return index > 0 and "unit" in self.phrases[index].slots

    def _add_beds_and_leaves(self, values: dict[str, Any], group: str) -> None:
        """Places of "a double bed", leaves of "a double door"."""
        if self.head is None or self.head == 0:
            return
        for phrase in self.phrases[: self.head]:
            if (
                phrase.words[0] in ("single", "double", "triple", "twin")
                and "number" in phrase.slots
            ):
                number = int(phrase.slots["number"])
                if group in ("beds", "sofas"):
                    values.setdefault("seats", number)
                elif values["kind"] in ("door", "wardrobe", "french window"):
                    values.setdefault("doors", number)

    def _ratios(self) -> dict[str, Any]:
        """Ratios of sizes that are given with their units: "2 m wide and 80 cm high"."""
        sizes: dict[str, float] = {}
        for index, phrase in enumerate(self.phrases[:-1]):
            unit = self.phrases[index + 1].slots.get("unit")
            if "number" not in phrase.slots or unit is None:
                continue
            neighbors = [
                *self.phrases[index + 2 : index + 3],
                *self.phrases[max(0, index - 1) : index],
            ]
            for neighbor in neighbors:
                name = next((s for s in neighbor.slots if s.startswith("size ")), None)
                if name is not None and name not in sizes:
                    sizes[name] = float(phrase.slots["number"]) * float(unit)
                    break
        height = sizes.get("size height", 0.0)
        if height <= 0:
            return {}
        return {
            f"{side}_to_height": sizes[f"size {side}"] / height
            for side in ("width", "depth")
            if sizes.get(f"size {side}", 0.0) > 0
        }


def merge_attributes(texts: Sequence[str]) -> Attributes:
    """Attributes of several captions of one shape; the first that names one counts."""
    merged = Attributes()
    for text in texts:
        merged = merged.merged(cached_attributes(text))
    return merged

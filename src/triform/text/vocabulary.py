"""Words and their numbers, in a JSON file.

The file holds `word_to_idx` and `freq_threshold`. Its usual name ends in `.pkl`; it is JSON all the
same, and a pickle is never opened.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from triform.base.errors import UserError
from triform.base.files import atomic_write, read_regular

MAX_BYTES = 64_000_000
PAD, START, END, UNKNOWN = "<PAD>", "<SOS>", "<EOS>", "<UNK>"
SPECIAL = (PAD, START, END, UNKNOWN)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_PICKLE = b"\x80"


def words_of(sentence: str) -> list[str]:
    """Words of a sentence, lowered; punctuation is left out, "t-shirt" and "don't" are one word."""
    return _WORD.findall(sentence.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of words; the four special words come first.

    Attributes:
        word_to_idx: every word with its number, from 0 without a gap.
        freq_threshold: how often a word had to occur to be taken in.
    """

    word_to_idx: dict[str, int]
    freq_threshold: int

    @classmethod
    def build(cls, sentences: Iterable[str], freq_threshold: int) -> Vocabulary:
        """Takes in what occurs `freq_threshold` times or more, the most frequent first."""
        counts = Counter(word for sentence in sentences for word in words_of(sentence))
        kept = sorted((-count, word) for word, count in counts.items() if count >= freq_threshold)
        words = [*SPECIAL, *(word for _, word in kept)]
        return cls({word: number for number, word in enumerate(words)}, freq_threshold)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words by number."""
        return tuple(sorted(self.word_to_idx, key=self.word_to_idx.__getitem__))

    def __len__(self) -> int:
        return len(self.word_to_idx)

    def __hash__(self) -> int:
        return hash((self.words, self.freq_threshold))

    def encode(self, sentence: str) -> list[int]:
        """Numbers of a sentence between start and end; words not known are `<UNK>`."""
        unknown = self.word_to_idx[UNKNOWN]
        inner = [self.word_to_idx.get(word, unknown) for word in words_of(sentence)]
        return [self.word_to_idx[START], *inner, self.word_to_idx[END]]

    def decode(self, numbers: Sequence[int]) -> str:
        """The sentence up to the first end; start and padding are left out."""
        words = []
        for number in numbers:
            word = self.words[number]
            if word == END:
                break
            if word not in (PAD, START):
                words.append(word)
        return " ".join(words)

    def save(self, path: str | Path) -> None:
        """Writes the JSON file, whole or not at all."""
        content = {"word_to_idx": self.word_to_idx, "freq_threshold": self.freq_threshold}
        with atomic_write(path, "w") as stream:
            stream.write(json.dumps(content, ensure_ascii=False, indent=1))

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Reads the JSON file.

        Raises:
            UserError: not such a file; a pickle is named as one and is not opened.
        """
        path = Path(path)
        data = read_regular(path, MAX_BYTES)
        if data.startswith(_PICKLE):
            raise UserError(
                f"{path}: is a pickle, and opening one may run anything; delete it or name another "
                "vocab_path, the vocabulary is then made anew as JSON"
            )
        try:
            content = json.loads(data)
            words, threshold = content["word_to_idx"], content["freq_threshold"]
            numbers = sorted(words.values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}: no vocabulary ({error}); it must be JSON with word_to_idx "
                "and freq_threshold, or name another vocab_path"
            ) from None
        if numbers != list(range(len(numbers))) or not isinstance(threshold, int):
            raise UserError(
                f"{path}: word_to_idx must number its {len(numbers)} words from 0 without a gap, "
                "and freq_threshold must be a whole number"
            )
        if missing := [word for word in SPECIAL if word not in words]:
            raise UserError(f"{path}: lacks the word {missing[0]}; name another vocab_path")
        return cls(words, threshold)

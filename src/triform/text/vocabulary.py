"""A vocabulary of words, with the special tokens of a captioner.

Its JSON file holds `word_to_idx` and `freq_threshold`. The usual name of the file ends in `.pkl`,
but it is JSON; a pickle is never opened.
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
SPECIAL_TOKENS = (PAD, START, END, UNKNOWN)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_PICKLE_MAGIC = b"\x80"


def tokenize(sentence: str) -> list[str]:
    """Lower-case words of a sentence without punctuation; "t-shirt" and "don't" are one word."""
    return _WORD.findall(sentence.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Maps words to token ids and back; the four special tokens come first.

    Attributes:
        word_to_idx: Token id of every word, from 0 without a gap.
        freq_threshold: Number of occurrences from which a word was included.
    """

    word_to_idx: dict[str, int]
    freq_threshold: int

    @classmethod
    def build(cls, sentences: Iterable[str], freq_threshold: int) -> Vocabulary:
        """Include words that occur `freq_threshold` times or more, the most frequent first."""
        counts = Counter(word for sentence in sentences for word in tokenize(sentence))
        frequent = sorted(
            (-count, word) for word, count in counts.items() if count >= freq_threshold
        )
        return cls.from_words([*SPECIAL_TOKENS, *(word for _, word in frequent)], freq_threshold)

    @classmethod
    def from_words(cls, words: Sequence[str], freq_threshold: int) -> Vocabulary:
        """A vocabulary of words in the order of their token ids.

        Raises:
            ValueError: A word occurs twice, or a special token is missing.
        """
        word_to_idx = {word: index for index, word in enumerate(words)}
        if len(word_to_idx) != len(words):
            raise ValueError("a word occurs twice in the vocabulary")
        if missing := [word for word in SPECIAL_TOKENS if word not in word_to_idx]:
            raise ValueError(f"the vocabulary lacks {missing[0]}")
        return cls(word_to_idx, freq_threshold)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words by token id."""
        return tuple(sorted(self.word_to_idx, key=self.word_to_idx.__getitem__))

    def __len__(self) -> int:
        return len(self.word_to_idx)

    def __hash__(self) -> int:
        return hash((self.words, self.freq_threshold))

    def encode(self, sentence: str) -> list[int]:
        """Token ids of a sentence between start and end; other words are `<UNK>`."""
        unknown = self.word_to_idx[UNKNOWN]
        token_ids = [self.word_to_idx.get(word, unknown) for word in tokenize(sentence)]
        return [self.word_to_idx[START], *token_ids, self.word_to_idx[END]]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The sentence up to the first end, without start and padding."""
        words = []
        for token_id in token_ids:
            word = self.words[token_id]
            if word == END:
                break
            if word not in (PAD, START):
                words.append(word)
        return " ".join(words)

    def save(self, path: str | Path) -> None:
        """Write the JSON file, whole or not at all."""
        content = {"word_to_idx": self.word_to_idx, "freq_threshold": self.freq_threshold}
        with atomic_write(path, "w") as stream:
            stream.write(json.dumps(content, ensure_ascii=False, indent=1))

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read the JSON file.

        Raises:
            UserError: Not such a file; a pickle is never opened.
        """
        path = Path(path)
        data = read_regular(path, MAX_BYTES)
        if data.startswith(_PICKLE_MAGIC):
            raise UserError(
                f"{path}: is a pickle, and opening one may run anything; delete it or name another "
                "vocab_path, the vocabulary is then built again as JSON"
            )
        try:
            content = json.loads(data)
            words, threshold = content["word_to_idx"], content["freq_threshold"]
            indices = sorted(words.values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}: no vocabulary ({error}); it must be JSON with word_to_idx "
                "and freq_threshold, or name another vocab_path"
            ) from None
        if indices != list(range(len(indices))) or not isinstance(threshold, int):
            raise UserError(
                f"{path}: word_to_idx must number its {len(indices)} words from 0 without a gap, "
                "and freq_threshold must be a whole number"
            )
        if missing := [word for word in SPECIAL_TOKENS if word not in words]:
            raise UserError(f"{path}: lacks the word {missing[0]}; name another vocab_path")
        return cls(words, threshold)

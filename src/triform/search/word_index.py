"""The words of a gallery's groups in SQLite's full-text index (FTS5), ranked by BM25.

The index is computed from the table `groups` when words are searched for the first time, and
brought up to date when they are searched again: a gallery that is searched by vectors alone, and
its file, have none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.search.fusion import WordMatch
from triform.search.words import TOKENIZER, index_tokens, query_words

_CREATE = f'CREATE VIRTUAL TABLE temp.words USING fts5(tokens, tokenize = "{TOKENIZER}")'
_FIND = (
    "SELECT rowid, tokens, bm25(words) AS score FROM temp.words WHERE words MATCH ? "
    "ORDER BY score, rowid"
)
MAX_EQUALS = 1000


class WordIndex:
    """Full-text index of the column `words` of a table `groups`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """An index over the table of this connection; nothing is read yet."""
        self._connection = connection
        self._is_there = False
        self._outdated: set[int] = set()

    def add(self, numbers: Sequence[int], words: Sequence[str]) -> list[int]:
        """Add texts to those of their groups; returns the groups whose words have changed."""
        texts: dict[int, dict[str, None]] = {}
        for number, text in zip(numbers, words, strict=True):
            if text:
                texts.setdefault(number, {})[text.replace("\0", " ")] = None
        changed = []
        for number, more in texts.items():
            find = "SELECT words FROM groups WHERE number = ?"
            old = self._connection.execute(find, (number,)).fetchone()[0]
            lines = dict.fromkeys(old.splitlines())
            for text in more:
                lines |= dict.fromkeys(text.splitlines())
            new = "\n".join(filter(None, lines))
            if new != old:
                update = "UPDATE groups SET words = ? WHERE number = ?"
                self._connection.execute(update, (new, number))
                changed.append(number)
        return changed

    def outdated(self, groups: Iterable[int]) -> None:
        """Note groups whose words have changed, or that are gone."""
        if self._is_there:
            self._outdated.update(groups)

    def search(
        self, text: str, k: int, groups: NDArray[np.int32] | None, location: str
    ) -> dict[str, WordMatch]:
        """The k groups that match a text best, best first.

        Groups that have all of the words come first, by BM25, then others by BM25. More than k
        where the last of them are equals (the files of one folder), up to `MAX_EQUALS`: which of
        those comes first is for the similarities to say.

        Args:
            text: What somebody typed.
            k: How many.
            groups: Numbers of those that may be found, ascending; all where not given.
            location: The gallery, for messages.

        Raises:
            UserError: This SQLite has no FTS5.
        """
        words = query_words(text)
        if not words:
            return {}
        self._update(location)
        allowed = None if groups is None else set(groups.tolist())
        found: dict[str, WordMatch] = {}
        for joint in (" AND ", " OR ") if len(words) > 1 else (" OR ",):
            expression = joint.join(word.expression() for word in words)
            position, last = 0, np.nan
            for number, tokens, score in self._connection.execute(_FIND, (expression,)):
                if (len(found) >= k and score != last) or len(found) >= k + MAX_EQUALS:
                    break
                if allowed is not None and number not in allowed:
                    continue
                read = "SELECT name FROM groups WHERE number = ?"
                name = self._connection.execute(read, (number,)).fetchone()[0]
                if name not in found:
                    position = position if score == last else len(found) + 1
                    last = score
                    group_tokens = set(tokens.split(" "))
                    share = sum(word.is_met(group_tokens) for word in words) / len(words)
                    found[name] = WordMatch(position, share)
        return found

    def _update(self, location: str) -> None:
        """Create the index, or read again the groups that have changed."""
        if not self._is_there:
            try:
                self._connection.execute(_CREATE)
            except sqlite3.OperationalError as error:
                if "fts5" not in str(error):
                    raise
                raise UserError(
                    f"{location}: the SQLite of this Python has no FTS5, so words cannot be "
                    "searched; search without words or use a Python whose SQLite has it"
                ) from None
            rows = self._connection.execute("SELECT number, words FROM groups WHERE words != ''")
            self._insert(rows.fetchall())
            self._is_there = True
        elif self._outdated:
            numbers = [(number,) for number in sorted(self._outdated)]
            self._connection.executemany("DELETE FROM temp.words WHERE rowid = ?", numbers)
            find = "SELECT number, words FROM groups WHERE number = ? AND words != ''"
            found = (self._connection.execute(find, number).fetchone() for number in numbers)
            self._insert([row for row in found if row is not None])
        self._outdated.clear()

    def _insert(self, rows: Iterable[tuple[int, str]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO temp.words (rowid, tokens) VALUES (?, ?)",
            ((number, " ".join(index_tokens(words))) for number, words in rows),
        )
        self._connection.execute("COMMIT")

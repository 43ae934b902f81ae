"""Several sets of captioned pictures as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triform.datasets.captioned.table import CaptionTable, Pictures, make_table


@dataclass(frozen=True)
class JoinedPictures:
    """Pictures of several sets, one set after the other."""

    parts: Sequence[Pictures]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def picture(self, row: int) -> np.ndarray:
        """One picture, (H, W, 3) uint8 sRGB."""
        part, row = self._find(row)
        return part.picture(row)

    def name(self, row: int) -> str:
        """What it is called in its own set."""
        part, row = self._find(row)
        return part.name(row)

    def _find(self, row: int) -> tuple[Pictures, int]:
        for part in self.parts:
            if row < len(part):
                return part, row
            row -= len(part)
        raise IndexError(row)


def joined(name: str, tables: Sequence[CaptionTable]) -> CaptionTable:
    """One set of all rows, with the splits that any of the sets has.

    What a picture shows is left out: sets compare it in different ways. Ask each set by itself.
    """
    starts = np.cumsum([0, *map(len, tables)])
    splits = {
        split: np.concatenate(
            [
                table.splits[split] + start
                for table, start in zip(tables, starts, strict=False)
                if split in table.splits
            ]
        )
        for split in dict.fromkeys(split for table in tables for split in table.splits)
    }
    return make_table(
        name,
        JoinedPictures([table.pictures for table in tables]),
        [captions for table in tables for captions in table.captions],
        splits,
        licence="; ".join(f"{table.name}: {table.licence}" for table in tables if table.licence),
    )

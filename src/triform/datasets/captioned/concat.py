"""Several sets of captioned images as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triform.datasets.captioned.table import CaptionTable, Images, make_table


@dataclass(frozen=True)
class ConcatImages:
    """Images of several sets, one set after the other."""

    parts: Sequence[Images]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def image(self, row: int) -> np.ndarray:
        """One image, (H, W, 3) uint8 sRGB."""
        part, row = self._locate(row)
        return part.image(row)

    def name(self, row: int) -> str:
        """The name of the image in its own set."""
        part, row = self._locate(row)
        return part.name(row)

    def _locate(self, row: int) -> tuple[Images, int]:
        for part in self.parts:
            if row < len(part):
                return part, row
            row -= len(part)
        raise IndexError(row)


def concat_tables(name: str, tables: Sequence[CaptionTable]) -> CaptionTable:
    """Concatenate tables, with the splits that any of them has.

    `contents` are left out, because each set has its own kind: measure sets one by one.
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
        ConcatImages([table.images for table in tables]),
        [sentences for table in tables for sentences in table.captions],
        splits,
        licence="; ".join(f"{table.name}: {table.licence}" for table in tables if table.licence),
    )

"""Captions that are known, as a tree of words: a beam that stays in it says one of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NOWHERE = -1


class KnownCaptions:
    """A tree with a branch for every next word of a known caption.

    Args:
        captions: Numbers of their words, the end last; no start.
    """

    def __init__(self, captions: Sequence[Sequence[int]]):
        self._next: list[dict[int, int]] = [{}]
        for caption in captions:
            node = 0
            for word in caption:
                if word not in self._next[node]:
                    self._next[node][word] = len(self._next)
                    self._next.append({})
                node = self._next[node][word]

    def __bool__(self) -> bool:
        return bool(self._next[0])

    def allowed(self, nodes: Tensor, words: int) -> Tensor:
        """Which of all words may follow at nodes (N,), (N, words) bool."""
        following = [list(self._next[node]) if node >= 0 else [] for node in nodes.tolist()]
        rows = torch.arange(len(nodes)).repeat_interleave(torch.tensor([len(n) for n in following]))
        columns = torch.tensor([word for some in following for word in some], dtype=torch.long)
        mask = torch.zeros(len(nodes), words, dtype=torch.bool)
        mask[rows, columns] = True
        return mask.to(nodes.device)

    def follow(self, nodes: Tensor, words: Tensor) -> Tensor:
        """Where words (N,) lead from nodes (N,); `NOWHERE` where no caption goes on so."""
        led = [
            self._next[node].get(word, NOWHERE) if node >= 0 else NOWHERE
            for node, word in zip(nodes.tolist(), words.tolist(), strict=True)
        ]
        return torch.tensor(led, device=nodes.device)

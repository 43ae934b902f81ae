"""A prefix tree of captions, which restricts a beam search to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NO_NODE = -1


class PrefixTree:
    """A trie with a branch for every next token of a caption; its root is node 0.

    Args:
        captions: Token ids, the end last; no start.
    """

    def __init__(self, captions: Sequence[Sequence[int]]):
        self._children: list[dict[int, int]] = [{}]
        for caption in captions:
            node = 0
            for token_id in caption:
                if token_id not in self._children[node]:
                    self._children[node][token_id] = len(self._children)
                    self._children.append({})
                node = self._children[node][token_id]

    def __bool__(self) -> bool:
        return bool(self._children[0])

    def allowed_tokens(self, nodes: Tensor, vocab_size: int) -> Tensor:
        """Which tokens may follow nodes (N,), (N, vocab_size) bool."""
        token_ids = [list(self._children[node]) if node >= 0 else [] for node in nodes.tolist()]
        counts = torch.tensor([len(row) for row in token_ids])
        rows = torch.arange(len(nodes)).repeat_interleave(counts)
        columns = torch.tensor(
            [token_id for row in token_ids for token_id in row], dtype=torch.long
        )
        mask = torch.zeros(len(nodes), vocab_size, dtype=torch.bool)
        mask[rows, columns] = True
        return mask.to(nodes.device)

    def next_nodes(self, nodes: Tensor, token_ids: Tensor) -> Tensor:
        """Children of nodes (N,) along tokens (N,); `NO_NODE` where no caption continues so."""
        children = [
            self._children[node].get(token_id, NO_NODE) if node >= 0 else NO_NODE
            for node, token_id in zip(nodes.tolist(), token_ids.tolist(), strict=True)
        ]
        return torch.tensor(children, device=nodes.device)

"""Conditions: what is dropped, and that slots do not share embeddings."""

from __future__ import annotations

import torch

from triform.systems.shape_flow.condition import AttributeEmbedding, Condition, drop_conditions

COUNT, SLOTS = 4000, 3


def condition() -> Condition:
    return Condition(
        torch.ones(COUNT, SLOTS, dtype=torch.int64),
        torch.ones(COUNT, 2, 4),
        torch.ones(COUNT, 2, dtype=torch.bool),
        torch.ones(COUNT, 4),
    )


def test_nothing_is_dropped_without_shares() -> None:
    dropped = drop_conditions(condition(), whole=0, text=0, attribute=0)
    assert dropped.attributes.all() and dropped.word_mask.all() and dropped.sentence.all()


def test_a_whole_condition_is_dropped_together() -> None:
    torch.manual_seed(0)
    dropped = drop_conditions(condition(), whole=0.3, text=0, attribute=0)
    gone = ~dropped.attributes.bool()
    assert (gone == gone[:, :1]).all()
    assert (gone[:, 0] == ~dropped.word_mask[:, 0]).all()
    assert (gone[:, 0] == (dropped.sentence == 0).all(1)).all()
    assert abs(float(gone[:, 0].float().mean()) - 0.3) < 0.03


def test_text_and_attributes_are_dropped_each_for_itself() -> None:
    torch.manual_seed(0)
    dropped = drop_conditions(condition(), whole=0, text=0.5, attribute=0.25)
    assert (dropped.word_mask[:, 0] == dropped.sentence[:, 0].bool()).all()
    assert abs(float(dropped.word_mask[:, 0].float().mean()) - 0.5) < 0.03
    assert abs(float(dropped.attributes.float().mean()) - 0.75) < 0.02
    rows = torch.cat([dropped.attributes, dropped.word_mask[:, :1]], dim=1)
    assert len(rows.unique(dim=0)) == 2 ** (SLOTS + 1)


def test_every_id_of_every_slot_has_its_own_row() -> None:
    embedding = AttributeEmbedding((2, 3), 4)
    rows = [embedding(torch.tensor([[a, b]]))[0] for a in range(2) for b in range(3)]
    first = torch.stack([row[0] for row in rows])
    second = torch.stack([row[1] for row in rows])
    assert len(torch.cat([first, second]).unique(dim=0)) == 5

import torch
import torch.nn.functional as F

from triform.losses.contrastive import within_views
from triform.systems.retrieval.cross_batch_memory import CrossBatchMemory


def test_the_oldest_make_room_and_own_images_are_no_negatives():
    memory = CrossBatchMemory(5, 3)
    first, second = torch.randn(2, 2, 3), torch.randn(1, 2, 3)
    memory.add(first, torch.tensor([7, 8]))
    memory.add(second, torch.tensor([9]))
    stored, is_other = memory.negatives(torch.tensor([8, 1]))
    assert torch.equal(stored, torch.cat([first.flatten(0, 1)[1:], second.flatten(0, 1)]))
    assert is_other.tolist() == [[True, False, False, True, True], [True] * 5]
    repeated = CrossBatchMemory(5, 3)
    repeated.load_state_dict(memory.state_dict())
    assert torch.equal(repeated.embeddings, memory.embeddings)
    assert torch.equal(repeated.object_ids, memory.object_ids)


def test_negatives_count_as_other_objects_do():
    """Images out of the memory weigh as if their objects stood in the batch."""
    views = F.normalize(torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(0)), dim=-1)
    for positives in ("logsumexp", "mean", "each"):
        # loss of the first two objects' images, the others being in the memory or in the batch
        found = within_views(
            views[:2],
            5.0,
            positives=positives,
            negatives=views[2:].flatten(0, 1),
            is_other=torch.ones(2, 4, dtype=torch.bool),
        )
        own = within_views(views[:2], 5.0, positives=positives)
        hidden = within_views(
            views[:2],
            5.0,
            positives=positives,
            negatives=views[2:].flatten(0, 1),
            is_other=torch.zeros(2, 4, dtype=torch.bool),
        )
        torch.testing.assert_close(hidden, own)
        whole = within_views(views, 5.0, positives=positives)
        turned = within_views(
            views[2:],
            5.0,
            positives=positives,
            negatives=views[:2].flatten(0, 1),
            is_other=torch.ones(2, 4, dtype=torch.bool),
        )
        torch.testing.assert_close((found + turned) / 2, whole)

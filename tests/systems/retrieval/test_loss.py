"""The whole loss: which sides meet, what each meeting weighs, and what is left out."""

import math

import pytest
import torch
import torch.nn.functional as F

from triform.losses.contrastive import within_views
from triform.systems.retrieval.config import RetrievalTrainingConfig
from triform.systems.retrieval.loss import CrossBatchMemory, retrieval_loss

SCALE = torch.tensor(3.0)
NO_TEXT = -1


def unit(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


IMAGES, POINTS, TEXTS = unit(4, 3, 5, seed=0), unit(4, 5, seed=1), unit(4, 5, seed=2)


def against(one: torch.Tensor, many: torch.Tensor, hidden: set[tuple[int, int]] = frozenset()):
    """Both directions of log-sum-exp positives, by loops over the definition."""
    count, views = many.shape[:2]

    def logit(i: int, j: int, v: int) -> float:
        return 3 * float(one[i] @ many[j, v])

    forward, backward = [], []
    for i in range(count):
        actual = [
            (j, math.exp(logit(i, j, v)))
            for j in range(count)
            for v in range(views)
            if (i, j) not in hidden
        ]
        own = sum(value for j, value in actual if j == i)
        forward.append(-math.log(own / sum(value for _, value in actual)))
        for v in range(views):
            every = [math.exp(logit(j, i, v)) for j in range(count) if (j, i) not in hidden]
            backward.append(-math.log(math.exp(logit(i, i, v)) / sum(every)))
    return (sum(forward) / len(forward) + sum(backward) / len(backward)) / 2


def among_views(each: bool) -> float:
    """Every image finds the two others of its object among all other images."""
    flat, losses = IMAGES.flatten(0, 1), []
    for i in range(12):
        logits = {j: math.exp(3 * float(flat[i] @ flat[j])) for j in range(12) if j != i}
        own = [j for j in logits if j // 3 == i // 3]
        others = sum(value for j, value in logits.items() if j not in own)
        together = others + sum(logits[j] for j in own)
        for j in own:
            losses.append(-math.log(logits[j] / ((others + logits[j]) if each else together)))
    return sum(losses) / len(losses)


def loss_of(captions=(0, 1, 2, 3), memory=None, texts=TEXTS, **weights) -> dict[str, float]:
    training = RetrievalTrainingConfig(**weights)
    found = retrieval_loss(
        IMAGES, POINTS, texts, torch.tensor(captions), SCALE, torch.tensor(1.7), training, memory
    )
    return {name: float(value) for name, value in found.items()}


def test_every_part_and_its_weight():
    found = loss_of(
        image_shape_weight=0.5,
        text_shape_weight=2,
        text_image_weight=0.3,
        image_image_weight=0.7,
        balance_weight=0.01,
        image_positives="mean",
    )
    parts = {
        "image_shape": against(POINTS, IMAGES),
        "image_image": among_views(each=False),
        "text_shape": against(TEXTS, POINTS[:, None]),
        "text_image": against(TEXTS, IMAGES),
        "balance": 1.7,
    }
    weights = (0.5, 0.7, 2, 0.3, 0.01)
    total = sum(w * part for w, part in zip(weights, parts.values(), strict=True))
    assert found == pytest.approx({**parts, "loss": total}, rel=1e-5)


def test_only_what_weighs_is_computed():
    assert loss_of() == pytest.approx(
        dict.fromkeys(("loss", "image_shape"), against(POINTS, IMAGES))
    )
    only = loss_of(image_shape_weight=0, image_image_weight=2, texts=None)
    assert only == pytest.approx(
        {"image_image": among_views(each=True), "loss": 2 * among_views(each=True)}
    )


def test_equal_captions_are_not_told_apart_and_no_caption_is_no_text():
    found = loss_of((5, NO_TEXT, 5, 2), text_shape_weight=1, text_image_weight=1)
    rows = [0, 2, 3]
    hidden = {(0, 1), (1, 0)}  # places of the two equal ones
    assert found["text_shape"] == pytest.approx(
        against(TEXTS[rows], POINTS[rows][:, None], hidden), rel=1e-5
    )
    assert found["text_image"] == pytest.approx(
        against(TEXTS[rows], IMAGES[rows], hidden), rel=1e-5
    )
    alone = loss_of((NO_TEXT, NO_TEXT, NO_TEXT, 2), text_shape_weight=1)
    assert alone["text_shape"] == 0 and alone["loss"] == alone["image_shape"]
    two = loss_of((NO_TEXT, 0, NO_TEXT, 2), text_shape_weight=1)
    rows = [1, 3]
    assert two["text_shape"] == pytest.approx(against(TEXTS[rows], POINTS[rows][:, None]), rel=1e-5)


def test_variants_of_positives_reach_their_own_part():
    """Perfect objects: 0 by their sum, ln V by the mean, for shapes; their own for images."""
    eye = torch.eye(4, 5)
    views = eye[:, None].expand(-1, 3, -1)
    large = torch.tensor(60.0)

    def parts(**settings):
        training = RetrievalTrainingConfig(image_image_weight=1, **settings)
        found = retrieval_loss(views, eye, None, torch.zeros(4), large, torch.tensor(0.0), training)
        return [found[name].item() for name in ("image_shape", "image_image")]

    assert parts() == pytest.approx([0, 0], abs=1e-5)
    assert parts(positives="mean") == pytest.approx([math.log(3) / 2, 0], abs=1e-5)
    assert parts(image_positives="mean") == pytest.approx([0, math.log(2)], abs=1e-5)


def test_images_out_of_the_memory_are_told_from_as_well():
    memory = unit(2, 5, seed=4), torch.tensor([[True, False]] * 4)
    found = loss_of(image_image_weight=1, memory=memory)
    flat, losses = IMAGES.flatten(0, 1), []
    for i in range(12):
        own = [j for j in range(12) if j // 3 == i // 3 and j != i]
        rest = [j for j in range(12) if j // 3 != i // 3]
        others = sum(math.exp(3 * float(flat[i] @ flat[j])) for j in rest)
        others += math.exp(3 * float(flat[i] @ memory[0][0]))
        for j in own:
            mine = math.exp(3 * float(flat[i] @ flat[j]))
            losses.append(-math.log(mine / (mine + others)))
    assert found["image_image"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


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

import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from triform.losses.contrastive import (
    LogitScale,
    MultiPositiveContrastiveLoss,
    gather_with_gradient,
    info_nce,
    multi_positive_contrastive,
    within_views,
)

B, V, D = 5, 3, 8
VARIANTS = ("logsumexp", "mean", "each")


def unit(*shape, seed=0):
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=random, dtype=torch.float32), dim=-1)


def written_out(points, images, scale, positives):
    """The formulas, one logit at a time."""
    forward = backward = 0.0
    objects, views = images.shape[:2]
    logits = [
        [[float(scale * points[b] @ images[c, v]) for v in range(views)] for c in range(objects)]
        for b in range(objects)
    ]
    for b in range(objects):
        everything = sum(math.exp(x) for row in logits[b] for x in row)
        mine = [math.exp(x) for x in logits[b][b]]
        if positives == "logsumexp":
            forward -= math.log(sum(mine) / everything)
        elif positives == "mean":
            forward -= sum(math.log(x / everything) for x in mine) / views
        else:
            rest = everything - sum(mine)
            forward -= sum(math.log(x / (x + rest)) for x in mine) / views
        for v in range(views):
            column = sum(math.exp(logits[c][b][v]) for c in range(objects))
            backward -= math.log(mine[v] / column) / views
    return forward / objects, backward / objects


@pytest.mark.parametrize("positives", VARIANTS)
def test_equals_the_formula_written_out(positives):
    points, images = unit(B, D), unit(B, V, D, seed=1)
    found = multi_positive_contrastive(points, images, 7.0, positives=positives)
    forward, backward = written_out(points, images, 7.0, positives)
    assert float(found["forward"]) == pytest.approx(forward, rel=1e-5)
    assert float(found["backward"]) == pytest.approx(backward, rel=1e-5)
    assert float(found["loss"]) == pytest.approx((forward + backward) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("positives", "forward"),
    [("logsumexp", math.log(32)), ("mean", math.log(32 * 24)), ("each", math.log(31 * 24 + 1))],
)
def test_equal_logits_give_the_logarithm_of_the_batch(positives, forward):
    """Thirty-two objects with 24 views that all look alike: ln 32 = 3.4657."""
    same = F.normalize(torch.ones(1, D), dim=-1)
    found = multi_positive_contrastive(
        same.expand(32, -1), same.expand(32, 24, -1), 1 / 0.07, positives=positives
    )
    assert float(found["backward"]) == pytest.approx(3.4657, abs=1e-4)
    assert float(found["forward"]) == pytest.approx(forward, abs=1e-4)


@pytest.mark.parametrize(
    ("positives", "least"), [("logsumexp", 0.0), ("mean", math.log(V)), ("each", 0.0)]
)
def test_perfect_separation_costs_nothing(positives, least):
    points = torch.eye(B)
    images = points[:, None].expand(-1, V, -1)
    found = multi_positive_contrastive(points, images, 100.0, positives=positives)
    # float32 keeps logits near 100 to 8e-6
    assert float(found["backward"]) == pytest.approx(0, abs=2e-5)
    assert float(found["forward"]) == pytest.approx(least, abs=2e-5)


def test_one_view_is_the_loss_of_clip():
    first, second = unit(B, D), unit(B, D, seed=1)
    logits = 14.0 * first @ second.T
    truth = torch.arange(B)
    clip = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
    assert info_nce(first, second, 14.0) == pytest.approx(float(clip), rel=1e-5)
    for positives in VARIANTS:
        found = multi_positive_contrastive(first, second[:, None], 14.0, positives=positives)
        assert float(found["loss"]) == pytest.approx(float(clip), rel=1e-5)


def test_order_of_objects_and_views_does_not_matter():
    points, images = unit(B, D), unit(B, V, D, seed=1)
    loss = multi_positive_contrastive(points, images, 9.0)["loss"]
    order = torch.tensor([3, 0, 4, 1, 2])
    repeated = multi_positive_contrastive(points[order], images[order].flip(1), 9.0)["loss"]
    torch.testing.assert_close(loss, repeated)


def test_views_that_repeat_change_the_summed_loss_by_nothing():
    points, images = unit(B, D), unit(B, V, D, seed=1)
    loss = multi_positive_contrastive(points, images, 9.0)["loss"]
    twice = multi_positive_contrastive(points, torch.cat([images, images], 1), 9.0)["loss"]
    torch.testing.assert_close(loss, twice)


def test_ignored_pairs_are_no_negatives():
    """Two objects with the same caption: their texts are equal, and that costs nothing."""
    texts = torch.eye(4)[[0, 1, 1, 2]]
    same_text = (texts @ texts.T) > 0.5
    assert float(info_nce(texts, texts, 100.0)) == pytest.approx(math.log(2) / 2, rel=1e-4)
    assert float(info_nce(texts, texts, 100.0, ignore=same_text)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("positives", VARIANTS)
def test_within_views_equals_the_formula_written_out(positives):
    images, scale = unit(4, V, D), 6.0
    flat = images.flatten(0, 1)
    owner = torch.arange(4).repeat_interleave(V)
    total = 0.0
    for i, anchor in enumerate(flat):
        values = [math.exp(float(scale * anchor @ other)) for other in flat]
        mine = [v for j, v in enumerate(values) if owner[j] == owner[i] and j != i]
        rest = sum(v for j, v in enumerate(values) if owner[j] != owner[i])
        everything = rest + sum(mine)
        if positives == "logsumexp":
            total -= math.log(sum(mine) / everything)
        elif positives == "mean":
            total -= sum(math.log(v / everything) for v in mine) / len(mine)
        else:
            total -= sum(math.log(v / (v + rest)) for v in mine) / len(mine)
    found = within_views(images, scale, positives=positives)
    assert float(found) == pytest.approx(total / len(flat), rel=1e-5)


def test_gradients_are_right():
    points = unit(3, 4).double().requires_grad_()
    images = unit(3, 2, 4, seed=1).double().requires_grad_()
    for positives in VARIANTS:

        def loss(p, i, positives=positives):
            # float32 inside: compare with wide steps
            return multi_positive_contrastive(p, i, 3.0, positives=positives)["loss"].double()

        assert torch.autograd.gradcheck(loss, (points, images), eps=1e-2, atol=2e-2, rtol=2e-2)


def test_half_precision_around_it_changes_nothing():
    points, images = unit(B, D), unit(B, V, D, seed=1)
    loss = multi_positive_contrastive(points, images, 14.0)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(multi_positive_contrastive(points, images, 14.0)["loss"], loss)


def test_scale_is_fixed_or_learned_and_bounded():
    assert float(LogitScale(0.07)()) == pytest.approx(14.2857, rel=1e-4)
    assert not list(LogitScale(0.07).parameters())
    learned = LogitScale(0.07, learned=True)
    learned().backward()
    assert learned.log_scale.grad == pytest.approx(14.2857, rel=1e-4)
    assert float(LogitScale(1e-4)()) == pytest.approx(100)


def test_module_normalises_and_learns_its_temperature():
    module = MultiPositiveContrastiveLoss(learned=True)
    points, images = unit(B, D), unit(B, V, D, seed=1)
    found = module(3 * points, 0.2 * images)["loss"]
    expected = multi_positive_contrastive(points, images, 1 / 0.07)["loss"]
    torch.testing.assert_close(found, expected)
    found.backward()
    assert module.scale.log_scale.grad.abs() > 0


# Two processes: the gradient of the mean over processes is that of one process with all objects.


def inputs():
    """Two towers (one matrix each) and a batch of six objects with two views."""
    random = torch.Generator().manual_seed(3)
    weights = [torch.randn(4, 6, generator=random).requires_grad_() for _ in range(2)]
    return weights, torch.randn(6, 6, generator=random), torch.randn(6, 2, 6, generator=random)


def both_losses(weights, points, images):
    p = gather_with_gradient(F.normalize(points @ weights[0].T, dim=-1))
    i = gather_with_gradient(F.normalize(images @ weights[1].T, dim=-1))
    return multi_positive_contrastive(p, i, 5.0)["loss"] + within_views(i, 5.0)


def one_of_two(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    weights, points, images = inputs()
    share = slice(3 * rank, 3 * rank + 3)
    loss = both_losses(weights, points[share], images[share])
    loss.backward()
    for weight in weights:
        torch.distributed.all_reduce(weight.grad)
        weight.grad /= 2  # as data-parallel training does
    torch.save({"loss": loss.detach(), "grads": [w.grad for w in weights]}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Scripts, not spawned functions: packages that call themselves `tests` stand in their way.
    commands = [[sys.executable, __file__, str(rank), str(port), str(tmp_path)] for rank in (0, 1)]
    both = [subprocess.Popen(command) for command in commands]
    assert [process.wait(120) for process in both] == [0, 0]
    weights, points, images = inputs()
    loss = both_losses(weights, points, images)
    loss.backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found["loss"], loss.detach())
        for mine, weight in zip(found["grads"], weights, strict=True):
            torch.testing.assert_close(mine, weight.grad, rtol=1e-4, atol=1e-6)


if __name__ == "__main__":
    one_of_two(int(sys.argv[1]), sys.argv[2], sys.argv[3])


@pytest.mark.parametrize("positives", VARIANTS)
def test_names_of_variants_may_be_made_at_run_time(positives):
    """As those of a file of settings are: equal is enough."""
    points, images = unit(B, D), unit(B, V, D, seed=1)
    copied = "".join(list(positives))
    found = multi_positive_contrastive(points, images, 7.0, positives=copied)
    expected = multi_positive_contrastive(points, images, 7.0, positives=positives)
    assert found["loss"].equal(expected["loss"])
    within = [within_views(images, 7.0, positives=name) for name in (copied, positives)]
    assert within[0].equal(within[1])


def test_what_is_given_where_nothing_is_said():
    """Temperature 0.07, fixed; positives are summed; views repel no other view of theirs."""
    points, images = unit(B, D), unit(B, V, D, seed=1)
    loss = MultiPositiveContrastiveLoss()
    assert list(loss.parameters()) == [] and loss.positives == "logsumexp"
    assert float(loss.scale()) == pytest.approx(1 / 0.07)
    assert float(LogitScale()()) == pytest.approx(1 / 0.07)
    assert len(list(MultiPositiveContrastiveLoss(0.5, learned=True).parameters())) == 1
    summed = multi_positive_contrastive(points, images, 3.0, positives="logsumexp")["loss"]
    assert multi_positive_contrastive(points, images, 3.0)["loss"].equal(summed)
    each = within_views(images, 3.0, positives="each")
    assert within_views(images, 3.0).equal(each)
    assert not within_views(images, 3.0, positives="mean").equal(each)


def test_the_scale_is_at_most_a_hundred():
    assert float(LogitScale(0.001)()) == pytest.approx(100)
    assert float(LogitScale(0.01)()) == pytest.approx(100)
    assert float(LogitScale(0.0101)()) == pytest.approx(1 / 0.0101)

"""The one place that changes weights."""

import copy
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_systems import Supervised, ToyTraining, TwoPlayers, toy_config

from triform.base.errors import UserError
from triform.base.seeding import generator
from triform.engine.checkpoints import checkpoint
from triform.engine.config import SchedulerConfig
from triform.engine.device import autocast
from triform.engine.fit import fit
from triform.engine.processes import Processes
from triform.engine.schedule import Schedule
from triform.engine.update import NonFiniteError, Update

CPU = torch.device("cpu")


def make_update(
    networks: dict[str, nn.Module], precision: Any = "float32", rate: float = 0.1, **training: Any
) -> Update:
    """An update with plain gradient descent for each network."""
    optimizers = {
        name: torch.optim.SGD(network.parameters(), lr=rate) for name, network in networks.items()
    }
    schedule = Schedule(SchedulerConfig(type="none"))
    update = Update(
        networks, optimizers, schedule, ToyTraining(**training), precision, Processes(CPU)
    )
    update.begin(0, 0)
    return update


def random_layer(*shape: int) -> nn.Linear:
    """A layer that is the same in every test."""
    layer = nn.Linear(*shape)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator("layer", *shape))
    return layer


def test_a_step_is_what_the_optimizer_says() -> None:
    """Gradient descent by hand."""
    layer = random_layer(3, 1)
    before = layer.weight.detach().clone()
    inputs = torch.randn(5, 3, generator=generator("inputs"))
    update = make_update({"main": layer})
    norm = update(layer(inputs).mean())
    expected = inputs.mean(0)
    torch.testing.assert_close(layer.weight[0], before[0] - 0.1 * expected)
    assert norm == pytest.approx(math.sqrt(float(expected.square().sum()) + 1), rel=1e-6)
    assert update.norms == {"main": norm} and layer.weight.grad is None


def test_parts_of_a_batch_give_the_step_of_the_whole() -> None:
    """Gradients add up until the call that steps; what is not finite in one part skips it."""
    whole, parts = random_layer(3, 1), random_layer(3, 1)
    inputs = torch.randn(6, 3, generator=generator("inputs"))
    norm = make_update({"main": whole})(whole(inputs).square().mean())
    update = make_update({"main": parts})
    first, second, third = (parts(rows).square().mean() / 3 for rows in inputs.chunk(3))
    update.accumulate(first)
    update.accumulate(second)
    assert update.norms == {}
    assert update(third) == pytest.approx(norm, rel=1e-6)
    torch.testing.assert_close(parts.weight, whole.weight)
    assert parts.weight.grad is None

    before = parts.weight.detach().clone()
    update.accumulate(parts(inputs).mean() + torch.inf)
    update(parts(inputs).mean())
    assert update.num_skipped == 1 and torch.equal(parts.weight, before)
    update(parts(inputs).mean())
    assert update.num_skipped == 1 and not torch.equal(parts.weight, before)


def test_one_network_s_loss_leaves_nothing_in_the_other() -> None:
    """The trap of two optimizers: a loss that went through both networks."""
    maker, classifier = random_layer(2, 3), random_layer(3, 1)
    update = make_update({"maker": maker, "judge": classifier})
    before = copy.deepcopy(classifier.state_dict())
    update(classifier(maker(torch.ones(4, 2))).mean(), "maker")
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert all(
        torch.equal(before[name], tensor) for name, tensor in classifier.state_dict().items()
    )


def test_two_optimizers_train_as_if_the_other_was_frozen_by_hand(tmp_path: Path) -> None:
    """A dozen steps of the toy against a loop that switches gradients off by hand."""
    config = toy_config(tmp_path, {"training.epochs": 1, "scheduler.type": "none"})
    toy = TwoPlayers(config, plain=True)
    other = TwoPlayers(config, plain=True)
    fit(toy)
    maker, classifier = other.networks["maker"], other.networks["judge"]
    for batch in other.batches():
        generated = maker(batch["codes"])
        other.optimizers["judge"].zero_grad()
        other.losses(batch["inputs"], generated).backward()
        other.optimizers["judge"].step()
        classifier.requires_grad_(False)
        other.optimizers["maker"].zero_grad()
        F.softplus(-classifier(generated)).mean().backward()
        other.optimizers["maker"].step()
        classifier.requires_grad_(True)
    for name in ("maker", "judge"):
        ours, theirs = toy.networks[name].state_dict(), other.networks[name].state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_clipping() -> None:
    """A long gradient is shortened to the limit, a short one is left alone; the norm is the
    true one."""
    for scale, factor in ((100.0, 0.01), (0.01, 1.0)):
        layer = nn.Linear(1, 1, bias=False)
        before = layer.weight.item()
        update = make_update({"main": layer}, grad_clip=1.0)
        assert update(scale * layer.weight.sum()) == pytest.approx(scale)
        assert layer.weight.item() == pytest.approx(before - 0.1 * scale * factor, abs=1e-5)


def test_handed_over_gradients() -> None:
    """The same step as from a loss; None leaves a parameter alone; the graph is let go."""
    one, other = random_layer(3, 2), random_layer(3, 2)
    inputs = torch.randn(5, 3, generator=generator("inputs"))
    make_update({"main": one})(one(inputs).square().mean())
    update = make_update({"main": other})
    loss = other(inputs).square().mean()
    gradients = torch.autograd.grad(loss, list(other.parameters()), create_graph=True)
    update.apply_gradients(gradients)
    assert torch.equal(one.weight, other.weight) and torch.equal(one.bias, other.bias)
    before = other.weight.detach().clone()
    update.apply_gradients([None, torch.ones(2)])
    assert torch.equal(before, other.weight)
    with pytest.raises(ValueError, match="1 gradients for 2 parameters"):
        update.apply_gradients([None])


def test_gradients_in_another_order_of_memory_move_the_right_elements() -> None:
    """A fused optimizer reads gradients as they lie, whatever their strides say."""
    layers = [nn.Conv2d(4, 6, 3, bias=False) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    gradient = torch.randn(6, 4, 3, 3, generator=generator("gradient"))
    orders = torch.contiguous_format, torch.channels_last
    for layer, order in zip(layers, orders, strict=True):
        update = make_update({"main": layer})
        update.optimizers["main"] = torch.optim.AdamW(layer.parameters(), 0.1, fused=True)
        update.apply_gradients([gradient.contiguous(memory_format=order)])
    assert torch.equal(layers[0].weight, layers[1].weight)


def test_mistakes_of_a_system_are_named() -> None:
    """A wrong name, a vector, a loss without a graph."""
    layer = random_layer(2, 2)
    update = make_update({"main": layer})
    with pytest.raises(ValueError, match="no optimizer 'mian'; there are: main"):
        update(layer.weight.sum(), "mian")
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        update(layer.weight * 1)
    with pytest.raises(ValueError, match="requires_grad=False"):
        update(torch.tensor(1.0))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_step_that_is_not_finite_is_skipped_and_counted(poison: float) -> None:
    """Weights and running statistics stay; the next good step works."""
    network = nn.Sequential(random_layer(2, 3), nn.BatchNorm1d(3), random_layer(3, 1))
    update = make_update({"main": network})
    before = copy.deepcopy(network.state_dict())
    bad = torch.tensor([[poison, 1.0], [1.0, 2.0]])
    assert not math.isfinite(update(network(bad).mean()))
    after = network.state_dict()
    assert update.num_skipped == 1 and not update.is_healthy
    assert all(torch.equal(before[key], after[key]) for key in before if "num_batches" not in key)
    update.begin(1, 0)
    update(network(torch.eye(2)).mean())
    assert update.is_healthy and not torch.equal(before["0.weight"], network[0].weight)


def test_too_many_bad_steps_in_a_row_end_the_run(tmp_path: Path) -> None:
    """The last good checkpoint is kept, and the line says what to try."""
    changes = {"training.max_nonfinite_steps": 4, "training.epochs": 4}
    toy = Supervised(toy_config(tmp_path, changes))
    step, done = toy.step, [0]

    def poisoned(batch: Any, update: Update) -> Any:
        done[0] += 1
        # One bad step alone does no harm; the end of an epoch (36) must not save a failing run.
        if done[0] > 34 or done[0] == 3:
            batch = {**batch, "inputs": batch["inputs"] * math.nan}
        return step(batch, update)

    toy.step = poisoned  # type: ignore[method-assign]
    values = iter([2.0, 1.0, 1.5])
    toy.evaluate = lambda split="val": {"loss": next(values)} if split == "val" else {}  # type: ignore[method-assign]
    with pytest.raises(UserError) as caught:
        fit(toy)
    (run,) = tmp_path.glob("runs/*/*")
    last = run / "checkpoints/last.pth"
    assert str(caught.value) == (
        "stopped at step 37: the gradient of 'main' was not finite in 4 steps in a row; the last "
        f"good checkpoint is {last}; try --lr 0.001, --grad_clip 1 or --precision float32"
    )
    state = checkpoint.load(last)
    assert state["step"] == 24 and state["update"]["num_skipped"] == 1
    weights = state["networks"]["model"]
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())


def test_fp16_scales_losses_and_looks_for_its_scale() -> None:
    """Overflow is skipped without counting as a failure; gradients arrive unscaled."""
    layer = random_layer(2, 1)
    update = make_update({"main": layer}, precision="fp16", max_nonfinite_steps=1)
    scale = update.scalers["main"].get_scale()
    update(layer.weight.sum() * 1e36)
    assert update.num_skipped == 1 and update.scalers["main"].get_scale() == scale / 2
    before = layer.weight.detach().clone()
    assert update(layer.weight.sum()) == pytest.approx(math.sqrt(2))
    torch.testing.assert_close(layer.weight, before - 0.1)
    update.scalers["main"].update(1.0)
    with pytest.raises(NonFiniteError):
        update(layer.weight.sum() * math.inf)


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.02), ("fp16", 0.0025)])
def test_gradients_in_half_precision_are_those_of_float32(precision: Any, tolerance: float) -> None:
    """Within the digits of the format: 8 bits for bf16, 11 for fp16."""
    inputs = torch.randn(32, 8, generator=generator("inputs"))
    targets = torch.randn(32, 1, generator=generator("targets"))

    def gradient(kind: Any) -> Tensor:
        network = nn.Sequential(random_layer(8, 16), nn.GELU(), random_layer(16, 1))
        update = make_update({"main": network}, precision=kind, rate=1.0)
        if update.scalers:  # the usual first guess is for gradients smaller than these
            update.scalers["main"] = torch.amp.GradScaler("cpu", init_scale=16.0)
        before = [parameter.detach().clone() for parameter in network.parameters()]
        with autocast(CPU, kind):
            loss = F.mse_loss(network(inputs).float(), targets)
            update(loss)
        after = [parameter.detach() for parameter in network.parameters()]
        return torch.cat([(b - a).flatten() for b, a in zip(before, after, strict=True)])

    exact, rough = gradient("float32"), gradient(precision)
    assert 0 < float((rough - exact).norm() / exact.norm()) < tolerance


def test_learning_rates_follow_the_schedule_in_every_group() -> None:
    """Each group scales its own base."""
    layer = random_layer(2, 2)
    groups = [{"params": [layer.weight], "lr": 1.0}, {"params": [layer.bias], "lr": 0.1}]
    optimizer = torch.optim.SGD(groups)
    schedule = Schedule(SchedulerConfig(type="StepLR", factor=0.5, step_size=1), warmup_steps=4)
    update = Update(
        {"main": layer}, {"main": optimizer}, schedule, ToyTraining(), "float32", Processes(CPU)
    )
    update.begin(1, 0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]
    update.begin(100, 2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.025]
    assert update.rates() == {"main": 0.25}


def test_without_a_limit_the_whole_gradient_counts() -> None:
    """grad_clip 0 switches clipping off."""
    layer = nn.Linear(1, 1, bias=False)
    before = layer.weight.item()
    update = make_update({"main": layer}, grad_clip=0.0)
    assert update(1000 * layer.weight.sum()) == pytest.approx(1000)
    assert layer.weight.item() == pytest.approx(before - 100, abs=1e-4)


def test_parameters_that_need_no_gradient_stay() -> None:
    """Also where they stand in an optimizer; gradients that are handed over leave them out."""
    layer = random_layer(2, 1)
    layer.weight.requires_grad_(False)
    before = copy.deepcopy(layer.state_dict())
    update = make_update({"main": layer})
    assert update(layer(torch.ones(1, 2)).sum()) == pytest.approx(1)
    assert update.apply_gradients([torch.ones(1)]) == pytest.approx(1)
    assert torch.equal(layer.weight, before["weight"])
    torch.testing.assert_close(layer.bias, before["bias"] - 0.2, check_stride=False)


def test_a_graph_is_kept_where_another_loss_needs_it() -> None:
    """And let go otherwise."""
    layer = random_layer(2, 1)
    update = make_update({"main": layer}, rate=0.0)
    shared = (layer(torch.ones(1, 2)) ** 2).sum()
    norms = [update(shared, retain_graph=True), update(shared)]
    assert norms[0] == norms[1] > 0
    with pytest.raises(RuntimeError, match="second time"):
        update(shared)


def test_counters_and_scales_survive() -> None:
    """Saved and put back; a streak of bad steps begins anew."""
    layer = random_layer(2, 1)
    one = make_update({"main": layer}, precision="fp16")
    one(layer.weight.sum() * 1e36)
    other = make_update({"main": layer}, precision="fp16")
    other.load_state_dict(one.state_dict())
    assert other.num_skipped == 1 and other.is_healthy
    assert other.scalers["main"].get_scale() == one.scalers["main"].get_scale()
    assert make_update({"main": layer}).state_dict() == {"scalers": {}, "num_skipped": 0}


def test_a_good_step_ends_a_streak() -> None:
    """Two bad ones, a good one, two bad ones are not four in a row."""
    layer = random_layer(2, 1)
    update = make_update({"main": layer}, max_nonfinite_steps=3)
    for factor in (math.nan, math.nan, 1.0, math.nan, math.nan):
        update(layer.weight.sum() * factor)
    assert update.num_skipped == 4 and not update.is_healthy
    with pytest.raises(NonFiniteError, match="'main' was not finite in 3 steps in a row"):
        update(layer.weight.sum() * math.nan)


def test_a_skipped_step_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """For those who look closely."""
    caplog.set_level(logging.DEBUG, "triform")
    layer = random_layer(2, 1)
    update = make_update({"main": layer})
    update(layer.weight.sum())
    assert not caplog.messages
    update(layer.weight.sum() * math.nan)
    assert caplog.messages == ["step of main skipped: its gradient is not finite"]
    assert caplog.records[0].levelno == logging.DEBUG


def test_handed_over_gradients_are_averaged_and_may_be_bad() -> None:
    layer = random_layer(2, 1)
    before = copy.deepcopy(layer.state_dict())
    update = make_update({"main": layer}, grad_clip=0.5)
    averaged: list[int] = []

    def halve(tensors: Any) -> None:
        averaged.append(len(tensors))
        for tensor in tensors:
            tensor.div_(2)

    update.processes.average_ = halve  # type: ignore[method-assign]
    given = torch.tensor([[6.0, 8.0]])
    assert update.apply_gradients([given, None]) == pytest.approx(5)
    assert averaged == [1] and given.tolist() == [[6.0, 8.0]]
    # Clipped from 5 to 0.5: a tenth of (3, 4), times the rate of 0.1.
    torch.testing.assert_close(layer.weight, before["weight"] - torch.tensor([[0.03, 0.04]]))
    assert math.isnan(update.apply_gradients([given * math.nan, None]))
    assert update.num_skipped == 1 and not update.is_healthy
    assert math.isnan(update.norms["main"])


def test_one_process_s_bad_step_is_everybody_s() -> None:
    layer = random_layer(2, 1)
    before = layer.weight.detach().clone()
    update = make_update({"main": layer}, precision="fp16")
    votes: list[tuple[bool, ...]] = []
    update.processes.any = lambda *flags: votes.append(flags) or (True,)  # type: ignore[method-assign, func-returns-value]
    scale = update.scalers["main"].get_scale()
    update(layer.weight.sum())
    assert votes == [(False,)] and update.num_skipped == 1 and torch.equal(layer.weight, before)
    assert update.scalers["main"].get_scale() == scale * 0.5

"""The moving average against its formula."""

import copy

import torch
from torch import nn

from triform.base.seeding import generator
from triform.engine.ema import MovingAverage


def moved(network: nn.Module, number: int) -> None:
    """Give a network other weights."""
    random = generator("weights", number)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))


def make_network() -> nn.Sequential:
    """Weights and running statistics."""
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_it_is_the_weighted_mean_of_the_past() -> None:
    """Step by step, with the decay growing from the start; buffers are the newest."""
    network = make_network()
    average = MovingAverage({"model": network}, decay=0.7)
    expected = network[0].weight.detach().clone()
    for step in range(1, 30):
        moved(network, step)
        network(torch.randn(8, 3, generator=generator("inputs", step)))
        average.update(step)
        decay = min(0.7, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network[0].weight.detach()
        torch.testing.assert_close(average.averages["model"]["0.weight"], expected)
    for name, buffer in network.named_buffers():
        assert torch.equal(average.averages["model"][name], buffer)


def test_it_changes_places_and_back() -> None:
    """Also where something goes wrong in between."""
    network = make_network()
    average = MovingAverage({"model": network}, decay=0.5)
    moved(network, 1)
    before = copy.deepcopy(network.state_dict())
    try:
        with average.in_place():
            assert torch.equal(network[0].weight, average.averages["model"]["0.weight"])
            raise KeyError
    except KeyError:
        pass
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_off_is_off() -> None:
    """No copies, and the weights themselves are evaluated."""
    network = make_network()
    average = MovingAverage({"model": network}, decay=0)
    average.update(1)
    with average.in_place():
        assert average.state_dict() == {}


def test_half_precision_weights_are_averaged_in_float32() -> None:
    """bf16 would swallow steps of a thousandth."""
    network = nn.Linear(2, 2).bfloat16()
    average = MovingAverage({"model": network}, decay=0.999)
    assert average.averages["model"]["weight"].dtype == torch.float32
    moved(network, 1)
    average.update(10**6)
    with average.in_place():
        assert network.weight.dtype == torch.bfloat16


def test_a_run_saved_without_averages_starts_from_its_weights() -> None:
    """When ema_decay is switched on at a resume."""
    network = make_network()
    average = MovingAverage({"model": network}, decay=0.9)
    moved(network, 1)
    average.load_state_dict({})
    assert torch.equal(average.averages["model"]["0.weight"], network[0].weight)
    saved = copy.deepcopy(average.state_dict())
    moved(network, 2)
    average.load_state_dict(saved)
    assert not torch.equal(average.averages["model"]["0.weight"], network[0].weight)

"""The moving average against its formula."""

import copy

import torch
from torch import nn

from triform.base.seeding import generator
from triform.engine.ema import ExponentialMovingAverage


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
    """Step by step, with the decay growing from the start; counters and the like are the newest."""
    network = make_network()
    network.register_buffer("constant", torch.zeros(2))
    average = ExponentialMovingAverage({"model": network}, decay=0.7)
    followed = ("0.weight", "1.running_mean", "1.running_var")
    expected = {name: network.state_dict()[name].clone() for name in followed}
    for step in range(1, 30):
        moved(network, step)
        network(torch.randn(8, 3, generator=generator("inputs", step)))
        network.constant.fill_(step)
        average.update(step)
        decay = min(0.7, (1 + step) / (10 + step))
        for name, past in expected.items():
            expected[name] = decay * past + (1 - decay) * network.state_dict()[name]
            torch.testing.assert_close(average.averages["model"][name], expected[name])
    for name in ("constant", "1.num_batches_tracked"):
        assert torch.equal(average.averages["model"][name], network.state_dict()[name])


def test_averaged_weights_have_statistics_that_fit_them() -> None:
    """Where weights swing from step to step, norms of the averaged ones still give deviation 1."""
    network = make_network()
    average = ExponentialMovingAverage({"model": network}, decay=0.98)
    inputs = torch.randn(512, 3, generator=generator("inputs"))
    for step in range(1, 600):
        sign = -1 if step // 10 % 2 else 1  # stays for as long as the statistics remember
        with torch.no_grad():
            network[0].weight.copy_(torch.eye(2, 3) * (3 + 2 * sign))
            network[0].bias.fill_(4 * sign)
        network(inputs)
        average.update(step)
    newest = copy.deepcopy(network[1])
    network.eval()
    with average.swapped_in(), torch.no_grad():
        averaged = network(inputs).mean().abs()
        network[1].load_state_dict(newest.state_dict())
        stale = network(inputs).mean().abs()
    assert averaged < 0.3 < stale


def test_it_changes_places_and_back() -> None:
    """Also where something goes wrong in between."""
    network = make_network()
    average = ExponentialMovingAverage({"model": network}, decay=0.5)
    moved(network, 1)
    before = copy.deepcopy(network.state_dict())
    try:
        with average.swapped_in():
            assert torch.equal(network[0].weight, average.averages["model"]["0.weight"])
            raise KeyError
    except KeyError:
        pass
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_off_is_off() -> None:
    """No copies, and the weights themselves are evaluated."""
    network = make_network()
    average = ExponentialMovingAverage({"model": network}, decay=0)
    average.update(1)
    with average.swapped_in():
        assert average.state_dict() == {}


def test_half_precision_weights_are_averaged_in_float32() -> None:
    """bf16 would swallow steps of a thousandth."""
    network = nn.Linear(2, 2).bfloat16()
    average = ExponentialMovingAverage({"model": network}, decay=0.999)
    assert average.averages["model"]["weight"].dtype == torch.float32
    moved(network, 1)
    average.update(10**6)
    with average.swapped_in():
        assert network.weight.dtype == torch.bfloat16


def test_a_run_saved_without_averages_starts_from_its_weights() -> None:
    """When ema_decay is switched on at a resume."""
    network = make_network()
    average = ExponentialMovingAverage({"model": network}, decay=0.9)
    moved(network, 1)
    average.load_state_dict({})
    assert torch.equal(average.averages["model"]["0.weight"], network[0].weight)
    saved = copy.deepcopy(average.state_dict())
    moved(network, 2)
    average.load_state_dict(saved)
    assert not torch.equal(average.averages["model"]["0.weight"], network[0].weight)


def test_which_tensors_are_averaged() -> None:
    """Whole numbers and what no step trains are the newest; full precision stays what it is."""
    network = nn.Linear(1, 1, bias=False).double()
    network.register_buffer("count", torch.tensor(0))
    network.register_buffer("offset", torch.tensor(0.0))
    network.register_parameter("index", nn.Parameter(torch.tensor(0), requires_grad=False))
    average = ExponentialMovingAverage({"model": network}, decay=0.9)
    with torch.no_grad():
        network.weight.add_(11.0)
        for tensor in (network.count, network.offset, network.index):
            tensor.add_(3)
    before = average.averages["model"]["weight"].clone()
    average.update(1)
    found = average.averages["model"]
    # The decay of the first step is 2 / 11.
    torch.testing.assert_close(found["weight"], before + 9.0)
    assert found["weight"].dtype == torch.float64
    assert [found[name].item() for name in ("count", "offset", "index")] == [3, 3.0, 3]
    assert network.weight.requires_grad

"""Networks from a file: compared before they cost memory, then whole."""

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.engine.checkpoints import building
from triform.engine.checkpoints.building import build_network, build_networks, check_integers

PATH = Path("a.pth")


class Net(nn.Module):
    """A layer whose weights lie channels last, and a table that is computed, not saved."""

    table: Tensor

    def __init__(self, width: int = 3, size: int = 4):
        super().__init__()
        self.layer = nn.Conv2d(2, width, 1).to(memory_format=torch.channels_last)
        self.register_buffer("table", torch.arange(size) * 2.0, persistent=False)
        self.rates = torch.linspace(0, 1, 3)  # neither a parameter nor a buffer


def tensors(width: int = 3) -> dict[str, Tensor]:
    return {"layer.weight": torch.rand(width, 2, 1, 1), "layer.bias": torch.rand(width)}


def test_what_is_computed_is_there_and_what_is_saved_is_loaded() -> None:
    inputs = tensors()
    network = build_network(Net, {k: v.half() for k, v in inputs.items()}, PATH)
    assert not network.training
    assert network.table.tolist() == [0, 2, 4, 6] and network.rates.tolist() == [0, 0.5, 1]
    for name, tensor in network.state_dict().items():
        assert tensor.device.type == "cpu" and tensor.dtype == torch.float32
        assert torch.equal(tensor, inputs[name].half().float())
    assert network.layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_nothing_is_built_for_real_before_it_fits() -> None:
    devices: list[str] = []

    def build() -> Net:
        devices.append(torch.empty(0).device.type)
        return Net(5)

    with pytest.raises(
        UserError,
        match=r"^a\.pth: its weights do not fit its settings: "
        r"layer\.weight has shape 3x2x1x1 in place of 5x2x1x1$",
    ):
        build_network(build, tensors(), PATH)
    assert devices == ["meta"]
    build_network(lambda: build() and Net(), tensors(), PATH)
    assert devices == ["meta", "meta", "cpu"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"layer.bias": None}, r"net\.layer\.bias is missing"),
        ({"layer.bias": "text"}, r"net\.layer\.bias is missing"),
        ({"layer.more": torch.zeros(1)}, r"net\.layer\.more belongs nowhere"),
        ({"table": torch.zeros(4)}, r"net\.table belongs nowhere"),
        ({"layer.bias": torch.zeros(())}, r"net\.layer\.bias has shape \(\) in place of 3"),
    ],
)
def test_the_first_difference_is_named(changed: dict[str, object], reason: str) -> None:
    own = {k: v for k, v in {**tensors(), **changed}.items() if v is not None}
    with pytest.raises(UserError, match=reason):
        build_networks(lambda: {"net": Net()}, {"net": own}, PATH)  # type: ignore[dict-item]


def test_a_network_that_is_not_there() -> None:
    with pytest.raises(UserError, match="the network other is missing"):
        build_networks(lambda: {"other": Net()}, {"net": tensors()}, PATH)
    assert set(build_networks(lambda: {"net": Net()}, {"net": tensors(), "b": {}}, PATH)) == {"net"}


def test_tables_that_are_computed_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "COMPUTED_BYTES", 100)
    build_network(lambda: Net(size=34), tensors(), PATH)  # 136 bytes; 9 numbers make 36
    with pytest.raises(UserError, match="computes 140 bytes of tables"):
        build_network(lambda: Net(size=35), tensors(), PATH)


def test_as_many_parts_as_tensors_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "FEWEST_PARTS", 0)
    built = 0

    def build() -> Net:
        nonlocal built
        for _ in range(1000):
            nn.Linear(1, 1)
            built += 1
        return Net()

    with pytest.raises(UserError, match="networks of far more parts than the file's 2 tensors"):
        build_network(build, tensors(), PATH)
    assert built == building.PARTS_PER_TENSOR * 2 // 2  # each has two parameters


def test_other_threads_may_build_what_they_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "FEWEST_PARTS", 0)

    def build() -> Net:
        other = threading.Thread(target=lambda: [nn.Linear(1, 1) for _ in range(50)])
        other.start()
        other.join()
        return Net()

    build_network(build, tensors(), PATH)
    for _ in range(50):  # and nothing is counted afterwards
        nn.Linear(1, 1)


def test_comparing_draws_no_random_numbers() -> None:
    inputs = tensors()
    torch.manual_seed(0)
    Net()
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_network(Net, inputs, PATH)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        IndexError("x"),
        OverflowError("x"),
        ZeroDivisionError("x"),
        MemoryError("x"),
        RuntimeError("a\nx"),
        AssertionError("x"),
        RecursionError("x"),
    ],
)
def test_whatever_building_raises_is_one_line(error: Exception) -> None:
    def build() -> Net:
        raise error

    with pytest.raises(UserError, match=r"its weights do not fit its settings: (it lacks ')?x"):
        build_network(build, tensors(), PATH)


def test_sizes_are_bounded_by_the_numbers_of_the_file() -> None:
    few = {"net": {"a": torch.zeros(3)}}
    check_integers({"a": 2**20, "b": [{"c": -(2**20)}], "d": 1e9, "e": "9" * 30}, few, PATH)
    with pytest.raises(UserError, match=r"model\.b\.c is 1048577, and the file holds 3 numbers"):
        check_integers({"b": [{"c": 2**20 + 1}]}, few, PATH, "model")
    many = {"net": {"a": torch.zeros(1).expand(2**21)}}
    check_integers({"a": 2**21}, many, PATH)
    with pytest.raises(UserError, match="a is 2097153"):
        check_integers({"a": 2**21 + 1}, many, PATH)

"""What a system gets without writing it: a seed, batches of its loader, a saved state."""

import pytest
import torch

from triform.base.errors import UsageError
from triform.engine.config import SystemConfig
from triform.engine.epoch_loader import EpochLoader
from triform.engine.protocol import System


class Bare(System[SystemConfig]):
    """A system with nothing of its own."""

    name = "bare"

    def step(self, batch, update):
        return {}


class Buffer:
    """Something with a state."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_without_a_loader_there_are_no_batches() -> None:
    system = Bare(SystemConfig())
    assert system.num_batches is None and system.stateful_parts() == {}
    with pytest.raises(NotImplementedError, match="bare has neither a loader nor batches"):
        system.batches()
    assert system.metadata() == {} and system.evaluate() == {} and system.num_steps == 0


def test_the_loader_gives_batches_and_is_saved_with_the_rest() -> None:
    system = Bare(SystemConfig())
    system.stateful["buffer"] = Buffer()
    system.loader = EpochLoader(5, lambda indices, _: list(indices), batch_size=2, seed=0)
    batches = list(system.batches())
    assert system.num_batches == 3 and [len(batch) for batch in batches] == [2, 2, 1]
    assert sorted(index for batch in batches for index in batch) == list(range(5))
    assert list(system.stateful_parts()) == ["loader", "buffer"]
    assert system.stateful_parts()["loader"] is system.loader


def test_initial_weights_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.rand(7)  # whatever was drawn before
        Bare(SystemConfig(seed=seed))
        return torch.nn.Linear(3, 3).weight

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_a_device_that_is_not_there_is_refused_before_data_is_read() -> None:
    if torch.cuda.is_available():
        pytest.skip("hardware: there is a GPU")
    with pytest.raises(UsageError, match="no GPU here"):
        Bare(SystemConfig(device="gpu"))


def test_an_empty_name_of_a_project_is_refused() -> None:
    assert SystemConfig().logging.wandb.project == "triform"
    with pytest.raises(ValueError, match="at least 1 character"):
        SystemConfig.model_validate({"logging": {"wandb": {"project": ""}}})

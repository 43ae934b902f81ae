"""REINFORCE as a whole."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.engine.checkpoints.checkpoint import export_weights
from triform.engine.fit import fit
from triform.engine.processes import Processes
from triform.engine.verbs import train
from triform.systems import load
from triform.systems.reinforce.config import Config, EvaluateConfig, PlayConfig
from triform.systems.reinforce.system import System, evaluate, play


class Sign(gymnasium.Env):
    """One step: 1 for saying whether the number seen is positive."""

    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.number = np.float32(self.np_random.uniform(-1, 1))
        return np.array([self.number], np.float32), {}

    def step(self, action):
        good = int(action) == int(self.number > 0)
        return np.zeros(1, np.float32), float(good), True, False, {}


gymnasium.register("triform-test/Sign-v0", Sign)


@pytest.mark.parametrize("baseline", [False, True])
def test_learns_what_can_be_seen(tmp_path, baseline):
    config = Config.model_validate(
        {
            "device": "cpu",
            "data": {
                "environment": "triform-test/Sign-v0",
                "batch_size": 32,
                "steps_per_epoch": 3200,
                "evaluation_episodes": 100,
            },
            "model": {"hidden_size": 16, "num_layers": 1, "baseline": baseline},
            "training": {"epochs": 1, "lr": 0.02, "value_steps": 2},
            "logging": {"runs_dir": str(tmp_path), "sample_every": 0},
        }
    )
    system = System(config)
    assert 0.2 < system.evaluate("test")["score"] < 0.8
    fit(system)
    assert system.evaluate("test")["score"] > 0.93
    assert (system.record.scores[-1][0], len(system.record.scores)) == (3200, 3200)


def test_a_new_policy_prefers_nothing():
    system = System(Config(device="cpu"))
    logits = torch.from_numpy(
        system.logits(np.random.default_rng(0).normal(size=(50, 4)).astype("f"))
    )
    assert logits.softmax(1).amax() < 0.51 and set(system.networks) == {"policy"}


def test_a_baseline_begins_anew_where_initial_weights_have_none(tmp_path):
    policy = System(Config(device="cpu"))
    path, config = tmp_path / "policy.safetensors", policy.config.model_dump(mode="json")
    tensors = {"policy": policy.actor.state_dict()}
    export_weights(path, tensors, config, system="reinforce", metadata=policy.metadata())
    values = {"model": {"baseline": True}, "training": {"initial_weights": str(path)}}
    system = System(Config.model_validate({"device": "cpu", "seed": 7, **values}))
    system.load_initial_weights()
    assert set(system.networks) == {"policy", "value"}
    state = system.actor.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors["policy"].items())


def test_the_baseline_stays_out_of_the_policy(tmp_path):
    """Its loss leaves no gradient in the policy, and returns have no graph."""
    flags = ["--config", "tiny", "--device", "cpu"]
    system = System(parse(Config, flags, load("reinforce").presets))
    pushed = []

    def update(loss, name):
        network = system.networks["policy" if name == "value" else "value"]
        found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        assert all(gradient is None for gradient in found)
        pushed.append(name)

    update.processes = Processes(torch.device("cpu"))
    system.step(next(iter(system.batches())), update)
    assert pushed == ["value", "value", "policy"]


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_losses_of_a_step_by_hand(baseline, normalize):
    """Policy and baseline that multiply what they see; the last of two episodes was cut."""

    class Times(torch.nn.Module):
        def __init__(self, *values):
            super().__init__()
            self.values = torch.nn.Parameter(torch.tensor(values))

        def forward(self, rows):
            return rows[:, :1] * self.values

    inputs = {
        "device": "cpu",
        "model": {"baseline": baseline},
        "training": {
            "gamma": 0.9,
            "normalize": normalize,
            "entropy_weight": 0.2,
            "value_steps": 2,
        },
    }
    system, pushed = System(Config.model_validate(inputs)), []
    system.networks["policy"] = Times(0.0, 1.0)
    if baseline:
        system.networks["value"] = Times(0.3)
    batch = {
        "observation": torch.tensor([[1.0], [2.0], [-1.0]]),
        "action": torch.tensor([1, 0, 0]),
        "returns": torch.tensor([5.0, 2.0, 3.0]),
        "bootstrap": torch.tensor([0.0, 0.0, 0.9]),
        "episode": torch.tensor([0, 0, 1]),
        "last_observation": torch.tensor([[7.0], [2.0]]),
    }

    def update(loss, name):
        pushed.append((name, loss.item()))

    update.processes = Processes(torch.device("cpu"))
    losses = system.step(batch, update)
    returns, expected = np.array([5.0, 2.0, 3.0]), np.zeros(3)
    if baseline:  # a value of 1 is 1 / (1 - 0.9) = 10
        expected = 10 * 0.3 * np.array([1.0, 2.0, -1.0])
        returns = returns + np.array([0, 0, 0.9 * 10 * 0.3 * 2.0])
    advantage = returns - expected
    if normalize:
        advantage = (advantage - advantage.mean()) / advantage.std(ddof=1)
    x = np.array([1.0, 2.0, -1.0])
    logs = np.stack([-np.log(1 + np.exp(x)), x - np.log(1 + np.exp(x))], 1)
    entropy = -(np.exp(logs) * logs).sum(1).mean()
    policy = -(logs[[0, 1, 2], [1, 0, 0]] * advantage).mean() - 0.2 * entropy
    wanted = [("policy", policy)]
    if baseline:
        value = ((returns - expected) ** 2).mean() / 100
        wanted = [("value", value), ("value", value), *wanted]
        assert losses["value"].item() == pytest.approx(value, rel=1e-4)
    assert [name for name, _ in pushed] == [name for name, _ in wanted]
    for (_, actual), (_, number) in zip(pushed, wanted, strict=True):
        assert actual == pytest.approx(number, rel=1e-4)
    assert losses["entropy"].item() == pytest.approx(entropy, rel=1e-5)
    total = policy + (value if baseline else 0)
    assert float(losses["loss"]) == pytest.approx(total, rel=1e-4)


def test_verbs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--checkpoint FILE, or train with"):
        evaluate(EvaluateConfig())
    flags = ["--config", "tiny", "--device", "cpu"]
    run = train(System, parse(Config, flags, load("reinforce").presets))["run"]
    report = evaluate(EvaluateConfig(episodes=3))  # the newest run of the folder
    assert run in report["checkpoint"] and report["score"] >= 8
    video = play(PlayConfig(checkpoint=run, max_steps=10, device="cpu"))
    assert (tmp_path / "play.gif").stat().st_size and video["frames"] >= 5
    assert (tmp_path / run / "scores.png").is_file()

"""Deep Q-learning as a whole: what it must converge to, its target, its verbs."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from PIL import Image

from triform.base.denormals import are_flushed
from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.engine.checkpoints.checkpoint import export_weights, load_weights
from triform.engine.fit import fit
from triform.engine.verbs import train
from triform.systems import load
from triform.systems.dqn.config import VERBS, Config, EvaluateConfig, PlayConfig
from triform.systems.dqn.system import System, Trained, evaluate, play


class Still(gymnasium.Env):
    """Nothing ever changes and every step is worth 1; only a time limit ends it."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), 1.0, self.ends, False, {}

    ends = False


class Ending(Still):
    ends = True


gymnasium.register("triform-test/Still-v0", Still, max_episode_steps=3)
gymnasium.register("triform-test/Ending-v0", Ending)


def settings(folder, **groups) -> Config:
    data = {"learning_starts": 16, "batch_size": 16, "steps_per_epoch": 400, "replay_size": 200}
    inputs = {
        "device": "cpu",
        "data": {**data, "evaluation_episodes": 2, **groups.pop("data", {})},
        "model": {"hidden_size": 8, "num_layers": 1},
        "training": {"epochs": 1, "lr": 0.02, **groups.pop("training", {})},
        "logging": {"runs_dir": str(folder), "sample_every": 0},
    }
    return Config.model_validate({**inputs, **groups})


@pytest.mark.parametrize(("name", "value"), [("Still", 2.0), ("Ending", 1.0)])
@pytest.mark.parametrize("target", ["polyak", "copy"])
def test_values_look_beyond_a_time_limit_and_not_beyond_an_end(tmp_path, name, value, target):
    """1 + gamma + gamma^2 + ... is 2 for gamma 1/2; a limit of 3 steps taken for an end: 1.75."""
    training = {"gamma": 0.5, "tau": 0.1, "target_every": 20, "target_update": target}
    config = settings(tmp_path, data={"environment": f"triform-test/{name}-v0"}, training=training)
    system = System(config)
    fit(system)
    assert not are_flushed()  # what others compute in this process is their own affair
    with torch.no_grad():
        values = system.q_network(torch.ones(1, 1))[0]
    assert values.tolist() == pytest.approx([value] * 2, abs=0.05)


def test_initial_weights_are_those_of_the_target_too(tmp_path):
    first = fit(System(settings(tmp_path)))
    training = {"initial_weights": str(first.run_dir)}
    system = System(settings(tmp_path, training=training, seed=7))
    system.load_initial_weights()
    saved = load_weights(first.weights).networks["q"]
    for network in (system.q_network, system.target_network):
        state = network.state_dict()
        assert all(torch.equal(state[name], saved[name]) for name in saved)


def test_target_follows_slowly_or_in_leaps(tmp_path):
    for target, expected in (("polyak", 0.25), ("copy", 0.0)):
        training = {"target_update": target, "tau": 0.25, "target_every": 3}
        system = System(settings(tmp_path, training=training))
        start = [weight.clone() for weight in system.target_parameters]
        with torch.no_grad():
            for weight in system.parameters:
                weight += 1
        system.update_target_network(1)
        for old, now in zip(start, system.target_parameters, strict=True):
            assert torch.allclose(now, old + expected)
        system.update_target_network(3)
        if target == "copy":
            assert all(map(torch.equal, system.target_parameters, system.parameters))


@pytest.mark.parametrize(("double", "following"), [(False, 7.0), (True, 1.0)])
@pytest.mark.parametrize("kind", ["huber", "mse"])
def test_the_loss_of_a_step_by_hand(tmp_path, double, following, kind):
    """The target network rates what follows 1 and 7, the learning one prefers the first of them."""

    class Table(torch.nn.Module):
        def __init__(self, *values):
            super().__init__()
            self.values = torch.nn.Parameter(torch.tensor(values))

        def forward(self, rows):
            return rows[:, :1] * self.values

    training = {"gamma": 0.5, "double_q": double, "td_loss": kind, "target_update": "copy"}
    system = System(settings(tmp_path, training={**training, "target_every": 1}))
    system.q_network = system.networks["q"] = Table(3.0, 2.0)
    system.target_network = Table(1.0, 7.0)
    system.parameters, system.target_parameters = (
        [system.q_network.values],
        [system.target_network.values.data],
    )
    batch = {
        "observation": torch.tensor([[1.0], [2.0]]),
        "next_observation": torch.ones(2, 1),
        "action": torch.tensor([1, 0]),
        "reward": torch.tensor([1.5, 4.0]),
        "bootstrap": torch.tensor([1.0, 0.0]),
    }
    pushed = []
    losses = system.step(batch, pushed.append)
    errors = [abs(2.0 - (1.5 + 0.5 * following)), abs(6.0 - 4.0)]
    each = [e**2 if kind == "mse" else e - 0.5 if e > 1 else e**2 / 2 for e in errors]
    assert losses["loss"].item() == pytest.approx(sum(each) / 2)
    assert losses["q"].item() == 4 and pushed == [losses["loss"]]
    assert losses["epsilon"] == system.collector.epsilon
    assert torch.equal(system.target_network.values, system.q_network.values)


def test_evaluation_is_greedy_apart_and_repeatable(tmp_path):
    system = System(settings(tmp_path))
    before = system.env.observations.tobytes(), system.collector.steps
    assert system.evaluate("test") == system.evaluate("test") and system.evaluate("train") == {}
    first, second = system.evaluate("val"), system.evaluate("val")
    assert first != second and len(system.record.evaluations) == 2  # other episodes each time
    assert (system.env.observations.tobytes(), system.collector.steps) == before
    runners = [system.evaluator.runner(split) for split in ("val", "test")]
    starts = [
        runner.envs[0].reset(seed=runner.spec.episode_seed(0))[0].tobytes() for runner in runners
    ]
    assert len(set(starts)) == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run as the command makes it."""
    folder = tmp_path_factory.mktemp("dqn")
    flags = ["--config", "tiny", "--device", "cpu", "--runs_dir", str(folder)]
    return train(System, parse(Config, flags, load("dqn").presets))["run"]


def test_the_documented_chart_lies_in_the_run(run):
    with Image.open(f"{run}/scores.png") as chart:
        assert chart.size == (1200, 400)
    with open(f"{run}/scores.csv") as file:
        assert file.readline() == "episode,environment_steps,score\n"
        assert len(file.readlines()) > 3


def test_evaluate_and_play_say_what_they_did(run, tmp_path):
    report = evaluate(EvaluateConfig(checkpoint=run, episodes=5, device="cpu"))
    assert report["environment"] == "CartPole-v1" and report["episodes"] == 5
    assert 8 <= report["lowest"] <= report["score"] <= report["highest"] <= 500
    output = tmp_path / "video.gif"
    video = play(PlayConfig(checkpoint=run, output=output, max_steps=20, device="cpu"))
    with Image.open(output) as image:
        assert image.n_frames == video["frames"] and image.width == 300


def test_the_shipped_agent_holds_the_pole():
    report = evaluate(EvaluateConfig(episodes=10, device="cpu"))
    assert report["score"] == 500


def test_an_agent_that_does_not_fit_is_refused(run, tmp_path):
    with pytest.raises(UserError, match="2 inputs and 3 actions"):
        evaluate(EvaluateConfig(checkpoint=run, environment="MountainCar-v0"))
    with pytest.raises(UserError, match="not there"):
        evaluate(EvaluateConfig(checkpoint=str(tmp_path / "none.pth")))
    with pytest.raises(UserError, match=r"must end in \.gif or \.mp4"):
        play(PlayConfig(checkpoint=run, output=tmp_path / "video.avi"))


def test_a_file_cannot_make_us_import_a_module_nor_lie_about_sizes(run, tmp_path):
    agent = Trained.from_checkpoint(f"{run}/checkpoints/best.pth", "cpu")
    weights = {"q": agent.network.state_dict()}
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    config = agent.config.model_dump(mode="json")
    config["data"]["environment"] = "evil:CartPole-v1"
    export_weights(tmp_path / "a.safetensors", weights, config, system="dqn")
    with pytest.raises(UserError, match="is not imported unasked"):
        evaluate(EvaluateConfig(checkpoint=str(tmp_path / "a.safetensors")))
    config["model"]["hidden_size"] = 10**7
    export_weights(tmp_path / "b.safetensors", weights, config, system="dqn")
    with pytest.raises(UserError, match="do not fit its settings"):
        evaluate(EvaluateConfig(checkpoint=str(tmp_path / "b.safetensors")))
    export_weights(tmp_path / "c.safetensors", weights, config, system="reinforce")
    with pytest.raises(UserError, match="weights of system reinforce"):
        Trained.from_checkpoint(tmp_path / "c.safetensors", "cpu")


def test_wrong_settings_are_one_line():
    for flags, message in (
        (["--epsilon", "0.1", "--epsilon_min", "0.2"], "epsilon_min 0.2 must be at most"),
        (["--gamma", "1.5"], "--gamma"),
        (["--tau", "0"], "--tau"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            parse(VERBS["train"], flags)
        assert "\n" not in str(caught.value)

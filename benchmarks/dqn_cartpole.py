"""Deep Q-learning in CartPole-v1: ours with the preset `cartpole` against stable-baselines3.

    python benchmarks/dqn_cartpole.py --seeds 5

stable-baselines3 has the settings that rl-baselines3-zoo found for CartPole-v1. Both are evaluated
every 1,000 environment steps on the same 20 greedy episodes (other ones each time), in environments
apart from those of training, and "steps to 475" is the first evaluation whose mean is 475 or more.
Ours then goes on to the end of its budget; its best and its last checkpoint play 100 other
episodes.

Speed is measured with the same network, batch, number of updates per environment step and target
on both sides, without evaluations, in a process for each, one after the other, in turns.
Figures are processor time on one thread.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from triform.base.seeding import hash_seed
from triform.base.settings.config import parse
from triform.engine.fit import fit
from triform.systems.dqn.config import Config
from triform.systems.dqn.system import System
from triform.systems.dqn.trained import Trained
from triform.tasks.agents.rollout import EnvironmentSpec, EpisodeRunner, summarize

GAME, SOLVED, EVERY, EPISODES = "CartPole-v1", 475, 1000, 20
PRESETS = Path(__file__).parents[1] / "src" / "triform" / "systems" / "dqn" / "presets"
UNSEEN = 20_000  # seed of the 100 episodes at the end
ZOO = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1000,
    "gamma": 0.99,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
    "policy_kwargs": {"net_arch": [256, 256]},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps per run")
    parser.add_argument("--speed_steps", type=int, default=15_000)
    parser.add_argument("--rounds", type=int, default=3, help="of the measurement of speed")
    parser.add_argument("--part", default="", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        torch.set_num_threads(1)
        parts = {"ours": ours, "peer": peer, "ours_speed": ours_speed, "peer_speed": peer_speed}
        print(json.dumps(parts[args.part](args)))
        return

    steps = {"ours": [], "peer": []}
    for seed in range(args.seeds):
        mine, theirs = part("ours", args, seed), part("peer", args, seed)
        print(
            f"seed {seed}: steps to {SOLVED}: ours {said(mine['steps'])}, "
            f"stable-baselines3 {said(theirs['steps'])}; ours in 100 unseen episodes: "
            f"best {mine['best']:.1f}, final {mine['final']:.1f}; {mine['seconds']:.0f} s",
            flush=True,
        )
        # Whoever does not get there in its budget took at least all of it.
        steps["ours"].append(mine["steps"] or args.steps)
        steps["peer"].append(theirs["steps"] or args.steps)
    if args.seeds:
        medians = {name: statistics.median(values) for name, values in steps.items()}
        print(
            f"median steps to {SOLVED}: ours {medians['ours']:g}, stable-baselines3 "
            f"{medians['peer']:g}; ratio {medians['peer'] / medians['ours']:.2f}"
        )
    speeds = {"ours_speed": [], "peer_speed": []}
    for turn in range(args.rounds):
        for name, values in speeds.items():
            values.append(part(name, args, turn)["speed"])
    if args.rounds:
        mine, theirs = (statistics.median(values) for values in speeds.values())
        print(
            f"environment steps per second while learning, same network and updates: "
            f"ours {mine:.0f}, stable-baselines3 {theirs:.0f}; ratio {mine / theirs:.2f}"
        )


def part(name, args, seed):
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--part", name, "--seed", str(seed)]
    command += ["--steps", str(args.steps), "--speed_steps", str(args.speed_steps)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.stderr)
    return json.loads(answer.stdout.splitlines()[-1])


def said(steps):
    return "never" if steps is None else str(steps)


def ours(args):
    """The preset: steps to 475, and what the two checkpoints score elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--config", "cartpole", "--device", "cpu", "--seed", str(args.seed)]
        flags += ["--runs_dir", folder, "--sample_every", "0"]
        flags += ["--steps_per_epoch", str(EVERY), "--epochs", str(-(-args.steps // EVERY))]
        flags += ["--evaluation_episodes", str(EPISODES)]
        start = time.process_time()
        run = fit(System(parse(Config, flags, PRESETS))).run_dir
        seconds = time.process_time() - start
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        scores = [line["val/score"] for line in lines if "val/score" in line]
        reached = [number for number, score in enumerate(scores, 1) if score >= SOLVED]
        runner = EpisodeRunner(EnvironmentSpec(GAME, UNSEEN))
        found = {}
        for name, file in (("best", "best.pth"), ("final", "last.pth")):
            agent = Trained(run / "checkpoints" / file, torch.device("cpu"))
            found[name] = summarize(runner.run(agent.act, 100))["score"]
    return {"steps": reached[0] * EVERY if reached else None, "seconds": seconds, **found}


def peer(args):
    """stable-baselines3 until its first evaluation of 475 or more."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    runner = EpisodeRunner(EnvironmentSpec(GAME, hash_seed(args.seed, "evaluation", "val")))

    class Watch(BaseCallback):
        steps = None

        def _on_step(self):
            if self.num_timesteps % EVERY == 0:
                first = (self.num_timesteps // EVERY - 1) * EPISODES
                act = lambda rows: self.model.predict(rows, deterministic=True)[0]  # noqa: E731
                if summarize(runner.run(act, EPISODES, first))["score"] >= SOLVED:
                    self.steps = self.num_timesteps
            return self.steps is None

    watch = Watch()
    DQN("MlpPolicy", GAME, seed=args.seed, device="cpu", **ZOO).learn(args.steps, callback=watch)
    return {"steps": watch.steps}


def ours_speed(args):
    """Steps per second of ours with the network and the updates of the other."""
    width = ZOO["policy_kwargs"]["net_arch"][0]
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--device", "cpu", "--seed", str(args.seed), "--runs_dir", folder]
        flags += ["--sample_every", "0", "--evaluation_episodes", "1", "--epochs", "1"]
        flags += ["--steps_per_epoch", str(args.speed_steps), "--hidden_size", str(width)]
        flags += ["--batch_size", str(ZOO["batch_size"]), "--lr", str(ZOO["learning_rate"])]
        flags += ["--train_every", str(ZOO["train_freq"]), "--replay_size", "100000"]
        flags += ["--gradient_steps", str(ZOO["gradient_steps"]), "--no_double_q"]
        flags += ["--learning_starts", str(ZOO["learning_starts"]), "--target_update", "copy"]
        flags += ["--target_every", str(ZOO["gradient_steps"])]
        system = System(parse(Config, flags, PRESETS))
        start = time.process_time()
        fit(system)
        return {"speed": args.speed_steps / (time.process_time() - start)}


def peer_speed(args):
    """Steps per second of stable-baselines3."""
    from stable_baselines3 import DQN

    model = DQN("MlpPolicy", GAME, seed=args.seed, device="cpu", **ZOO)
    start = time.process_time()
    model.learn(args.speed_steps)
    return {"speed": args.speed_steps / (time.process_time() - start)}


if __name__ == "__main__":
    main()

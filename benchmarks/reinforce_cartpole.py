"""REINFORCE in CartPole-v1: steps until 100 training episodes in a row score 475 on average.

    python benchmarks/reinforce_cartpole.py --seeds 5

Each seed trains with the preset `cartpole` for its whole budget; counted are environment steps
until the mean score of the last 100 training episodes, with all their exploration, reaches 475.
The best and the last checkpoint then play 100 greedy episodes with seeds that training never saw.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from triform.base.settings.config import parse
from triform.engine.fit import fit
from triform.systems.reinforce.config import Config
from triform.systems.reinforce.system import System
from triform.systems.reinforce.trained import Trained
from triform.tasks.agents.rollout import EnvironmentSpec, EpisodeRunner, summarize
from triform.tasks.agents.score_chart import WINDOW, rolling_mean

GAME, SOLVED, UNSEEN = "CartPole-v1", 475, 20_000
PRESETS = Path(__file__).parents[1] / "src" / "triform" / "systems" / "reinforce" / "presets"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150_000, help="environment steps per run")
    args = parser.parse_args()
    torch.set_num_threads(1)
    solved = 0
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            per_epoch = min(5000, args.steps)
            flags = ["--config", "cartpole", "--device", "cpu", "--seed", str(seed)]
            flags += ["--runs_dir", folder, "--sample_every", "0"]
            flags += ["--steps_per_epoch", str(per_epoch), "--epochs", str(args.steps // per_epoch)]
            system = System(parse(Config, flags, PRESETS))
            start = time.process_time()
            run = fit(system).run_dir
            seconds = time.process_time() - start
            scores = system.record.scores
            means = rolling_mean([score for _, score in scores])
            reached = [
                steps
                for number, ((steps, _), mean) in enumerate(zip(scores, means, strict=True), 1)
                if number >= WINDOW and mean >= SOLVED and steps <= args.steps
            ]
            solved += bool(reached)
            runner = EpisodeRunner(EnvironmentSpec(GAME, UNSEEN))
            found = []
            for file in ("best.pth", "last.pth"):
                agent = Trained(run / "checkpoints" / file, torch.device("cpu"))
                found.append(summarize(runner.run(agent.act, 100))["score"])
        print(
            f"seed {seed}: mean of {WINDOW} training episodes {SOLVED} after "
            f"{reached[0] if reached else 'never'} steps; in 100 unseen episodes: "
            f"best {found[0]:.1f}, final {found[1]:.1f}; {seconds:.0f} s",
            flush=True,
        )
    print(f"solved within {args.steps} steps: {solved} of {args.seeds} seeds")


if __name__ == "__main__":
    main()

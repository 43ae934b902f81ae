"""Ways from noise to pictures, in one run: quality and time of each.

    python benchmarks/diffusion_samplers.py --num_samples 1000 --ways dpm:20 ddim:20 ddpm:1000

Every way makes as many pictures of each class with the same weights. The kernel distance is to all
test pictures, by the project's own feature network: the unbiased estimate over all pictures at
once, with its standard error as far as the made pictures bring it. Beside it stand processor time
per picture, and how far both are from the last way named: a difference, because a distance at the
floor has no meaningful ratio.
"""

import argparse
import math
import time

import torch
from torch import Tensor

from triform.base.freed_memory import keep_freed_memory
from triform.base.seeding import generator
from triform.datasets.picture_batches import real_pictures
from triform.metrics.frechet import frechet_distance
from triform.metrics.kernel_distance import squared_mmd
from triform.pretrained.picture_features import picture_features
from triform.systems.diffusion.config import EvaluateConfig, GenerateConfig
from triform.systems.diffusion.trained import Trained

AGAIN = 20


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", help="a run or weights; else those that ship")
    parser.add_argument("--ways", nargs="+", default=["dpm:20", "ddim:20", "ddpm:1000"])
    parser.add_argument("--num_samples", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=250)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--download_path", default="datasets")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as every command does
    trained = Trained.choose(given.checkpoint, "cpu")
    asked = EvaluateConfig(download_path=given.download_path)
    pictures = real_pictures(trained.config.data, asked, trained.config.seed)
    real = picture_features(pictures.part("test"))
    labels = trained.labels((), given.num_samples)
    found: dict[str, dict[str, float]] = {}
    for way in given.ways:
        sampler, _, steps = way.partition(":")
        settings = GenerateConfig.model_validate(
            {"sampler": sampler, "steps": int(steps or 20), "seed": given.seed,
             "batch_size": given.batch_size}
        )  # fmt: skip
        began = time.process_time()
        made = torch.cat([end for *_, end in trained.draw(given.num_samples, settings, labels)])
        seconds = time.process_time() - began
        features = picture_features(made)
        found[way] = {
            "kernel distance": float(squared_mmd(features.double(), real.double())),
            "error": standard_error(features, real),
            "Fréchet": frechet_distance(features, real),
            "ms/picture": 1000 * seconds / len(made),
        }
        shown = ", ".join(f"{name} {value:.4g}" for name, value in found[way].items())
        print(f"{way}: {shown}", flush=True)
    last = found[given.ways[-1]]
    for way, numbers in found.items():
        further = numbers["kernel distance"] - last["kernel distance"]
        error = math.hypot(numbers["error"], last["error"])
        print(
            f"{way}: {further:+.4f} ± {error:.4f} from {given.ways[-1]}'s kernel distance, "
            f"{last['ms/picture'] / numbers['ms/picture']:.1f} times as fast"
        )
    return found


def standard_error(made: Tensor, real: Tensor) -> float:
    """Of the kernel distance: how much halves of the made pictures differ, over root two.

    Drawing with replacement would put equal pictures beside each other, which the unbiased
    estimate takes for closeness; halves have none.
    """
    random = generator("halves")
    half, values = len(made) // 2, []
    for _ in range(AGAIN):
        rows = torch.randperm(len(made), generator=random)
        parts = [squared_mmd(made[some].double(), real.double()) for some in rows.split(half)[:2]]
        values.append(parts[0] - parts[1])
    # The difference of two halves has four times the variance of the whole.
    return float(torch.stack(values).pow(2).mean().sqrt() / 2)


if __name__ == "__main__":
    main()

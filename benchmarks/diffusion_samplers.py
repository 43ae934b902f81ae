"""Samplers of diffusion in one run: quality and time of each.

    python benchmarks/diffusion_samplers.py --num_samples 1000 --samplers dpm:20 ddim:20 ddpm:1000

Every sampler generates as many images of each class with the same weights. The kernel distance is
to all test images, by the project's own feature network: the unbiased estimate over all images at
once, with the standard error due to the generated images. Beside it stand processor time per image,
and the difference of both from the last sampler: not a ratio, because a distance at the floor has
no meaningful one.
"""

import argparse
import math
import time

import torch
from torch import Tensor

from triform.base.malloc import keep_freed_memory
from triform.base.seeding import generator
from triform.metrics.frechet import frechet_distance
from triform.metrics.kernel_distance import squared_mmd
from triform.pretrained.image_features import image_features
from triform.systems.diffusion.config import GenerateConfig
from triform.systems.diffusion.trained import Trained

REPEATS = 20


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", help="a run or weights; else those that ship")
    parser.add_argument("--samplers", nargs="+", default=["dpm:20", "ddim:20", "ddpm:1000"])
    parser.add_argument("--num_samples", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=250)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--download_path", default="datasets")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as every command does
    trained = Trained.choose(given.checkpoint, "cpu")
    images = trained.real_images(download_path=given.download_path)
    real = image_features(images.part("test"))
    labels = trained.labels((), given.num_samples)
    results: dict[str, dict[str, float]] = {}
    for name in given.samplers:
        sampler, _, steps = name.partition(":")
        settings = GenerateConfig.model_validate(
            {
                "sampler": sampler,
                "steps": int(steps or 20),
                "seed": given.seed,
                "batch_size": given.batch_size,
            }
        )
        start = time.process_time()
        batches = trained.sample_batches(given.num_samples, settings, labels)
        generated = torch.cat([final for *_, final in batches])
        seconds = time.process_time() - start
        features = image_features(generated)
        results[name] = {
            "kernel distance": float(squared_mmd(features.double(), real.double())),
            "error": standard_error(features, real),
            "Fréchet": frechet_distance(features, real),
            "ms/image": 1000 * seconds / len(generated),
        }
        shown = ", ".join(f"{key} {value:.4g}" for key, value in results[name].items())
        print(f"{name}: {shown}", flush=True)
    last = results[given.samplers[-1]]
    for name, numbers in results.items():
        difference = numbers["kernel distance"] - last["kernel distance"]
        error = math.hypot(numbers["error"], last["error"])
        print(
            f"{name}: {difference:+.4f} ± {error:.4f} from {given.samplers[-1]}'s kernel distance, "
            f"{last['ms/image'] / numbers['ms/image']:.1f} times as fast"
        )
    return results


def standard_error(generated: Tensor, real: Tensor) -> float:
    """Standard error of the kernel distance, from halves of the generated images.

    A bootstrap would repeat images, which biases the estimate; halves do not.
    """
    random = generator("halves")
    half, values = len(generated) // 2, []
    for _ in range(REPEATS):
        rows = torch.randperm(len(generated), generator=random)
        first, second = (
            squared_mmd(generated[part].double(), real.double()) for part in rows.split(half)[:2]
        )
        values.append(first - second)
    # The difference of two halves has four times the variance of the whole.
    return float(torch.stack(values).pow(2).mean().sqrt() / 2)


if __name__ == "__main__":
    main()

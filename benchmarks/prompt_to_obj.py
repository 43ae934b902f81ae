"""From a sentence to an OBJ file: seconds in a warm process, and of the command as a whole.

    python benchmarks/prompt_to_obj.py
    python benchmarks/prompt_to_obj.py --checkpoint runs/voxel_gan/RUN

Warm: everything is loaded and one prompt was made; then each prompt alone, by the clock, with its
text encoded, its latent drawn, its grid decoded, its surface found and its file written. Cold: the
command `triform voxel_gan generate` from its start to its end. Sentences are not in any cache.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

PROMPTS = (
    "a round table with four legs",
    "an office chair with armrests",
    "a sofa with three seats",
    "a double bed with a headboard",
    "a bookcase with five shelves",
    "a floor lamp with a wide shade",
    "a wooden door with a handle",
    "a bathtub on four feet",
    "a man who stands upright",
    "a small car with four doors",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", help="instead of the weights that come with the project")
    parser.add_argument("--prompts", type=int, default=10, help="prompts in the warm process")
    parser.add_argument("--commands", type=int, default=3, help="cold commands")
    args = parser.parse_args()
    prompts = [PROMPTS[i % 10] + f" {i // 10}" * (i >= 10) for i in range(args.prompts)]
    with TemporaryDirectory() as folder:
        os.environ["TRIFORM_CACHE"] = str(Path(folder) / "cache")
        times, size = warm(prompts, args.checkpoint, Path(folder))
        print(f"{size}^3, {len(times)} prompts")
        print(f"  warm process  {spread(times)}")
        if args.commands:
            times = [
                cold(PROMPTS[i % 10], args.checkpoint, Path(folder) / str(i))
                for i in range(args.commands)
            ]
            print(f"  cold command  {spread(times)}")


def warm(prompts, checkpoint, folder):
    """Seconds of each prompt, and the resolution of the voxels."""
    from triform.geometry.io.export import save_mesh
    from triform.systems.voxel_gan.config import GenerateConfig
    from triform.systems.voxel_gan.generation import ShapeGenerator
    from triform.tasks.shape_generation.mesh_output import Request

    shapes = ShapeGenerator(GenerateConfig(checkpoint=checkpoint))

    def make(prompt, number):
        start = time.perf_counter()
        (voxels,) = shapes.generate([Request(prompt, number)])
        save_mesh(shapes.mesh(voxels), folder / f"{number}.obj")
        return time.perf_counter() - start

    make("a warm stove", 0)
    return [make(prompt, i + 1) for i, prompt in enumerate(prompts)], shapes.trained.voxel_size


def cold(prompt, checkpoint, folder):
    """Seconds of the command, with an empty cache of its own."""
    words = ["voxel_gan", "generate", "--prompt", prompt, "--output", str(folder / "model.obj")]
    words += ["--checkpoint", checkpoint] if checkpoint else []
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "triform", *words],
        env={**os.environ, "TRIFORM_CACHE": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def spread(times):
    return f"median {np.median(times):.2f} s, lowest {min(times):.2f} s, highest {max(times):.2f} s"


if __name__ == "__main__":
    main()

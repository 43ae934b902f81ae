"""From a sentence to a file: seconds in a warm process, and of the command as a whole.

    python benchmarks/prompt_to_obj.py
    python benchmarks/prompt_to_obj.py --checkpoint runs/voxel_gan/RUN
    python benchmarks/prompt_to_obj.py --system shape_flow --surface_resolution 128

Warm: everything is loaded and one prompt was made; then each prompt alone, by the clock, with its
text encoded, its latent drawn, its grid decoded, its surface found and its file written: OBJ of
`voxel_gan`, GLB with colours of `shape_flow`. Cold: the command `triform SYSTEM generate` from its
start to its end. Sentences are not in any cache.
"""

import argparse
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

SUFFIXES = {"voxel_gan": "obj", "shape_flow": "glb"}
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
    parser.add_argument("--system", choices=list(SUFFIXES), default="voxel_gan")
    parser.add_argument("--surface_resolution", type=int, help="of shape_flow; 0 = the model's")
    parser.add_argument("--candidates", type=int, help="of shape_flow, from which one is kept")
    parser.add_argument("--checkpoint", help="instead of the weights that come with the project")
    parser.add_argument("--prompts", type=int, default=10, help="prompts in the warm process")
    parser.add_argument("--commands", type=int, default=3, help="cold commands")
    args = parser.parse_args()
    names = ("checkpoint", "surface_resolution", "candidates")
    settings = {name: value for name in names if (value := getattr(args, name)) is not None}
    prompts = [PROMPTS[i % 10] + f" {i // 10}" * (i >= 10) for i in range(args.prompts)]
    with TemporaryDirectory() as folder:
        os.environ["TRIFORM_CACHE"] = str(Path(folder) / "cache")
        times = warm(args.system, prompts, settings, Path(folder))
        print(f"{args.system}, {len(times)} prompts")
        print(f"  warm process  {spread(times)}")
        if args.commands:
            times = [
                cold(args.system, PROMPTS[i % 10], settings, Path(folder) / str(i))
                for i in range(args.commands)
            ]
            print(f"  cold command  {spread(times)}")


def warm(system, prompts, settings, folder):
    """Seconds of each prompt."""
    from triform.geometry.io.export import save_mesh
    from triform.tasks.shape_generation.mesh_output import Request

    config = importlib.import_module(f"triform.systems.{system}.config").GenerateConfig(**settings)
    several = {"candidates": config.candidates} if system == "shape_flow" else {}
    generation = importlib.import_module(f"triform.systems.{system}.generation")
    shapes = generation.ShapeGenerator(config)

    def make(prompt, number):
        start = time.perf_counter()
        (generated,) = shapes.generate([Request(prompt, number)], **several)
        save_mesh(shapes.mesh(generated), folder / f"{number}.{SUFFIXES[system]}")
        return time.perf_counter() - start

    make("a warm stove", 0)
    return [make(prompt, i + 1) for i, prompt in enumerate(prompts)]


def cold(system, prompt, settings, folder):
    """Seconds of the command, with an empty cache of its own."""
    output = str(folder / f"model.{SUFFIXES[system]}")
    words = [system, "generate", "--prompt", prompt, "--output", output]
    for name, value in settings.items():
        words += [f"--{name}", str(value)]
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

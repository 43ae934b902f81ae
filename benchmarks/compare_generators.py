"""The image generators side by side: quality, coverage, speed, and stability over seeds.

    python benchmarks/compare_generators.py --sheet comparison.png
    python benchmarks/compare_generators.py --seeds 3

The first form measures trained weights (those that ship, or `--dcgan RUN` and so on) on 10,000
Fashion-MNIST test pictures with the project's own feature network: kernel and Fréchet distance with
their floors, precision and recall, entropy of the classes made (ln 10 = 2.303 is all alike), share
of copies of training pictures, and milliseconds per picture. The sheet shows a row of each.

The second trains the preset `digits` of each system with several seeds and says how far the results
are apart.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SYSTEMS: dict[str, list[list[str]]] = {
    "vae": [[]],
    "dcgan": [[]],
    "style_gan": [[]],
    "diffusion": [["--sampler", "dpm", "--steps", "20"], ["--sampler", "ddim", "--steps", "20"]],
}
COLUMNS = {
    "kernel_distance": "kernel distance", "kernel_distance_std": "+-",
    "frechet_distance": "Fréchet", "precision": "precision", "recall": "recall",
    "classes_entropy": "entropy", "copies": "copies", "milliseconds": "ms/picture",
}  # fmt: skip
SHOWN = 14


def triform(*words: str) -> dict[str, Any]:
    """What a command answers; its own complaint where it fails."""
    answer = subprocess.run(
        [sys.executable, "-m", "triform", *words, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode:
        sys.exit(answer.stderr)
    return json.loads(answer.stdout)


def measure(system: str, checkpoint: str | None, ways: list[str], number: int) -> dict[str, Any]:
    """One row of the table."""
    given = ["--checkpoint", checkpoint] if checkpoint else []
    said = triform(system, "evaluate", *given, *ways, "--num_samples", str(number))
    said = said.get("samples", said)
    return {"milliseconds": said.get("milliseconds_per_picture", float("nan")), **said}


def row_of_pictures(system: str, checkpoint: str | None, ways: list[str]) -> np.ndarray:
    """A row of made pictures."""
    given = ["--checkpoint", checkpoint] if checkpoint else []
    with tempfile.TemporaryDirectory() as folder:
        triform(system, "generate", *given, *ways, "--num_samples", str(SHOWN), "--output", folder)
        pictures = [np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.png"))]
    return np.concatenate([np.pad(each, 1, constant_values=255) for each in pictures], axis=1)


def stability(seeds: int) -> dict[str, list[float]]:
    """Kernel distances of the preset `digits`, one for each seed."""
    found: dict[str, list[float]] = {}
    for system in SYSTEMS:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = triform(system, "train", "--config", "digits", "--seed", str(seed),
                              "--runs_dir", folder)["run"]  # fmt: skip
                said = triform(system, "evaluate", "--checkpoint", run, "--num_samples", "360")
            value = said.get("samples", said)["kernel_distance"]
            found.setdefault(system, []).append(value)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for system in SYSTEMS:
        parser.add_argument(f"--{system}", help="its run, or weights; else those that ship")
    parser.add_argument("--num_samples", type=int, default=10_000)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--seeds", type=int, default=0)
    given = parser.parse_args()
    if given.seeds:
        print("| system | kernel distance on digits, median (lowest to highest) |\n|---|---|")
        for system, values in stability(given.seeds).items():
            shown = f"{statistics.median(values):.4f} ({min(values):.4f} to {max(values):.4f})"
            print(f"| {system} | {shown} |")
        return
    rows, strips = {}, []
    for system, all_ways in SYSTEMS.items():
        checkpoint = getattr(given, system)
        for ways in all_ways:
            name = " ".join([system, *ways[1::2]])
            rows[name] = measure(system, checkpoint, ways, given.num_samples)
        if given.sheet:
            strips.append(row_of_pictures(system, checkpoint, all_ways[0]))
    print("| | " + " | ".join(COLUMNS.values()) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[key]:.4g}" for key in COLUMNS) + " |")
    floor = next(iter(rows.values()))
    print(
        f"floor (training pictures): kernel distance {floor['kernel_distance_floor']:.5f}, "
        f"Fréchet {floor['frechet_distance_floor']:.4f}; features: {floor['features']}"
    )
    if given.sheet:
        sheet = Image.fromarray(np.concatenate(strips))
        sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(
            given.sheet
        )


if __name__ == "__main__":
    main()

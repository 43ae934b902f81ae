"""The image generators side by side: quality, coverage, speed, and stability over seeds.

    python benchmarks/compare_generators.py --sheet comparison.png
    python benchmarks/compare_generators.py --seeds 3 --minutes 1
    python benchmarks/compare_generators.py --seeds 3 --minutes 0 --preset digits

The first form measures trained weights (those that ship, or `--dcgan RUN` and so on) on 10,000
Fashion-MNIST test images with the project's own feature network: kernel and Fréchet distance with
their floors, precision and recall, entropy of the generated classes (ln 10 = 2.303 if all are
equally frequent), share of copies of training images, and milliseconds per image. The sheet shows
a row of each.

The others train a preset of each system with several seeds and report the spread of the results:
each for the same time, cut short and worse than the preset can be, or (0) as long as it asks for.
This measures how much the generated images depend on the seed.
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
    "kernel_distance": "kernel distance",
    "kernel_distance_std": "+-",
    "frechet_distance": "Fréchet",
    "precision": "precision",
    "recall": "recall",
    "classes_entropy": "entropy",
    "copies": "copies",
    "milliseconds": "ms/image",
}
STABILITY = {
    key: COLUMNS[key] for key in ("kernel_distance", "precision", "recall", "classes_entropy")
}
STABILITY_SAMPLES = 1000
COLUMNS_OF_SHEET = 14


def triform(*words: str) -> dict[str, Any]:
    """Answer of a command; ends with its error message if it fails."""
    result = subprocess.run(
        [sys.executable, "-m", "triform", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout)


def measure(
    system: str, checkpoint: str | None, options: list[str], num_samples: int
) -> dict[str, Any]:
    """One row of the table."""
    given = ["--checkpoint", checkpoint] if checkpoint else []
    report = triform(system, "evaluate", *given, *options, "--num_samples", str(num_samples))
    return {"milliseconds": report.get("milliseconds_per_image", float("nan")), **report}


def row_of_images(system: str, checkpoint: str | None, options: list[str]) -> np.ndarray:
    """A row of generated images."""
    given = ["--checkpoint", checkpoint] if checkpoint else []
    with tempfile.TemporaryDirectory() as folder:
        triform(
            system,
            "generate",
            *given,
            *options,
            "--num_samples",
            str(COLUMNS_OF_SHEET),
            "--output",
            folder,
        )
        images = [np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.png"))]
    return np.concatenate([np.pad(each, 1, constant_values=255) for each in images], axis=1)


def stability(
    systems: list[str], seeds: int, minutes: float, preset: str
) -> dict[str, list[dict[str, Any]]]:
    """Metrics of short runs, one for each system and seed."""
    results: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    for seed in range(seeds):  # the outer loop: a machine that slows down hits all systems alike
        for system in systems:
            with tempfile.TemporaryDirectory() as folder:
                run = triform(
                    system,
                    "train",
                    "--config",
                    preset,
                    "--seed",
                    str(seed),
                    "--runs_dir",
                    folder,
                    "--max_minutes",
                    str(minutes),
                    "--sample_every",
                    "0",
                )["run"]
                results[system].append(measure(system, run, SYSTEMS[system][0], STABILITY_SAMPLES))
            latest = results[system][-1]
            print(f"{system}, seed {seed}: {latest['kernel_distance']:.4f}", file=sys.stderr)
    return results


def stability_table(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Median, lowest and highest of a few numbers."""
    lines = ["| | " + " | ".join(STABILITY.values()) + " |", "|---" * (len(STABILITY) + 1) + "|"]
    for system, runs in results.items():
        cells = []
        for key in STABILITY:
            values = [run[key] for run in runs]
            middle = statistics.median(values)
            cells.append(f"{middle:.3g} ({min(values):.3g} to {max(values):.3g})")
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for system in SYSTEMS:
        parser.add_argument(f"--{system}", help="its run, or weights; else those that ship")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--num_samples", type=int, default=10_000)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=2, help="per seed; 0 = all of it")
    parser.add_argument("--preset", default="fashion")
    given = parser.parse_args()
    if given.seeds:
        results = stability(given.systems, given.seeds, given.minutes, given.preset)
        print("\n".join(stability_table(results)))
        return
    rows, strips = {}, []
    for system in given.systems:
        all_options = SYSTEMS[system]
        checkpoint = getattr(given, system)
        for options in all_options:
            name = " ".join([system, *options[1::2]])
            rows[name] = measure(system, checkpoint, options, given.num_samples)
            print(f"{name}: {rows[name]}", file=sys.stderr, flush=True)
        if given.sheet:
            strips.append(row_of_images(system, checkpoint, all_options[0]))
    print("| | " + " | ".join(COLUMNS.values()) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[key]:.4g}" for key in COLUMNS) + " |")
    floor = next(iter(rows.values()))
    print(
        f"floor (training images): kernel distance {floor['kernel_distance_floor']:.5f}, "
        f"Fréchet {floor['frechet_distance_floor']:.4f}; features: {floor['features']}"
    )
    if given.sheet:
        sheet = Image.fromarray(np.concatenate(strips))
        sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(
            given.sheet
        )


if __name__ == "__main__":
    main()

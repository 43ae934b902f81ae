"""How well the distance to the training captions tells unknown prompts from known ones.

Captions of the furniture libraries and of the parametric furniture are split by object: 80 % give
the centroids, the rest are held out. Held-out captions are known; unknown are the furniture's
Russian names, Unicode's names of animals, plants, food and faces, and random letters. One half of
every kind selects the threshold, the other half measures.
"""

import argparse
import csv
import random
import unicodedata
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.cluster.vq import kmeans2

import triform.systems.voxel_gan
from triform.datasets.load import load_dataset
from triform.datasets.shape import list_shapes
from triform.datasets.testdataset import generate_objects
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.voxel_gan.caption_distance import CENTROIDS, centroid_distances
from triform.systems.voxel_gan.conditioning import caption_variants

NUM_CENTROIDS = 512
NUM_PARAMETRIC, MAX_PARAMETRIC = 1000, 1500
MAX_PER_KIND = 300
FALSE_ALARMS = 0.02
"""Share of the held-out captions of the first half that may be beyond the threshold."""
OTHER_THINGS = [(0x1F400, 0x1F4A0), (0x1F330, 0x1F380), (0x1F600, 0x1F650)]
"""Code points of animals; plants and food; faces."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def position(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return zlib.crc32(text.encode()) / 2**32


def captions(download_path: str) -> tuple[list[str], list[str], list[str]]:
    """Training captions, held-out captions, and Russian names."""
    shapes = list_shapes(load_dataset("sweethome3d", download_path))
    russian = {
        name
        for shape in shapes
        for name, language in zip(shape.captions, shape.languages, strict=True)
        if language == "ru"
    }
    real: dict[bool, set[str]] = {True: set(), False: set()}
    parametric: dict[bool, set[str]] = {True: set(), False: set()}
    for shape in shapes:
        held_out = position(f"split {shape.object_id}") >= 0.8
        real[held_out].update(caption_variants(shape.english or shape.captions))
    for generated in generate_objects(NUM_PARAMETRIC):
        held_out = position(f"split {generated.name}") >= 0.8
        parametric[held_out].update(caption_variants(generated.captions))
    rng = random.Random(0)
    train = sorted(real[False] | set(rng.sample(sorted(parametric[False]), MAX_PARAMETRIC)))
    held = sorted((real[True] - real[False]) | set(rng.sample(sorted(parametric[True]), 200)))
    return train, held, sorted(russian)


def unknown_kinds(russian: list[str]) -> dict[str, list[str]]:
    """Prompts of every unknown kind."""
    rng = random.Random(0)
    words = ["".join(rng.choices(LETTERS, k=rng.randint(3, 9))) for _ in range(1200)]
    names = [
        unicodedata.name(chr(code), "").lower()
        for start, end in OTHER_THINGS
        for code in range(start, end)
    ]
    return {
        "Russian names of furniture": russian,
        "animals, plants, food, faces": sorted(filter(None, names)),
        "random letters": [" ".join(words[3 * i : 3 * i + rng.randint(1, 3)]) for i in range(400)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--download_path", default="datasets")
    parser.add_argument("--write", action="store_true", help=f"write {CENTROIDS.name}")
    args = parser.parse_args()
    encoder = load_text_encoder("minilm")
    train, held, russian = captions(args.download_path)
    prompts = Path(triform.systems.voxel_gan.__file__).with_name("prompts.csv")
    with prompts.open(encoding="utf-8", newline="") as file:
        evaluation = [row["prompt"] for row in csv.DictReader(file)]
    kinds = {"held-out captions": held, "prompts.csv": evaluation, **unknown_kinds(russian)}
    known = {"held-out captions", "prompts.csv"}

    means, _ = kmeans2(encoder.encode(train), NUM_CENTROIDS, minit="++", seed=0)
    means /= np.abs(means).max(axis=1, keepdims=True)
    centroids = np.round(means * 127).astype(np.int8)
    if args.write:
        save_file({"centroids": centroids}, CENTROIDS)
    distances = {}
    for kind, texts in kinds.items():
        halves = [[t for t in texts if (position(t) < 0.5) == first] for first in (True, False)]
        distances[kind] = [
            centroid_distances(encoder.encode(half[:MAX_PER_KIND]), centroids) for half in halves
        ]
    threshold = float(np.quantile(distances["held-out captions"][0], 1 - FALSE_ALARMS))
    print(f"{len(train)} captions, {NUM_CENTROIDS} centroids, threshold {threshold:.3f}")
    for kind, (first, second) in distances.items():
        name = "false alarms" if kind in known else "hits"
        shares = [float((half > threshold).mean()) for half in (first, second)]
        print(f"{kind}: {name} {shares[0]:.3f} (selection), {shares[1]:.3f} of {len(second)}")


if __name__ == "__main__":
    main()

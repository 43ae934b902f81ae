"""How well the distance to the training captions tells unknown prompts from known ones.

The training split of the preset `furniture` gives the captions. Known prompts are captions of its
other splits that are no training text; unknown ones are names of furniture in languages that the
text encoder cannot read, Unicode's names of animals, food and faces, sentences of Python's
documentation, random letters. The validation split and half of the unknown ones select the
threshold, the others measure it. The first call computes voxels or distances of the shapes, because
near copies are in one split.
"""

import argparse
import inspect
import json
import math
import os
import random
import socket
import statistics
import threading
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from replace_metadata import replace_metadata

import triform.systems.shape_flow
import triform.systems.voxel_gan
from triform.base.paths import cache_dir
from triform.base.settings.config import parse
from triform.datasets.listing import list_shapes
from triform.datasets.load import load_dataset
from triform.pretrained.text_encoder import embed_texts, load_text_encoder
from triform.systems.shape_flow.config import Config as ShapeFlowConfig
from triform.systems.shape_flow.data import LANGUAGES, ShapeDataset, load_shape_dataset
from triform.systems.voxel_gan.conditioning import caption_variants
from triform.systems.voxel_gan.config import Config
from triform.systems.voxel_gan.data import load_voxel_dataset
from triform.tasks.shape_generation.caption_distance import (
    ENCODER,
    MAX_DISTANCES,
    nearest_captions,
    training_captions,
)
from triform.tasks.shape_generation.multilingual_captions import captions_by_language

FALSE_ALARMS = 0.02
"""Share of the validation captions of real objects that may be beyond the threshold."""
FOREIGN = {
    "minilm": ("ru", "de", "fr", "tr", "ja", "zh_CN"),
    "use-multilingual": ("bg", "cs", "el", "fi", "hu", "sv", "vi"),
}
"""Languages of furniture names that an encoder was not trained on."""
MAX_PER_KIND = 240
SYMBOLS = {
    "animals": range(0x1F400, 0x1F440),
    "plants and food": range(0x1F330, 0x1F380),
    "faces": range(0x1F600, 0x1F650),
}
MODULES = (inspect, json, math, os, random, socket, statistics, threading)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def voxel_gan_captions(download_path: str) -> dict[str, dict[str, set[str]]]:
    """Texts of each split of `voxel_gan`: all of them, those of real and of parametric shapes."""
    presets = Path(triform.systems.voxel_gan.__file__).with_name("presets")
    flags = ["--config", "furniture", "--stretches", "0", "--download_path", download_path]
    dataset = load_voxel_dataset(parse(Config, flags, presets).data)

    def captions(split: str, *, parametric: bool) -> set[str]:
        return {
            caption
            for row in dataset.rows(split)
            if (dataset.table.shapes[row].source == "testdataset") == parametric
            for caption in dataset.captions[row]
        }

    groups = [dataset.captions[row] for row in dataset.rows("train")]
    known: dict[str, dict[str, set[str]]] = {
        split: {
            "captions, real": captions(split, parametric=False),
            "captions, parametric": captions(split, parametric=True),
        }
        for split in ("val", "test")
    }
    return known | {"train": {"": {text for group in groups for text in caption_variants(group)}}}


def shape_flow_captions(download_path: str) -> dict[str, dict[str, set[str]]]:
    """Texts of each split of `shape_flow`: all of them, and those of shapes of three kinds."""
    presets = Path(triform.systems.shape_flow.__file__).with_name("presets")
    flags = ["--config", "furniture", "--stretches", "0", "--download_path", download_path]
    config = parse(ShapeFlowConfig, flags, presets)
    languages = LANGUAGES[config.model.text_encoder]
    texts: dict[str, dict[str, set[str]]] = {split: {} for split in ("train", "val", "test")}
    dataset: ShapeDataset = load_shape_dataset(config.data)
    for shape, split in zip(dataset.shapes, dataset.splits, strict=True):
        for language, captions in captions_by_language(shape, languages).items():
            kind = "parametric" if shape.source == "parametric" else "real"
            if kind == "real" and language != "en":
                kind = "real, other languages"
            name = "" if split == "train" else f"captions, {kind}"
            texts[split].setdefault(name, set()).update(captions)
    return texts


SYSTEMS = {
    "voxel_gan": (voxel_gan_captions, ENCODER),
    "shape_flow": (shape_flow_captions, "use-multilingual"),
}
"""Texts, and the encoder of the preset."""


def unknown_prompts(download_path: str, languages: Sequence[str]) -> dict[str, list[str]]:
    """Prompts of every unknown kind."""
    rng = random.Random(0)
    prompts: dict[str, set[str]] = {}
    shapes = list_shapes(load_dataset("sweethome3d", download_path))
    english = {caption.lower() for shape in shapes for caption in shape.english}
    for shape in shapes:
        for caption, language in zip(shape.captions, shape.languages, strict=True):
            # A name that was left in English is no other language.
            if language in languages and caption.lower() not in english:
                prompts.setdefault(language, set()).add(caption)
    for kind, codes in SYMBOLS.items():
        prompts[kind] = {unicodedata.name(chr(code)).lower() for code in codes}
    prompts["documentation"] = {
        line
        for module in MODULES
        for name, member in vars(module).items()
        if callable(member) and not name.startswith("_")
        if 20 < len(line := (inspect.getdoc(member) or "").partition("\n")[0]) < 100
    }
    prompts["random letters"] = {
        " ".join(
            "".join(rng.choices(LETTERS, k=rng.randint(3, 9))) for _ in range(rng.randint(1, 3))
        )
        for _ in range(MAX_PER_KIND)
    }
    return {kind: sample(texts) for kind, texts in prompts.items()}


def sample(texts: set[str]) -> list[str]:
    """At most `MAX_PER_KIND` of some texts, the same in every call."""
    return random.Random(0).sample(sorted(texts), min(len(texts), MAX_PER_KIND))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=list(SYSTEMS), default="voxel_gan")
    parser.add_argument("--download_path", default="datasets")
    parser.add_argument("--write", action="store_true", help="into the shipped weights, too")
    args = parser.parse_args()
    load_texts, name = SYSTEMS[args.system]
    encoder, max_distance = load_text_encoder(name), MAX_DISTANCES[name]

    def embed(texts: list[str]) -> np.ndarray:
        return embed_texts(encoder, texts, cache_dir() / "embeddings")

    by_split = load_texts(args.download_path)
    texts = sorted(by_split["train"][""])
    captions = training_captions(encoder, texts, embed(texts))
    size = len(json.dumps(captions))
    print(f"{len(captions['texts'])} of {len(texts)} training texts, {size / 1000:.0f} KB")
    if args.write:
        replace_metadata(args.system, {"captions": captions})

    known: dict[str, tuple[list[str], ...]] = {
        kind: tuple(sample(by_split[split][kind] - set(texts)) for split in ("val", "test"))
        for kind in by_split["val"]
    }
    prompts = known | {
        kind: tuple([t for t in unknown if zlib.crc32(t.encode()) % 2 == half] for half in (0, 1))
        for kind, unknown in unknown_prompts(args.download_path, FOREIGN[name]).items()
    }
    distances = {
        kind: tuple(nearest_captions(embed(half), captions)[0] for half in halves)
        for kind, halves in prompts.items()
    }
    real = [halves[0] for kind, halves in distances.items() if kind.startswith("captions, real")]
    selected = np.quantile(np.concatenate(real), 1 - FALSE_ALARMS)
    print(f"threshold selected on the validation captions {selected:.3f}, in force {max_distance}")
    for kind, halves in distances.items():
        rates = [
            f"{np.mean(half > max_distance):6.1%} of {len(half)} ({part})"
            for half, part in zip(halves, ("selection", "test"), strict=True)
        ]
        print(f"{kind:36}{'false alarms' if kind in known else 'hits':14}{', '.join(rates)}")


if __name__ == "__main__":
    main()

"""Encoding of a shape library into latents: in batches against one object at a time.

    python benchmarks/shap_e_encode.py LIBRARY [--objects 50] [--batch_size 10] [--rounds 3]
        [--preset furniture]

Random weights of a preset, reading and writing included; processor seconds, so that
a busy machine disturbs less. The original encodes one object per call.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from triform import systems
from triform.base.settings.config import parse
from triform.engine.checkpoints.checkpoint import export_weights
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.encode import encode
from triform.systems.shap_e.transmitter.transmitter import Transmitter
from triform.systems.shap_e.verb_config import EncodeConfig


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--batch_size", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="furniture")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    config = parse(Config, ["--config", arguments.preset], systems.load("shap_e").presets)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        networks = {"transmitter": Transmitter(config.transmitter).state_dict()}
        export_weights(weights, networks, config.model_dump(mode="json"), system="shap_e")
        for number in range(arguments.rounds):
            seconds = {}
            for size in (1, arguments.batch_size):
                started = time.process_time()
                report = encode(
                    EncodeConfig(
                        library=arguments.library,
                        transmitter=str(weights),
                        output=Path(folder) / f"{number}-{size}",
                        batch_size=size,
                        max_samples=arguments.objects,
                        device="cpu",
                    )
                )
                seconds[size] = (time.process_time() - started) / report["encoded"]
            ratios.append(seconds[1] / seconds[arguments.batch_size])
            print(
                f"one at a time {seconds[1] * 1000:.1f} ms, batches of {arguments.batch_size} "
                f"{seconds[arguments.batch_size] * 1000:.1f} ms per object"
            )
    spread = statistics.stdev(ratios) if len(ratios) > 1 else 0.0
    print(f"{report['encoded']} objects; ratio {statistics.mean(ratios):.2f} ± {spread:.2f}")


if __name__ == "__main__":
    main()

"""Encoding of a shape library into latents: in batches against one object at a time.

    python benchmarks/shap_e_encode.py LIBRARY [--objects 50] [--batch_size 10] [--rounds 3]
        [--preset furniture]

Random weights of a preset, reading and writing included; processor seconds, so that
a busy machine disturbs less. The original encodes one object per call. Where the time goes and the
speed of the networks (multiplications and additions a second) say what a batch can save.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from triform import systems
from triform.base.settings.config import parse
from triform.engine.checkpoints.checkpoint import export_weights
from triform.systems.shap_e import encode as encode_module
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.transmitter.encoder import Encoder
from triform.systems.shap_e.transmitter.transmitter import Transmitter
from triform.systems.shap_e.verb_config import EncodeConfig

PARTS = {
    "files": ((encode_module, "read_points"), (encode_module, "write_latent")),
    "points of tokens": ((Encoder, "_select"),),
    "encoder": ((Transmitter, "encode"),),
}


def timed(function: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """A function whose processor seconds are added up."""

    def run(*values: Any) -> Any:
        started = time.process_time()
        result = function(*values)
        seconds[name] = seconds.get(name, 0.0) + time.process_time() - started
        return result

    return run


def operations(config: Config) -> float:
    """Multiplications and additions of the networks for one object."""
    points = max(config.transmitter.inner_points, config.transmitter.data_tokens)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Transmitter(config.transmitter).encode(
            torch.rand(1, points, 6), None, [torch.Generator().manual_seed(0)]
        )
    return float(counter.get_total_flops())


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
    count = operations(config)
    seconds: dict[str, float] = {}
    for name, functions in PARTS.items():
        for owner, function in functions:
            setattr(owner, function, timed(getattr(owner, function), name, seconds))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        networks = {"transmitter": Transmitter(config.transmitter).state_dict()}
        export_weights(weights, networks, config.model_dump(mode="json"), system="shap_e")
        for number in range(arguments.rounds):
            totals = {}
            for size in (1, arguments.batch_size):
                seconds.clear()
                started = time.process_time()
                report = encode_module.encode(
                    EncodeConfig(
                        library=arguments.library,
                        transmitter=str(weights),
                        output=Path(folder) / f"{number}-{size}",
                        batch_size=size,
                        max_samples=arguments.objects,
                        device="cpu",
                    )
                )
                encoded = report["encoded"]
                totals[size] = (time.process_time() - started) / encoded
                parts = {name: value / encoded for name, value in seconds.items()}
                parts["networks"] = parts.pop("encoder") - parts["points of tokens"]
                parts["rest"] = totals[size] - sum(parts.values())
                speed = count / parts["networks"] / 1e9
                print(
                    f"batches of {size}: {1000 * totals[size]:.2f} ms an object, "
                    + ", ".join(f"{name} {1000 * value:.2f}" for name, value in parts.items())
                    + f"; networks {count / 1e9:.3f} GFLOP, {speed:.1f} GFLOP/s"
                )
            ratios.append(totals[1] / totals[arguments.batch_size])
    spread = statistics.stdev(ratios) if len(ratios) > 1 else 0.0
    print(f"{report['encoded']} objects; ratio {statistics.mean(ratios):.2f} ± {spread:.2f}")


if __name__ == "__main__":
    main()

"""Training with slices of the parameters (FSDP2): losses and memory of one process and of several.

    python benchmarks/fsdp.py [--processes 2] [--width 2048] [--layers 24] [--steps 4]

A network whose parameters and Adam's moments dominate, with evaluation and a checkpoint, by the
engine's own loop: 4 bytes of weights, 4 of gradients and 8 of moments a parameter. Prints the
losses, and for each process the largest memory of its own (without that of mapped files).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.seeding import generator
from triform.engine.checkpoints import checkpoint
from triform.engine.config import SystemConfig
from triform.engine.epoch_loader import EpochLoader
from triform.engine.fit import fit
from triform.engine.optimizers import adamw
from triform.engine.processes import process_index
from triform.engine.protocol import System
from triform.engine.runs.tracking import read_metrics
from triform.engine.update import Update

GIB = 2**30
BATCH = 16


class Wide(System[SystemConfig]):
    """Residual linear layers that learn a fixed function."""

    name = "wide"

    def __init__(self, config: SystemConfig, width: int, layers: int, steps: int, batch: int):
        super().__init__(config)
        blocks = [
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(layers)
        ]
        self.networks = {"model": Residual(blocks)}
        self.optimizers = {"main": adamw(self.networks["model"].parameters(), config.training)}
        self.inputs = torch.randn(steps * BATCH, width, generator=generator("inputs"))
        self.loader = EpochLoader(len(self.inputs), self.fetch, batch_size=batch, seed=0)

    def fetch(self, indices: Any, random: torch.Generator) -> dict[str, Tensor]:
        """A batch that depends on its samples alone."""
        return {"inputs": self.inputs[list(indices)]}

    def loss(self, inputs: Tensor) -> Tensor:
        """Squared error."""
        output: Tensor = self.networks["model"](inputs)
        return (output - torch.sin(inputs)).square().mean()

    def step(self, batch: Any, update: Update) -> dict[str, Tensor]:
        loss = self.loss(batch["inputs"])
        update(loss)
        return {"loss": loss.detach()}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        return {"loss": float(self.loss(self.inputs[:BATCH]))}


class Residual(nn.Module):
    """Blocks with residuals."""

    def __init__(self, blocks: list[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(B, W) to (B, W)."""
        for block in self.blocks:
            x = x + 0.1 * block(x)
        return x


def own_memory() -> int:
    """Bytes of this process alone, without those of mapped files."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def watch(peak: list[int]) -> None:
    """Keep the largest memory of this process."""
    while True:
        peak[0] = max(peak[0], own_memory())
        time.sleep(0.01)


def train(arguments: argparse.Namespace) -> None:
    """Train as one of the processes; writes what it took."""
    start = own_memory()
    peak = [start]
    threading.Thread(target=watch, args=(peak,), daemon=True).start()
    count = int(os.environ.get("WORLD_SIZE", "1"))
    folder = Path(arguments.folder)
    config = SystemConfig.model_validate(
        {
            "device": "cpu",
            "training": {
                **{"epochs": 1, "lr": 1e-4, "precision": "float32", "fsdp": count > 1},
                "num_threads": 1,
            },
            "logging": {"runs_dir": str(folder), "log_every": 1, "sample_every": 0},
        }
    )
    size = BATCH // count
    fit(Wide(config, arguments.width, arguments.layers, arguments.steps, size))
    report = {"start": start, "peak": peak[0]}
    (folder / f"{process_index()}.json").write_text(json.dumps(report), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        train(arguments)
        return
    sizes = arguments.layers * (arguments.width**2 + 3 * arguments.width)
    print(f"{sizes / 1e6:.1f} M parameters: {4 * sizes / GIB:.2f} GiB, four times that to train")
    losses, peaks, states = [], [], []
    with tempfile.TemporaryDirectory() as root:
        for count in (1, arguments.processes):
            folder = Path(root, str(count))
            folder.mkdir()
            launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
            flags = [
                f"--{name}={getattr(arguments, name)}" for name in ("width", "layers", "steps")
            ]
            command = [sys.executable, *launcher * (count > 1), __file__, *flags]
            subprocess.run([*command, f"--folder={folder}"], check=True)
            (run,) = folder.glob("wide/*")
            lines = read_metrics(run / "metrics.jsonl")
            losses.append([line["train/loss"] for line in lines if "train/loss" in line])
            losses[-1] += [line["val/loss"] for line in lines if "val/loss" in line]
            reports = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
            peaks.append(max(report["peak"] for report in reports))
            for number, report in enumerate(reports):
                print(
                    f"process {number + 1} of {count}: at most {report['peak'] / GIB:.2f} GiB, "
                    f"{report['start'] / GIB:.2f} of it before the network"
                )
            state = checkpoint.load(run / "checkpoints/last.pth", mmap=True)
            states.append(state["networks"]["model"])
        print("losses:", *(" ".join(f"{loss:.7f}" for loss in each) for each in losses), sep="\n  ")
        difference = max(abs(a - b) for a, b in zip(*losses, strict=True))
        weights = max(float((states[1][key] - one).abs().max()) for key, one in states[0].items())
        print(f"largest difference of losses {difference:.1e}, of weights {weights:.1e}")
        print(f"memory of a process: {peaks[1] / peaks[0]:.1%} of that of one alone")


if __name__ == "__main__":
    main()

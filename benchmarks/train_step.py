"""One training step of the documented network: number formats and memory layouts compared.

    python benchmarks/train_step.py

Forward, backward and optimizer of `triform voxel_gan train` with its defaults (64^3, batches of 8),
as the system itself does them, against the same step in plain float32 with contiguous tensors. All
ways take turns in one process; the figures are medians of processor time, which other programs on
the machine disturb less than a clock. Then every parameter's gradient against plain float32's: the
lowest cosine and how far the norms are apart. Two parts: the VAE alone, and VAE with discriminator.

`keep_freed_memory` tells glibc not to return freed memory to the system between steps:
without it every large tensor begins with pages that the system has to fill with zeros.
"""

import argparse
import ctypes
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from triform.engine.config import SchedulerConfig
from triform.engine.device import autocast
from triform.engine.processes import Processes
from triform.engine.schedule import Schedule
from triform.engine.update import Update
from triform.systems.voxel_gan.config import Config, DataConfig, ModelConfig, VoxelTrainingConfig
from triform.systems.voxel_gan.data import load_voxel_dataset
from triform.systems.voxel_gan.system import System

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Way:
    """How to compute; a layout of None leaves networks and optimizers as the system made them."""

    layout: torch.memory_format | None = None
    precision: str = "float32"
    fused: bool = False
    keep_freed_memory: bool = False


PLAIN = "float32 contiguous"
WAYS = {
    PLAIN: Way(torch.contiguous_format),
    "float32 channels-last": Way(torch.channels_last_3d),
    "bf16 contiguous": Way(torch.contiguous_format, "bf16"),
    "bf16 channels-last": Way(torch.channels_last_3d, "bf16"),
    "ours": Way(),
    "ours, bf16": Way(precision="bf16"),
    "ours, fused AdamW": Way(fused=True),
    "ours, fused, kept": Way(fused=True, keep_freed_memory=True),
}


class Gradients:
    """Stands where the engine's update stands, and keeps gradients instead of stepping."""

    def __init__(self, system):
        self.system, self.by_name = system, {}

    def __call__(self, loss, name, *, retain_graph=False):
        # By network, not by optimizer: what one network of several learns is compared apart.
        network = self.system.networks["cvae" if name == "generator" else name]
        names, parameters = zip(*network.named_parameters(), strict=True)
        found = torch.autograd.grad(loss, parameters, retain_graph=True)
        self.by_name |= {
            f"{name} {key}": gradient.float() for key, gradient in zip(names, found, strict=True)
        }


class Contestant:
    """The system computing one way."""

    def __init__(self, way, config, objects):
        self.way, self.config = way, config
        self.system = system = System(config, objects)
        if way.layout is not None:
            for network in system.networks.values():
                # Through the other layout, because a layout is only changed where it differs.
                network.to(memory_format=torch.contiguous_format).to(memory_format=way.layout)
            self.rebuild_optimizers(fused=False)
        elif way.fused:
            self.rebuild_optimizers(fused=True)
        schedule = Schedule(
            SchedulerConfig(type="none"), warmup_steps=0, total_steps=0, epochs=1, mode="max"
        )
        self.update = Update(
            system.networks,
            system.optimizers,
            schedule,
            config.training,
            way.precision,
            Processes(CPU),
        )

    def rebuild_optimizers(self, *, fused):
        for name, optimizer in self.system.optimizers.items():
            options = ("params", "lr", "betas", "eps", "weight_decay")
            groups = [{key: group[key] for key in options} for group in optimizer.param_groups]
            self.system.optimizers[name] = type(optimizer)(groups, fused=fused)

    def step(self, batch, update=None):
        torch.manual_seed(0)
        if update is None:
            self.update.begin(0, 0)
        with autocast(CPU, self.way.precision):
            self.system.step(batch, update or self.update)

    def seconds(self, batch):
        keep_memory(self.way.keep_freed_memory)
        start = time.process_time()
        self.step(batch)
        return time.process_time() - start

    def gradients(self, batch):
        gradients = Gradients(self.system)
        self.step(batch, gradients)
        self.system.num_steps = 0
        return gradients.by_name


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each way")
    parser.add_argument("--voxel_size", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--hidden_channels", type=int, default=ModelConfig().hidden_channels)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--download_path", default="datasets", help="for the parametric shapes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = DataConfig(
        dataset=(f"testdataset:{4 * args.batch_size}",),
        download_path=args.download_path,
        voxel_size=args.voxel_size,
        batch_size=args.batch_size,
    )
    objects = load_voxel_dataset(data)
    model = ModelConfig(
        hidden_channels=args.hidden_channels, disc_hidden_channels=args.hidden_channels
    )
    for part, lambda_adv in (("VAE", 0.0), ("VAE and discriminator", 0.001)):
        training = VoxelTrainingConfig(lambda_adv=lambda_adv)
        config = Config(data=data, model=model, training=training)
        print(
            f"{part}, {args.voxel_size}^3, batches of {args.batch_size}, "
            f"{args.threads} thread(s), {args.rounds} steps each"
        )
        compare(config, objects, args.rounds)


def compare(config, objects, rounds):
    contestants = {name: Contestant(way, config, objects) for name, way in WAYS.items()}
    batch = next(contestants[PLAIN].system.batches())
    truth = contestants[PLAIN].gradients(batch)
    closeness = {
        name: compare_gradients(contestant.gradients(batch), truth)
        for name, contestant in contestants.items()
    }
    times = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            seconds = contestant.seconds(batch)
            if number:  # the first step of each builds kernels and optimizer states
                times[name].append(seconds)
    keep_memory(False)
    plain = np.median(times[PLAIN])
    print(f"  {'':24} {'median s':>9} {'lowest':>8} {'times faster':>13}   gradients: {CLOSENESS}")
    for name, seconds in times.items():
        median = np.median(seconds)
        print(
            f"  {name:24} {median:9.3f} {min(seconds):8.3f} {plain / median:13.2f}"
            f"   {closeness[name]}"
        )


CLOSENESS = "lowest cosine, norms' ratio from, to"


def compare_gradients(computed, truth):
    """The worst parameter's cosine, and the range of the ratios of norms."""
    cosines, ratios = [], []
    for name, exact in truth.items():
        pair = computed[name].flatten().double(), exact.flatten().double()
        cosines.append(float(cosine_similarity(*pair, dim=0)))
        ratios.append(float(pair[0].norm() / pair[1].norm()))
    return f"{min(cosines):.6f}, {min(ratios):.4f}, {max(ratios):.4f}"


def keep_memory(keep_freed_memory):
    """Tell glibc to keep freed memory, or to behave as it does by itself."""
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is not None:
        trim_threshold, mmap_max = -1, -4
        change(mmap_max, 0 if keep_freed_memory else 65536)
        change(trim_threshold, -1 if keep_freed_memory else 128 * 1024)


if __name__ == "__main__":
    main()

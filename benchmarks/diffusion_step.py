"""One training step and one sampling step of diffusion, against diffusers' U-Net.

    python benchmarks/diffusion_step.py --precision bf16 --steps 300

Both networks have about as many weights (within 10 %), two levels, attention on the lower one and
the same classes; both compute in the same number format with channels last. A step is forward,
backward and AdamW on 64 images of 28 x 28; a sampling step is one forward pass of 64 images. Both
take turns in one process; the figures are medians of processor time. Then both are trained for the
same number of steps from the same batches and noise (velocity, cosine schedule, same rate), and
the loss on held-out images is compared on the way: a faster step that learns less would be no
gain.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from triform.base.malloc import keep_freed_memory
from triform.base.seeding import generator
from triform.engine.device import NumberFormat, autocast
from triform.layers.image_spec import ImageSpec
from triform.systems.diffusion.config import ModelConfig
from triform.systems.diffusion.loss import diffusion_loss
from triform.systems.diffusion.model import UNet
from triform.systems.diffusion.noise_schedule import NoiseSchedule
from triform.tasks.image_generation.config import ImageDataConfig
from triform.tasks.image_generation.image_splits import ImageSplits, to_float

SIZE, CLASSES = 28, 10
NUM_EVALUATIONS = 4
CPU = torch.device("cpu")
MODEL = ModelConfig(beta_schedule="cosine", objective="v")


class Peer(nn.Module):
    """Diffusers' U-Net behind our interface.

    Args:
        widths: channels of its levels.
    """

    def __init__(self, widths: tuple[int, int]):
        super().__init__()
        self.network = UNet2DModel(
            sample_size=SIZE,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=widths,
            norm_num_groups=8,
            num_class_embeds=CLASSES + 1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        return self.network(x, t, class_labels=labels).sample


def size_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def peer_of_size(target: int) -> Peer:
    """The peer whose number of weights is nearest."""
    peers = [Peer((width, 2 * width)) for width in range(16, 96, 8)]
    return min(peers, key=lambda peer: abs(size_of(peer) - target))


class Trainer:
    """A network with its optimizer."""

    def __init__(self, network: nn.Module, precision: NumberFormat):
        self.network = network.to(memory_format=torch.channels_last)
        self.precision, self.schedule = precision, NoiseSchedule.from_config(MODEL)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def predict(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        with autocast(CPU, self.precision):
            return self.network(x.contiguous(memory_format=torch.channels_last), t, labels)

    def loss(self, x_0: Tensor, labels: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        prediction = self.predict(self.schedule.add_noise(x_0, t, noise), t, labels)
        return diffusion_loss(prediction, self.schedule.target(x_0, t, noise))["loss"]

    def step(self, *batch: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(*batch).backward()
        self.optimizer.step()

    @torch.no_grad()
    def held_out(self, images: ImageSplits, steps: int, batch_size: int) -> float:
        self.network.eval()
        values = [float(self.loss(*one)) for one in batches(images, "test", steps, batch_size)]
        self.network.train()
        return statistics.fmean(values)


def batches(images: ImageSplits, split: str, steps: int, batch_size: int):
    """The same images, time steps and noise for both."""
    random = generator("benchmark", split)
    rows = images.rows[split]
    for _ in range(steps):
        selected = rows[torch.randint(len(rows), (batch_size,), generator=random)]
        t = torch.randint(MODEL.timesteps, (batch_size,), generator=random)
        x_0 = to_float(images.images[selected]) * 2 - 1
        yield x_0, images.labels[selected], t, torch.randn(x_0.shape, generator=random)


def medians(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of processor time; the functions take turns."""
    spent: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if turn:
                spent[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in spent.items()}


def main(argv: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--held_out", type=int, default=20, help="batches whose loss is compared")
    parser.add_argument("--steps", type=int, default=0, help="training steps to compare losses")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--download_path", default="datasets")
    parser.add_argument("--dataset", default="fashion-mnist")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as every command does
    torch.manual_seed(0)
    data = ImageDataConfig(
        dataset=given.dataset, download_path=given.download_path, image_size=SIZE
    )
    images = ImageSplits(data)
    spec = ImageSpec(1, SIZE, tuple(map(str, range(CLASSES))))
    ours = UNet(MODEL, spec)
    trainers = {
        name: Trainer(network, given.precision)
        for name, network in {"ours": ours, "diffusers": peer_of_size(size_of(ours))}.items()
    }
    for name, trainer in trainers.items():
        print(f"{name}: {size_of(trainer.network) / 1e6:.2f} million weights")
    (batch,) = batches(images, "train", 1, given.batch_size)
    seconds = {
        "training": medians(
            {name: lambda each=each: each.step(*batch) for name, each in trainers.items()},
            given.repeats,
        )
    }
    with torch.no_grad():
        seconds["sampling"] = medians(
            {
                name: lambda each=each: each.predict(batch[0], batch[2], batch[1])
                for name, each in trainers.items()
            },
            given.repeats,
        )
    ratios = {}
    for what, of in seconds.items():
        ratios[what] = of["diffusers"] / of["ours"]
        print(
            f"{what} step: ours {of['ours'] * 1000:.0f} ms, diffusers {of['diffusers'] * 1000:.0f} "
            f"ms of processor time: {ratios[what]:.2f} times"
        )
    for name, trainer in trainers.items() if given.steps else ():
        torch.manual_seed(0)
        fresh = Trainer(type(trainer.network)(*_arguments(trainer.network, spec)), given.precision)
        spent, done = 0.0, 0
        evaluations = [
            given.steps * part // NUM_EVALUATIONS for part in range(1, NUM_EVALUATIONS + 1)
        ]
        for one in batches(images, "train", given.steps, given.batch_size):
            start = time.process_time()
            fresh.step(*one)
            spent, done = spent + time.process_time() - start, done + 1
            if done in evaluations:
                ratios[f"loss of {name}"] = fresh.held_out(images, given.held_out, given.batch_size)
                print(
                    f"{name}: held-out loss {ratios[f'loss of {name}']:.4f} after {done} steps, "
                    f"{spent:.0f} s of processor time",
                    flush=True,
                )
    return ratios


def _arguments(network: nn.Module, spec: ImageSpec) -> tuple:
    if isinstance(network, UNet):
        return MODEL, spec
    widths = network.network.config.block_out_channels
    return (tuple(widths),)


if __name__ == "__main__":
    main()

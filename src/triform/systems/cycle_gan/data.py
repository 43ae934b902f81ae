"""Two kinds of pictures that do not belong together become batches.

| key | shape and type | values |
|---|---|---|
| `a` | (B, C, H, W) float32 | [0, 1] |
| `b` | (B, C, H, W) float32 | [0, 1] |

A data set makes both kinds: one half of its training pictures as they are, the other half changed,
so that no picture is learned from in both forms. Of validation and test pictures both forms are
known, for measuring only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from triform.base.errors import UsageError
from triform.base.logging import get_logger
from triform.base.seeding import generator
from triform.datasets.picture_batches import Pictures, as_floats
from triform.engine.sampler import EpochLoader
from triform.systems.cycle_gan.config import Config, DataConfig

logger = get_logger(__name__)

PAPER, INK = (255.0, 214.0, 130.0), (48.0, 25.0, 92.0)
"""Colours that black and white become."""
FLAT = 2.0
"""A picture that deviates less than this from its mean (of 255) is nearly constant."""


@dataclass(frozen=True)
class Domain:
    """Pictures of one kind.

    Attributes:
        images: (N, C, H, W) uint8.
        rows: rows of "train", "val" and "test".
        change: what is done to them when they are asked for.
    """

    images: Tensor
    rows: dict[str, Tensor]
    change: Callable[[Tensor], Tensor] | None = None

    def pictures(self, rows: Tensor) -> Tensor:
        """(len(rows), C, H, W) uint8."""
        images = self.images[rows]
        return images if self.change is None else self.change(images)

    def part(self, split: str, limit: int) -> Tensor:
        """Pictures of a split; of more than the limit, evenly spread ones."""
        rows = self.rows[split]
        if limit < len(rows):
            rows = rows[torch.linspace(0, len(rows) - 1, limit).round().long()]
        return self.pictures(rows)


@dataclass(frozen=True)
class Domains:
    """Both kinds.

    Attributes:
        name: of the data.
        a: kind A.
        b: kind B.
        paired: whether test pictures of A and B are two forms of the same.
    """

    name: str
    a: Domain
    b: Domain
    paired: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Channels, and pixels along each side."""
        return int(self.a.images.shape[1]), int(self.a.images.shape[2])


def load_domains(data: DataConfig, seed: int = 0) -> Domains:
    """Both kinds of a run.

    Args:
        data: which pictures.
        seed: of the division.

    Raises:
        UsageError: no such folder or set, or two folders whose sizes differ.
        UserError: no pictures, too few, or some that cannot be read.
    """
    domains = _two_folders(data, seed) if data.domain_a else _two_halves(data, seed)
    for letter, domain in (("A", domains.a), ("B", domains.b)):
        flat = int(is_flat(domain.images[domain.rows["train"]]).sum())
        if flat:
            logger.warning(
                "%d of %d pictures of kind %s are nearly constant: instance norm blows up what "
                "little is in them; better leave them out",
                flat, len(domain.rows["train"]), letter,
            )  # fmt: skip
    return domains


def _two_folders(data: DataConfig, seed: int) -> Domains:
    found = []
    for name, folder in (("domain_a", data.domain_a), ("domain_b", data.domain_b)):
        if not os.path.isdir(os.path.expanduser(folder)):
            raise UsageError(f"{name}: no folder {folder!r}; give a folder of pictures")
        found.append(Pictures(data.model_copy(update={"dataset": folder, "classes": ()}), seed))
    a, b = found
    if a.shape[1] != b.shape[1]:
        raise UsageError(
            f"domain_b: its pictures have {b.shape[1]} x {b.shape[1]} pixels, those of domain_a "
            f"{a.shape[1]} x {a.shape[1]}; give --image_size, to which all are resized"
        )
    channels = max(a.shape[0], b.shape[0])
    domains = [Domain(one.images.expand(-1, channels, -1, -1), one.rows) for one in found]
    return Domains(f"{a.name}, {b.name}", domains[0], domains[1], paired=False)


def _two_halves(data: DataConfig, seed: int) -> Domains:
    if data.transform == "tinted":
        if data.channels == 1:
            raise UsageError("channels: 1 with --transform tinted, which makes colours; leave it")
        data = data.model_copy(update={"channels": 3})
    set_ = Pictures(data, seed)
    train = set_.rows["train"]
    train = train[torch.randperm(len(train), generator=generator("halves", seed))]
    half = len(train) // 2
    ours = [{**set_.rows, "train": some.sort()[0]} for some in (train[:half], train[half:])]
    change = tinted if data.transform == "tinted" else edges
    return Domains(
        f"{set_.name} ({data.transform})",
        Domain(set_.images, ours[0]), Domain(set_.images, ours[1], change), paired=True,
    )  # fmt: skip


def tinted(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 inverted: black becomes `PAPER`, white becomes `INK`."""
    grey = images.float().mean(1, keepdim=True) / 255
    paper, ink = (torch.tensor(color).view(1, 3, 1, 1) for color in (PAPER, INK))
    return (paper + grey * (ink - paper)).round().byte()


def edges(images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 as dark lines on white where brightness changes (Sobel)."""
    grey = F.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 4
    steps = F.conv2d(grey, torch.stack([across, across.T])[:, None])
    lines = 255 - steps.square().sum(1, keepdim=True).sqrt().clamp(max=255)
    return lines.round().byte().expand(-1, images.shape[1], -1, -1)


def is_flat(images: Tensor) -> Tensor:
    """(N,) bool for pictures (N, C, H, W) uint8: nearly the same colour everywhere."""
    parts = [part.float().flatten(2).std(2, correction=0).amax(1) for part in images.split(1000)]
    return torch.cat(parts) < FLAT


def training_loader(domains: Domains, config: Config) -> EpochLoader:
    """Batches of training pictures; an epoch is as long as the larger kind."""
    a, b = (domain.rows["train"] for domain in (domains.a, domains.b))
    return EpochLoader(
        max(len(a), len(b)), partial(_fetch, domains, config.data.mirror),
        batch_size=config.data.batch_size, seed=config.seed, num_workers=config.data.num_workers,
    )  # fmt: skip


def _fetch(
    domains: Domains, mirror: bool, indices: Sequence[int], random: torch.Generator
) -> dict[str, Tensor]:
    """A in the order of the epoch, B by chance: nobody stands beside the same one twice."""
    a, b = (domain.rows["train"] for domain in (domains.a, domains.b))
    chosen = {
        "a": domains.a.pictures(a[torch.tensor(indices) % len(a)]),
        "b": domains.b.pictures(b[torch.randint(len(b), (len(indices),), generator=random)]),
    }
    batch = {name: as_floats(images) for name, images in chosen.items()}
    if mirror:
        for name, images in batch.items():
            turned = torch.rand(len(images), generator=random) < 0.5
            batch[name] = torch.where(turned[:, None, None, None], images.flip(3), images)
    return batch

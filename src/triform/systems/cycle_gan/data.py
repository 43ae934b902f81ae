"""Unpaired images of two domains.

| key | shape and type | values |
|---|---|---|
| `a` | (B, C, H, W) float32 | [0, 1] |
| `b` | (B, C, H, W) float32 | [0, 1] |

A single data set gives both domains: one half of its training images unchanged, the other half
transformed, so that no image is trained on in both forms. Validation and test images are known in
both forms, for measuring only.
"""

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
from triform.engine.epoch_loader import EpochLoader
from triform.systems.cycle_gan.config import Config, DataConfig
from triform.tasks.image_generation.image_splits import ImageSplits, evenly_spaced, to_float

logger = get_logger(__name__)

PAPER, INK = (255.0, 214.0, 130.0), (48.0, 25.0, 92.0)
"""Colours that black and white are mapped to."""
MIN_STD = 2.0
"""Standard deviation (of 255) below which an image counts as nearly constant."""


@dataclass(frozen=True)
class Domain:
    """Images of one domain.

    Attributes:
        images: (N, C, H, W) uint8.
        rows: Rows of "train", "val" and "test".
        transform: Applied to images when they are read.
    """

    images: Tensor
    rows: dict[str, Tensor]
    transform: Callable[[Tensor], Tensor] | None = None

    def select(self, rows: Tensor) -> Tensor:
        """Images (len(rows), C, H, W) uint8."""
        images = self.images[rows]
        return images if self.transform is None else self.transform(images)

    def part(self, split: str, limit: int) -> Tensor:
        """Images of a split; evenly spaced ones if there are more than the limit."""
        return self.select(evenly_spaced(self.rows[split], limit))


@dataclass(frozen=True)
class Domains:
    """Images of both domains.

    Attributes:
        name: Name of the data.
        a: Domain A.
        b: Domain B.
        paired: Whether test images of A and B are two forms of the same.
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
    """Load both domains of a run.

    Args:
        data: Settings of the data.
        seed: Seed of the division.

    Raises:
        UsageError: No such folder or set, or two folders whose sizes differ.
        UserError: No images, too few, or some that cannot be read.
    """
    domains = _load_folders(data, seed) if data.domain_a else _divide_dataset(data, seed)
    for letter, domain in (("A", domains.a), ("B", domains.b)):
        count = int(is_constant(domain.images[domain.rows["train"]]).sum())
        if count:
            logger.warning(
                "%d of %d images of domain %s are nearly constant: instance norm amplifies their "
                "noise; better leave them out",
                count,
                len(domain.rows["train"]),
                letter,
            )
    return domains


def _load_folders(data: DataConfig, seed: int) -> Domains:
    splits = []
    for name, folder in (("domain_a", data.domain_a), ("domain_b", data.domain_b)):
        if not os.path.isdir(os.path.expanduser(folder)):
            raise UsageError(f"{name}: no folder {folder!r}; give a folder of images")
        changes = {"dataset": folder, "classes": ()}
        splits.append(ImageSplits(data.model_copy(update=changes), seed))
    a, b = splits
    if a.shape[1] != b.shape[1]:
        raise UsageError(
            f"domain_b: its images have {b.shape[1]} x {b.shape[1]} pixels, those of domain_a "
            f"{a.shape[1]} x {a.shape[1]}; give --image_size, to which all are resized"
        )
    channels = max(a.shape[0], b.shape[0])
    domain_a, domain_b = (
        Domain(part.images.expand(-1, channels, -1, -1), part.rows) for part in splits
    )
    return Domains(f"{a.name}, {b.name}", domain_a, domain_b, paired=False)


def _divide_dataset(data: DataConfig, seed: int) -> Domains:
    if data.transform == "tinted":
        if data.channels == 1:
            raise UsageError("channels: 1 with --transform tinted, which makes colours; leave it")
        data = data.model_copy(update={"channels": 3})
    splits = ImageSplits(data, seed)
    train = splits.rows["train"]
    train = train[torch.randperm(len(train), generator=generator("halves", seed))]
    half = len(train) // 2
    rows_a, rows_b = (
        {**splits.rows, "train": part.sort()[0]} for part in (train[:half], train[half:])
    )
    transform = tinted if data.transform == "tinted" else edges
    return Domains(
        f"{splits.name} ({data.transform})",
        Domain(splits.images, rows_a),
        Domain(splits.images, rows_b, transform),
        paired=True,
    )


def tinted(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 inverted: black becomes `PAPER`, white becomes `INK`."""
    grey = images.float().mean(1, keepdim=True) / 255
    paper, ink = (torch.tensor(color).view(1, 3, 1, 1) for color in (PAPER, INK))
    return (paper + grey * (ink - paper)).round().byte()


def edges(images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 as dark edges on white (Sobel)."""
    grey = F.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 4
    gradients = F.conv2d(grey, torch.stack([kernel, kernel.T])[:, None])
    brightness = 255 - gradients.square().sum(1, keepdim=True).sqrt().clamp(max=255)
    return brightness.round().byte().expand(-1, images.shape[1], -1, -1)


def is_constant(images: Tensor) -> Tensor:
    """Whether images (N, C, H, W) uint8 have nearly the same colour everywhere, (N,) bool."""
    stds = [
        part.float().flatten(2).std(2, correction=0).amax(1) for part in torch.split(images, 1000)
    ]
    return torch.cat(stds) < MIN_STD


def training_loader(domains: Domains, config: Config) -> EpochLoader:
    """Batches of training images; an epoch is as long as the larger domain."""
    a, b = (domain.rows["train"] for domain in (domains.a, domains.b))
    return EpochLoader(
        max(len(a), len(b)),
        partial(_fetch, domains, config.data.mirror),
        batch_size=config.data.batch_size,
        seed=config.seed,
        num_workers=config.data.num_workers,
    )


def _fetch(
    domains: Domains, mirror: bool, indices: Sequence[int], random: torch.Generator
) -> dict[str, Tensor]:
    """A in the order of the epoch, B at random: combinations differ between epochs."""
    a, b = (domain.rows["train"] for domain in (domains.a, domains.b))
    batch = {
        "a": to_float(domains.a.select(a[torch.tensor(indices) % len(a)])),
        "b": to_float(
            domains.b.select(b[torch.randint(len(b), (len(indices),), generator=random)])
        ),
    }
    if mirror:
        for name, images in batch.items():
            mirrored = torch.rand(len(images), generator=random) < 0.5
            batch[name] = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return batch

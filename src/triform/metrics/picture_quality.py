"""How good a set of made pictures is, beside the same numbers for real ones."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from triform.base.seeding import generator
from triform.metrics.coverage import nearest, precision_recall
from triform.metrics.frechet import frechet_distance
from triform.metrics.intervals import Z95
from triform.metrics.kernel_distance import kernel_distance
from triform.pretrained.inception import inception_features, load_inception
from triform.pretrained.picture_features import load_feature_net, picture_classes, picture_features

MANIFOLD = 2000
"""Pictures of each set for precision and recall, whose cost is quadratic."""
GAUSSIAN_COMPONENTS, GAUSSIAN_PICTURES = 64, 10_000
COPY_SHARE = 0.01
"""Closer to a training picture than this quantile of real test pictures counts as a copy."""


def picture_quality(
    made: Tensor, real: Tensor, train: Tensor, *, inception_weights: Path | None = None
) -> dict[str, float | str]:
    """Measures made pictures against real ones that nobody learned from.

    Args:
        made: (N, C, H, W) uint8.
        real: (M, C, H, W) uint8 test pictures.
        train: (K, C, H, W) uint8 training pictures.
        inception_weights: the published file; with it FID and KID are measured as well.

    Returns:
        `kernel_distance` (times 1, unbiased) with its standard deviation over subsets,
        `frechet_distance`, and both again as `..._floor` for training pictures in the place of
        made ones, and `..._gaussian` for the baseline, pictures drawn from one Gaussian of their
        principal components; `kernel_distance_interval95`, half the width of the 95 % interval of
        subsets; `precision` and `recall` in [0, 1]; `copies`: share nearer to a training
        picture than 99 % of real test pictures are; `features`: whose features these are;
        `fid`, `kid` with their floors, where Inception was given.

    Raises:
        UsageError: The file of Inception's weights is missing or another.
        UserError: It cannot be used.
    """
    # A wrong file is told before minutes of work.
    inception = None if inception_weights is None else load_inception(inception_weights)
    _, name = load_feature_net()
    floor = train[torch.linspace(0, len(train) - 1, min(len(train), len(made))).long()]
    plain = gaussian_pictures(train, len(made))
    of = {key: picture_features(some) for key, some in
          {"made": made, "real": real, "floor": floor, "gaussian": plain}.items()}  # fmt: skip
    distance, deviation = kernel_distance(of["made"], of["real"])
    least, _ = kernel_distance(of["floor"], of["real"])
    numbers: dict[str, float | str] = {
        "kernel_distance": distance,
        "kernel_distance_std": deviation,
        "kernel_distance_interval95": Z95 * deviation,
        "kernel_distance_floor": least,
        "kernel_distance_gaussian": kernel_distance(of["gaussian"], of["real"])[0],
    }
    if min(len(made), len(real), len(floor)) >= 2 * of["real"].shape[1]:
        numbers["frechet_distance"] = frechet_distance(of["made"], of["real"])
        numbers["frechet_distance_floor"] = frechet_distance(of["floor"], of["real"])
        numbers["frechet_distance_gaussian"] = frechet_distance(of["gaussian"], of["real"])
    for end, key in (("", "made"), ("_floor", "floor"), ("_gaussian", "gaussian")):
        numbers[f"precision{end}"], numbers[f"recall{end}"] = precision_recall(
            of[key][:MANIFOLD], of["real"][:MANIFOLD]
        )
    numbers["copies"] = share_of_copies(made[:MANIFOLD], real[:MANIFOLD], train)
    numbers["classes_entropy"] = _entropy(picture_classes(made))
    numbers["features"] = name
    if inception is not None:
        numbers |= _by_inception(inception, made, real, floor)
    return numbers


def _by_inception(
    network: nn.Module, made: Tensor, real: Tensor, floor: Tensor
) -> dict[str, float | str]:
    """FID (where there are pictures enough) and KID, and what training pictures score."""
    ours, theirs, least = (inception_features(network, some) for some in (made, real, floor))
    numbers: dict[str, float | str] = {}
    numbers["kid"], numbers["kid_std"] = kernel_distance(ours, theirs)
    numbers["kid_floor"], _ = kernel_distance(least, theirs)
    if min(len(ours), len(theirs), len(least)) >= 2 * ours.shape[1]:
        numbers["fid"] = frechet_distance(ours, theirs)
        numbers["fid_floor"] = frechet_distance(least, theirs)
    return numbers


def gaussian_pictures(train: Tensor, count: int) -> Tensor:
    """The baseline: pictures (count, C, H, W) uint8 from one Gaussian fitted to training pictures.

    As wide in each of their first 64 principal components as they are, and correlated as they are;
    the same ones every time.
    """
    known = train[:: max(1, len(train) // GAUSSIAN_PICTURES)].flatten(1).float()
    mean = known.mean(0)
    kept = min(GAUSSIAN_COMPONENTS, *known.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, spreads, directions = torch.pca_lowrank(known, kept, niter=4)
    scaled = directions * (spreads / len(known) ** 0.5)
    noise = torch.randn(count, kept, generator=generator("gaussian pictures", 0))
    drawn = (mean + noise @ scaled.T).round().clamp(0, 255)
    return drawn.to(torch.uint8).view(count, *train.shape[1:])


def share_of_copies(made: Tensor, real: Tensor, train: Tensor) -> float:
    """Share of made pictures that are nearly a training picture, pixel by pixel."""
    flat = [some.flatten(1).float() / 255 for some in (made, real, train)]
    usual = torch.quantile(nearest(flat[1], flat[2])[0], COPY_SHARE)
    return float((nearest(flat[0], flat[2])[0] < usual).float().mean())


def _entropy(classes: Tensor) -> float:
    """Entropy (nats) of how often each class is made; ln 10 = 2.303 where all are alike."""
    share = torch.bincount(classes.argmax(1), minlength=classes.shape[1]).double()
    share = share[share > 0] / share.sum()
    return float(-(share * share.log()).sum())

"""Quality of generated images, beside that of training images and of a simple baseline."""

from pathlib import Path

import torch
from torch import Tensor, nn

from triform.base.seeding import generator
from triform.metrics.frechet import frechet_distance
from triform.metrics.intervals import Z95
from triform.metrics.kernel_distance import kernel_distance
from triform.metrics.precision_recall import nearest_neighbors, precision_recall
from triform.pretrained.image_features import FEATURES_NAME, image_class_probs, image_features
from triform.pretrained.inception import inception_features, load_inception

MANIFOLD_IMAGES = 2000
"""Images of each set for precision and recall, whose cost is quadratic."""
GAUSSIAN_COMPONENTS, GAUSSIAN_IMAGES = 64, 10_000
COPY_QUANTILE = 0.01
"""Closer to a training image than this quantile of real test images counts as a copy."""


def image_quality(
    generated: Tensor,
    real: Tensor,
    train: Tensor,
    *,
    held_out: Tensor | None = None,
    inception_weights: Path | None = None,
) -> dict[str, float | str]:
    """Measure generated images against held-out real ones.

    Args:
        generated: (N, C, H, W) uint8.
        real: (M, C, H, W) uint8 test images.
        train: (K, C, H, W) uint8 training images.
        held_out: Those of `real` that are no training images; None for all of them.
        inception_weights: The published weights of Inception, for FID and KID as well.

    Returns:
        `kernel_distance` (unbiased) with its standard deviation over subsets, `frechet_distance`,
        and both again as `..._floor` for training images in place of generated ones, and as
        `..._gaussian` for the baseline, samples of one Gaussian of their principal components;
        `kernel_distance_interval95`, half the width of the 95 % interval over subsets;
        `precision` and `recall` in [0, 1]; `copies`: share nearer to a training image than 99 %
        of real test images are; `classes_entropy` in nats; `features`: name of the feature
        network; `fid`, `kid` with their floors, if Inception is given.

    Raises:
        UsageError: The file of Inception's weights is missing or another.
        UserError: It cannot be used.
    """
    # A wrong file is refused before minutes of work.
    inception = None if inception_weights is None else load_inception(inception_weights)
    floor = train[torch.linspace(0, len(train) - 1, min(len(train), len(generated))).long()]
    gaussian = gaussian_images(train, len(generated))
    images = {"generated": generated, "real": real, "floor": floor, "gaussian": gaussian}
    features = {name: image_features(part) for name, part in images.items()}
    distance, deviation = kernel_distance(features["generated"], features["real"])
    metrics: dict[str, float | str] = {
        "kernel_distance": distance,
        "kernel_distance_std": deviation,
        "kernel_distance_interval95": Z95 * deviation,
        "kernel_distance_floor": kernel_distance(features["floor"], features["real"])[0],
        "kernel_distance_gaussian": kernel_distance(features["gaussian"], features["real"])[0],
    }
    suffixes = {"": "generated", "_floor": "floor", "_gaussian": "gaussian"}
    if min(len(generated), len(real), len(floor)) >= 2 * features["real"].shape[1]:
        for suffix, name in suffixes.items():
            metrics[f"frechet_distance{suffix}"] = frechet_distance(
                features[name], features["real"]
            )
    for suffix, name in suffixes.items():
        metrics[f"precision{suffix}"], metrics[f"recall{suffix}"] = precision_recall(
            features[name][:MANIFOLD_IMAGES], features["real"][:MANIFOLD_IMAGES]
        )
    unseen = real if held_out is None else held_out
    metrics["copies"] = share_of_copies(
        generated[:MANIFOLD_IMAGES], unseen[:MANIFOLD_IMAGES], train
    )
    metrics["classes_entropy"] = _class_entropy(image_class_probs(generated))
    metrics["features"] = FEATURES_NAME
    if inception is not None:
        metrics |= _inception_metrics(inception, generated, real, floor)
    return metrics


def _inception_metrics(
    network: nn.Module, generated: Tensor, real: Tensor, floor: Tensor
) -> dict[str, float | str]:
    """KID, and FID if there are enough images, with their floors of training images."""
    x, y, z = (inception_features(network, images) for images in (generated, real, floor))
    metrics: dict[str, float | str] = {}
    metrics["kid"], metrics["kid_std"] = kernel_distance(x, y)
    metrics["kid_floor"], _ = kernel_distance(z, y)
    if min(len(x), len(y), len(z)) >= 2 * x.shape[1]:
        metrics["fid"] = frechet_distance(x, y)
        metrics["fid_floor"] = frechet_distance(z, y)
    return metrics


def gaussian_images(train: Tensor, count: int) -> Tensor:
    """Baseline: images (count, C, H, W) uint8 of one Gaussian fitted to training images.

    Its covariance is theirs within their first 64 principal components; the samples are the same
    every time.
    """
    data = train[:: max(1, len(train) // GAUSSIAN_IMAGES)].flatten(1).float()
    mean = data.mean(0)
    num_components = min(GAUSSIAN_COMPONENTS, *data.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, singular_values, components = torch.pca_lowrank(data, num_components, niter=4)
    scaled = components * (singular_values / len(data) ** 0.5)
    noise = torch.randn(count, num_components, generator=generator("gaussian images", 0))
    samples = (mean + noise @ scaled.T).round().clamp(0, 255)
    output: Tensor = samples.to(torch.uint8).view(count, *train.shape[1:])
    return output


def share_of_copies(generated: Tensor, real: Tensor, train: Tensor) -> float:
    """Share of generated images that are nearly a training image, by distance of pixels."""
    x, y, known = (images.flatten(1).float() / 255 for images in (generated, real, train))
    threshold = torch.quantile(nearest_neighbors(y, known)[0], COPY_QUANTILE)
    return float((nearest_neighbors(x, known)[0] < threshold).float().mean())


def _class_entropy(probs: Tensor) -> float:
    """Entropy (nats) of the predicted classes; ln 10 = 2.303 if ten are equally frequent."""
    frequency = torch.bincount(probs.argmax(1), minlength=probs.shape[1]).double()
    frequency = frequency[frequency > 0] / frequency.sum()
    return float(-(frequency * frequency.log()).sum())

"""Evaluation of translations, beside untranslated images and histogram matching."""

from typing import Any

import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.metrics.intervals import mean_and_interval, share_interval
from triform.metrics.kernel_distance import kernel_distance
from triform.pretrained.image_features import image_class_probs, image_features
from triform.systems.cycle_gan.config import EvaluateConfig
from triform.systems.cycle_gan.data import Domains, load_domains
from triform.systems.cycle_gan.histogram_matching import match_histograms
from triform.systems.cycle_gan.trained import Trained, save_cycles
from triform.tasks.image_generation.image_splits import to_float

MIN_IMAGES = 100
"""Fewest images of each domain for a kernel distance."""
BASELINE_IMAGES = 2000
"""Training images of each domain for the histograms, at most."""


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure translations of test images, beside the untranslated ones.

    Raises:
        UsageError: No such folder.
        UserError: No such weights, or the images cannot be read or are of another size.
    """
    model = Trained.choose(settings.checkpoint, settings.device)
    changes: dict[str, Any] = {"download_path": settings.download_path}
    if settings.domain_a:
        changes |= {
            "domain_a": settings.domain_a,
            "domain_b": settings.domain_b,
            "channels": model.spec.channels,
            "image_size": model.spec.size,
        }
    domains = load_domains(model.config.data.model_copy(update=changes), model.config.seed)
    if domains.shape != model.spec.shape:
        raise UserError(
            f"{domains.name}: {domains.shape[0]} channels of {domains.shape[1]} pixels, but these "
            f"weights were trained on {model.spec.channels} of {model.spec.size}"
        )
    a, b = (domain.part("test", settings.num_images) for domain in (domains.a, domains.b))
    batch_size = settings.batch_size
    fake_b, fake_a = model.translate(a, "a2b", batch_size), model.translate(b, "b2a", batch_size)
    if settings.output is not None:
        a2b, b2a = model.networks["a2b"], model.networks["b2a"]
        save_cycles(a2b, b2a, a, b, settings.output.with_suffix(".png"))
    report = {
        "checkpoint": str(model.source),
        "data": domains.name,
        "images_a": len(a),
        "images_b": len(b),
        "cycle_a": l1_distance(model.translate(fake_b, "b2a", batch_size), a),
        "cycle_b": l1_distance(model.translate(fake_a, "a2b", batch_size), b),
    }
    if domains.paired:
        report |= _paired_metrics(a, b, fake_a, fake_b)
    report |= _kernel_distances(a, b, fake_a, fake_b)
    if domains.paired:
        report |= _histogram_baseline(domains, a, b)
    return report


def _histogram_baseline(domains: Domains, a: Tensor, b: Tensor) -> dict[str, Any]:
    """Metrics of histogram matching, in the better of its two directions."""
    train_a, train_b = (side.part("train", BASELINE_IMAGES) for side in (domains.a, domains.b))
    results = []
    for invert in (False, True):
        fake_b = match_histograms(a, train_a, train_b, invert=invert)
        fake_a = match_histograms(b, train_b, train_a, invert=invert)
        results.append(
            {
                "levels": "falling" if invert else "rising",
                "levels_l1_a2b": l1_distance(fake_b, b),
                "levels_l1_b2a": l1_distance(fake_a, a),
                "levels_agreement": _paired_metrics(a, b, fake_a, fake_b)["agreement"],
            }
        )
    return min(results, key=lambda result: result["levels_l1_a2b"] + result["levels_l1_b2a"])


def l1_distance(images: Tensor, others: Tensor) -> float:
    """Mean absolute difference of uint8 images of one size, in [0, 1]."""
    parts = zip(torch.split(images, 1000), torch.split(others, 1000), strict=True)
    total = sum(float((to_float(x) - to_float(y)).abs().sum(dtype=torch.double)) for x, y in parts)
    return total / images.numel()


def _paired_metrics(a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> dict[str, float]:
    """Distance to the other form of the same image, and agreement of their predicted classes."""
    classes = image_class_probs(a).argmax(1)
    agreement, untranslated = (
        (image_class_probs(images).argmax(1) == classes).double().mean().item()
        for images in (fake_a, b)
    )
    low, high = share_interval(round(agreement * len(b)), len(b))
    intervals = {}
    for name, translated, truth in (("l1_a2b", fake_b, b), ("l1_b2a", fake_a, a)):
        of_images = [l1_distance(x, y) for x, y in zip(translated, truth, strict=True)]
        intervals[f"{name}_interval95"] = mean_and_interval(torch.tensor(of_images))[1]
    return {
        "l1_a2b": l1_distance(fake_b, b),
        "l1_b2a": l1_distance(fake_a, a),
        "l1_untranslated": l1_distance(a, b),
        "agreement": agreement,
        "agreement_untranslated": untranslated,
        **intervals,
        "agreement_low": low,
        "agreement_high": high,
    }


def _kernel_distances(a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> dict[str, float]:
    """Kernel distance of translations to real images of the domain (grey, 28 x 28)."""
    if min(len(a), len(b)) < MIN_IMAGES:
        return {}
    features_a, features_b, features_fake_a, features_fake_b = map(
        image_features, (a, b, fake_a, fake_b)
    )
    return {
        "kernel_distance_a2b": kernel_distance(features_fake_b, features_b)[0],
        "kernel_distance_b2a": kernel_distance(features_fake_a, features_a)[0],
        "kernel_distance_untranslated": kernel_distance(features_a, features_b)[0],
    }

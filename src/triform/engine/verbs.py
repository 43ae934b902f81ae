"""Verbs that are the same for every system."""

from typing import Any

from triform.engine.config import SystemConfig
from triform.engine.fit import describe_best, fit
from triform.engine.protocol import System


def train(system: type[System[Any]], config: SystemConfig) -> dict[str, Any]:
    """Train a system.

    Returns:
        `run`, the run directory; `weights`, the file of the weights that were kept; `scores_of`,
        which ones they are; and every number of their evaluation by name.
    """
    result = fit(system(config))
    best = result.best
    return {
        "run": str(result.run_dir),
        "weights": str(result.weights),
        "scores_of": f"best {describe_best(best)}" if best else "last weights, never evaluated",
        **((best or {}).get("metrics") or result.metrics),
    }

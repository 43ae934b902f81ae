"""Verbs that are the same for every system."""

from typing import Any

from triform.engine.config import SystemConfig
from triform.engine.fit import fit
from triform.engine.protocol import System


def train(system: type[System[Any]], config: SystemConfig) -> dict[str, Any]:
    """Train a system.

    Returns:
        `run`, the run directory, and the last value of every number by name.
    """
    result = fit(system(config))
    return {"run": str(result.run_dir), **result.metrics}

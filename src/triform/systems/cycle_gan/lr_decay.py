"""Learning rate of the paper: constant, then linear decay to zero (arXiv:1703.10593, section 4)."""


def linear_decay(steps: int, total: int, start: float) -> float:
    """Factor of the learning rate in the step that begins.

    Args:
        steps: Steps done.
        total: Steps of the run.
        start: Share of them after which the rate decays; 1 = never.
    """
    remaining = 1 - steps / max(1, total)
    return 1.0 if start >= 1 else min(1.0, max(0.0, remaining / (1 - start)))

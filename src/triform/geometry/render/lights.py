"""The lighting of all images: a key light and a fill light that follow the camera, and ambient."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Directions to the lights in camera space (x right, y down, z forward), and their intensities.
KEY, KEY_INTENSITY = np.array([-0.45, -0.75, -0.5]), 0.55
FILL, FILL_INTENSITY = np.array([0.6, -0.1, -0.8]), 0.25
AMBIENT = 0.5


def light_vectors() -> Float[np.ndarray, "2 3"]:
    """Return unit directions to the lights, times their intensities."""
    key = KEY / np.linalg.norm(KEY) * KEY_INTENSITY
    return np.stack([key, FILL / np.linalg.norm(FILL) * FILL_INTENSITY])

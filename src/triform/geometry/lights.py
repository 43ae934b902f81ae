"""Where the light comes from: two lamps that follow the camera, and a bright room."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Directions to the lamps in the camera's axes (right, up, towards it) and how strong they are.
KEY, KEY_STRENGTH = np.array([-0.45, 0.75, 0.5]), 0.55
FILL, FILL_STRENGTH = np.array([0.6, 0.1, 0.8]), 0.25
AMBIENT = 0.3


def lamps() -> Float[np.ndarray, "2 3"]:
    """Return the directions to the lamps, as long as the lamps are strong."""
    key = KEY / np.linalg.norm(KEY) * KEY_STRENGTH
    return np.stack([key, FILL / np.linalg.norm(FILL) * FILL_STRENGTH])

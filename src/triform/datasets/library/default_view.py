"""The view of an object to show if there is room for one only."""

from __future__ import annotations

import numpy as np

from triform.datasets.library.decoding import decode_camera
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.library import Library
from triform.geometry.render.cameras import camera_axes

# From the front right and slightly above, as in catalogues and `geometry.render`.
AZIMUTH, ELEVATION = 0.6, 0.4


def default_view(library: Library, entry: LibraryObject) -> int:
    """Index of the view nearest to `AZIMUTH` and `ELEVATION`; 0 without cameras.

    Raises:
        UserError: A camera is damaged.
    """
    if len(entry.cameras) < 2 or len(entry.cameras) != len(entry.images):
        return 0
    direction = camera_axes(AZIMUTH, ELEVATION)[2]
    cameras = [decode_camera(library.read_bytes(path), path) for path in entry.cameras]
    return int(np.argmin([camera.z @ direction for camera in cameras]))

"""Which picture of an object shows it as people know it."""

from __future__ import annotations

import numpy as np

from triform.datasets.library.decoding import decode_camera
from triform.datasets.library.layout import Library, LibraryObject
from triform.geometry.render import camera_axes

# From the front right and a little above, as catalogues and `geometry.render` show things.
AZIMUTH, ELEVATION = 0.6, 0.4


def portrait_view(library: Library, entry: LibraryObject) -> int:
    """Number of the picture taken nearest to there; the first one where no cameras are known.

    Raises:
        UserError: A camera is damaged.
    """
    if len(entry.cameras) < 2 or len(entry.cameras) != len(entry.images):
        return 0
    towards = camera_axes(AZIMUTH, ELEVATION)[2]
    cameras = [decode_camera(library.read_bytes(path), path) for path in entry.cameras]
    return int(np.argmin([camera.z @ towards for camera in cameras]))

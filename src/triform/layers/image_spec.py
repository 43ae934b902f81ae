"""Shape of the images of a network, and the classes it is conditioned on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_SIZE = 4096


@dataclass(frozen=True)
class ImageSpec:
    """Shape and classes of the images of a network; saved with its weights as metadata.

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        size: Pixels along each side.
        classes: Names of the classes of a conditional network; empty for an unconditional one.
    """

    channels: int
    size: int
    classes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Channels, and pixels along each side."""
        return self.channels, self.size

    def metadata(self) -> dict[str, Any]:
        """The specification as plain data, for a checkpoint."""
        return {"channels": self.channels, "size": self.size, "classes": list(self.classes)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "ImageSpec":
        """Read the specification from the metadata of a checkpoint.

        Raises:
            KeyError: It is not there.
            ValueError: It is damaged.
        """
        channels, size, classes = (metadata[key] for key in ("channels", "size", "classes"))
        if channels not in (1, 3) or not isinstance(size, int) or not 4 <= size <= MAX_SIZE:
            raise ValueError(f"images of {channels} x {size} x {size}")
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise ValueError("names of classes must be texts")
        return cls(int(channels), size, tuple(classes))


def downsampling(size: int) -> tuple[int, int]:
    """Number of halvings until 4 to 7 pixels are left, and that lowest size, rounded up.

    28 is 7, 14, 28; 32 is 4, 8, 16, 32; 31 begins at 8 and is cropped.
    """
    levels = max(1, int(math.log2(size / 4)))
    return levels, math.ceil(size / 2**levels)

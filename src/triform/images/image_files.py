"""Images of files as a sequence of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from triform.images.read import read_image


@dataclass(frozen=True)
class ImageFiles(Sequence[np.ndarray]):
    """The images of files, (H, W) or (H, W, C) uint8, each read when it is asked for.

    Attributes:
        files: The files.
    """

    files: tuple[Path, ...]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageFiles": ...
    def __getitem__(self, index: int | slice) -> "np.ndarray | ImageFiles":
        """Read one image, or choose a part of the files."""
        if isinstance(index, slice):
            return ImageFiles(self.files[index])
        return np.asarray(read_image(self.files[index]))

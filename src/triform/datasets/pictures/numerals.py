"""Small grey pictures: digits (scikit-learn's own), MNIST, Fashion-MNIST."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

import numpy as np

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets import debian
from triform.datasets.pictures.table import PictureTable

logger = get_logger(__name__)

FASHION = debian.Package(
    "dataset-fashion-mnist",
    "*-ubyte.gz",
    Path("/usr/share/datasets/fashion-mnist"),
    # Debian 12
    {
        "0.0~git20200523.55506a9-1": "39e172fe32dd318ebb3e512220c3beea"
        "2fa47d7e20bab348fb4e0922d6beefc0"
    },
    "download the four .gz files from https://github.com/zalandoresearch/fashion-mnist "
    "into the folder datasets/fashion-mnist",
)
FASHION_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
_DIGITS_SEED = 0
_DIGITS_TRAIN_SHARE = 0.8


def load_digits() -> PictureTable:
    """1,797 handwritten digits of 8 x 8 pixels; needs no download."""
    import sklearn.datasets

    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    grey = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(_DIGITS_SEED).permutation(len(grey))
    cut = int(len(grey) * _DIGITS_TRAIN_SHARE)
    return PictureTable(
        name="digits",
        images=grey,
        labels=labels.astype(np.int64),
        classes=tuple("0123456789"),
        makers=np.zeros(len(grey), np.int64),
        splits={"train": np.sort(order[:cut]), "test": np.sort(order[cut:])},
        licence="CC BY 4.0 (UCI)",
    )


def load_mnist(folder: Path) -> PictureTable:
    """70,000 handwritten digits of 28 x 28 pixels, from a folder made by `fetch_mnist`."""
    from torchvision.datasets import MNIST

    return _from_torchvision("mnist", MNIST, folder, tuple("0123456789"), "CC BY-SA 3.0")


def load_fashion(folder: Path) -> PictureTable:
    """70,000 pieces of clothing of 28 x 28 pixels, from a folder made by `fetch_fashion`."""
    from torchvision.datasets import FashionMNIST

    return _from_torchvision("fashion-mnist", FashionMNIST, folder, FASHION_CLASSES, "MIT")


def fetch_mnist(folder: Path) -> None:
    """Downloads MNIST through torchvision, which knows its mirrors and checksums."""
    from torchvision.datasets import MNIST

    try:
        MNIST(folder, download=True)
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"mnist: {error}; put the four .gz files into {folder}/MNIST/raw by hand"
        ) from None


def fetch_fashion(folder: Path) -> None:
    """Brings Fashion-MNIST: Debian's package where there is apt, else torchvision's download."""
    from torchvision.datasets import FashionMNIST

    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            packed = (
                FASHION.installed
                if any(FASHION.installed.glob(FASHION.pattern))
                else debian.fetch(FASHION, Path(work) / "packed")
            )
            for path in sorted(packed.glob(FASHION.pattern)):
                with gzip.open(path) as source, (raw / path.stem).open("wb") as target:
                    shutil.copyfileobj(source, target)
            if (packed / "copyright").is_file():
                shutil.copy(packed / "copyright", folder / "copyright")
    except UserError as reason:
        logger.info("%s; trying the download", reason)
        try:
            FashionMNIST(folder, download=True)
        except (RuntimeError, OSError) as error:
            raise UserError(f"fashion-mnist: {error}; {FASHION.instead}") from None


def _from_torchvision(
    name: str, kind: type, folder: Path, classes: tuple[str, ...], licence: str
) -> PictureTable:
    try:
        halves = [kind(folder, train=train) for train in (True, False)]
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(
            f"{folder}: damaged ({error}); remove the folder and run `triform data get {name}`"
        ) from None
    images = np.concatenate([half.data.numpy() for half in halves])[..., None]
    labels = np.concatenate([half.targets.numpy() for half in halves]).astype(np.int64)
    first = len(halves[0])
    return PictureTable(
        name=name,
        images=images,
        labels=labels,
        classes=classes,
        makers=np.zeros(len(images), np.int64),
        splits={"train": np.arange(first), "test": np.arange(first, len(images))},
        captions=() if classes[0].isdigit() else tuple((word,) for word in classes),
        licence=licence,
    )

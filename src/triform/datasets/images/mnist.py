"""Small grey images: the digits of scikit-learn, MNIST, Fashion-MNIST."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from triform.base.download import download
from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.datasets import debian
from triform.datasets.images.table import ImageTable

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
# Name -> bytes and sha256.
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}
FASHION_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
FASHION_FILES = {
    "train-images-idx3-ubyte.gz": (
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "train-labels-idx1-ubyte.gz": (
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "t10k-images-idx3-ubyte.gz": (
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}
FASHION_CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag"),
    "ankle boot",
)
_DIGITS_SEED = 0
_DIGITS_TRAIN_SHARE = 0.8


def load_digits() -> ImageTable:
    """Load 1,797 handwritten digits of 8 x 8 pixels; needs no download."""
    import sklearn.datasets

    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    grey = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(_DIGITS_SEED).permutation(len(grey))
    cut = int(len(grey) * _DIGITS_TRAIN_SHARE)
    return ImageTable(
        name="digits",
        images=grey,
        labels=labels.astype(np.int64),
        classes=tuple("0123456789"),
        makers=np.zeros(len(grey), np.int64),
        splits={"train": np.sort(order[:cut]), "test": np.sort(order[cut:])},
        licence="CC BY 4.0 (UCI)",
    )


def load_mnist(folder: Path) -> ImageTable:
    """Load 70,000 handwritten digits of 28 x 28 pixels from a folder of `fetch_mnist`."""
    from torchvision.datasets import MNIST

    return _from_torchvision("mnist", MNIST, folder, tuple("0123456789"), "CC BY-SA 3.0")


def load_fashion(folder: Path) -> ImageTable:
    """Load 70,000 images of clothing of 28 x 28 pixels from a folder of `fetch_fashion`."""
    from torchvision.datasets import FashionMNIST

    return _from_torchvision("fashion-mnist", FashionMNIST, folder, FASHION_CLASSES, "MIT")


def fetch_mnist(folder: Path) -> None:
    """Download MNIST over https into the layout of torchvision."""
    try:
        _download_and_unpack(MNIST_URL, MNIST_FILES, folder / "MNIST" / "raw")
    except UserError as error:
        raise UserError(f"mnist: {error}") from None


def fetch_fashion(folder: Path) -> None:
    """Fetch Fashion-MNIST from its Debian package, or else by download."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            archives = (
                FASHION.installed_folder
                if any(FASHION.installed_folder.glob(FASHION.pattern))
                else debian.fetch(FASHION, Path(work) / "packed")
            )
            for path in sorted(archives.glob(FASHION.pattern)):
                with gzip.open(path) as source, (raw / path.stem).open("wb") as target:
                    shutil.copyfileobj(source, target)
            if (archives / "copyright").is_file():
                shutil.copy(archives / "copyright", folder / "copyright")
    except UserError as reason:
        logger.info("%s; trying the download", reason)
        try:
            _download_and_unpack(FASHION_URL, FASHION_FILES, raw)
        except UserError as error:
            raise UserError(f"fashion-mnist: {error}; {FASHION.alternative}") from None


def _download_and_unpack(url: str, files: Mapping[str, tuple[int, str]], raw: Path) -> None:
    """Download files, check size and checksum, and unpack each into the same folder."""
    for name, (size, sha256) in files.items():
        archives = download(url + name, raw / name, size=size, sha256=sha256)
        with gzip.open(archives) as source, atomic_write(archives.with_suffix("")) as target:
            shutil.copyfileobj(source, target)


def _from_torchvision(
    name: str, dataset_class: type, folder: Path, classes: tuple[str, ...], licence: str
) -> ImageTable:
    try:
        subsets = [dataset_class(folder, train=train) for train in (True, False)]
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(
            f"{folder}: damaged ({error}); remove the folder and run `triform data get {name}`"
        ) from None
    images = np.concatenate([subset.data.numpy() for subset in subsets])[..., None]
    labels = np.concatenate([subset.targets.numpy() for subset in subsets]).astype(np.int64)
    num_train = len(subsets[0])
    return ImageTable(
        name=name,
        images=images,
        labels=labels,
        classes=classes,
        makers=np.zeros(len(images), np.int64),
        splits={"train": np.arange(num_train), "test": np.arange(num_train, len(images))},
        captions=() if classes[0].isdigit() else tuple((word,) for word in classes),
        licence=licence,
    )

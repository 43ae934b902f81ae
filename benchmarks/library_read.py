"""Reading a shape library for training: ours against plain Pillow and numpy, in one process.

    python benchmarks/library_read.py --library LIBRARY

A sample is some pictures of an object at the size of the network, a part of its points with their
colours, and a caption: what one step of the retrieval system takes. The plain way opens and decodes
every file of the sample each time (`Image.open`, `np.load`), as data sets of research code do. Ours
does the same once from the files and once from the packed pictures. All three are asked for the
same samples; the first round warms the disk's cache and is not counted. Without a library a small
one is made from the project's own furniture.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from triform.datasets.furniture import write_testdataset
from triform.datasets.library import prepare
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.dataset import LibraryDataset
from triform.datasets.library.layout import Library
from triform.datasets.library.packing import pack


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--library", type=Path, help="made by `triform shapes prepare`")
    parser.add_argument("--objects", type=int, default=100, help="spread over the whole library")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--image_size", type=int, default=112)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        measure(args, args.library or make_library(Path(folder), args))


def make_library(folder, args):
    write_testdataset(folder / "meshes", args.objects)
    settings = PrepareSettings(
        meshes=(str(folder / "meshes"),),
        library=str(folder / "library"),
        views=args.views,
        points=4 * args.points,
        voxel_size=(0,),
    )
    prepare.run(settings)
    return folder / "library"


def measure(args, place):
    library = Library.open(str(place))
    wanted = {"views": args.views, "image_size": args.image_size, "points": args.points}
    ours = LibraryDataset(library, **wanted)
    start = time.perf_counter()
    pack(library, args.image_size)
    packing = time.perf_counter() - start
    packed = LibraryDataset(library, packed=True, **wanted)
    step = max(1, len(ours) // args.objects)
    chosen = list(range(0, len(ours), step))[: args.objects]
    print(
        f"{len(chosen)} of {len(ours)} objects, {args.views} views of {args.image_size} pixels, "
        f"{args.points} points with colours; packing all took {packing:.1f} s"
    )
    ways = {
        "plain Pillow and numpy": lambda index: read_plainly(ours, index, args),
        "ours, from the files": lambda index: ours[index],
        "ours, packed": lambda index: packed[index],
    }
    check_equal(*(read(chosen[0]) for read in ways.values()))
    times = {name: [] for name in ways}
    for _ in range(args.rounds + 1):
        for name, read in ways.items():
            start = time.perf_counter()
            for index in chosen:
                read(index)
            times[name].append(time.perf_counter() - start)
    plain = min(times["plain Pillow and numpy"][1:])
    for name, seconds in times.items():
        best = min(seconds[1:])
        print(f"  {name:24}{len(chosen) / best:9.0f} samples a second, ratio {plain / best:6.2f}")


def read_plainly(dataset, index, args):
    """The same sample by the shortest code: views and points are drawn as `dataset` draws them."""
    entry, root = dataset.objects[index], dataset.library.store.folder
    random = np.random.default_rng(index)
    pictures = []
    for view in random.choice(len(entry.images), args.views, replace=False):
        picture = Image.open(root / entry.images[view]).convert("RGBA")
        picture = picture.resize((args.image_size,) * 2, Image.Resampling.BOX)
        pictures.append(torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy()))
    points, colors = np.load(root / entry.points), np.load(root / entry.colors)
    some = random.choice(len(points), args.points, replace=False)
    captions = dataset.captions[index]
    return {
        "images": torch.stack(pictures),
        "points": torch.from_numpy(points[some]),
        "colors": torch.from_numpy(colors[some].astype(np.float32) / 255),
        "caption": captions[random.integers(len(captions))],
    }


def check_equal(plain, ours, packed):
    """The two of ours give the same; the plain one at least the same kind of thing."""
    for key, value in ours.items():
        assert torch.equal(value, packed[key]) if torch.is_tensor(value) else value == packed[key]
    for key, value in plain.items():
        assert not torch.is_tensor(value) or value.shape == ours[key].shape
        assert not torch.is_tensor(value) or value.dtype == ours[key].dtype


if __name__ == "__main__":
    main()

"""Indexing photos from disk, against the encoder alone on photos that are in memory.

    python benchmarks/photo_index.py --images 128 --model ViT-B-32
    python benchmarks/photo_index.py --images 1000 --width 256 --model triform-clip

JPEGs of 1600 x 1200 pixels (`--width`) are written to a temporary folder. The encoder is
open_clip's, with random weights, which are as fast as others, or the one that ships. Both ways take
turns; reading has threads of its own; freed memory is kept, as the command does. The ratio is
images per second of the index by those of the encoder alone (medians of wall time); beside it that
of processor time, since on a busy machine reading and encoding compete for the same cores.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from triform.base.malloc import keep_freed_memory
from triform.datasets.images.photos.read import read_photo
from triform.datasets.images.photos.scan import scan_photos
from triform.pretrained.image_text import ImageTextModel, OpenCLIPModel
from triform.pretrained.shipped_weights import shipped
from triform.systems.clip.gallery.embed import embed_files, shortest_side
from triform.systems.clip.trained import Trained
from triform.systems.clip.verb_config import SHIPPED_MODEL


def load_model(name: str) -> ImageTextModel:
    """The model that ships, or one of open_clip with random weights."""
    if name == SHIPPED_MODEL:
        return Trained.from_checkpoint(shipped("clip"), "cpu")
    network = open_clip.create_model(name, pretrained=None).eval()
    return OpenCLIPModel(name, network, open_clip.get_tokenizer(name))


def write_photos(folder: Path, count: int, width: int) -> None:
    """Smooth colours with some grain, of about the size of a photo's file."""
    for number in range(count):
        random = np.random.default_rng(number)
        small = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        size = (width, width * 3 // 4)
        pixels = np.asarray(small.resize(size, Image.Resampling.BICUBIC), np.int16)
        grain = random.integers(-12, 13, (*size[::-1], 1), np.int16)
        image = Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
        image.save(folder / f"{number:04d}.jpg", quality=88)


def main() -> None:
    """Print images per second of both ways, and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--width", type=int, default=1600, help="pixels of a photo")
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the encoder")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    model = load_model(arguments.model)
    size = arguments.batch_size
    seconds: dict[str, list[float]] = {"encoder": [], "index": []}
    processor: dict[str, list[float]] = {"encoder": [], "index": []}
    with tempfile.TemporaryDirectory() as name:
        write_photos(Path(name), arguments.images, arguments.width)
        files = scan_photos([name]).files
        shortest = shortest_side(model)
        photos = [read_photo(file, frames=1, shortest=shortest) for file in files]
        images = [photo.images[0] for photo in photos]
        model.encode_images(images[:size])

        def encoder() -> None:
            for start in range(0, len(images), size):
                model.encode_images(images[start : start + size])

        def index() -> None:
            threads = os.cpu_count() or 1
            for _ in embed_files(files, model, batch_size=size, frames=1, threads=threads):
                pass

        for _ in range(arguments.repeats):
            for way, function in (("encoder", encoder), ("index", index)):
                started, used = time.perf_counter(), time.process_time()
                function()
                seconds[way].append(time.perf_counter() - started)
                processor[way].append(time.process_time() - used)
    for way, values in seconds.items():
        speed = arguments.images / statistics.median(values)
        cost = 1000 * statistics.median(processor[way]) / arguments.images
        print(f"{way}: {speed:.1f} images per second, {cost:.1f} ms of a core per image")
    for name, each in (("images per second", seconds), ("images per second of a core", processor)):
        ratio = statistics.median(each["encoder"]) / statistics.median(each["index"])
        print(f"the index reaches {ratio:.3f} times the encoder's {name}")


if __name__ == "__main__":
    main()

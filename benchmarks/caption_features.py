"""An epoch of captioning with a frozen encoder: cached features, against encoding in every epoch.

    python benchmarks/caption_features.py

`triform captioner train` over a folder with a CSV, with the documented encoder and random weights
(`--encoder random:resnet50`: speed does not depend on them) and 224 pixels, with `--cache_features`
and with `--no_cache_features`. Both take the same steps. Caching costs one encoding before the
first epoch, which is timed separately. Figures are medians of the epochs' wall time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from triform.base.settings.config import parse
from triform.systems.captioner.config import Config
from triform.systems.captioner.system import System


class Update:
    """Replaces the engine's update: backward and a step, nothing else."""

    def __init__(self, system: System):
        self.optimizer = system.optimizers["main"]

    def __call__(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def write_images(folder: Path, count: int) -> None:
    """Write a folder of noisy images and a CSV."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    lines = ["image,caption"]
    for number in range(count):
        pixels = random.integers(0, 256, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.jpg", quality=90)
        lines.append(f"{number}.jpg,image number {number % 7} of the set")
    (folder / "captions.csv").write_text("\n".join(lines))


def epochs(folder: Path, encoder: str, cached: bool, repeats: int) -> tuple[float, list[float]]:
    """Seconds of the start, and of each epoch."""
    flags = [
        "--images_dir",
        str(folder / "images"),
        "--caption_file",
        str(folder / "captions.csv"),
        "--vocab_path",
        "",
        "--freq_threshold",
        "1",
        "--num_workers",
        "0",
        "--encoder",
        encoder,
        "--device",
        "cpu",
        "--cache_features" if cached else "--no_cache_features",
    ]
    begin = time.perf_counter()
    system = System(parse(Config, flags))
    start = time.perf_counter() - begin
    update, seconds = Update(system), []
    for module in (*system.frozen.values(), *system.networks.values()):
        module.train(module in system.networks.values())
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        for batch in system.batches():
            system.step(batch, update)  # type: ignore[arg-type]
        seconds.append(time.perf_counter() - begin)
    return start, seconds[1:]


def main(argv: list[str] | None = None) -> float:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--encoder", default="random:resnet50")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), args.images)
        cached_start, cached = epochs(Path(name), args.encoder, True, args.repeats)
        start, encoded = epochs(Path(name), args.encoder, False, args.repeats)
    ratio = statistics.median(encoded) / statistics.median(cached)
    print(f"cached: {statistics.median(cached):.2f} s per epoch, {cached_start:.1f} s to start")
    print(
        f"encoded every epoch: {statistics.median(encoded):.2f} s per epoch, {start:.1f} s to start"
    )
    print(f"ratio: {ratio:.1f} times")
    return ratio


if __name__ == "__main__":
    main()

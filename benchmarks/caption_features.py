"""An epoch of captioning with a frozen encoder: its features kept, against encoding every time.

    python benchmarks/caption_features.py

`triform captioner train` over a folder in the documented form, with the documented encoder without
its weights (`--encoder random:resnet50`: speed does not depend on them) and 224 pixels, with
`--cache_features` and with `--no_cache_features`. Both ways do the same steps. Keeping features
costs one encoding before the first epoch, which is timed apart. Figures are medians of the epochs'
wall time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from triform.base.config import parse
from triform.systems.captioner.config import Config
from triform.systems.captioner.system import System


class Learner:
    """Stands where the engine's update stands: backward and a step, nothing else."""

    def __init__(self, system: System):
        self.optimizer = system.optimizers["main"]

    def __call__(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def write_pictures(folder: Path, count: int) -> None:
    """A folder in the documented form, of noisy pictures."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    lines = ["image,caption"]
    for number in range(count):
        pixels = random.integers(0, 256, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.jpg", quality=90)
        lines.append(f"{number}.jpg,picture number {number % 7} of the set")
    (folder / "captions.csv").write_text("\n".join(lines))


def epochs(folder: Path, encoder: str, cached: bool, repeats: int) -> tuple[float, list[float]]:
    """Seconds to begin, and of each epoch."""
    flags = ["--images_dir", str(folder / "images"), "--caption_file",
             str(folder / "captions.csv"), "--vocab_path", "", "--freq_threshold", "1",
             "--num_workers", "0", "--encoder", encoder, "--device", "cpu",
             "--cache_features" if cached else "--no_cache_features"]  # fmt: skip
    began = time.perf_counter()
    system = System(parse(Config, flags))
    start = time.perf_counter() - began
    update, spent = Learner(system), []
    for module in (*system.frozen.values(), *system.networks.values()):
        module.train(module in system.networks.values())
    for _ in range(repeats + 1):
        began = time.perf_counter()
        for batch in system.batches():
            system.step(batch, update)  # type: ignore[arg-type]
        spent.append(time.perf_counter() - began)
    return start, spent[1:]


def main(argv: list[str] | None = None) -> float:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=240)
    parser.add_argument("--encoder", default="random:resnet50")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name), given.pictures)
        kept_start, kept = epochs(Path(name), given.encoder, True, given.repeats)
        start, encoded = epochs(Path(name), given.encoder, False, given.repeats)
    ratio = statistics.median(encoded) / statistics.median(kept)
    print(f"kept: {statistics.median(kept):.2f} s per epoch, {kept_start:.1f} s to begin")
    print(
        f"encoded every time: {statistics.median(encoded):.2f} s per epoch, {start:.1f} s to begin"
    )
    print(f"ratio: {ratio:.1f} times")
    return ratio


if __name__ == "__main__":
    main()

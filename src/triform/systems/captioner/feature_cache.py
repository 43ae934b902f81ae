"""Feature maps of a frozen encoder, computed once and kept in the cache folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.base.progress import progress_bar
from triform.datasets.captioned.table import CaptionTable
from triform.pretrained.feature_maps import FeatureMaps
from triform.pretrained.fingerprint import state_fingerprint
from triform.systems.captioner.config import DataConfig
from triform.systems.captioner.data import preprocess, to_tensor

BATCH_SIZE = 32


def cached_features(
    encoder: FeatureMaps, table: CaptionTable, data: DataConfig, device: torch.device
) -> np.ndarray:
    """Feature maps of all images of a table, (N, C, s, s) float16, memory-mapped.

    The file's name is a hash of the encoder's weights, the table and the preprocessing.
    """
    preprocessing = f"{data.image_size} {data.random_crop}" + " framed" * data.frame
    key = f"{state_fingerprint(encoder.state_dict())} {table.digest} {preprocessing}"
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    path = cache_dir() / "captioner" / f"maps-{name}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_features(encoder.eval().to(device), table, data, device, path)
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


@torch.no_grad()
def _write_features(
    encoder: FeatureMaps, table: CaptionTable, data: DataConfig, device: torch.device, path: Path
) -> None:
    starts = range(0, len(table), BATCH_SIZE)
    with atomic_write(path) as stream:
        for start in progress_bar(starts, desc="encoding images", unit="batch"):
            rows = range(start, min(start + BATCH_SIZE, len(table)))
            images = np.stack([preprocess(table.images.image(row), data) for row in rows])
            maps = encoder(to_tensor(images).to(device)).half().cpu().numpy()
            if start == 0:
                shape = (len(table), *maps.shape[1:])
                header = {"descr": "<f2", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(maps).tobytes())

"""Feature maps of a frozen encoder, made once and kept in the cache folder."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import torch
from tqdm import tqdm

from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.datasets.captioned.table import CaptionTable
from triform.pretrained.feature_maps import FeatureMaps
from triform.pretrained.fingerprint import state_fingerprint
from triform.systems.captioner.config import DataConfig
from triform.systems.captioner.data import as_seen, to_tensor

BATCH = 32


def frozen_features(
    encoder: FeatureMaps, table: CaptionTable, data: DataConfig, device: torch.device
) -> np.ndarray:
    """Maps of all pictures of a table, (N, C, s, s) float16 on disk.

    The file is found by the encoder's weights, the table and the way pictures are shown: another
    of any of them makes another file.
    """
    shown = f"{data.image_size} {data.random_crop}" + " framed" * data.frame
    key = f"{state_fingerprint(encoder.state_dict())} {table.digest} {shown}"
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    path = cache_dir() / "captioner" / f"maps-{name}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(encoder.eval().to(device), table, data, device, path)
    kept: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return kept


@torch.no_grad()
def _make(
    encoder: FeatureMaps,
    table: CaptionTable,
    data: DataConfig,
    device: torch.device,
    path: os.PathLike[str],
) -> None:
    header_written = False
    with atomic_write(path) as stream:  # type: ignore[arg-type]
        for start in tqdm(
            range(0, len(table), BATCH), "encoding pictures", unit="batch", disable=None
        ):
            rows = range(start, min(start + BATCH, len(table)))
            seen = np.stack([as_seen(table.pictures.picture(row), data) for row in rows])
            maps = encoder(to_tensor(seen).to(device)).half().cpu().numpy()
            if not header_written:
                header = {
                    "descr": "<f2", "fortran_order": False, "shape": (len(table), *maps.shape[1:]),
                }  # fmt: skip
                np.lib.format.write_array_header_1_0(stream, header)
                header_written = True
            stream.write(np.ascontiguousarray(maps).tobytes())

"""Latents on disk: one file per object, and what made them.

::

    LIBRARY/latents/
      latents.json     what made them: encoder, shape, number format, seed
      ID.npy           (V, W) or (V W) float32, float16, or int8 as 127 times the value

Files `ID.pt` of a tensor, as other programs write them, are read too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.files import atomic_write, read_regular
from triform.base.plain_data import parse_json
from triform.base.tensor_files import read_torch_file
from triform.datasets.library.decoding import decode_array

NumberFormat = Literal["float32", "float16", "int8"]
INDEX = "latents.json"
MAX_LATENT_BYTES = 2**27
MAX_INDEX_BYTES = 2**20
INT8_SCALE = 127.0
BOUND = 1.001
"""Largest size of a number, rounding included."""


def latent_path(folder: Path, object_id: str) -> Path | None:
    """File of an object's latent, or None."""
    paths = (folder / f"{object_id}.npy", folder / f"{object_id}.pt")
    return next((path for path in paths if path.is_file()), None)


def write_latent(path: Path, latent: Tensor, number_format: NumberFormat) -> None:
    """Write a latent (V, W) in [-1, 1]."""
    values = latent.float().cpu().numpy()
    if number_format == "int8":
        stored = np.rint(values * INT8_SCALE).astype(np.int8)
    else:
        stored = values.astype(number_format)
    with atomic_write(path) as file:
        np.save(file, stored, allow_pickle=False)


def read_latent(path: Path, shape: tuple[int, int]) -> Tensor:
    """Read a latent (V, W) float32.

    Raises:
        UserError: Damaged, of another size, not finite, or beyond [-1, 1].
    """
    if path.suffix == ".pt":
        content = read_torch_file(path, "latent")
        if not isinstance(content, Tensor):
            raise UserError(f"{path}: holds no tensor, expected a latent")
        values = content.float().numpy()
    else:
        values = decode_array(read_regular(path, MAX_LATENT_BYTES), str(path))
    if values.dtype.kind not in "fi" or values.size != shape[0] * shape[1]:
        raise UserError(
            f"{path}: {values.dtype} {values.shape}, expected a latent of {shape[0]} x {shape[1]} "
            "numbers; encode the library with the settings of the training"
        )
    is_int8 = values.dtype == np.int8
    latent = torch.from_numpy(np.array(values.reshape(shape), dtype=np.float32))
    latent = latent / INT8_SCALE if is_int8 else latent
    if not bool((latent.abs() <= BOUND).all()):  # NaN fails as well
        raise UserError(f"{path}: a latent with numbers beyond [-1, 1] or NaN; encode it again")
    return latent


def read_latents(paths: Sequence[Path], shape: tuple[int, int]) -> Tensor:
    """Latents (N, V, W) of several files."""
    return torch.stack([read_latent(path, shape) for path in paths])


def read_index(folder: Path) -> dict[str, Any]:
    """What made the latents of a folder; empty if it does not say so.

    Raises:
        UserError: The file cannot be read.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    try:
        content = parse_json(read_regular(path, MAX_INDEX_BYTES).decode("utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as JSON") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected an object")
    return content


def write_index(folder: Path, content: dict[str, Any]) -> None:
    """Write what made the latents of a folder."""
    with atomic_write(folder / INDEX, "w") as file:
        file.write(json.dumps(content, indent=1, sort_keys=True) + "\n")

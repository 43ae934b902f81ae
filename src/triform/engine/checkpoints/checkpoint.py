"""Checkpoints: written atomically, read without executing anything.

A `.pth` holds tensors and plain Python data in torch's zip format and is read with
`weights_only=True`. A `.safetensors` holds weights alone, with config and metadata as JSON in its
header. Metadata is what a network needs besides weights and config, such as class names.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from triform.base.errors import UserError
from triform.base.files import atomic_copy, atomic_write
from triform.base.plain_data import check_plain, parse_json
from triform.base.tensor_files import check_header, read_torch_file
from triform.engine.checkpoints.quantization import dequantize_int8

FORMAT = "triform-checkpoint"
VERSION = 2
MAX_METADATA = 1_000_000
"""Values in the metadata of a file, at most; lists of names can be long."""
KEYS = ("system", "config", "networks", "ema", "optimizers", "step", "epoch")

State = dict[str, Any]
StateDicts = dict[str, dict[str, Tensor]]


class Weights(NamedTuple):
    """Weights read from a file.

    Attributes:
        networks: Network -> name -> tensor on the CPU.
        config: Settings of the run, as plain data.
        system: Name of the system.
        metadata: Result of `System.metadata` when they were saved.
    """

    networks: StateDicts
    config: dict[str, Any]
    system: str
    metadata: dict[str, Any]


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: The file.
        state: Tensors and plain data, with at least the keys `KEYS`.
    """
    missing = [key for key in KEYS if key not in state]
    if missing:
        raise ValueError(f"a checkpoint needs {', '.join(missing)}")
    _refuse_other_file(Path(path))
    with atomic_write(path) as file:
        torch.save({"format": FORMAT, "version": VERSION, **state}, file)


def copy(source: Path, target: Path) -> None:
    """Copy a checkpoint atomically; on one disk both names share the data."""
    _refuse_other_file(target)
    atomic_copy(source, target, link=True)


def save_as(paths: Sequence[Path], state: Mapping[str, Any]) -> None:
    """Write a checkpoint to several files; see `save` and `copy`."""
    save(paths[0], state)
    for path in paths[1:]:
        copy(paths[0], path)


def _refuse_other_file(path: Path) -> None:
    """Refuse to replace a file that is no checkpoint.

    A resumed run's settings name files to write, and the run may be from a stranger.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        with zipfile.ZipFile(path) as archive:
            is_checkpoint = any(name.endswith("/data.pkl") for name in archive.namelist()[:8])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        is_checkpoint = False
    if not is_checkpoint:
        raise UserError(
            f"{path}: is there and no checkpoint, so it is not replaced; name another file "
            "(--checkpoint, --checkpoint_dir) or move it away"
        )


def read(path: str | Path, *, mmap: bool = False) -> Any:
    """Read any file of `torch.save` that holds tensors and plain data; nothing is executed.

    Args:
        path: The file.
        mmap: Map the tensors into memory; their bytes are read where they are used.

    Raises:
        UserError: No such file, damaged, or it holds Python objects.
    """
    path = Path(path)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not there"
        raise UserError(f"{path}: {kind}, expected a checkpoint file")
    return read_torch_file(path, "checkpoint", mmap=mmap)


def load(path: str | Path, *, mmap: bool = False) -> State:
    """Read a checkpoint of a run.

    Args:
        path: The file.
        mmap: Map the tensors into memory; their bytes are read where they are used.

    Raises:
        UserError: Not readable, or not written by `save`.
    """
    state = read(path, mmap=mmap)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path}: a torch file, but not a Triform checkpoint")
    if state.get("version") != VERSION:
        raise UserError(
            f"{path}: format version {state.get('version')!r}, this Triform reads version {VERSION}"
        )
    missing = [key for key in KEYS if key not in state]
    if missing:
        raise UserError(f"{path}: the checkpoint lacks {', '.join(missing)}")
    if not _is_well_formed(state):
        raise UserError(f"{path}: not written by Triform: its parts are of the wrong kind")
    try:
        check_plain(state["config"])
        check_plain(state.setdefault("metadata", {}), MAX_METADATA)
    except ValueError as error:
        raise UserError(f"{path}: its settings cannot be read: {error}") from error
    return state


def _is_well_formed(state: Mapping[str, Any]) -> bool:
    """Whether names, config and tensors have the types that `save` was given."""
    weights = [
        *(state["networks"].values() if isinstance(state["networks"], dict) else [None]),
        *(state["ema"].values() if isinstance(state["ema"], dict) else [None]),
    ]
    return (
        isinstance(state["system"], str)
        and isinstance(state["config"], dict)
        and all(isinstance(each, dict) for each in weights)
        and all(
            isinstance(name, str) and isinstance(tensor, Tensor)
            for each in weights
            for name, tensor in each.items()
        )
    )


def best_weights(state: Mapping[str, Any]) -> StateDicts:
    """The weights to use: the EMA where there is one."""
    return {name: state["ema"].get(name) or weights for name, weights in state["networks"].items()}


def export_weights(
    path: str | Path,
    networks: Mapping[str, Mapping[str, Tensor]],
    config: Mapping[str, Any],
    *,
    system: str,
    metadata: Mapping[str, Any] | None = None,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write weights alone to a `.safetensors` file, for sharing.

    Args:
        path: A `.safetensors` file.
        networks: Network -> name -> tensor; see `best_weights`.
        config: The resolved config as plain data; of folders of this machine, absolute paths, only
            the last name is written.
        system: Name of the system.
        metadata: Plain data of `System.metadata`.
        extra: Further entries of the header: licence, training data, ...

    Raises:
        ValueError: The name of a network has a dot, or the file another suffix.
    """
    if Path(path).suffix != ".safetensors" or any("." in name for name in networks):
        raise ValueError(
            f"weights go to a .safetensors file (seen {Path(path).name!r}) and "
            f"networks have names without a dot: {', '.join(networks)}"
        )
    # Tensors that share memory (tied weights) are refused by the format, so each is copied.
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().clone().contiguous()
        for name, weights in networks.items()
        for key, tensor in weights.items()
    }
    header = {
        **(extra or {}),
        "format": "pt",
        "version": str(VERSION),
        "system": system,
        "config": json.dumps(_without_folders(config), ensure_ascii=False),
        "metadata": json.dumps(metadata or {}, ensure_ascii=False),
    }
    with atomic_write(path) as file:
        file.write(to_safetensors(tensors, header))


def _without_folders(config: Mapping[str, Any]) -> dict[str, Any]:
    """Replace absolute paths in settings by file names."""
    return {
        key: _without_folders(value)
        if isinstance(value, Mapping)
        else Path(value).name
        if isinstance(value, str) and Path(value).is_absolute()
        else value
        for key, value in config.items()
    }


def is_exported(path: Path) -> bool:
    """Whether a `.safetensors` file was written by `export_weights`."""
    try:
        check_header(path)
        with safe_open(path, framework="pt") as file:
            return "system" in (file.metadata() or {})
    except (SafetensorError, OSError, UserError):
        return False


def load_weights(path: str | Path) -> Weights:
    """Read weights from a checkpoint (`.pth`) or a weights file (`.safetensors`).

    Raises:
        UserError: Not readable, not one of the two, or of another version.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        state = load(path)
        return Weights(best_weights(state), state["config"], state["system"], state["metadata"])
    if not path.is_file():
        raise UserError(f"{path}: not there, expected a weights file")
    weights: StateDicts = {}
    try:
        check_header(path)
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            for key in file.keys():  # noqa: SIM118 - not a dict
                name, _, inner = key.partition(".")
                weights.setdefault(name, {})[inner] = file.get_tensor(key)
        weights = {name: dequantize_int8(tensors) for name, tensors in weights.items()}
        system, config = header["system"], parse_json(header["config"])
        if (version := header.get("version", "1")) != str(VERSION):
            raise UserError(
                f"{path}: weights of format version {version}, this Triform reads version "
                f"{VERSION}; scripts/convert_weights.py of the source converts those that shipped"
            )
        return Weights(weights, config, system, parse_json(header["metadata"], MAX_METADATA))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: damaged, cut short, or not a safetensors file") from error
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: weights without Triform's config in their metadata") from error

"""Checkpoints: one file each, whole or not there, that never executes anything.

A `.pth` holds tensors and plain Python data in torch's zip format and is read with
`weights_only=True`. A `.safetensors` holds weights alone, with the config as JSON beside them.
"""

import json
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.plain_data import check_plain, parse_json
from triform.engine.checkpoint_checks import check_archive, check_header, check_tensors
from triform.engine.eight_bit import from_eight_bit

FORMAT = "triform-checkpoint"
VERSION = 1
KEYS = ("system", "config", "networks", "ema", "optimizers", "step", "epoch")

State = dict[str, Any]
StateDicts = dict[str, dict[str, Tensor]]


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; whoever looks sees the old file or the new one.

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
    """Copy a checkpoint, with the same promise."""
    _refuse_other_file(target)
    with source.open("rb") as original, atomic_write(target) as file:
        shutil.copyfileobj(original, file)


def _refuse_other_file(path: Path) -> None:
    """Refuse to replace a file that is no checkpoint.

    The settings of a run that is continued name files to write, and the run may be a stranger's.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        with zipfile.ZipFile(path) as archive:
            ours = any(name.endswith("/data.pkl") for name in archive.namelist()[:8])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        ours = False
    if not ours:
        raise UserError(
            f"{path}: is there and no checkpoint, so it is not replaced; name another file "
            "(--checkpoint, --checkpoint_dir) or move it away"
        )


def read(path: str | Path) -> Any:
    """Read any file of `torch.save` that holds tensors and plain data; nothing is executed.

    Raises:
        UserError: No such file, damaged, or it holds Python objects.
    """
    path = Path(path)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not there"
        raise UserError(f"{path}: {kind}, expected a checkpoint file")
    try:
        check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about a file before it refuses it
            content = torch.load(path, map_location="cpu", weights_only=True)
        check_tensors(content, path)
        return content
    except UserError:
        raise
    except Exception as error:  # a hostile file may make the reader fail in any way
        if "weights" in str(error).lower():  # the words of torch's restricted unpickler
            raise UserError(
                f"{path}: holds Python objects or is no checkpoint; refused, nothing "
                "in it was executed"
            ) from error
        raise UserError(f"{path}: damaged, cut short, or not a checkpoint") from error


def load(path: str | Path) -> State:
    """Read a checkpoint of a run.

    Raises:
        UserError: Not readable, or not written by `save`.
    """
    state = read(path)
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
    except ValueError as error:
        raise UserError(f"{path}: its settings cannot be read: {error}") from error
    return state


def _is_well_formed(state: Mapping[str, Any]) -> bool:
    """Whether the parts that any reader takes for granted are what `save` was given."""
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
    """The weights to use: averages where there are any."""
    return {name: state["ema"].get(name) or weights for name, weights in state["networks"].items()}


def export_weights(
    path: str | Path,
    networks: Mapping[str, Mapping[str, Tensor]],
    config: Mapping[str, Any],
    *,
    system: str,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write weights alone, for sharing.

    Args:
        path: A `.safetensors` file.
        networks: Network -> name -> tensor; see `best_weights`.
        config: The resolved config as plain data; of folders of this machine, absolute paths, only
            the last name is written.
        system: Name of the system.
        extra: More entries of the metadata: licence, training data, ...

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
    metadata = {
        **(extra or {}),
        "format": "pt",
        "system": system,
        "config": json.dumps(_without_folders(config), ensure_ascii=False),
    }
    with atomic_write(path) as file:
        file.write(to_safetensors(tensors, metadata))


def _without_folders(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_folders(value)
        if isinstance(value, Mapping)
        else Path(value).name
        if isinstance(value, str) and Path(value).is_absolute()
        else value
        for key, value in config.items()
    }


def is_exported(path: Path) -> bool:
    """Whether a `.safetensors` file says which system's weights it holds."""
    try:
        check_header(path)
        with safe_open(path, framework="pt") as file:
            return "system" in (file.metadata() or {})
    except (SafetensorError, OSError, UserError):
        return False


def load_weights(path: str | Path) -> tuple[StateDicts, dict[str, Any]]:
    """Weights and config out of a checkpoint (`.pth`) or a weights file (`.safetensors`).

    Returns:
        Network -> name -> tensor on the CPU, and the config with the system's name added under
        `system`.

    Raises:
        UserError: Not readable, or not one of the two.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        state = load(path)
        return best_weights(state), {**state["config"], "system": state["system"]}
    if not path.is_file():
        raise UserError(f"{path}: not there, expected a weights file")
    weights: StateDicts = {}
    try:
        check_header(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            for key in file.keys():  # noqa: SIM118 - not a dict
                name, _, inner = key.partition(".")
                weights.setdefault(name, {})[inner] = file.get_tensor(key)
        weights = {name: from_eight_bit(tensors) for name, tensors in weights.items()}
        config = parse_json(metadata["config"])
        return weights, {**config, "system": metadata["system"]}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: damaged, cut short, or not a safetensors file") from error
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: weights without Triform's config in their metadata") from error

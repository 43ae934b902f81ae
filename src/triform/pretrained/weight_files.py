"""Files of weights, as tensors alone: whatever reads them after us never meets a pickle.

Libraries of networks read `.bin`, `.pt` and `.pth` themselves, some versions without any limit on
what a pickle may run. Here such a file is read with torch's restricted unpickler, after its
archive was looked at, and handed on as safetensors.
"""

import contextlib
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from triform.base.errors import UserError

SAFE_SUFFIX = ".safetensors"
PICKLED_SUFFIXES = (".bin", ".pt", ".pth")
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Under these keys training scripts keep the weights that are to be used, the first found."""


@contextlib.contextmanager
def as_safetensors(path: Path) -> Iterator[Path]:
    """The file itself where it is safetensors, else one with the same tensors for the time.

    Args:
        path: `.safetensors`, or what `torch.save` wrote of tensors alone, under any name.

    Raises:
        UserError: It cannot be read, or holds more than tensors.
    """
    if path.suffix == SAFE_SUFFIX:
        yield path
        return
    state = read_pickled(path)
    with tempfile.TemporaryDirectory(
        prefix="triform-weights-", ignore_cleanup_errors=True
    ) as folder:
        target = Path(folder) / f"weights{SAFE_SUFFIX}"
        write_safetensors(state, target)
        del state
        yield target


def write_safetensors(state: dict[str, Tensor], target: Path) -> None:
    """Write tensors, those that share memory apart from each other."""
    save_file({name: each.detach().clone().contiguous() for name, each in state.items()}, target)


def read_pickled(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of `torch.save`; nothing in it is executed.

    Raises:
        UserError: Damaged, packed, no state dict, or Python objects in it.
    """
    try:
        check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about a file before it refuses it
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # a hostile file may make the reader fail in any way
        raise UserError(
            f"{path}: cannot be read as tensors alone ({type(error).__name__}); it is damaged, no "
            "file of weights, or holds Python objects, of which none was executed"
        ) from error
    return _state_dict(content, path)


def check_archive(path: Path) -> None:
    """Refuse an archive whose contents are packed, or damaged.

    `torch.save` stores its records as they are. A packed one could hold a thousand times the
    bytes of the file.

    Raises:
        UserError: A record is packed, larger than the file, or does not match its checksum.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = [each.filename for each in entries if each.compress_type != zipfile.ZIP_STORED]
        if packed or sum(each.file_size for each in entries) > path.stat().st_size:
            raise UserError(
                f"{path}: its records are packed, which torch.save never does; not read"
            )
        if (damaged := archive.testzip()) is not None:
            raise UserError(f"{path}: damaged ({damaged!r} does not match its checksum)")


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by name, out of whatever a training script put around them."""
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: no tensors by name in it")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(f"{path}: {str(name)[:80]!r} in it is no tensor")
    return dict(content)

"""Convert pickled weights to safetensors, so that libraries never unpickle a file.

Libraries read `.bin`, `.pt` and `.pth` themselves, some versions without any limit on what a
pickle may run. Here such a file is checked, read with torch's restricted unpickler, and passed on
as safetensors.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from triform.base.errors import UserError
from triform.base.tensor_files import read_torch_file

SAFE_SUFFIX = ".safetensors"
PICKLED_SUFFIXES = (".bin", ".pt", ".pth")
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training scripts keep the weights; the first found is used."""


@contextlib.contextmanager
def as_safetensors(path: Path) -> Iterator[Path]:
    """The file itself if it is safetensors, else a temporary safetensors file of its tensors.

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
    """Write tensors; those that share memory are copied."""
    save_file({name: each.detach().clone().contiguous() for name, each in state.items()}, target)


def read_pickled(path: Path) -> dict[str, Tensor]:
    """Read the state dict in a file of `torch.save`; nothing in it is executed.

    Raises:
        UserError: Damaged, packed, no state dict, or Python objects in it.
    """
    return _state_dict(read_torch_file(path, "file of weights"), path)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """Extract the state dict from the wrappers of training scripts."""
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

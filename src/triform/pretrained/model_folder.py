"""Checked copies of model folders, for libraries to load.

The settings in a model folder may make a library run code that lies beside them
(`auto_map`, `tokenizer_kwargs`), to fetch other models (`hf_model_name`, adapters), compiled
kernels (`attn_implementation`) or files from elsewhere. So the libraries get a copy: settings that
were read and checked here, the tokenizer's data, and weights in safetensors. Unneeded files are
left out; settings that ask for more are refused by their name.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.base.files import read_regular
from triform.pretrained.model_settings import check_settings
from triform.pretrained.weight_files import (
    PICKLED_SUFFIXES,
    SAFE_SUFFIX,
    read_pickled,
    write_safetensors,
)

MAX_SETTINGS = 16 * 2**20
MAX_DATA = 256 * 2**20
DATA_FILES = ("tokenizer.json", "vocab.json", "added_tokens.json")
"""Vocabularies, in which any key is allowed: copied unchanged."""
DATA_SUFFIXES = (".txt", ".model", ".codes")
INDEX_SUFFIX = f"{SAFE_SUFFIX}.index.json"
POOLING = "1_Pooling/config.json"
REFUSED_FILES = {
    "adapter_config.json": "an adapter of PEFT, which names another model to fetch",
    "model_index.json": "a pipeline of diffusers, which names classes to import",
}
NOT_NEEDED = (
    "generation_config.json",
    "chat_template.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
)
"""Settings of parts that are never loaded here: checked, not copied."""
PREFERRED = ("open_clip_pytorch_model", "pytorch_model", "model")
"""Stems of pickled weights, in the order of the libraries' preference."""


@contextlib.contextmanager
def checked_copy(folder: Path, *, pickled: bool) -> Iterator[Path]:
    """Temporary copy of a model folder with checked settings and safe weights.

    Args:
        folder: Holds settings, weights and the tokenizer's files.
        pickled: Whether to accept pickled weights if there are no others: read with the restricted
            unpickler and converted to safetensors.

    Raises:
        UserError: A file asks for code or other models, is no JSON, is too large or no file.
    """
    with tempfile.TemporaryDirectory(
        prefix="triform-model-", ignore_cleanup_errors=True
    ) as temporary:
        copy = Path(temporary)
        for path in sorted(folder.iterdir()):
            _copy(path, copy)
        if (folder / POOLING).is_file():
            (copy / POOLING).parent.mkdir()
            _write(copy / POOLING, read_settings(folder / POOLING))
        if pickled and not list(copy.glob(f"*{SAFE_SUFFIX}")):
            _copy_pickled(folder, copy)
        yield copy


def check_folder(folder: Path) -> None:
    """Refuse settings that ask for code or other models, in a folder that a library reads itself.

    Raises:
        UserError: See `checked_copy`.
    """
    for path in sorted(folder.glob("*.json")):
        if not path.name.endswith(INDEX_SUFFIX) and path.name not in DATA_FILES:
            read_settings(path)


def read_settings(path: Path) -> Any:
    """Read and check settings of a model, without the keys that only say where they came from.

    Raises:
        UserError: No JSON, too large, or something in it asks for code or other models.
    """
    if (reason := REFUSED_FILES.get(path.name)) is not None:
        raise UserError(f"{path}: {reason}; such folders are not loaded")
    return check_settings(_json(path, MAX_SETTINGS), path)


def _copy(path: Path, copy: Path) -> None:
    """Copy one entry of the folder; folders, code and pickles are left out."""
    target = copy / path.name
    if path.name.endswith(INDEX_SUFFIX):
        _write(target, _index(path))
    elif path.name in DATA_FILES or path.suffix in DATA_SUFFIXES:
        if path.is_file():
            target.write_bytes(read_regular(path, MAX_DATA))
    elif path.suffix == ".json":
        settings = read_settings(path)
        if path.name not in NOT_NEEDED:
            _write(target, settings)
    elif path.suffix == SAFE_SUFFIX and path.is_file():
        _link(path, target)


def _copy_pickled(folder: Path, copy: Path) -> None:
    """Convert the pickled weights that a library would load to safetensors."""
    found = [
        path for path in folder.iterdir() if path.suffix in PICKLED_SUFFIXES and path.is_file()
    ]
    ranks = {stem: rank for rank, stem in enumerate(PREFERRED)}
    if found:
        best = min(found, key=lambda path: (ranks.get(path.stem, len(ranks)), path.name))
        write_safetensors(read_pickled(best), copy / f"model{SAFE_SUFFIX}")


def _index(path: Path) -> Any:
    """Read the index of sharded weights; only files of this folder are allowed."""
    content = _json(path, MAX_SETTINGS)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict):
        raise UserError(f"{path}: expected a weight_map")
    for name in names.values():
        if not isinstance(name, str) or Path(name).name != name or "\\" in name:
            raise UserError(f"{path}: {str(name)[:80]!r} is no file of this folder")
        if not name.endswith(SAFE_SUFFIX):
            raise UserError(f"{path}: {name[:80]!r} is no safetensors file")
    return {"metadata": content.get("metadata") or {}, "weight_map": names}


def _json(path: Path, limit: int) -> Any:
    try:
        return json.loads(read_regular(path, limit))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON that can be read ({type(error).__name__})") from error


def _write(target: Path, content: Any) -> None:
    target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _link(path: Path, target: Path) -> None:
    """Link a file; copy it where links are not possible."""
    try:
        target.symlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, target)

"""A model's folder, from the hub or from anywhere, before a library sees it.

The settings in such a folder may ask a library to run code that lies beside them
(`auto_map`, `tokenizer_kwargs`), to fetch other models (`hf_model_name`, adapters), compiled
kernels (`attn_implementation`) or files from elsewhere. So the libraries get a copy: settings that
were read and checked here, the tokenizer's data, and weights in safetensors. What nobody needs is
left out of it; what asks for more is refused by its name.
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
"""Tables of words, in which any key may be one: copied as they are."""
DATA_SUFFIXES = (".txt", ".model", ".codes")
INDEX_SUFFIX = f"{SAFE_SUFFIX}.index.json"
POOLING = "1_Pooling/config.json"
REFUSED_FILES = {
    "adapter_config.json": "an adapter of PEFT, which names another model to fetch",
    "model_index.json": "a pipeline of diffusers, which names classes to import",
}
NOT_NEEDED = (
    "generation_config.json", "chat_template.json", "processor_config.json",
    "preprocessor_config.json", "video_preprocessor_config.json",
)  # fmt: skip
"""Settings of what is never loaded here: checked, and not handed on."""
PREFERRED = ("open_clip_pytorch_model", "pytorch_model", "model")
"""Stems of pickled weights, the first found is taken, as the libraries do."""


@contextlib.contextmanager
def checked_copy(folder: Path, *, pickled: bool) -> Iterator[Path]:
    """A folder for the time, with what of a model's folder a library may see.

    Args:
        folder: Holds settings, weights and the tokenizer's files.
        pickled: Whether pickled weights are taken where there are no others: read with the
            restricted unpickler, and handed on as safetensors.

    Raises:
        UserError: A file asks for code or other models, is no JSON, is too large or no file.
    """
    with tempfile.TemporaryDirectory(prefix="triform-model-", ignore_cleanup_errors=True) as place:
        copy = Path(place)
        for path in sorted(folder.iterdir()):
            _copy(path, copy)
        if (folder / POOLING).is_file():
            (copy / POOLING).parent.mkdir()
            _write(copy / POOLING, read_settings(folder / POOLING))
        if pickled and not list(copy.glob(f"*{SAFE_SUFFIX}")):
            _copy_pickled(folder, copy)
        yield copy


def check_folder(folder: Path) -> None:
    """Refuse settings that ask for code or for other models, where a library reads them itself.

    Raises:
        UserError: See `checked_copy`.
    """
    for path in sorted(folder.glob("*.json")):
        if not path.name.endswith(INDEX_SUFFIX) and path.name not in DATA_FILES:
            read_settings(path)


def read_settings(path: Path) -> Any:
    """Settings of a model without what only says where they came from.

    Raises:
        UserError: No JSON, too large, or something in it asks for code or other models.
    """
    if (reason := REFUSED_FILES.get(path.name)) is not None:
        raise UserError(f"{path}: {reason}; such folders are not loaded")
    return check_settings(_json(path, MAX_SETTINGS), path)


def _copy(path: Path, copy: Path) -> None:
    """One entry of the folder; folders, code and pickles stay behind."""
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
    """The pickled weights that a library would take, as safetensors."""
    found = [
        path for path in folder.iterdir() if path.suffix in PICKLED_SUFFIXES and path.is_file()
    ]
    ranks = {stem: rank for rank, stem in enumerate(PREFERRED)}
    if found:
        best = min(found, key=lambda path: (ranks.get(path.stem, len(ranks)), path.name))
        write_safetensors(read_pickled(best), copy / f"model{SAFE_SUFFIX}")


def _index(path: Path) -> Any:
    """Which file holds which tensor; files of this folder alone."""
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
    """The same file under another name; a copy where links cannot be made."""
    try:
        target.symlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, target)

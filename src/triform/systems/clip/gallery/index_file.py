"""The file of an index: which model made it, and what it knows of every photo.

An index is a gallery (`search/`): a group for each file, with one vector for a photo and one for
each frame of a video.

| field of a record | |
|---|---|
| `path` | absolute; `bytes:` and hexadecimal digits where the name is no Unicode |
| `folder` | of the file, likewise, with a separator at its end |
| `kind`, `format` | image, raw or video; JPEG, PNG, ... |
| `bytes`, `modified`, `digest` | of the file |
| `width`, `height`, `duration` | pixels, upright; seconds, of a video |
| `second` | of a frame of a video |
| `taken`, `dated_by` | YYYY-MM-DDTHH:MM:SS by the camera, or else the time of the file |
| `hash` | perceptual hash |
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from triform.base.checksum import file_sha256
from triform.base.errors import UsageError, UserError
from triform.base.printable import printable
from triform.datasets.images.photos.changes import KnownPhoto
from triform.search.base_gallery import Record
from triform.search.chroma import is_chroma
from triform.systems.clip.model_choice import SYSTEM, model_path
from triform.systems.clip.verb_config import ModelChoice

SUFFIX = ".gallery"
"""As `search.gallery` has it, whose search need not be loaded to see that nothing has changed."""
VERSION = 3
"""Raised when the same photo would get another record or vector."""
_BYTES = "bytes:"


def encoder_id(settings: ModelChoice) -> str:
    """Name of the encoder of an index: of its weights' content, or of the published model.

    Raises:
        UserError: There is no such file.
    """
    model = model_path(settings)
    if isinstance(model, Path):
        return f"{SYSTEM} weights {file_sha256(model)[:32]}"
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return f"{SYSTEM} model {model}"
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            digest.update(f"{path.name} {file_sha256(path)}\n".encode("utf-8", "surrogatepass"))
    return f"{SYSTEM} weights {digest.hexdigest()[:32]}"


def check_location(name: str) -> str:
    """The file, or the address of a server, that `--index_file` names.

    Raises:
        UsageError: It has another suffix.
    """
    if is_chroma(name):
        return name
    if not name.endswith(SUFFIX):
        raise UsageError(
            f"--index_file {name}: must end in {SUFFIX}, or be chroma://HOST:PORT/NAME"
        )
    return str(Path(name).expanduser())


def local_path(location: str) -> Path:
    """The file of an index; for one on a server, the name here of what lies beside a file."""
    return Path(location.rpartition("/")[2] + SUFFIX if is_chroma(location) else location)


def check_encoder(location: str, index_encoder: str, encoder: str, settings: ModelChoice) -> None:
    """Refuse a model that the index was not made with.

    Raises:
        UserError: It was not.
    """
    if index_encoder != encoder:
        raise UserError(
            f"{location}: made with {index_encoder.removeprefix(SYSTEM).strip()}, not with "
            f"{model_path(settings)}; name that one by --checkpoint or --model, or build the "
            "index anew by `index --rebuild`"
        )


def stored_path(path: str) -> str:
    """A path as text that any database takes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _BYTES + os.fsencode(path).hex()
    return path


def folder_prefix(folder: str) -> str:
    """What `folder` of the record of every file in a folder begins with."""
    return stored_path(os.path.join(os.path.abspath(folder), ""))


def original_path(stored: str) -> str:
    """The path of a file from its text in the index."""
    if stored.startswith(_BYTES):
        return os.fsdecode(bytes.fromhex(stored.removeprefix(_BYTES)))
    return stored


def known_photos(records: Mapping[str, Record]) -> dict[str, KnownPhoto]:
    """Path -> what is known of a file, from the records of an index.

    Raises:
        UserError: A record is not that of a photo.
    """
    known = {}
    for name, record in records.items():
        try:
            known[original_path(str(record["path"]))] = KnownPhoto(
                int(record["bytes"]), int(record["modified"]), str(record["digest"])
            )
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{name}: its record is not that of a photo") from None
    return known


def path_words(path: str, roots: tuple[str, ...]) -> str:
    """Words of the name of a file, and of the folders between it and the folder of the index."""
    root = max((root for root in roots if path.startswith(root)), key=len, default="")
    parts = os.path.splitext(path[len(root) :])[0].split(os.sep)
    return printable(" ".join(filter(None, parts)))

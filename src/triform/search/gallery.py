"""Creates and opens galleries: files, and collections of a Chroma server."""

from __future__ import annotations

import contextlib
from pathlib import Path

from triform.base.errors import UserError
from triform.search import gallery_file
from triform.search.base_gallery import Gallery, Metric
from triform.search.chroma import ChromaGallery, is_chroma
from triform.search.exact import ExactGallery

SUFFIX = ".gallery"


def create_gallery(
    location: str | Path | None, *, encoder: str, dim: int = 0, metric: Metric = "cosine"
) -> Gallery:
    """Create an empty gallery.

    Args:
        location: A file (`NAME.gallery`; written by `save`) or None for memory alone; or
            `chroma://HOST:PORT/COLLECTION`, a Chroma server. An existing collection is emptied.
        encoder: The encoder of its vectors.
        dim: Width of a vector; that of the first ones where 0.
        metric: How queries and vectors are compared.
    """
    if location is not None and is_chroma(location):
        return ChromaGallery.create(str(location), encoder=encoder, dim=dim, metric=metric)
    path = None if location is None else Path(location)
    return ExactGallery(encoder=encoder, dim=dim, path=path, metric=metric)


def open_gallery(location: str | Path) -> Gallery:
    """Open a saved gallery: a file, or a collection of a server.

    Raises:
        UserError: There is none, or it is damaged.
    """
    if is_chroma(location):
        return ChromaGallery.open(str(location))
    if (Path(location) / "chroma.sqlite3").is_file():
        raise UserError(
            f"{location}: a folder of Chroma; start `chroma run --path {location}` and name "
            "chroma://HOST:PORT/gallery, or build the gallery anew in a file"
        )
    return ExactGallery.open(Path(location))


def updating(location: str | Path) -> contextlib.AbstractContextManager[None]:
    """Lock that is held from opening a gallery to saving it, against other processes.

    A Chroma server adds rows one by one and needs no such lock.
    """
    if is_chroma(location):
        return contextlib.nullcontext()
    return gallery_file.exclusive(Path(location))


def exists(location: str | Path) -> bool:
    """Whether there may be a gallery: for a server, only opening tells."""
    return is_chroma(location) or Path(location).exists()

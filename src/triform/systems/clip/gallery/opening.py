"""Opens indexes, for a search or to write."""

from __future__ import annotations

from triform.base.errors import UserError
from triform.search.base_gallery import Gallery
from triform.search.chroma import is_chroma
from triform.search.gallery import create_gallery, exists, open_gallery
from triform.systems.clip.gallery.index_file import check_encoder
from triform.systems.clip.verb_config import ModelChoice


def open_index(location: str) -> Gallery:
    """Open an index.

    Raises:
        UserError: There is none, or it is damaged.
    """
    if not exists(location):
        raise UserError(f"{location}: not there; make it by `triform clip index FOLDER`")
    return open_gallery(location)


def open_or_create(location: str, encoder: str, settings: ModelChoice, *, rebuild: bool) -> Gallery:
    """Open an index to write, or create it in memory.

    Raises:
        UserError: It is damaged, or another model's.
    """
    if rebuild or not exists(location):
        return create_gallery(location, encoder=encoder)
    try:
        gallery = open_gallery(location)
    except UserError as error:
        if is_chroma(location) and "has no collection" in str(error):
            return create_gallery(location, encoder=encoder)
        raise UserError(f"{error}; --rebuild does") from None
    check_encoder(location, gallery.encoder, encoder, settings)
    return gallery

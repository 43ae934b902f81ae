"""Reads the queries of a search and embeds them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from triform.base.errors import UsageError, UserError
from triform.datasets.shape import MESH_SUFFIXES
from triform.geometry.io.load import load_mesh
from triform.images.read import HELD_SIDE, IMAGE_SUFFIXES, read_image
from triform.systems.retrieval.gallery.embed import (
    Embeddings,
    embed_points,
    embed_views,
    with_points,
)
from triform.systems.retrieval.gallery.entries import Content, files_below
from triform.systems.retrieval.gallery.tiles import blank_tile, image_tile, mesh_tile
from triform.systems.retrieval.trained import Retriever
from triform.systems.retrieval.verb_config import SearchConfig

KINDS = {
    "image": ("view", "points", "image"),
    "mesh": ("points", "image"),
    "text": ("whole", "points", "image"),
}
"""Kinds of the gallery's vectors that each query is compared with, the better first."""


@dataclass(frozen=True)
class Query:
    """An image, a mesh or a text to search with.

    Attributes:
        kind: What it is.
        name: The file or the text.
        content: What the encoders see of it.
    """

    kind: Literal["image", "mesh", "text"]
    name: str
    content: Content

    def kinds_among(self, available: Collection[str]) -> list[str]:
        """Kinds of the gallery's vectors that are compared with it.

        Each kind of entry takes part with the best kind of vector that it has: in a gallery of
        meshes and images both do.
        """
        shapes = [kind for kind in KINDS[self.kind] if kind in available and kind != "image"]
        return shapes[:1] + (["image"] if "image" in available else [])


def read_queries(settings: SearchConfig) -> list[Query]:
    """Read images and meshes that are searched with, those of folders as well.

    Raises:
        UserError: A file cannot be read.
        UsageError: A text is empty.
    """
    queries: list[Query] = []
    for name in _files(settings.image, IMAGE_SUFFIXES, "--image"):
        image = read_image(name, longest=HELD_SIDE)
        queries.append(Query("image", name, Content(tile=image_tile(image), images=(image,))))
    for name in _files(settings.mesh, MESH_SUFFIXES, "--mesh"):
        mesh = load_mesh(name, appearance=True, up=settings.up)
        queries.append(Query("mesh", name, Content(tile=mesh_tile(mesh), mesh=mesh)))
    for name in settings.text:
        if not name.strip():
            raise UsageError("--text: an empty sentence; say what is looked for")
        queries.append(Query("text", name, Content(tile=blank_tile())))
    return queries


def _files(names: Sequence[str], suffixes: Sequence[str], flag: str) -> Iterator[str]:
    """Names of files, with those below each folder in its place."""
    for name in names:
        if not Path(name).is_dir():
            yield name
        elif found := files_below(Path(name), suffixes):
            yield from map(str, found)
        else:
            raise UserError(
                f"{flag} {name}: nothing in it; looked for files that end in {' '.join(suffixes)}"
            )


def embed_query(query: Query, retriever: Retriever, *, as_views: bool) -> Embeddings:
    """Embeddings (N, D) of a query; the best of them counts.

    Args:
        query: What is searched with.
        retriever: The encoders.
        as_views: Whether a mesh is compared with images by its rendered views.
    """
    if query.kind == "text":
        return retriever.encode_texts([query.name])
    if query.kind == "image":
        return retriever.encode_images(query.content.images)
    points = embed_points(query.content, retriever)
    if not as_views:
        return points
    return with_points(embed_views(query.content, retriever), points)


def read_where(texts: Sequence[str]) -> dict[str, list[str]]:
    """Field -> values, of `FIELD=VALUE` texts; a field that is named twice may have either value.

    Raises:
        UsageError: A text without field or `=`.
    """
    where: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--where {text}: write FIELD=VALUE, such as category=chair")
        where.setdefault(name.strip(), []).append(value)
    return where

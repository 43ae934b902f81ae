"""The vector of a query: its terms put together, without what must not be there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from triform.base.errors import UsageError
from triform.images.read import image_content, on_background, read_photo_image
from triform.pretrained.image_text import ImageTextModel
from triform.search.base_gallery import Vectors
from triform.search.exclusion import Exclusion
from triform.systems.clip.gallery.embed import shortest_side
from triform.systems.clip.gallery.query import Term

LEAST_REST = 0.05
"""Length of what is left of a query of length 1 when the negative terms are taken out, at least."""


def query_vector(terms: Sequence[Term], model: ImageTextModel) -> Vectors:
    """Embed a query.

    Returns:
        (D,) of length 1.

    Raises:
        UserError: An image cannot be read.
        UsageError: What must not be there is all that is looked for.
    """
    vectors = embed_terms(terms, model)
    positive = [
        term.weight * vector
        for term, vector in zip(terms, vectors, strict=True)
        if not term.is_negative
    ]
    negative = [vector for term, vector in zip(terms, vectors, strict=True) if term.is_negative]
    query = without_directions(_unit(np.sum(positive, axis=0)), negative)
    if np.linalg.norm(query) < LEAST_REST:
        names = ", ".join(term.text for term in terms if term.is_negative)
        raise UsageError(f"query: without {names} nothing is left of it")
    return _unit(query)


def query_exclusion(terms: Sequence[Term], model: ImageTextModel) -> Exclusion | None:
    """What photos are compared with so that those with an excluded text are left out.

    None where nothing is excluded in words, or something is looked for by an image: texts and
    images are not compared with images alike.
    """
    excluded = [term.text for term in terms if term.is_negative and not term.is_image]
    positive = [term for term in terms if not term.is_negative]
    if not excluded or any(term.is_image for term in positive):
        return None
    query = " ".join(term.text for term in positive)
    # Word order changes what a text encoder makes of it, so that both orders count.
    before = model.encode_texts([f"{one} {query}" for one in excluded]).numpy()
    after = model.encode_texts([f"{query} {one}" for one in excluded]).numpy()
    weighted = [
        term.weight * vector
        for term, vector in zip(positive, embed_terms(positive, model), strict=True)
    ]
    combined = np.stack([_unit(vector) for vector in before + after])
    return Exclusion(_unit(np.sum(weighted, axis=0)), combined)


def without_directions(query: Vectors, directions: Sequence[Vectors]) -> Vectors:
    """The part of a vector (D,) that is orthogonal to others.

    Unlike their subtraction it asks for images that have nothing to do with them, not for what is
    most unlike them; measured in `docs/log.md`.
    """
    if not directions:
        return query
    basis, _ = np.linalg.qr(np.stack(directions, axis=1).astype(np.float64))
    return np.asarray(query - basis @ (basis.T @ query), np.float32)


def embed_terms(terms: Sequence[Term], model: ImageTextModel) -> list[Vectors]:
    """Vectors (D,) of terms, of length 1.

    Raises:
        UserError: An image cannot be read.
    """
    texts = [term.text for term in terms if not term.is_image]
    of_texts = iter(model.encode_texts(texts).numpy() if texts else ())
    images = [_image(term.text, model) for term in terms if term.is_image]
    of_images = iter(model.encode_images(images).numpy() if images else ())
    return [next(of_images if term.is_image else of_texts) for term in terms]


def _image(path: str, model: ImageTextModel) -> Image.Image:
    """An image of the query, read as those of the index are."""
    image, _ = read_photo_image(image_content(path, path), path, shortest=shortest_side(model))
    return on_background(image)


def _unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)

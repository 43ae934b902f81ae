"""Pieces of furniture captioned with their names, on images that other software made.

Training images are the catalogue's own previews and views that this project renders of the same
models; validation and test images are previews of other models. Models that look alike are in the
same split.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.datasets.array_cache import cached_array
from triform.datasets.captioned.table import ArrayImages, CaptionTable, make_table
from triform.datasets.listing import list_shapes
from triform.datasets.load import load_dataset
from triform.datasets.shape import Shape
from triform.geometry.render.cameras import upper_cameras
from triform.geometry.render.views import VERSION, render_views
from triform.images.framing import MIN_ALPHA, WHITE_MARGIN, frame_on_white, is_not_white
from triform.images.read import HELD_SIDE, on_background, read_image
from triform.text.vocabulary import tokenize

SIDE, NUM_VIEWS = 96, 4
COPY_DISTANCE = 6.0
"""Mean difference of two framed previews, of 255, below which they count as copies."""
VAL_SHARE, TEST_SHARE = 0.05, 0.2
_HEAD_ENDS = re.compile(r"\b(?:with|for|of|in|on|and|by|from)\b|[,(]")


def load_furniture(download_path: str) -> CaptionTable:
    """Load the models of `sweethome3d`, captioned with their names.

    Raises:
        UserError: They cannot be downloaded or read.
    """
    named = [
        shape
        for shape in list_shapes(load_dataset(["sweethome3d"], download_path))
        if shape.english and tokenize(plain_name(shape.english[0]))
    ]
    with_preview = [(shape, data) for shape in named if (data := shape.preview())]
    if len(with_preview) < 10:
        raise UserError(f"{download_path}/sweethome3d: fewer than ten models with a preview")
    shapes = [shape for shape, _ in with_preview]
    previews = np.stack(
        [_thumbnail(read_image(data, "preview", longest=HELD_SIDE)) for _, data in with_preview]
    )
    shape_splits = np.array(_assign_splits(shapes, previews))
    train_shapes = np.flatnonzero(shape_splits == "train")
    views = _rendered_views([shapes[index] for index in train_shapes])
    shape_indices = np.concatenate([np.arange(len(shapes)), train_shapes.repeat(NUM_VIEWS)])
    splits = {split: np.flatnonzero(shape_splits == split) for split in ("train", "val", "test")}
    splits["train"] = np.concatenate([splits["train"], np.arange(len(shapes), len(shape_indices))])
    names = [" ".join(tokenize(plain_name(shape.english[0]))) for shape in shapes]
    captions = [names[index] for index in shape_indices]
    images = np.concatenate([previews, views.reshape(-1, SIDE, SIDE, 3)])
    return make_table(
        "furniture",
        ArrayImages(images, [shapes[index].object_id for index in shape_indices]),
        [(caption,) for caption in captions],
        splits,
        licence="of each library: LICENSE.TXT in its .sh3f file",
        contents=tuple(map(head_noun, captions)),
    )


def plain_name(name: str) -> str:
    """A name without numbers and catalogue details: "Chair 2 (oak)" is "chair"."""
    return re.sub(r"[\d#_]+", " ", name.split("(")[0]).strip().lower()


def head_noun(caption: str) -> str:
    """The noun that a caption is about: the last word before "with", "for", "of" and the like."""
    head = tokenize(_HEAD_ENDS.split(caption, maxsplit=1)[0]) or tokenize(caption)
    return head[-1] if head else ""


def _thumbnail(image: Image.Image) -> np.ndarray:
    """An image framed on white, (SIDE, SIDE, 3) uint8."""
    rgb = np.asarray(on_background(image))
    mask = is_not_white(rgb)
    if image.mode == "RGBA":
        mask &= np.asarray(image)[..., 3] > MIN_ALPHA
    square = Image.fromarray(frame_on_white(rgb, mask))
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _assign_splits(shapes: Sequence[Shape], previews: np.ndarray) -> list[str]:
    """Split of each shape by the hash of its id; near-copies follow the first of them."""
    flat = previews.reshape(len(previews), -1).astype(np.float32)
    leaders = list(range(len(shapes)))
    for index in range(1, len(flat)):
        distances = np.abs(flat[:index] - flat[index]).mean(1)
        if distances.min() < COPY_DISTANCE:
            leaders[index] = leaders[int(distances.argmin())]
    splits = []
    for leader in leaders:
        digest = hashlib.sha256(shapes[leader].object_id.encode()).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64
        is_val = position < TEST_SHARE + VAL_SHARE
        splits.append("test" if position < TEST_SHARE else "val" if is_val else "train")
    return splits


def _rendered_views(shapes: Sequence[Shape]) -> np.ndarray:
    """Rendered views (N, NUM_VIEWS, SIDE, SIDE, 3) uint8, cached on disk."""
    key = [f"captioned views {VERSION} {NUM_VIEWS} {SIDE} {WHITE_MARGIN}"]
    key += [shape.fingerprint for shape in shapes]
    name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:24]

    def render(index: int) -> np.ndarray:
        mesh = shapes[index].load(appearance=True)
        cameras = upper_cameras(NUM_VIEWS, seed=index)
        views = render_views(mesh, cameras, 2 * SIDE)
        return np.stack([_thumbnail(Image.fromarray(view.rgba)) for view in views])

    size = (len(shapes), NUM_VIEWS, SIDE, SIDE, 3)
    return np.asarray(cached_array(f"{name}_furniture", size, np.uint8, render, "views"))

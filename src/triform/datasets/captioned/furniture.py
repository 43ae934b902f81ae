"""Pieces of furniture whose caption is their name, with pictures that other software made.

Learned from are the catalogue's own preview and views that this project renders of the same model;
asked are previews of models that were never shown. Models that look alike are on one side.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from triform.base.errors import UserError
from triform.datasets.captioned.framing import MARGIN, WHITE, framed
from triform.datasets.captioned.table import CaptionTable, DrawnPictures, make_table
from triform.datasets.load import load_dataset
from triform.datasets.packed import packed
from triform.datasets.shape import Shape, list_shapes
from triform.geometry.cameras import upper_cameras
from triform.geometry.views import VERSION, render_views
from triform.images.read import HELD_SIDE, on_background, read_image
from triform.text.vocabulary import words_of

SIDE, VIEWS = 96, 4
ALIKE = 6.0
"""Mean difference of two framed previews, of 255, below which they count as copies."""
VAL_SHARE, TEST_SHARE = 0.05, 0.2
_ENDS = re.compile(r"\b(?:with|for|of|in|on|and|by|from)\b|[,(]")


def load_furniture(download_path: str) -> CaptionTable:
    """The models of `sweethome3d` by name.

    Raises:
        UserError: they cannot be brought or read.
    """
    shapes = [
        shape
        for shape in list_shapes(load_dataset(["sweethome3d"], download_path))
        if shape.english and words_of(plain_name(shape.english[0]))
    ]
    found = [(shape, data) for shape in shapes if (data := shape.preview())]
    if len(found) < 10:
        raise UserError(f"{download_path}/sweethome3d: fewer than ten models with a preview")
    shapes = [shape for shape, _ in found]
    previews = np.stack(
        [_framed(read_image(data, "preview", longest=HELD_SIDE)) for _, data in found]
    )
    splits = _divided(shapes, previews)
    learned = [number for number, split in enumerate(splits) if split == "train"]
    views = _views([shapes[number] for number in learned])
    names = [plain_name(shape.english[0]) for shape in shapes]
    shown = [*range(len(shapes)), *(number for number in learned for _ in range(VIEWS))]
    rows = np.arange(len(shapes))
    kind = np.array(splits)
    divided = {split: rows[kind == split] for split in ("train", "val", "test")}
    divided["train"] = np.concatenate([divided["train"], np.arange(len(shapes), len(shown))])
    said = [(" ".join(words_of(names[number])),) for number in shown]
    images = np.concatenate([previews, views.reshape(-1, SIDE, SIDE, 3)])
    return make_table(
        "furniture", DrawnPictures(images, [shapes[number].object_id for number in shown]), said,
        divided, licence="of each library: LICENSE.TXT in its .sh3f file",
        contents=tuple(head_noun(own[0]) for own in said),
    )  # fmt: skip


def plain_name(name: str) -> str:
    """A name without numbers and what only a catalogue needs: "Chair 2 (oak)" is "chair"."""
    return re.sub(r"[\d#_]+", " ", name.split("(")[0]).strip().lower()


def head_noun(caption: str) -> str:
    """What a thing is: the last word before "with", "for", "of" and the like."""
    head = words_of(_ENDS.split(caption, maxsplit=1)[0]) or words_of(caption)
    return head[-1] if head else ""


def _framed(image: Image.Image) -> np.ndarray:
    """The thing in the middle of a white square, (SIDE, SIDE, 3) uint8."""
    on_white = np.asarray(on_background(image))
    inside = np.asarray((on_white < WHITE).any(2))
    if image.mode == "RGBA":
        inside &= np.asarray(image)[..., 3] > 8
    square = Image.fromarray(framed(on_white, inside))
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _divided(shapes: Sequence[Shape], previews: np.ndarray) -> list[str]:
    """Train, val or test of each by its id; near-copies follow the smallest hash among them."""
    flat = previews.reshape(len(previews), -1).astype(np.float32)
    leader = list(range(len(shapes)))
    for number in range(1, len(flat)):
        apart = np.abs(flat[:number] - flat[number]).mean(1)
        if apart.min() < ALIKE:
            leader[number] = leader[int(apart.argmin())]
    splits = []
    for number in leader:
        digest = hashlib.sha256(shapes[number].object_id.encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        early, late = TEST_SHARE, TEST_SHARE + VAL_SHARE
        splits.append("test" if place < early else "val" if place < late else "train")
    return splits


def _views(shapes: Sequence[Shape]) -> np.ndarray:
    """Rendered views (N, VIEWS, SIDE, SIDE, 3) uint8; kept in the cache folder."""
    facts = [f"captioned views {VERSION} {VIEWS} {SIDE} {MARGIN}"]
    facts += [shape.fingerprint for shape in shapes]
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]

    def drawn(number: int) -> np.ndarray:
        mesh = shapes[number].load(appearance=True)
        cameras = upper_cameras(VIEWS, seed=number)
        views = render_views(mesh, cameras, 2 * SIDE)
        return np.stack([_framed(Image.fromarray(view.rgba)) for view in views])

    shape = (len(shapes), VIEWS, SIDE, SIDE, 3)
    return np.asarray(packed(f"{name}_furniture", shape, np.uint8, drawn, "views"))

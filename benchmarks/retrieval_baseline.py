"""What image <-> 3D retrieval reaches with nothing learned: the bar for everything that is.

    python benchmarks/retrieval_baseline.py --directory datasets/sweethome3d

Queries are a catalogue's own preview images, made by other software; the gallery is the meshes of
the same objects: those held out (validation and test, near copies on one side by voxels of 32^3),
then all of them. An image is cut to its object, described by HOG and 8x8 colours, and compared
with 36 rendered views of every mesh, of which the best counts. Printed for views in one colour per
face and for views with textures, with and without the colours.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from triform.base.paths import cache_dir
from triform.datasets.listing import list_shapes
from triform.datasets.split import assign_splits
from triform.datasets.voxels import voxelize_shapes
from triform.images.framing import frame
from triform.systems.retrieval.evaluation.hard_queries import FURTHER_KINDS, HARD_KINDS, corrupt
from triform.systems.retrieval.evaluation.hog_baseline import hog_descriptors
from triform.systems.retrieval.gallery.fusion import best_view, gallery_views

SIZE, HARD_SIZE, RESOLUTION = 96, 128, 32
NUM_COLORS = 192  # the last numbers of a descriptor: 8 x 8 x 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path("datasets/sweethome3d"))
    parser.add_argument("--max_samples", type=int, default=0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--all", action="store_true", help="also search among all objects")
    args = parser.parse_args()
    shapes = [s for s in list_shapes([args.directory], args.max_samples) if s.preview()]
    voxels = voxelize_shapes(shapes, RESOLUTION, cache=cache_dir() / "voxels", processes=1)
    splits = assign_splits(voxels.shapes, voxels.packed, RESOLUTION)
    held_out = np.array([n for n, split in enumerate(splits) if split != "train"])
    print(f"{len(voxels.shapes)} objects, {len(held_out)} held out")
    images = [Image.open(io.BytesIO(voxels.shapes[n].preview())).convert("RGBA") for n in held_out]
    rows = range(len(voxels.shapes)) if args.all else held_out
    meshes = {
        "one colour per face": lambda shape: gallery_views(shape.load(), SIZE),
        "textures": lambda shape: gallery_views(shape.load(appearance=True), SIZE),
    }
    for name, views in meshes.items():
        print(f"\nviews with {name}")
        gallery = np.stack([hog_descriptors(views(voxels.shapes[n])) for n in rows])
        measure(images, gallery, held_out, np.array(rows), args.seed)


def measure(images, gallery, held_out, rows, seed):
    place = {number: place for place, number in enumerate(rows.tolist())}
    own = np.array([place[number] for number in held_out.tolist()])
    clean = described(images)
    among = best_view(clean, gallery[own])
    right = np.arange(len(own))
    report("preview -> mesh", among, right)
    report("mesh -> preview", among.T, right)
    shape_only = best_view(no_colors(clean), no_colors(gallery[own]))
    report("preview -> mesh, HOG alone", shape_only, right)
    if len(rows) > len(own):
        report(f"preview -> mesh, among {len(rows)}", best_view(clean, gallery), own)
    found = {}
    for kind in (*HARD_KINDS, *FURTHER_KINDS):
        rng = np.random.default_rng(seed)
        hard = [corrupt(frame(image, HARD_SIZE), kind, rng) for image in images]
        found[kind] = report(f"hard: {kind}", best_view(described(hard), gallery[own]), right)
    mean = np.mean([found[kind] for kind in HARD_KINDS])
    print(f"  {'hard: mean of six':<34} R@1 {mean:.3f}")


def described(images):
    return hog_descriptors(np.stack([frame(image, SIZE) for image in images]))


def no_colors(descriptors):
    kept = descriptors[..., :-NUM_COLORS]
    return kept / np.linalg.norm(kept, axis=-1, keepdims=True)


def report(name, scores, right):
    """Print Recall@1, 3 and 5; what is just as similar as the right answer stands before it."""
    rank = (scores >= scores[np.arange(len(right)), right][:, None]).sum(axis=1)
    recalls = [(rank <= k).mean() for k in (1, 3, 5)]
    print(f"  {name:<34} R@1 {recalls[0]:.3f}  R@3 {recalls[1]:.3f}  R@5 {recalls[2]:.3f}")
    return recalls[0]


if __name__ == "__main__":
    main()

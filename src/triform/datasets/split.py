"""Splits into train, validation and test by a hash of the object's id."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from triform.base.logging import get_logger
from triform.datasets.shape import Shape

logger = get_logger(__name__)

VAL_SHARE, TEST_SHARE = 0.1, 0.1
# Intersection over union of the voxels from which two objects count as near copies.
COPY_IOU = 0.9
# Larger groups are chains: every object is like the next, the first and the last are not alike.
# They are grouped again by their likeness to one leader; a warning says what stays as large.
MAX_GROUP_SHARE, MIN_CHAIN = 0.05, 32
_CHUNK = 512


def assign_splits(
    shapes: Sequence[Shape],
    voxels_packed: np.ndarray | None = None,
    resolution: int = 0,
    *,
    min_iou: float = COPY_IOU,
) -> list[str]:
    """Assigns "train" (80 %), "val" (10 %) or "test" (10 %) to each object.

    An object's split depends on its id alone and stays when others are added or removed; near
    copies get the split of the one with the smallest hash. A split of the source itself is kept;
    if it has no validation split, a tenth of its training split becomes that.

    Args:
        shapes: N shapes.
        voxels_packed: (N, ceil(R^3 / 8)) uint8 occupancy; None to ignore near copies.
        resolution: R.
        min_iou: see `COPY_IOU`.
    """
    hashes = [hashlib.sha256(shape.object_id.encode()).digest() for shape in shapes]
    groups = list(range(len(hashes)))
    if voxels_packed is not None:
        groups = group_copies(voxels_packed, resolution, min_iou, hashes)
        _warn_of_large_groups(shapes, groups)
    leaders: dict[int, bytes] = {}
    for group, digest in zip(groups, hashes, strict=True):
        leaders[group] = min(digest, leaders.get(group, digest))
    sources_with_val = {shape.source for shape in shapes if shape.split == "val"}
    splits = []
    for shape, group in zip(shapes, groups, strict=True):
        # Hashed once more: the smallest of several hashes is not uniform.
        split = split_by_hash(leaders[group])
        if shape.split == "train":
            split = "val" if split == "val" and shape.source not in sources_with_val else "train"
        splits.append(shape.split if shape.split in ("val", "test") else split)
    return splits


def split_by_id(object_id: str) -> str:
    """Split (80/10/10) of an object by its id alone, for a library that has no splits."""
    position = int.from_bytes(hashlib.sha256(object_id.encode()).digest()[:8], "big") / 2**64
    return "val" if position < 0.1 else "test" if position < 0.2 else "train"


def group_copies(
    voxels_packed: np.ndarray,
    resolution: int,
    min_iou: float = COPY_IOU,
    hashes: Sequence[bytes] = (),
) -> list[int]:
    """Group near copies: objects with an IoU of at least `min_iou`, also mirrored left to right.

    Copies of copies are in one group too, unless such a chain grows beyond `MAX_GROUP_SHARE` of all
    objects (and `MIN_CHAIN`): then each of its objects joins the first leader that it is like, in
    the order of the hashes, or becomes a leader.

    Args:
        voxels_packed: (N, ceil(R^3 / 8)) uint8 occupancy.
        resolution: R.
        min_iou: least intersection over union.
        hashes: of the objects; none: their order.

    Returns:
        For each object the index of the first object of its group.
    """
    count = len(voxels_packed)
    leader = list(range(count))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    pairs = _candidates(voxels_packed, resolution, min_iou)
    for i, j in pairs:
        if find(i) != find(j) and _iou(voxels_packed, resolution, i, j) >= min_iou:
            first, second = sorted((find(i), find(j)))
            leader[second] = first
    groups = [find(index) for index in range(count)]
    limit = max(MIN_CHAIN, MAX_GROUP_SHARE * count)
    chains = {group for group, size in Counter(groups).items() if size > limit}
    if not chains:
        return groups
    similar: dict[int, list[int]] = {}
    for i, j in pairs:
        if groups[i] in chains and groups[i] == groups[j]:
            similar.setdefault(i, []).append(j)
            similar.setdefault(j, []).append(i)
    order = sorted(similar, key=lambda index: (hashes[index] if hashes else b"", index))
    rank = {index: position for position, index in enumerate(order)}
    leader_of: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    for index in order:
        leaders = (other for other in similar[index] if leader_of.get(other) == other)
        first_similar = next(
            (
                other
                for other in sorted(leaders, key=rank.__getitem__)
                if _iou(voxels_packed, resolution, index, other) >= min_iou
            ),
            index,
        )
        leader_of[index] = first_similar
        members.setdefault(first_similar, []).append(index)
    for group in members.values():
        for index in group:
            groups[index] = min(group)
    return groups


def _warn_of_large_groups(shapes: Sequence[Shape], groups: Sequence[int]) -> None:
    """Say how many objects share one split because they are alike, where it is many."""
    if not groups:
        return
    group, size = Counter(groups).most_common(1)[0]
    if size > max(MIN_CHAIN, MAX_GROUP_SHARE * len(groups)):
        logger.warning(
            "%d of %d objects are near copies of each other (IoU of %s or more; the first is %s) "
            "and share one split: train, val and test may differ much from 80:10:10",
            size,
            len(groups),
            COPY_IOU,
            shapes[group].object_id,
        )


def split_by_hash(key: bytes, val_share: float = VAL_SHARE, test_share: float = TEST_SHARE) -> str:
    """Split of an object: "test" below `test_share`, then "val", of a uniform hash of its key."""
    position = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") / 2**64
    if position < test_share:
        return "test"
    return "val" if position < test_share + val_share else "train"


def _candidates(packed: np.ndarray, resolution: int, min_iou: float) -> list[tuple[int, int]]:
    """Pairs that may have the IoU by their counts in 8^3 blocks; none that has it is missed.

    Two bounds: the IoU is at most the smaller volume over the larger, and the intersection is
    at most the sum of each block's smaller count.
    """
    chunks = range(0, len(packed), _CHUNK)
    if not chunks:
        return []
    blocks = [_blocks(packed[start : start + _CHUNK], resolution) for start in chunks]
    counts, mirrored = (np.concatenate(side) for side in zip(*blocks, strict=True))
    volume = counts.sum(axis=1)
    order = np.argsort(volume, kind="stable")
    pairs = []
    for position, i in enumerate(order):
        end = np.searchsorted(volume[order], volume[i] / min_iou, side="right")
        others = order[position + 1 : end]
        for block in (counts, mirrored):
            intersection = np.minimum(counts[i], block[others]).sum(axis=1)
            similar = others[intersection >= min_iou * (volume[i] + volume[others] - intersection)]
            pairs += [(int(min(i, j)), int(max(i, j))) for j in similar]
    return sorted(set(pairs))


def _blocks(packed: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Occupied voxels in each of 8^3 blocks, as they are and mirrored: twice (N, 512) float32."""
    side = -(-resolution // 8)
    voxels = _unpack(packed, resolution)
    both = []
    for oriented in (voxels, voxels[:, ::-1]):
        padded = np.pad(oriented, [(0, 0), *[(0, 8 * side - resolution)] * 3])
        parts = padded.reshape(-1, 8, side, 8, side, 8, side)
        both.append(parts.sum(axis=(2, 4, 6), dtype=np.float32).reshape(len(packed), -1))
    return both[0], both[1]


def _iou(packed: np.ndarray, resolution: int, i: int, j: int) -> float:
    a, b = _unpack(packed[[i, j]], resolution).astype(bool)
    unions = [((a & other).sum(), (a | other).sum()) for other in (b, b[::-1])]
    return max(float(intersection / max(union, 1)) for intersection, union in unions)


def _unpack(packed: np.ndarray, resolution: int) -> np.ndarray:
    rows = np.unpackbits(packed, axis=1, count=resolution**3)
    return rows.reshape(len(packed), resolution, resolution, resolution)

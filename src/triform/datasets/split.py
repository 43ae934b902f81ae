"""Train, validation and test: by object, the same on every machine, near-copies on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from triform.datasets.shape import Shape

VAL_SHARE, TEST_SHARE = 0.1, 0.1
# Overlap (intersection over union) of the packed voxels from which two objects count as copies.
COPY_OVERLAP = 0.9
_CHUNK = 512


def assign_splits(
    shapes: Sequence[Shape],
    voxels_packed: np.ndarray | None = None,
    resolution: int = 0,
    *,
    overlap: float = COPY_OVERLAP,
) -> list[str]:
    """Assigns "train" (80 %), "val" (10 %) or "test" (10 %) to each object.

    An object's place depends on its id alone, so it keeps it when others come or go; only objects
    that are near-copies of each other follow the one whose hash is the smallest. A split that the
    source itself brings along is kept; where it has no validation part, a tenth of its training
    part becomes that.

    Args:
        shapes: N shapes.
        voxels_packed: (N, ceil(R^3 / 8)) uint8 occupancy; without it no near-copies are sought.
        resolution: R.
        overlap: see `COPY_OVERLAP`.
    """
    hashes = [hashlib.sha256(shape.object_id.encode()).digest() for shape in shapes]
    groups = list(range(len(hashes)))
    if voxels_packed is not None:
        groups = copies(voxels_packed, resolution, overlap)
    leaders: dict[int, bytes] = {}
    for group, digest in zip(groups, hashes, strict=True):
        leaders[group] = min(digest, leaders.get(group, digest))
    with_val = {shape.source for shape in shapes if shape.split == "val"}
    splits = []
    for shape, group in zip(shapes, groups, strict=True):
        own = _split(leaders[group])
        if shape.split == "train":
            own = "val" if own == "val" and shape.source not in with_val else "train"
        splits.append(shape.split if shape.split in ("val", "test") else own)
    return splits


def copies(voxels_packed: np.ndarray, resolution: int, overlap: float = COPY_OVERLAP) -> list[int]:
    """Groups objects that overlap by at least ``overlap``, as they are or mirrored left to right.

    Args:
        voxels_packed: (N, ceil(R^3 / 8)) uint8 occupancy.
        resolution: R.
        overlap: least intersection over union.

    Returns:
        For each object the number of the first object of its group.
    """
    count = len(voxels_packed)
    leader = list(range(count))

    def find(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for i, j in _candidates(voxels_packed, resolution, overlap):
        if find(i) != find(j) and _overlap(voxels_packed, resolution, i, j) >= overlap:
            first, second = sorted((find(i), find(j)))
            leader[second] = first
    return [find(number) for number in range(count)]


def _split(digest: bytes) -> str:
    # Hashed once more: the smallest of several hashes is no longer evenly spread.
    place = int.from_bytes(hashlib.sha256(digest).digest()[:8], "big") / 2**64
    return "test" if place < TEST_SHARE else "val" if place < TEST_SHARE + VAL_SHARE else "train"


def _candidates(packed: np.ndarray, resolution: int, overlap: float) -> list[tuple[int, int]]:
    """Pairs whose counts in 8^3 blocks allow the overlap; none that has it is missed.

    Two bounds: the overlap is at most the smaller volume over the larger, and the intersection is
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
    for place, i in enumerate(order):
        end = np.searchsorted(volume[order], volume[i] / overlap, side="right")
        others = order[place + 1 : end]
        for block in (counts, mirrored):
            common = np.minimum(counts[i], block[others]).sum(axis=1)
            near = others[common >= overlap * (volume[i] + volume[others] - common)]
            pairs += [(int(min(i, j)), int(max(i, j))) for j in near]
    return sorted(set(pairs))


def _blocks(packed: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Occupied voxels in each of 8^3 blocks, as they are and mirrored: twice (N, 512) float32."""
    side = -(-resolution // 8)
    grid = _unpack(packed, resolution)
    both = []
    for turned in (grid, grid[:, ::-1]):
        padded = np.pad(turned, [(0, 0), *[(0, 8 * side - resolution)] * 3])
        parts = padded.reshape(-1, 8, side, 8, side, 8, side)
        both.append(parts.sum(axis=(2, 4, 6), dtype=np.float32).reshape(len(packed), -1))
    return both[0], both[1]


def _overlap(packed: np.ndarray, resolution: int, i: int, j: int) -> float:
    a, b = _unpack(packed[[i, j]], resolution).astype(bool)
    unions = [((a & other).sum(), (a | other).sum()) for other in (b, b[::-1])]
    return max(float(common / max(union, 1)) for common, union in unions)


def _unpack(packed: np.ndarray, resolution: int) -> np.ndarray:
    rows = np.unpackbits(packed, axis=1, count=resolution**3)
    return rows.reshape(len(packed), resolution, resolution, resolution)

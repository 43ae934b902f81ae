"""Train, validation and test: by object, the same on every machine, near-copies on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

VAL_SHARE, TEST_SHARE = 0.1, 0.1
# Overlap (intersection over union) of the packed voxels from which two objects count as copies.
COPY_OVERLAP = 0.9
_CHUNK = 512


def assign_splits(
    object_ids: Sequence[str],
    voxels_packed: np.ndarray | None = None,
    *,
    given: Sequence[str | None] | None = None,
    overlap: float = COPY_OVERLAP,
) -> list[str]:
    """Assigns "train" (80 %), "val" (10 %) or "test" (10 %) to each object.

    An object's place depends on its id alone, so it keeps it when others come or go; only objects
    that are near-copies of each other follow the one whose hash is the smallest.

    Args:
        object_ids: (N) ids.
        voxels_packed: (N, R^3/8) uint8 occupancy, R a multiple of 8; without it no copies are sought.
        given: the splits that a source brings along; "val" and "test" are kept, and "train" is
            kept but for the share that becomes "val" where the source has none of its own.
        overlap: see `COPY_OVERLAP`.
    """
    hashes = [hashlib.sha256(object_id.encode()).digest() for object_id in object_ids]
    groups = list(range(len(hashes))) if voxels_packed is None else copies(voxels_packed, overlap)
    leaders: dict[int, bytes] = {}
    for group, digest in zip(groups, hashes, strict=True):
        leaders[group] = min(digest, leaders.get(group, digest))
    splits = [_split(leaders[group]) for group in groups]
    if given is not None:
        has_val = "val" in given
        for number, split in enumerate(given):
            if split in ("val", "test"):
                splits[number] = split
            elif split == "train":
                splits[number] = "train" if has_val or splits[number] != "val" else "val"
    return splits


def copies(voxels_packed: np.ndarray, overlap: float = COPY_OVERLAP) -> list[int]:
    """Groups objects that overlap by at least ``overlap``, as they are or mirrored left to right.

    Args:
        voxels_packed: (N, R^3/8) uint8 occupancy, R a multiple of 8.
        overlap: least intersection over union.

    Returns:
        For each object the number of the first object of its group.
    """
    count = len(voxels_packed)
    leader = list(range(count))
    resolution = round((voxels_packed.shape[1] * 8) ** (1 / 3)) if count else 0

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
    """Pairs whose 8^3 block counts allow the overlap; none that has it is missed.

    The intersection is at most the sum of the blocks' smaller counts, which is computed by sorting
    out pairs by volume first: |A and B| / |A or B| cannot exceed min(|A|, |B|) / max(|A|, |B|).
    """
    chunks = [_blocks(packed[start : start + _CHUNK], resolution) for start in range(0, len(packed), _CHUNK)]
    counts = np.concatenate(chunks) if chunks else np.zeros((0, 512), np.float32)
    mirrored = counts.reshape(-1, 8, 8, 8)[:, ::-1].reshape(len(counts), -1)
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


def _blocks(packed: np.ndarray, resolution: int) -> np.ndarray:
    """Occupied voxels in each of 8^3 blocks: (N, 512) float32."""
    side = resolution // 8
    grid = np.unpackbits(packed, axis=1).reshape(-1, 8, side, 8, side, 8, side)
    return grid.sum(axis=(2, 4, 6), dtype=np.float32).reshape(len(packed), -1)


def _overlap(packed: np.ndarray, resolution: int, i: int, j: int) -> float:
    a, b = (np.unpackbits(packed[k]).reshape([resolution] * 3).astype(bool) for k in (i, j))
    return max(float((a & other).sum() / max((a | other).sum(), 1)) for other in (b, b[::-1]))

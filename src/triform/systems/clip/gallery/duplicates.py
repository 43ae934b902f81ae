"""The verb `duplicates`: the same image twice, and similar images, as two lists.

*Same* are copies in other sizes, formats and qualities, by perceptual hashes; of videos those of
equal length whose frames are the same. *Similar* are photos of the same thing by their embeddings;
a group has a leader to which all of it are similar, so that it is no chain. Nothing is deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from triform.base.csv_file import csv_text
from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.images.perceptual_hash import PerceptualHash, same_image_pairs
from triform.search.base_gallery import Gallery, Record, Vectors
from triform.search.conditions import StartsWith
from triform.systems.clip.gallery import index_file
from triform.systems.clip.gallery.index_file import folder_prefix, original_path
from triform.systems.clip.gallery.opening import open_index
from triform.systems.clip.verb_config import DuplicatesConfig

COLUMNS = ("list", "group", "file", "similarity", "width", "height", "bytes", "taken")
LEAST_FRAMES = 0.75
"""Share of the frames of two videos that have to be the same."""
LENGTH_TOLERANCE = 0.02
"""Share of their length by which two copies of a video differ, at most."""
ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class IndexedFile:
    """A file of the index.

    Attributes:
        record: Of its first vector.
        hashes: Of its images.
        vector: Mean of its vectors, of length 1.
    """

    record: Record
    hashes: tuple[PerceptualHash, ...]
    vector: Vectors

    @property
    def is_video(self) -> bool:
        """Whether it has frames."""
        return self.record.get("kind") == "video"

    @property
    def quality(self) -> tuple[int, int, str]:
        """The best copy of an image has the least: most pixels, most bytes."""
        pixels = int(self.record["width"]) * int(self.record["height"])
        return -pixels, -int(self.record["bytes"]), str(self.record["path"])


def duplicates(settings: DuplicatesConfig) -> dict[str, Any]:
    """Compare all indexed photos with each other.

    Returns:
        `same` and `similar`: rows with the number of the group, the best copy or the leader first.

    Raises:
        UserError: There is no index, or no photo in it.
    """
    location = index_file.check_location(settings.index_file)
    gallery = open_index(location)
    try:
        files = read_files(gallery, settings.folder)
    finally:
        gallery.close()
    if not files:
        raise UserError(f"{location}: no photos" + f" in {settings.folder}" * bool(settings.folder))
    files.sort(key=lambda file: file.quality)
    same = same_groups(files)
    # Of copies the best one alone is compared further.
    others = {each for group in same for each in group[1:]}
    left = [each for each in range(len(files)) if each not in others]
    vectors = np.stack([files[each].vector for each in left])
    similar = [
        [left[each] for each in group] for group in similar_groups(vectors, settings.similarity)
    ]
    result = {"same": _rows(same, files), "similar": _rows(similar, files)}
    if settings.output is not None:
        rows = [[name, *row.values()] for name, found in result.items() for row in found]
        with atomic_write(settings.output, "w") as stream:
            stream.write(csv_text([COLUMNS, *rows], report=False))
    return result


def read_files(gallery: Gallery, folder: str = "") -> list[IndexedFile]:
    """All files of an index, or those in a folder.

    Raises:
        UserError: A record is damaged.
    """
    where = {"folder": StartsWith(folder_prefix(folder))} if folder else None
    records = gallery.records(where)
    vectors = dict(zip(records, gallery.vectors(list(records)), strict=True)) if records else {}
    by_path: dict[str, list[str]] = defaultdict(list)
    for identity, record in records.items():
        by_path[str(record.get("path", ""))].append(identity)
    files = []
    for path, ids in by_path.items():
        try:
            hashes = tuple(PerceptualHash.from_text(str(records[each]["hash"])) for each in ids)
            mean = np.mean([vectors[each] for each in ids], axis=0)
            mean /= max(float(np.linalg.norm(mean)), 1e-12)
            file = IndexedFile(records[ids[0]], hashes, mean)
            file.quality  # noqa: B018 - raises where a number is missing
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{gallery.location}: the record of {path[:80]} is damaged") from None
        files.append(file)
    return files


def same_groups(files: Sequence[IndexedFile]) -> list[list[int]]:
    """Groups of indices of files that are the same image or video, each ascending."""
    pairs = [*_same_photos(files), *_same_videos(files), *_equal_files(files)]
    if not pairs:
        return []
    first, second = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(len(files),) * 2)
    _, labels = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels.tolist()):
        groups[label].append(index)
    return [group for group in groups.values() if len(group) > 1]


def similar_groups(vectors: Vectors, threshold: float) -> list[list[int]]:
    """Groups of indices: a leader, and those similar to it that are in no group before.

    Args:
        vectors: (N, D) of length 1.
        threshold: Least cosine, below 1.
    """
    if threshold >= 1:
        return []
    is_free = np.ones(len(vectors), bool)
    groups = []
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        similarity = vectors[start : start + ROWS_AT_ONCE] @ vectors[start:].T
        for row, values in enumerate(similarity >= threshold):
            leader = start + row
            if not is_free[leader]:
                continue
            members = np.flatnonzero(values & is_free[start:]) + start
            members = members[members > leader]
            if len(members):
                is_free[[leader, *members]] = False
                groups.append([leader, *members.tolist()])
    return groups


def _same_photos(files: Sequence[IndexedFile]) -> Iterator[tuple[int, int]]:
    photos = [index for index, file in enumerate(files) if not file.is_video]
    for first, second in same_image_pairs([files[index].hashes[0] for index in photos]):
        yield photos[first], photos[second]


def _same_videos(files: Sequence[IndexedFile]) -> Iterator[tuple[int, int]]:
    """Videos of one length with the same frames, not counting those of one colour alone."""
    videos = [index for index, file in enumerate(files) if file.is_video]
    owner = [index for index in videos for _ in files[index].hashes]
    frame_number = [number for index in videos for number in range(len(files[index].hashes))]
    frames = [each for index in videos for each in files[index].hashes]
    matches: dict[tuple[int, int], int] = defaultdict(int)
    for first, second in same_image_pairs(frames):
        if frame_number[first] == frame_number[second] and frames[first].bits.any():
            matches[owner[first], owner[second]] += 1
    for (first, second), count in matches.items():
        lengths = [float(files[each].record.get("duration", 0)) for each in (first, second)]
        patterned = sum(bool(each.bits.any()) for each in files[first].hashes)
        is_as_long = abs(lengths[0] - lengths[1]) <= LENGTH_TOLERANCE * max(lengths) + 0.1
        if is_as_long and count >= LEAST_FRAMES * patterned:
            yield first, second


def _equal_files(files: Sequence[IndexedFile]) -> Iterator[tuple[int, int]]:
    """Files with the same bytes."""
    first_by_digest: dict[str, int] = {}
    for index, file in enumerate(files):
        first = first_by_digest.setdefault(str(file.record.get("digest", index)), index)
        if first != index:
            yield first, index


def _rows(groups: Sequence[Sequence[int]], files: Sequence[IndexedFile]) -> list[dict[str, Any]]:
    """A row for each file of each group, with its similarity to the first one."""
    rows = []
    for number, group in enumerate(groups, start=1):
        first = files[group[0]]
        for index in group:
            file = files[index]
            rows.append(
                {
                    "group": number,
                    "file": original_path(str(file.record["path"])),
                    "similarity": round(float(file.vector @ first.vector), 4),
                    **{name: file.record.get(name, "") for name in COLUMNS[4:]},
                }
            )
    return rows

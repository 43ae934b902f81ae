"""Splits of libraries, with near copies on one side."""

import io

import numpy as np
import pytest

from triform.datasets.library.layout import LibraryObject, voxels_path
from triform.datasets.library.preparation import splitting
from triform.datasets.library.store import Store

COUNT, SIZE = 60, 16


@pytest.fixture
def library(memory: str) -> tuple[Store, dict[str, LibraryObject]]:
    """Objects with noise for voxels; every second one is a copy of the one before it."""
    store = Store(memory)
    objects = {}
    for number in range(COUNT):
        grid = np.random.default_rng(number // 2).random((SIZE,) * 3) < 0.5
        stream = io.BytesIO()
        np.savez(stream, occupancy=np.packbits(grid), resolution=SIZE)
        name = f"o{number:02}"
        store.write_bytes(voxels_path(name, SIZE), stream.getvalue())
        objects[name] = LibraryObject(
            object_id=name, source=f"s/{name}", voxels={SIZE: voxels_path(name, SIZE)}
        )
    return store, objects


def test_copies_share_a_split(
    library: tuple[Store, dict[str, LibraryObject]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, objects = library
    found = splitting.split_objects(store, objects, "copies")
    assert list(found) == list(objects)
    splits = [entry.split for entry in found.values()]
    assert splits[::2] == splits[1::2] and len(set(splits)) == 3
    alone = [entry.split for entry in splitting.split_objects(store, objects, "ids").values()]
    assert alone[::2] != alone[1::2]
    # On the disk as in memory.
    monkeypatch.setattr(splitting, "_MAX_BYTES_IN_MEMORY", 0)
    assert splitting.split_objects(store, objects, "copies") == found


def test_without_common_voxels_the_ids_decide(
    library: tuple[Store, dict[str, LibraryObject]],
) -> None:
    store, objects = library
    objects["o00"] = objects["o00"].model_copy(update={"voxels": {}})
    by_id = splitting.split_objects(store, objects, "ids")
    assert splitting.split_objects(store, objects, "copies") == by_id
    assert splitting.split_objects(store, {}, "copies") == {}


def test_a_damaged_grid_has_no_copies(library: tuple[Store, dict[str, LibraryObject]]) -> None:
    store, objects = library
    store.write_bytes(voxels_path("o01", SIZE), b"torn")
    store.remove(voxels_path("o03", SIZE))
    found = splitting.split_objects(store, objects, "copies")
    assert all(entry.split for entry in found.values())


@pytest.mark.parametrize(
    ("sizes", "right"), [((8, 16, 24), 16), ((8, 12), 12), ((8, 24), 8), ((24, 40), 24)]
)
def test_copies_are_sought_at_the_size_nearest_to_the_usual(
    sizes: tuple[int, ...], right: int, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs are copies in that size alone; of two as near the smaller one counts."""
    monkeypatch.setattr(splitting, "_PREFERRED_SIZE", 16)
    store, objects = Store(memory), {}
    for number in range(COUNT):
        name, voxels = f"o{number:02}", {}
        # The last object has one size more, which is not common to all.
        for size in (*sizes, 15) if number == COUNT - 1 else sizes:
            seed = number // 2 if size == right else 1000 + number
            grid = np.random.default_rng(seed).random((size,) * 3) < 0.5
            stream = io.BytesIO()
            np.savez(stream, occupancy=np.packbits(grid), resolution=size)
            voxels[size] = voxels_path(name, size)
            store.write_bytes(voxels[size], stream.getvalue())
        objects[name] = LibraryObject(object_id=name, source=f"s/{name}", voxels=voxels)
    splits = [entry.split for entry in splitting.split_objects(store, objects, "copies").values()]
    assert splits[::2] == splits[1::2] and len(set(splits)) == 3

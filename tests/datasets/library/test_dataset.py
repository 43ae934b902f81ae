"""The PyTorch data set over a library: what is asked for, nothing else, the same every time."""

import copy
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent))
from sphere_library import (
    COLORS,
    DIRECTIONS,
    camera,
    depth_of_ball,
    points_of_ball,
    voxels_of_ball,
    write_library,
)

from triform.base.errors import UsageError, UserError
from triform.datasets.library import decoding
from triform.datasets.library.augmentation import Augmentation
from triform.datasets.library.dataset import LibraryDataset
from triform.datasets.library.layout import Library
from triform.datasets.library.packing import pack
from triform.engine.sampler import EpochLoader, fetch_samples


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset") / "library"
    return write_library(folder, views=4, size=32, points=64, voxels=16, colors=True)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_everything(library: Path) -> None:
    """Every key has the shape, type and values of the table, and is what was written."""
    data = LibraryDataset(
        library, views=3, points=64, voxels=16, depth=True, cameras=True, colors=True
    )
    assert len(data) == 3 and [entry.object_id for entry in data.objects] == list(COLORS)
    for index, color in enumerate(COLORS.values()):
        sample = data[index]
        assert set(sample) == {
            "object", "images", "view_ids", "depths", "cameras", "fovs", "points", "colors",
            "voxels", "caption",
        }  # fmt: skip
        assert sample["object"] == index
        assert sample["images"].shape == (3, 4, 32, 32) and sample["images"].dtype == torch.uint8
        assert sample["view_ids"].dtype == torch.int64
        assert len(set(sample["view_ids"].tolist())) == 3
        for at, view in enumerate(sample["view_ids"].tolist()):
            one = camera(DIRECTIONS[view])
            depth = depth_of_ball(one, 32)
            seen = torch.from_numpy(np.isfinite(depth))
            image = sample["images"][at]
            assert torch.equal(image[3] == 255, seen) and not image[3][~seen].any()
            assert (
                image[:3, seen] == torch.tensor([*color[:2], color[2] + view + 1])[:, None]
            ).all()
            stored = sample["depths"][at].numpy()
            assert np.array_equal(np.isinf(stored), ~seen.numpy())
            # Sixteen bits over five units, cut off: an error of less than one step.
            assert np.abs(stored[seen] - depth[seen]).max() <= 5 / 65536
            vectors = [one[key] for key in ("origin", "x", "y", "z")]
            np.testing.assert_allclose(sample["cameras"][at], vectors, atol=1e-6)
        assert sample["fovs"].tolist() == pytest.approx([0.7] * 3)
        assert torch.equal(sample["points"], torch.from_numpy(points_of_ball(64)))
        assert sample["colors"].dtype == torch.float32
        np.testing.assert_allclose(sample["colors"] * 255, [color] * 64, atol=1e-4)
        assert sample["voxels"].dtype == torch.bool
        assert np.array_equal(sample["voxels"], voxels_of_ball(16))
        assert sample["caption"] in (f"a ball, number {index + 1}", f"a round thing {index + 1}")


def test_only_what_is_asked_for(library: Path) -> None:
    assert set(LibraryDataset(library)[0]) == {"object", "images", "view_ids", "caption"}
    assert set(LibraryDataset(library, views=0, captions=False)[0]) == {"object"}
    data = LibraryDataset(library, views=0, points=8, colors=False, captions=False)
    assert set(data[1]) == {"object", "points"} and data[1]["points"].shape == (8, 3)


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "images": ("images", {"views": 2}),
    "points": ("points", {"points": 16}),
    "voxels": ("voxels", {"voxels": 16}),
    "cameras": ("cameras", {"views": 1, "cameras": True}),
}


@pytest.mark.parametrize("kind", ["images", "points", "voxels"])
def test_nothing_else_is_opened(library: Path, tmp_path: Path, kind: str) -> None:
    """Files that are not asked for may be anything, or be gone."""
    broken = shutil.copytree(library, tmp_path / "library")
    before = Library.open(str(broken))
    for folder in {"images", "points", "voxels", "cameras"} - {kind}:
        shutil.rmtree(broken / folder)
    for path in (broken / "images").glob("*.depth.png"):
        path.write_bytes(b"not a picture")
    for path in (broken / "points").glob("*.colors.npy"):
        path.unlink()
    wanted = {"views": 0, "colors": False, **KINDS[kind][1]}
    data = LibraryDataset(before, **wanted)
    assert len([data[index] for index in range(3)]) == 3


def test_only_chosen_views_are_decoded(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = LibraryDataset(library, views=1)
    opened = []
    read = Library.read_bytes
    monkeypatch.setattr(
        Library, "read_bytes", lambda self, path: opened.append(path) or read(self, path)
    )
    view = int(data[2]["view_ids"])
    assert opened == [f"images/ball3_view{view + 1}.png"]


def test_the_same_every_time(library: Path) -> None:
    wanted = {"views": 2, "points": 20, "augment": Augmentation(rotation=3.0, jitter=0.1)}
    one, two = (LibraryDataset(library, **wanted) for _ in range(2))
    first = [one[index] for index in range(3)]
    assert all(same(two[index], first[index]) for index in (2, 0, 1, 1))
    assert not same(LibraryDataset(library, seed=7, **wanted)[0], first[0])
    one.set_epoch(1)
    assert not same(one[0], first[0])
    one.set_epoch(0)
    assert same(one[0], first[0])
    assert same(one[-1], first[2])
    with pytest.raises(IndexError):
        one[3]


def test_more_keys_change_no_other(library: Path) -> None:
    few = LibraryDataset(library, views=2, captions=False)[1]
    many = LibraryDataset(library, views=2, points=9, voxels=16, augment=Augmentation())[1]
    assert all(same(few[key], many[key]) for key in few)


def test_epochs_show_all_views_and_captions(library: Path) -> None:
    data = LibraryDataset(library, views=1)
    seen = set()
    for epoch in range(40):
        data.set_epoch(epoch)
        seen |= {("view", int(data[0]["view_ids"])), ("text", data[0]["caption"])}
    assert len(seen) == 4 + 2


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers(library: Path, context: str) -> None:
    """Other processes give the same, and hear of a new epoch though they live on."""
    data = LibraryDataset(library, views=2, points=16, image_size=16, packed=True)
    loader = DataLoader(
        data, batch_size=2, num_workers=2, multiprocessing_context=context, persistent_workers=True
    )
    for epoch in (0, 3):
        data.set_epoch(epoch)
        batches = list(loader)
        assert batches[0]["images"].shape == (2, 2, 4, 16, 16)
        assert batches[0]["caption"][0] == data[0]["caption"]
        together = torch.cat([batch["points"] for batch in batches])
        assert torch.equal(together, torch.stack([data[index]["points"] for index in range(3)]))


def test_batches_of_the_engine(library: Path) -> None:
    """`fetch` and `draw` take their random numbers from the generator alone."""
    data = LibraryDataset(library, views=2, points=16, augment=Augmentation())
    runs = []
    for start in (0, 1):
        loader = EpochLoader(3, data.fetch, batch_size=1, seed=5)
        loader.position = start
        torch.rand(start + 1)  # whatever else draws numbers
        runs.append(list(loader))
    assert same(runs[0][1], runs[1][0]) and same(runs[0][2], runs[1][1])
    batch = next(iter(EpochLoader(3, fetch_samples(data), batch_size=3, seed=5)))
    assert batch["images"].shape == (3, 2, 4, 32, 32) and len(batch["caption"]) == 3
    one, two = (data.fetch([0, 2], torch.Generator().manual_seed(3)) for _ in range(2))
    assert same(one, two)


def test_pictures_of_another_size(library: Path) -> None:
    """Averages weigh colours by alpha: nothing of the background gets in."""
    sample = LibraryDataset(library, views="all", image_size=8)[0]
    assert sample["images"].shape == (4, 4, 8, 8) and sample["view_ids"].tolist() == [0, 1, 2, 3]
    for view, image in enumerate(sample["images"]):
        full = depth_of_ball(camera(DIRECTIONS[view]), 32)
        cover = np.isfinite(full).reshape(8, 4, 8, 4).mean((1, 3))
        np.testing.assert_allclose(image[3] / 255, cover, atol=0.5 / 255 + 1e-6)
        color = torch.tensor([200, 30, 30 + view + 1])[:, None]
        strong = image[3] > 32
        # Weighed colours are stored in 8 bits: the weaker the cover, the coarser.
        assert (image[:3, strong] - color).abs().max() <= 4


def test_a_picture_that_is_not_square_keeps_its_shape(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "a", names=("ball1",), views=1, cameras=False)
    Image.new("RGBA", (32, 16), (9, 9, 9, 255)).save(folder / "images/ball1_view1.png")
    image = LibraryDataset(folder, views=1)[0]["images"][0]
    assert image.shape == (4, 32, 32)
    assert image[3, 8:24].eq(255).all() and not image[3, :8].any() and not image[3, 24:].any()


def test_packed_is_the_same(library: Path, tmp_path: Path) -> None:
    plain = LibraryDataset(library, views=2, image_size=16)
    packed = LibraryDataset(library, views=2, image_size=16, packed=True)
    assert all(same(plain[index], packed[index]) for index in range(3))
    assert same(copy.copy(packed)[1], plain[1])


def test_packing_notices_changes(library: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(library, tmp_path / "library")
    first = pack(Library.open(str(broken)), 8, cache=tmp_path)
    assert pack(Library.open(str(broken)), 8, cache=tmp_path).path == first.path
    assert first.open().shape == (12, 4, 8, 8)
    Image.new("RGBA", (32, 32), (1, 2, 3, 255)).save(broken / "images/ball2_view1.png")
    second = pack(Library.open(str(broken)), 8, cache=tmp_path)
    assert second.path != first.path
    row = second.rows["images/ball2_view1.png"]
    assert second.open()[row, :, 0, 0].tolist() == [1, 2, 3, 255]
    others = [r for r in range(12) if r != row]
    assert np.array_equal(second.open()[others], first.open()[others])


def test_packing_in_processes_and_damage(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = pack(Library.open(str(library)), 8, cache=tmp_path / "one", processes=1)
    monkeypatch.setattr("triform.datasets.library.packing._FEW", 1)
    monkeypatch.setattr("triform.datasets.library.packing._CHUNK", 3)
    many = pack(Library.open(str(library)), 8, cache=tmp_path / "two", processes=2)
    assert np.array_equal(alone.open(), many.open())
    broken = shutil.copytree(library, tmp_path / "library")
    (broken / "images/ball2_view1.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"ball2_view1\.png: no readable picture"):
        pack(Library.open(str(broken)), 8, cache=tmp_path / "three", processes=1)
    assert not list((tmp_path / "three").glob("*.npy*part"))


def test_libraries_of_others(tmp_path: Path) -> None:
    """Without cameras, colours and metadata, clouds as (3, N): what is there can be used."""
    folder = write_library(tmp_path / "a", turned=True, cameras=False, depths=False, points=50)
    sample = LibraryDataset(folder, views=2, points=50)[0]
    assert torch.equal(sample["points"], torch.from_numpy(points_of_ball(50)))
    assert (sample["colors"] == 0.4).all()
    for wanted, words in (
        ({"cameras": True}, "no cameras"),
        ({"depth": True}, "no depths"),
        ({"voxels": 16}, r"no voxels, not 16\^3.*--voxel_size 16"),
        ({"normals": True, "points": 50}, "no normals"),
        ({"views": 3}, "2 pictures, not 3.*--views"),
        ({"languages": ["ru"]}, "no caption in ru"),
    ):
        with pytest.raises(UserError, match=words):
            LibraryDataset(folder, **wanted)
    with pytest.raises(UserError, match="holds 50 points, 51 are asked for"):
        LibraryDataset(folder, points=51)[0]
    with pytest.raises(UsageError, match="'all'"):
        LibraryDataset(folder, split="all")


def test_objects_that_lack_something_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_library(tmp_path / "a")
    (folder / "points/ball2.npy").unlink()
    said: list[str] = []
    monkeypatch.setattr(
        "triform.datasets.library.dataset.logger.warning", lambda form, *a: said.append(form % a)
    )
    data = LibraryDataset(folder, points=10)
    assert [entry.object_id for entry in data.objects] == ["ball1", "ball3"]
    assert len(said) == 1 and "1 of 3 objects are left out; the first: ball2" in said[0]
    (folder / "images/ball3_view2.png").unlink()
    with pytest.raises(UserError, match=r"ball3 has 1 pictures and .* ask for 1 views"):
        LibraryDataset(folder, views="all")


def test_splits_by_id_where_nothing_is_said(tmp_path: Path) -> None:
    names = tuple(f"thing{number}" for number in range(60))
    folder = write_library(tmp_path / "a", views=1, size=4, points=4, names=names, cameras=False)
    parts = {
        split: {e.object_id for e in LibraryDataset(folder, split=split).objects}
        for split in ("train", "val", "test")
    }
    assert set.union(*parts.values()) == set(names)
    assert sum(map(len, parts.values())) == 60 and min(map(len, parts.values())) > 0


def test_captions_by_language(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "a", names=("ball1", "ball2"))
    (folder / "captions.csv").write_text(
        "object_id,caption,language\nball1,a ball,en\nball1,мяч,ru\nball2,a globe,\n", "utf-8"
    )
    russian = LibraryDataset(folder, languages=["ru"])
    assert [russian[i]["caption"] for i in range(len(russian))] == ["мяч"]
    assert LibraryDataset(folder)[0]["caption"] == "a ball"
    assert LibraryDataset(folder, languages=None).captions == [("a ball", "мяч"), ("a globe",)]


def test_damage_names_the_file(library: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(library, tmp_path / "library")
    data = LibraryDataset(broken, views=0, points=10)
    np.save(broken / "points/ball1.npy", np.array([{"a": 1}], dtype=object))
    (broken / "points/ball2.npy").unlink()
    np.save(broken / "points/ball3.colors.npy", np.zeros((3, 3), np.uint8))
    for index, words in enumerate(
        ("ball1.npy: .*unpickled", "ball2.npy cannot", "3 colours for 64")
    ):
        with pytest.raises(UserError, match=words):
            data[index]


def test_in_memory(library: Path) -> None:
    """Any address that fsspec knows, also in a worker that was forked."""
    import fsspec

    files = fsspec.filesystem("memory")
    for path in library.rglob("*"):
        if path.is_file():
            files.pipe_file(f"/read/{path.relative_to(library).as_posix()}", path.read_bytes())
    wanted = {"views": 2, "points": 16, "voxels": 16, "cameras": True}
    here, there = LibraryDataset(library, **wanted), LibraryDataset("memory://read", **wanted)
    assert all(same(here[index], there[index]) for index in range(3))
    loader = DataLoader(there, num_workers=1, multiprocessing_context="fork")
    assert [batch["caption"][0] for batch in loader] == [here[i]["caption"] for i in range(3)]


def test_large_arrays_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_library(tmp_path / "a", points=500)
    read = LibraryDataset(folder, points=40)[0]
    monkeypatch.setattr(decoding, "_MAPPED_BYTES", 512)
    library = Library.open(str(folder))
    assert isinstance(decoding.read_array(library, "points/ball1.npy"), np.memmap)
    assert same(LibraryDataset(folder, points=40)[0], read)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 5), max_size=3),
    st.sampled_from(["<f4", ">f4", "<f8", "u1", "<i8", "?", "<f2"]),
    st.booleans(),
)
def test_arrays_as_numpy_reads_them(shape: list[int], dtype: str, fortran: bool) -> None:
    values = np.arange(int(np.prod(shape))).astype(dtype).reshape(shape)
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(values) if fortran else values)
    found = decoding.decode_array(stream.getvalue(), "x.npy")
    expected = np.load(io.BytesIO(stream.getvalue()))
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
    if values.size:
        with pytest.raises(UserError, match=r"x\.npy"):
            decoding.decode_array(stream.getvalue()[:-1], "x.npy")

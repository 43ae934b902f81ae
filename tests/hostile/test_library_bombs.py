"""Shape libraries that somebody else made: bombs of memory and time, pipes, odd numbers."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bounded_memory import refused_cheaply, run_bounded
from hostile_library import ID, write_table

from triform import cli
from triform.base.errors import UserError
from triform.datasets.library import decoding
from triform.datasets.library.checking import check
from triform.datasets.library.layout import LibraryObject
from triform.datasets.library.library import Library
from triform.datasets.library.preparation.journal import Journal
from triform.datasets.library.store import Store
from triform.systems.retrieval.gallery.entries import list_entries


@pytest.mark.parametrize("table", ["metadata.json", "captions.csv", "failed.csv"])
def test_pipes_as_tables_are_refused(lib: Path, table: str) -> None:
    (lib / table).unlink(missing_ok=True)
    os.mkfifo(lib / table)
    assert "not a regular file" in refused_cheaply(lambda: Journal(Store(str(lib))))


def test_pipes_and_devices_as_files_are_refused(lib: Path) -> None:
    image, points = lib / "images" / f"{ID}_view1.png", lib / "points" / f"{ID}.npy"
    image.unlink()
    points.unlink()
    os.mkfifo(image)
    points.symlink_to("/dev/zero")
    library = Library.open(str(lib))
    (entry,) = library.objects
    assert "regular" in refused_cheaply(lambda: decoding.read_image(library, entry.images[0]))
    assert "leads out" in refused_cheaply(lambda: decoding.read_array(library, str(entry.points)))
    points.unlink()
    os.mkfifo(points)
    assert "regular" in refused_cheaply(lambda: decoding.read_array(library, str(entry.points)))
    assert run_bounded(lambda: check.check_library(str(lib), workers=1))["kind"] == "done"


def test_a_pipe_as_library_is_refused(place: Path) -> None:
    os.mkfifo(place / "lib")
    assert "lib" in refused_cheaply(lambda: Library.open("lib"))


@pytest.mark.parametrize(
    "table", ["[" * 200_000, '{"a":' * 200_000, '{"a": {"parts": {}, "images": %s}}' % ("[" * 9999)]
)
def test_deep_metadata_is_one_line(lib: Path, table: str) -> None:
    (lib / "metadata.json").write_text(table)
    assert "metadata.json" in refused_cheaply(lambda: Library.open(str(lib)))
    assert "metadata.json" in refused_cheaply(lambda: Journal(Store(str(lib))))
    assert run_bounded(lambda: check.check_library(str(lib), workers=1))["kind"] == "done"


def test_numbers_of_the_table_are_bounded(lib: Path) -> None:
    for size in ("100000", "0", "-8", "9" * 5000):
        write_table(lib, voxels={size: f"voxels/{ID}_8.npz"})
        assert "voxels" in refused_cheaply(lambda: Library.open(str(lib)))


def test_pairs_of_one_object_are_read_in_linear_time(lib: Path) -> None:
    pairs = {f"images/{ID}_view{n}.png": f"points/{ID}.npy" for n in range(40_000)}
    (lib / "metadata.json").write_text(json.dumps(pairs))
    assert run_bounded(lambda: Library.open(str(lib)))["kind"] == "done"


def test_rows_of_unknown_objects_are_checked_in_linear_time(lib: Path) -> None:
    rows = "\n".join(f"boxes-bax{n}aaaaaaaaaaaa,a box" for n in range(1500))
    (lib / "captions.csv").write_text(f"object_id,caption\n{rows}\n")
    table = {f"boxes-box{n}aaaaaaaaaaaa": {"parts": {}} for n in range(1500)}
    (lib / "metadata.json").write_text(json.dumps(table))
    assert run_bounded(lambda: check.check_library(str(lib), workers=1))["kind"] == "done"


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The header of an array file that promises much."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def voxel_file(path: Path, head: bytes, zeros: int, packed: int = zipfile.ZIP_DEFLATED) -> None:
    """A voxel file of a header and so many zeros, packed."""
    with zipfile.ZipFile(path, "w", packed) as archive, archive.open("occupancy.npy", "w") as file:
        file.write(head)
        for _ in range(zeros >> 20):
            file.write(bytes(2**20))
        file.write(bytes(zeros & (2**20 - 1)))


@pytest.mark.parametrize(
    ("head", "zeros", "packed"),
    [
        (header((2**40,)), 64, zipfile.ZIP_DEFLATED),
        (header((2**70, 3)), 64, zipfile.ZIP_DEFLATED),
        (header((512,) * 3, "<f8"), 2**28, zipfile.ZIP_DEFLATED),
        (header((512**3 // 8,)), 2**28, zipfile.ZIP_DEFLATED),
        (header((8, 8, 8), "|S2000000000"), 64, zipfile.ZIP_DEFLATED),
        (header((512**3 // 8,)), 512**3 // 8, zipfile.ZIP_LZMA),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", 2**20, zipfile.ZIP_DEFLATED),
    ],
)
def test_voxel_files_that_promise_or_unpack_to_much(
    lib: Path, head: bytes, zeros: int, packed: int
) -> None:
    path = f"voxels/{ID}_512.npz"
    voxel_file(lib / path, head, zeros, packed)
    write_table(lib, voxels={"512": path})
    library = Library.open(str(lib))
    assert path in refused_cheaply(lambda: decoding.read_voxels(library, library.objects[0], 512))


def test_voxel_size_of_the_name_is_bounded(lib: Path) -> None:
    """`X_100000.npz` asked for 10^15 voxels."""
    voxel_file(lib / "voxels" / f"{ID}_100000.npz", header((512,) * 3), 2**28)
    (lib / "metadata.json").unlink()
    library = Library.open(str(lib))
    assert library.objects[0].voxels == {}
    data = (lib / "voxels" / f"{ID}_100000.npz").read_bytes()
    assert "at most" in refused_cheaply(lambda: decoding.decode_voxels(data, "x", 100_000))


def test_voxel_files_of_many_members(lib: Path) -> None:
    path = lib / "voxels" / f"{ID}_8.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(30_000):
            archive.writestr(f"{number}.npy", b"")
    data = path.read_bytes()
    assert "more than 100" in refused_cheaply(lambda: decoding.decode_voxels(data, "x", 8))


def test_damaged_voxels_leave_the_split_by_copies_standing(lib: Path) -> None:
    from triform.datasets.library.preparation.splitting import split_objects

    path = f"voxels/{ID}_8.npz"
    voxel_file(lib / path, header((2**32,)), 2**28)
    objects = {ID: LibraryObject(object_id=ID, source="boxes/box0", voxels={8: path})}
    answer = run_bounded(lambda: split_objects(Store(str(lib)), objects, "copies"))
    assert answer["kind"] == "done"


@pytest.mark.parametrize(
    "points",
    [
        header((0, 3), "<f4"),
        header((2**40, 3), "<f4"),
        header((2**62, 3), "<f4"),
        header((3, 3), "|S2000000000"),
        header((4, 3), "<U4") + bytes(192),
        header((-1, 3), "<f4") + bytes(48),
        header((4, 3), "<f4") + b"\xff" * 48,
    ],
    ids=["empty", "cut", "too long", "text", "letters", "negative", "NaN"],
)
def test_clouds_of_nothing_are_one_line(
    lib: Path, points: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (lib / "points" / f"{ID}.npy").write_bytes(points)
    (item,) = list_entries([str(lib)], "datasets")
    assert f"points/{ID}.npy" in refused_cheaply(item.read)
    show = ("shapes", "show", "lib", "--output", "sheet.png", "--points", "true")
    cli.main(show)
    err = capsys.readouterr().err
    assert f"points/{ID}.npy" in err and "Traceback" not in err
    assert run_bounded(lambda: check.check_library(str(lib), workers=1))["kind"] == "done"


def test_a_long_mapped_cloud_is_refused(lib: Path) -> None:
    """Files of 4 MiB and more are mapped; their headers may lie as well."""
    for shape in ((2**62, 3), (2**40, 3), (-5, 3)):
        data = header(shape, "<f4") + bytes(2**22)
        (lib / "points" / f"{ID}.npy").write_bytes(data)
        library = Library.open(str(lib))
        assert ID in refused_cheaply(lambda: decoding.read_array(library, f"points/{ID}.npy"))  # noqa: B023


def test_colours_of_another_number_are_one_line(lib: Path) -> None:
    (lib / "colors").mkdir(exist_ok=True)
    np.save(lib / "colors" / f"{ID}.npy", np.zeros((3, 3), np.uint8))
    write_table(lib, colors=f"colors/{ID}.npy")
    (item,) = list_entries([str(lib)], "datasets")
    with pytest.raises(UserError, match=r"3 colours for 20 points"):
        item.read()


def test_cameras_of_impossible_numbers_are_one_line() -> None:
    axes = '"origin": [0, 0, 2], "x": [1, 0, 0], "y": [0, 1, 0], "z": [0, 0, 1]'
    for text in ("[" * 100_000, f'{{{axes}, "fov": 1{"0" * 400}}}'):
        data = text.encode()
        assert "c.json" in refused_cheaply(lambda: decoding.decode_camera(data, "c.json"))  # noqa: B023


def test_a_library_is_listed_with_one_look_at_its_folder(
    lib: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign library looked through its folder once for each of its objects."""
    (lib / "metadata.json").unlink()
    (lib / "captions.csv").write_text("object_id,caption\n")
    for number in range(50):
        np.save(lib / "points" / f"x{number}.npy", np.zeros((2, 3), np.float32))
    calls = []
    facts = Store.fingerprints
    monkeypatch.setattr(Store, "fingerprints", lambda self, f: calls.append(f) or facts(self, f))
    items = list_entries([str(lib)], "datasets")
    assert len(items) == 51 and calls == ["points"]
    assert len({item.fingerprint for item in items}) == 51

"""Shape libraries that somebody else made: nothing outside is read, written or removed."""

import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounded_memory import refused_cheaply, run_bounded
from hostile_place import BOX
from PIL import Image

from triform import cli
from triform.base.errors import UserError
from triform.datasets.library import check, decoding, prepare
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.ids import id_fault, path_fault
from triform.datasets.library.journal import Journal
from triform.datasets.library.layout import Library, LibraryObject
from triform.datasets.library.store import OutsideError, Store
from triform.systems.retrieval.gallery_items import list_items

Refused = Callable[..., str]
ID = "boxes-box0"
PREPARE = (
    "shapes", "prepare", "boxes", "lib", "--views", "1", "--image_size", "16", "--points", "16",
    "--voxel_size", "8", "--workers", "1",
)  # fmt: skip
CANARY = "canary.png"


@pytest.fixture
def lib(place: Path) -> Path:
    """A small library, a mesh folder that fits it, and a picture that is none of its business."""
    (place / "boxes").mkdir()
    (place / "boxes" / "box0.obj").write_text(BOX)
    Image.new("RGBA", (16, 16), (255, 0, 0, 255)).save(place / CANARY)
    lib = place / "lib"
    for folder in ("images", "points", "cameras", "voxels"):
        (lib / folder).mkdir(parents=True)
    Image.new("RGBA", (16, 16), (0, 255, 0, 255)).save(lib / "images" / f"{ID}_view1.png")
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3)).astype(np.float32)
    np.save(lib / "points" / f"{ID}.npy", points)
    write_table(lib)
    return lib


def write_table(lib: Path, object_id: str = ID, **entry: Any) -> None:
    """Write `metadata.json`, as `shapes prepare` does, with one object."""
    files = {"images": [f"images/{ID}_view1.png"], "points": f"points/{ID}.npy", "parts": {}}
    table = {object_id: {"source": "boxes/box0", "dataset": "boxes", **files, **entry}}
    (lib / "metadata.json").write_text(json.dumps(table))


EVIL_PATHS = {
    "leads up": "images/../../canary.png",
    "leads up at once": "../canary.png",
    "absolute": "/CANARY",
    "backslashes": "images\\..\\..\\canary.png",
    "drive": "C:/canary.png",
    "home": "~/canary.png",
    "another folder": "metadata.json",
    "another folder of ours": f"points/{ID}.npy",
    "the folder": "images",
    "NUL": "images/a\0.png",
    "escape": "images/\x1b[2Ja.png",
    "line": "images/a\nb.png",
    "turned": "images/\u202egnp.a.png",
    "half a letter": "images/\ud800.png",
    "empty part": "images//a.png",
    "point": "images/./a.png",
}


@pytest.mark.parametrize("name", EVIL_PATHS)
def test_paths_that_lead_out_are_refused_and_nothing_is_removed(
    refused: Refused, lib: Path, place: Path, name: str
) -> None:
    write_table(lib, images=[EVIL_PATHS[name].replace("/CANARY", str(place / CANARY))])
    said = refused(*PREPARE, status=1, names="metadata.json", may_change=("lib/.lock",))
    assert ID in said and "images.0" in said
    with pytest.raises(UserError, match=r"metadata\.json"):
        Library.open(str(lib))


@pytest.mark.parametrize("field", ["depths", "cameras", "points", "colors", "normals", "voxels"])
def test_every_kind_of_path_is_checked(lib: Path, field: str) -> None:
    evil = f"{field}/../../canary.png"
    many = {"depths": [evil], "cameras": [evil], "voxels": {"8": evil}}
    write_table(lib, **{field: many.get(field, evil)})
    with pytest.raises(UserError, match=rf"{ID}.*{field}.*\.\."):
        Library.open(str(lib))


EVIL_IDS = ("../../x", "a/b", "/abs", "..", ".", "", "a\\b", "C:x", "a\0b", "a\x1b[0m", "a\nb")


@pytest.mark.parametrize("object_id", EVIL_IDS)
def test_ids_that_lead_out_are_refused_and_nothing_is_written(
    refused: Refused, lib: Path, object_id: str
) -> None:
    write_table(lib, object_id)
    refused(*PREPARE, status=1, names="metadata.json", may_change=("lib/.lock",))
    assert id_fault(object_id)


@pytest.mark.parametrize("name", ["ä b.c", "chair(1)", "стул", "a-_1", "a..b", "…", "ab:c"])
def test_odd_names_that_are_harmless_stay(name: str) -> None:
    assert id_fault(name) == path_fault(f"images/{name}_view1.png") == ""


def test_ids_in_failed_csv_are_checked(refused: Refused, lib: Path) -> None:
    (lib / "metadata.json").unlink()
    (lib / "failed.csv").write_text("object_id,source,reason,key\n../../x,boxes/box0,bad,1\n")
    refused(*PREPARE, status=1, names="failed.csv", may_change=("lib/.lock",))


def test_ids_in_captions_csv_are_checked(refused: Refused, lib: Path) -> None:
    (lib / "captions.csv").write_text("object_id,caption\n../../x,a box\n")
    refused(*PREPARE, status=1, names="captions.csv", may_change=("lib/.lock",))


def test_notes_in_the_journal_are_checked(lib: Path, place: Path) -> None:
    """Of a note that is another object's, or has evil paths, nothing is taken over."""
    folder = lib / ".journal"
    folder.mkdir()
    good = {"captions": [], "reason": "", "source": "", "key": ""}
    for name, entry in {
        "other": {"object_id": "../../x"},
        "named": {"object_id": ID},
        "evil": {"object_id": "evil", "images": ["../canary.png"]},
        "odd": {"object_id": "odd"},
    }.items():
        note = {**good, "object": entry}
        (folder / f"{name}.json").write_text(json.dumps(note))
    odd = {**good, "object": {"object_id": "odd"}, "captions": [[{}, []]]}
    (folder / "odd.json").write_text(json.dumps(odd))
    (folder / "deep.json").write_text("[" * 100_000)
    journal = Journal(Store(str(lib)))
    assert set(journal.objects) == {ID}
    journal.save()
    assert (place / CANARY).is_file() and (lib / "images" / f"{ID}_view1.png").is_file()


def test_objects_that_wait_are_checked(refused: Refused, lib: Path) -> None:
    (lib / ".journal").mkdir()
    table = {"x": {"images": ["../canary.png"], "parts": {}, "source": "boxes/box0"}}
    (lib / ".journal" / "waiting.objects.json").write_text(json.dumps(table))
    refused(*PREPARE, status=1, names="waiting.objects.json", may_change=("lib/.lock",))


@pytest.mark.parametrize("folder", ["images", "points", "cameras", "voxels", ".journal"])
def test_folders_that_are_links_are_refused(
    refused: Refused, lib: Path, place: Path, folder: str
) -> None:
    outside = place / "outside"
    outside.mkdir()
    (outside / f"{ID}.npy").write_bytes(b"mine")
    if (lib / folder).exists():
        os.rename(lib / folder, place / "moved")
    (lib / folder).symlink_to(outside)
    refused(*PREPARE, status=1, names=f"lib: {folder}", may_change=("lib/.lock",))


@pytest.mark.parametrize("table", ["metadata.json", "captions.csv", "failed.csv", ".lock"])
def test_tables_that_are_links_are_refused(
    refused: Refused, lib: Path, place: Path, table: str
) -> None:
    (place / "secret").write_text("object_id,caption\n")
    (lib / table).unlink(missing_ok=True)
    (lib / table).symlink_to(place / "secret")
    refused(*PREPARE, status=1, names=table, may_change=("lib/.lock",) if table != ".lock" else ())
    assert (place / "secret").read_text() == "object_id,caption\n"


def test_a_store_never_leaves_its_folder(lib: Path, place: Path) -> None:
    """The second line: whatever path reaches the store."""
    (lib / "images" / "link.png").symlink_to(place / CANARY)
    (lib / "away").symlink_to(place)
    (lib / "images" / "near.png").symlink_to(lib / "images" / f"{ID}_view1.png")
    store = Store(str(lib))
    for path in ("../canary.png", str(place / CANARY), "away/canary.png"):
        for call in (store.read_bytes, store.exists, store.remove):
            with pytest.raises(OutsideError, match=r"canary\.png"):
                call(path)
        with pytest.raises(OutsideError):
            store.read_head(path, 4)
        with pytest.raises(OutsideError):
            store.write_bytes(path, b"x")
    with pytest.raises(OutsideError, match="leads out"):
        store.read_bytes("images/link.png")
    with pytest.raises(OutsideError, match="leads out"):
        store.sizes("away")
    assert store.read_bytes("images/near.png")[:4] == b"\x89PNG"
    store.remove("images/link.png")  # the link goes, not what it leads to
    assert (place / CANARY).is_file() and not (lib / "images" / "link.png").is_symlink()
    assert Image.open(place / CANARY).getpixel((0, 0)) == (255, 0, 0, 255)


def test_temporary_names_cannot_be_foreseen(lib: Path, place: Path) -> None:
    """A link that waits under the name of a temporary file is not written through."""
    (lib / f".metadata.json.{os.getpid()}.part").symlink_to(place / CANARY)
    before = (place / CANARY).read_bytes()
    Store(str(lib)).write_bytes("metadata.json", b"{}")
    assert (place / CANARY).read_bytes() == before
    assert stat.S_IMODE((lib / "metadata.json").stat().st_mode) & 0o400


def test_show_shows_no_picture_from_elsewhere(
    lib: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = lib / "images" / f"{ID}_view1.png"
    picture.unlink()
    picture.symlink_to(place / CANARY)
    cli.main(("shapes", "show", "lib", "--output", "sheet.png"))
    err = capsys.readouterr().err
    assert "leads out" in err and "Traceback" not in err
    if (place / "sheet.png").exists():
        sheet = np.asarray(Image.open(place / "sheet.png").convert("RGB"))
        assert not (sheet == (255, 0, 0)).all(axis=-1).any()


def test_check_and_search_read_no_picture_from_elsewhere(lib: Path, place: Path) -> None:
    picture = lib / "images" / f"{ID}_view1.png"
    picture.unlink()
    picture.symlink_to(place / CANARY)
    problems = check.check_library(str(lib), workers=1).problems
    assert any(one.kind == "unreadable" and "leads out" in one.problem for one in problems)
    (item,) = list_items([str(lib)], "datasets")
    with pytest.raises(UserError, match="leads out"):
        item.read()


def test_names_of_files_are_checked_too(lib: Path) -> None:
    """A library without tables is read by its file names; an unsafe one is named by `check`."""
    (lib / "metadata.json").unlink()
    (lib / "images" / "a\x1b[2J_view1.png").write_bytes(b"")
    np.savez(lib / "voxels" / "a_8.npz", occupancy=np.zeros(64, np.uint8))
    (lib / "voxels" / "b_100000.npz").write_bytes(b"PK")
    library = Library.open(str(lib))
    assert {entry.object_id for entry in library.objects} == {ID, "a"}
    kinds = {one.kind for one in check.check_library(str(lib), workers=1).problems}
    assert {"unsafe name", "grid size"} <= kinds


def test_a_strangers_library_that_is_honest_goes_on(lib: Path, place: Path) -> None:
    """The same library without tricks is taken over: old files go, new ones come."""
    write_table(lib, images=[f"images/{ID}_view1.png", "images/old.png"])
    (lib / "images" / "old.png").write_bytes(b"old")
    settings = PrepareSettings(
        meshes=("boxes",), library="lib", views=1, image_size=16, points=16, voxel_size=(8,),
        workers=1,
    )  # fmt: skip
    assert prepare.run(settings)["made"] == 1
    assert not (lib / "images" / "old.png").exists() and (place / CANARY).is_file()
    (entry,) = Library.open("lib").objects
    assert entry.files == (
        f"images/{ID}_view1.png", f"images/{ID}_view1.depth.png", f"cameras/{ID}_view1.json",
        f"points/{ID}.npy", f"points/{ID}.colors.npy", f"points/{ID}.normals.npy",
        f"voxels/{ID}_8.npz",
    )  # fmt: skip
    assert not [path for path in lib.rglob("*.part")]


# --- bombs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["metadata.json", "captions.csv", "failed.csv"])
def test_pipes_as_tables_are_refused(lib: Path, table: str) -> None:
    (lib / table).unlink(missing_ok=True)
    os.mkfifo(lib / table)
    assert "not a regular file" in refused_cheaply(lambda: Journal(Store(str(lib))))


def test_pipes_and_devices_as_files_are_refused(lib: Path) -> None:
    picture, points = lib / "images" / f"{ID}_view1.png", lib / "points" / f"{ID}.npy"
    picture.unlink()
    points.unlink()
    os.mkfifo(picture)
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
    assert path in refused_cheaply(
        lambda: decoding.read_voxels(library, library.objects[0], 512)
    )


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
    from triform.datasets.library.splitting import split_objects

    path = f"voxels/{ID}_8.npz"
    voxel_file(lib / path, header((2**32,)), 2**28)
    objects = {ID: LibraryObject(object_id=ID, source="boxes/box0", voxels={8: path})}
    answer = run_bounded(lambda: split_objects(Store(str(lib)), objects, "copies"))
    assert answer["kind"] == "done"


@pytest.mark.parametrize(
    "points",
    [
        header((0, 3), "<f4"), header((2**40, 3), "<f4"), header((2**62, 3), "<f4"),
        header((3, 3), "|S2000000000"), header((4, 3), "<U4") + bytes(192),
        header((-1, 3), "<f4") + bytes(48), header((4, 3), "<f4") + b"\xff" * 48,
    ],
    ids=["empty", "cut", "too long", "text", "letters", "negative", "NaN"],
)  # fmt: skip
def test_clouds_of_nothing_are_one_line(
    lib: Path, points: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (lib / "points" / f"{ID}.npy").write_bytes(points)
    (item,) = list_items([str(lib)], "datasets")
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
    np.save(lib / "points" / f"{ID}.colors.npy", np.zeros((3, 3), np.uint8))
    write_table(lib, colors=f"points/{ID}.colors.npy")
    (item,) = list_items([str(lib)], "datasets")
    with pytest.raises(UserError, match=r"3 colours for 20 points"):
        item.read()


def test_cameras_of_impossible_numbers_are_one_line() -> None:
    axes = '"origin": [0, 0, 2], "x": [1, 0, 0], "y": [0, 1, 0], "z": [0, 0, 1]'
    for text in ("[" * 100_000, "{%s, \"fov\": 1%s}" % (axes, "0" * 400)):
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
    facts = Store.facts
    monkeypatch.setattr(Store, "facts", lambda self, f: calls.append(f) or facts(self, f))
    items = list_items([str(lib)], "datasets")
    assert len(items) == 51 and calls == ["points"]
    assert len({item.fingerprint for item in items}) == 51

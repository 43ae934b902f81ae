"""Shape libraries that somebody else made: nothing outside is read, written or removed."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile_library import CANARY, ID, write_table
from PIL import Image

from triform import cli
from triform.base.errors import UserError
from triform.datasets.library.checking import check
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.ids import id_problem, path_problem
from triform.datasets.library.library import Library
from triform.datasets.library.preparation import prepare
from triform.datasets.library.preparation.journal import Journal
from triform.datasets.library.store import OutsideError, Store
from triform.systems.retrieval.gallery.entries import list_entries

Refused = Callable[..., str]
PREPARE = (
    "shapes",
    "prepare",
    "boxes",
    "lib",
    "--views",
    "1",
    "--image_size",
    "16",
    "--points",
    "16",
    "--voxel_size",
    "8",
    "--workers",
    "1",
)


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
    assert id_problem(object_id)


@pytest.mark.parametrize("name", ["ä b.c", "chair(1)", "стул", "a-_1", "a..b", "…", "ab:c"])
def test_odd_names_that_are_harmless_stay(name: str) -> None:
    assert id_problem(name) == path_problem(f"images/{name}_view1.png") == ""


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


def test_show_shows_no_image_from_elsewhere(
    lib: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = lib / "images" / f"{ID}_view1.png"
    image.unlink()
    image.symlink_to(place / CANARY)
    cli.main(("shapes", "show", "lib", "--output", "sheet.png"))
    err = capsys.readouterr().err
    assert "leads out" in err and "Traceback" not in err
    if (place / "sheet.png").exists():
        sheet = np.asarray(Image.open(place / "sheet.png").convert("RGB"))
        assert not (sheet == (255, 0, 0)).all(axis=-1).any()


def test_check_and_search_read_no_image_from_elsewhere(lib: Path, place: Path) -> None:
    image = lib / "images" / f"{ID}_view1.png"
    image.unlink()
    image.symlink_to(place / CANARY)
    problems = check.check_library(str(lib), workers=1).problems
    assert any(one.kind == "unreadable" and "leads out" in one.problem for one in problems)
    (item,) = list_entries([str(lib)], "datasets")
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
    assert {"unsafe name", "voxels size"} <= kinds


def test_a_strangers_library_that_is_honest_goes_on(lib: Path, place: Path) -> None:
    """The same library without tricks is taken over: old files go, new ones come."""
    write_table(lib, images=[f"images/{ID}_view1.png", "images/old.png"])
    (lib / "images" / "old.png").write_bytes(b"old")
    settings = PrepareSettings(
        meshes=("boxes",),
        library="lib",
        views=1,
        image_size=16,
        points=16,
        voxel_size=(8,),
        workers=1,
    )
    assert prepare.run(settings)["prepared"] == 1
    assert not (lib / "images" / "old.png").exists() and (place / CANARY).is_file()
    (entry,) = Library.open("lib").objects
    assert entry.files == (
        f"images/{ID}_view1.png",
        f"depth/{ID}_view1.png",
        f"cameras/{ID}_view1.json",
        f"points/{ID}.npy",
        f"colors/{ID}.npy",
        f"normals/{ID}.npy",
        f"voxels/{ID}_8.npz",
    )
    assert not [path for path in lib.rglob("*.part")]

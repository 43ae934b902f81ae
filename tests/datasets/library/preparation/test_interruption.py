"""Killed at any moment, a preparation goes on and ends with the same library."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triform.base.errors import UserError
from triform.datasets.library.layout import LibraryObject, read_metadata
from triform.datasets.library.preparation import prepare
from triform.datasets.library.preparation.journal import Journal, Note, write_note
from triform.datasets.library.store import Store

Prepare = Callable[..., dict[str, Any]]
Contents = Callable[[str], dict[str, bytes]]


def item(name: str, size: int = 1) -> LibraryObject:
    return LibraryObject(object_id=name, source=f"set/{name}", faces=size)


def names(store: Store) -> set[str]:
    return set(read_metadata(store) or {})


def test_notes_outlive_their_writer(memory: str) -> None:
    store = Store(memory)
    write_note(store, Note("a", entry=item("a"), captions=(("x", "en"),)))
    write_note(store, Note("b", reason="no faces", source="set/b", key="k"))
    journal = Journal(store)
    assert set(journal.objects) == {"a"} and journal.failed["b"].reason == "no faces"
    journal.save()
    assert store.sizes(".journal") == {} and names(store) == {"a"}
    second_run = Journal(store)
    assert second_run.objects["a"].captions == {"en": 1} and second_run.captions == {
        "a": [("x", "en")]
    }
    assert second_run.failed["b"].key == "k"


def test_objects_under_way_are_in_no_table(memory: str) -> None:
    """Old objects wait, leave the table when their turn comes, and come back untouched."""
    store = Store(memory)
    journal = Journal(store)
    journal.objects = {name: item(name) for name in "abcd"}
    journal.save()

    journal.mark_pending("abc")
    assert names(store) == {"d"}
    write_note(store, Note("a"))  # begun, and killed
    write_note(store, Note("b"))
    write_note(store, Note("b", entry=item("b", 2)))  # done
    for _ in range(2):  # killed again before anything was written
        journal = Journal(store)
        assert set(journal.objects) == {"b", "c", "d"}
        assert journal.objects["b"].faces == 2
    journal.close()
    assert names(store) == {"b", "c", "d"} and store.sizes(".journal") == {}
    assert set(Journal(store).objects) == {"b", "c", "d"}


def test_a_refused_object_does_not_come_back(memory: str) -> None:
    store = Store(memory)
    journal = Journal(store)
    journal.objects = {"a": item("a")}
    journal.save()
    journal.mark_pending(["a"])
    journal.add(Note("a", reason="broken", source="set/a"))
    journal.save()
    assert set(Journal(store).objects) == set()


def test_a_torn_note_means_nothing(memory: str) -> None:
    store = Store(memory)
    for name, data in {"a": b"", "b": b"{}", "c": b'{"object": {"points": 3}}'}.items():
        store.write_bytes(f".journal/{name}.json", data)
    journal = Journal(store)
    assert journal.objects == {} and journal.failed == {}


def test_wrong_settings_stopped_early_cost_nothing(
    meshes: Path, memory: str, run: Prepare, monkeypatch: pytest.MonkeyPatch, contents: Contents
) -> None:
    run(meshes, memory)
    before = contents(memory)
    real, calls = prepare.prepare_object, []

    def interrupted(task: Any) -> Any:
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(task)
        return real(task)

    monkeypatch.setattr(prepare, "prepare_object", interrupted)
    with pytest.raises(UserError, match=r"stopped by Ctrl-C: 4 of 4 .* same command goes on") as no:
        run(meshes, memory, seed=7)
    assert no.value.exit_status == 130
    monkeypatch.setattr(prepare, "prepare_object", real)
    summary = run(meshes, memory)
    assert (summary["prepared"], summary["unchanged"]) == (1, 3)
    assert contents(memory) == before


SMALL = ("--views", "4", "--image_size", "32", "--points", "256", "--voxel_size", "16")


def start(meshes: Path, library: Path, *flags: str) -> subprocess.Popen[str]:
    """Starts the command with its workers, as a group of its own."""
    command = [sys.executable, "-m", "triform", "shapes", "prepare", str(meshes), str(library)]
    return subprocess.Popen(
        [*command, *SMALL, *flags],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(folder: Path, count: int) -> None:
    """Waits until so many files are in a folder."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if folder.is_dir() and len(os.listdir(folder)) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing happened in {folder}")


@pytest.mark.slow
def test_ctrl_c_ends_cleanly(meshes: Path, tmp_path: Path, box: Callable[..., str]) -> None:
    for number in range(400):
        (meshes / f"box{number}.obj").write_text(box(1, 1 + number / 100, 2))
    library = tmp_path / "library"
    process = start(meshes, library, "--workers", "2")
    wait_for(library / "voxels", 20)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == ""
    assert len(err.splitlines()) == 1 and "the same command goes on from there" in err
    there = len(json.loads((library / "metadata.json").read_text()))
    assert 20 <= there < 404 and f"{there} of 404" in err
    out, err = start(meshes, library, "--workers", "2", "--json").communicate(timeout=300)
    summary = json.loads(out)
    assert (summary["objects"], summary["unchanged"]) == (404, there) and err == ""


@pytest.mark.slow
def test_ten_kills(
    meshes: Path, tmp_path: Path, box: Callable[..., str], contents: Contents
) -> None:
    for number in range(300):
        (meshes / f"box{number}.obj").write_text(box(1, 1 + number / 100, 2))
    (meshes / "bad.obj").write_text("")
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert start(meshes, whole, "--workers", "1").wait(timeout=600) == 0
    chance, caught = random.Random(0), 0
    for number in range(10):
        # Every third time with other settings, so that finished objects are made again.
        flags = ("--seed", "1") if number % 3 == 2 else ()
        process = start(meshes, torn, "--workers", "2", *flags)
        time.sleep(4 + chance.uniform(0, 4))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(1.5)  # its workers notice that they are alone
        store = Store(torn)
        sizes = store.sizes("images") | store.sizes("points") | store.sizes("voxels")
        sizes |= store.sizes("cameras")
        found = read_metadata(store) or {}
        caught += 0 < len(found) + len(store.sizes(".journal")) < 304
        for entry in found.values():
            assert all(path in sizes for path in entry.files)
            assert sum(part.size for part in entry.parts.values()) == sum(
                sizes[path] for path in entry.files
            )
    assert caught >= 3, "the kills hit nothing; is this machine so fast or so slow?"
    assert start(meshes, torn, "--workers", "2").wait(timeout=600) == 0
    assert contents(str(torn)) == contents(str(whole))
    assert not (torn / ".journal").exists()
    leftovers = [path for path in torn.rglob(".*") if path.name != ".lock"]
    assert not leftovers


def test_only_one_at_a_time(meshes: Path, tmp_path: Path, run: Prepare) -> None:
    from filelock import FileLock

    library = tmp_path / "library"
    library.mkdir()
    with FileLock(library / ".lock"), pytest.raises(UserError, match="another preparation"):
        run(meshes, library)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot be used as a library"):
        run(meshes, blocked)

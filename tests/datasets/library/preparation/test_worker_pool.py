"""Workers that crash, hang or eat memory cost one object each, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tqdm import tqdm

from triform.base.errors import UserError
from triform.datasets.library.library import Library
from triform.datasets.library.preparation import prepare
from triform.datasets.library.preparation.worker_pool import Job, Worker, WorkerDied, WorkerPool
from triform.datasets.shape import unique_shapes
from triform.geometry.mesh import Mesh

try:
    from joblib.externals import cloudpickle
except ImportError:  # later versions of joblib depend on it
    import cloudpickle

# Worker processes cannot import a test.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

Prepare = Callable[..., dict[str, Any]]


def misbehave(how: str) -> tuple[str, str]:
    """What strangers' meshes can do to a reader."""
    if how == "crash":
        os.abort()
    if how == "hang":
        time.sleep(600)
    if how == "eat":
        stored = []
        while True:
            stored.append(bytearray(2**25))
            time.sleep(0.01)
    return how, "done"


def failed(how: str, reason: str) -> tuple[str, str]:
    return how, reason


def test_the_rest_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    before = workers_here()
    tasks = ["a", "crash", "b", "hang", "c"]
    begin = time.monotonic()
    done = dict(WorkerPool(2).map(Job(misbehave, failed, timeout=4, max_bytes=2**33), tasks))
    assert time.monotonic() - begin < 100
    assert sorted(done) == sorted(tasks)
    assert all(done[name] == "done" for name in "abc")
    assert done["crash"].endswith("died (SIGABRT)")
    assert "longer than 4 seconds (--timeout)" in done["hang"]
    done = dict(
        WorkerPool(1).map(Job(misbehave, failed, timeout=120, max_bytes=2**29), ["eat", "d"])
    )
    assert "more than 0.5 GiB" in done["eat"] and done["d"] == "done"
    assert workers_here() <= before
    assert capfd.readouterr().err == "", "whoever died said nothing"


def lock_of_progress_bars(_: str) -> tuple[str, str]:
    return "lock", type(tqdm.get_lock()).__name__


def test_a_killed_worker_leaks_no_semaphore() -> None:
    """Its warnings are written by tqdm, whose lock would be one between processes."""
    done = WorkerPool(1).map(Job(lock_of_progress_bars, failed, timeout=60, max_bytes=0), ["a"])
    assert list(done) == [("lock", "RLock")]


def workers_here() -> set[int]:
    """Process ids of all that work for this process; other tests may have left some behind."""
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if is_worker(child)}


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is one that works; joblib's bookkeeping may stay."""
    return "popen_loky" in " ".join(process.cmdline())


def test_an_error_is_the_callers() -> None:
    worker = Worker()
    try:
        with pytest.raises(ValueError, match="invalid literal"):
            worker.call(Job(int, failed), "x")
        assert worker.call(Job(int, failed), "7") == 7
        assert worker.call(Job(os.getenv, failed), "NUMBA_NUM_THREADS") == "1"
        with pytest.raises(WorkerDied, match=r"died \(EXIT\)"):
            worker.call(Job(os._exit, failed), 3)
        assert worker.call(Job(int, failed), "8") == 8
    finally:
        worker.close()


def test_results_nobody_wants_any_more() -> None:
    before = workers_here()
    results = WorkerPool(2).map(Job(misbehave, failed, timeout=600), ["a", *["hang"] * 6])
    assert next(results) == ("a", "done")
    begin = time.monotonic()
    results.close()
    assert time.monotonic() - begin < 30
    assert workers_here() <= before


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'triform\[cluster\]'"):
        WorkerPool(0, "auto")


@dataclasses.dataclass(frozen=True)
class Trap:
    """An origin that takes its reader down."""

    how: str

    def load(self, appearance: bool = False) -> Mesh:
        misbehave(self.how)
        raise AssertionError

    def preview(self) -> bytes | None:
        return None


def test_a_library_around_traps(
    meshes: Path,
    tmp_path: Path,
    run: Prepare,
    memory: str,
    monkeypatch: pytest.MonkeyPatch,
    contents: Callable[[str], dict[str, bytes]],
) -> None:
    run(meshes, memory)

    def with_traps(*arguments: Any) -> list[Any]:
        shapes = unique_shapes(*arguments)
        traps = [
            dataclasses.replace(shape, object_id=f"trap/{how}", origin=Trap(how))
            for shape, how in zip(shapes, ["crash", "hang"], strict=False)
        ]
        return [*shapes[:2], *traps, *shapes[2:]]

    monkeypatch.setattr(prepare, "unique_shapes", with_traps)
    library = tmp_path / "library"
    summary = run(meshes, library, workers=2, timeout=6)
    assert (summary["objects"], summary["failed"]) == (4, 2)
    text = (library / "failed.csv").read_text()
    assert "trap/crash,the process that worked on it died (SIGABRT)" in text
    assert "trap/hang,took longer than 6 seconds" in text
    assert not (library / ".journal").exists()
    # Several processes and none at all make the same files.
    ours, theirs = contents(str(library)), contents(memory)
    assert {path for path in ours if ours[path] != theirs[path]} == {"failed.csv"}
    assert len(Library.open(str(library))) == 4
    second_run = run(meshes, library, workers=2, timeout=6)
    assert (second_run["prepared"], second_run["unchanged"]) == (0, 4), "given up once, left alone"

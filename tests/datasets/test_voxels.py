"""The voxel cache: fast, shared, and whole whatever happens to it."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from triform.base.errors import UserError
from triform.datasets import shape_cache, voxels
from triform.datasets.listing import list_shapes
from triform.datasets.shape import Shape
from triform.datasets.voxels import VoxelTable, voxelize_shapes
from triform.geometry.mesh import Mesh
from triform.geometry.voxels.voxelize import voxelize

R = 16
RECORD = 32 + 4 + R**3 // 8


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> list[Shape]:
    return list_shapes([write_boxes(tmp_path_factory.mktemp("objects"), 24)])


def write_boxes(folder: Path, count: int) -> Path:
    """Boxes of different proportions, in files that load in a moment."""
    folder.mkdir(exist_ok=True)
    for k in range(count):
        corners = [f"v {x} {y * (1 + k)} {z * 5}" for x in (0, 9) for y in (0, 1) for z in (0, 1)]
        faces = ["1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"]
        text = "\n".join([*corners, *(f"f {face}" for face in faces), ""])
        (folder / f"box_{k:02}.obj").write_text(text)
    return folder


@pytest.fixture
def count_work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the shapes that are voxelized from here on."""
    work: list[str] = []
    original = voxels.packed_voxels

    def counted(shape: Shape, **settings: Any) -> np.ndarray:
        work.append(shape.object_id)
        return original(shape, **settings)

    monkeypatch.setattr(voxels, "packed_voxels", counted)
    return work


def run(shapes: list[Shape], cache: Path, **settings: object) -> VoxelTable:
    return voxelize_shapes(shapes, R, cache=cache, **{"processes": 1, **settings})  # type: ignore[arg-type]


def the_file(cache: Path) -> Path:
    (found,) = cache.glob("*.bin")
    return found


def assert_right(table: VoxelTable, shapes: list[Shape]) -> None:
    assert [shape.object_id for shape in table.shapes] == [shape.object_id for shape in shapes]
    for row in (0, len(shapes) // 2, len(shapes) - 1):
        np.testing.assert_array_equal(table.unpack([row])[0], voxelize(shapes[row].load(), R))


def test_values(shapes: list[Shape], tmp_path: Path) -> None:
    table = run(shapes, tmp_path)
    assert_right(table, shapes)
    assert table.packed.shape == (24, R**3 // 8)
    assert table.packed.dtype == np.uint8
    np.testing.assert_array_equal(table.unpack([3, 1]), table.unpack(slice(None))[[3, 1]])
    assert table.unpack([0]).dtype == np.uint8
    assert len(table) == 24 and table.failed == [] and table.resolution == R


def test_odd_resolution(shapes: list[Shape], tmp_path: Path) -> None:
    for _ in range(2):
        table = voxelize_shapes(shapes[:3], 13, cache=tmp_path, processes=1)
        np.testing.assert_array_equal(table.unpack([2])[0], voxelize(shapes[2].load(), 13))


def test_nothing_is_computed_twice(
    shapes: list[Shape], tmp_path: Path, count_work: list[str]
) -> None:
    run(shapes[:10], tmp_path)
    run(shapes, tmp_path)
    assert len(count_work) == 24
    assert_right(run(shapes[::-1], tmp_path), shapes[::-1])
    assert len(count_work) == 24
    run(shapes, tmp_path, fill=False)
    assert len(count_work) == 48


def test_a_changed_mesh_is_noticed(tmp_path: Path, count_work: list[str]) -> None:
    shapes = list_shapes([write_boxes(tmp_path / "objects", 3)])
    before = run(shapes, tmp_path / "cache").unpack(slice(None))
    path = tmp_path / "objects" / "box_01.obj"
    path.write_text(path.read_text().replace("v 9", "v 99"))
    changed = list_shapes([tmp_path / "objects"])
    after = run(changed, tmp_path / "cache")
    assert count_work[3:] == [shapes[1].object_id]
    assert_right(after, changed)
    np.testing.assert_array_equal(after.unpack([0, 2]), before[[0, 2]])


def test_cached_voxels_are_not_computed_again(
    shapes: list[Shape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [
        dataclasses.replace(shapes[k % 24], object_id=str(k), fingerprint=str(k))
        for k in range(820)
    ]
    bits = np.packbits(np.ones(64**3, np.uint8))
    file = voxels.voxel_file(tmp_path, 64, fill=True)
    file.repair()
    keys = [voxels.shape_key(shape) for shape in many]
    with file.path.open("ab") as stream:
        stream.writelines(file.record(key, bits) for key in keys)
    monkeypatch.setattr(voxels, "packed_voxels", pytest.fail)
    table = voxelize_shapes(many, 64, cache=tmp_path)
    batch = table.unpack(range(32))
    assert batch.all() and len(table) == 820


@dataclasses.dataclass(frozen=True)
class Broken:
    """An origin that fails in its own way."""

    how: str

    def load(self, *, appearance: bool = False) -> Mesh:
        if self.how == "user":
            raise UserError("broken.obj: line 3: not a number")
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("surprise\nwith two lines")

    def preview(self) -> None:
        return None


def broken(shape: Shape, how: str) -> Shape:
    return dataclasses.replace(shape, object_id=how, fingerprint=how, origin=Broken(how))


def test_bad_meshes_stop_nothing(shapes: list[Shape], tmp_path: Path) -> None:
    mixed = [broken(shapes[0], "user"), *shapes[:3], broken(shapes[0], "other"), *shapes[3:6]]
    for _ in range(2):
        table = run(mixed, tmp_path)
        assert_right(table, shapes[:6])
        assert table.failed == [
            ("user", "broken.obj: line 3: not a number"),
            ("other", "RuntimeError: surprise"),
        ]
    with pytest.raises(UserError, match=r"none of 1 meshes can be used; the first: user: broken"):
        run(mixed[:1], tmp_path)
    assert len(run([], tmp_path)) == 0


def test_worker_processes_give_the_same(shapes: list[Shape], tmp_path: Path) -> None:
    parallel = run(shapes, tmp_path, processes=2)
    np.testing.assert_array_equal(parallel.packed, run(shapes, tmp_path / "alone").packed)


def test_warnings_of_worker_processes_look_like_those_of_the_main_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a mesh leaves out is said by a worker, with the level in front."""
    folder = write_boxes(tmp_path / "objects", 24)
    with (folder / "box_07.obj").open("a") as file:
        file.write("l 1 2\n")
    get_reusable_executor().shutdown()  # workers of other tests write to where those wrote
    run(list_shapes([folder]), tmp_path, processes=2)
    lines = [line for line in capfd.readouterr().err.splitlines() if "left out" in line]
    assert lines == [f"warning: {folder / 'box_07.obj'}: left out: 1 line"]


@pytest.mark.slow
def test_a_mesh_that_kills_its_worker(shapes: list[Shape], tmp_path: Path) -> None:
    table = run([*shapes[:12], broken(shapes[0], "kill"), *shapes[12:]], tmp_path, processes=2)
    assert_right(table, shapes)
    assert [name for name, _ in table.failed] == ["kill"]


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    first = shape_cache.HEADER_BYTES
    if how == "bit":
        data[first + RECORD * 3 + 100] ^= 4
    elif how == "key":
        data[first + RECORD * 3] ^= 1
    elif how == "tail":
        del data[-RECORD // 2 :]
    elif how == "header":
        data[5] ^= 1
    elif how == "empty":
        data.clear()
    elif how == "short header":
        del data[100:]
    elif how == "zeros":
        data[first + RECORD * 2 : first + RECORD * 4] = bytes(RECORD * 2)
    elif how == "other program":
        data[:] = os.urandom(5000)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("how", "again"),
    [
        ("bit", 1),
        ("key", 1),
        ("tail", 1),
        ("header", 24),
        ("empty", 24),
        ("short header", 24),
        ("zeros", 2),
        ("other program", 24),
    ],
)
def test_damage_is_found_and_mended(
    shapes: list[Shape], tmp_path: Path, count_work: list[str], how: str, again: int
) -> None:
    whole = run(shapes, tmp_path).packed
    damage(the_file(tmp_path), how)
    np.testing.assert_array_equal(run(shapes, tmp_path).packed, whole)
    assert len(count_work) == 24 + again
    np.testing.assert_array_equal(run(shapes, tmp_path).packed, whole)
    assert len(count_work) == 24 + again


FILL = """
import sys
from pathlib import Path
from triform.datasets.listing import list_shapes
from triform.datasets.voxels import voxelize_shapes
table = voxelize_shapes(list_shapes([Path(sys.argv[1])]), 16, cache=Path(sys.argv[2]), processes=1)
sys.stdout.write(str(int(table.packed.sum())))
"""


def start(folder: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(FILL), str(folder), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_while_it_writes(shapes: list[Shape], tmp_path: Path) -> None:
    folder = shapes[0].origin.path.parent
    right = int(run(shapes, tmp_path / "alone").packed.sum())
    for records in (1, 9, 17):
        process = start(folder, tmp_path)
        wait_for(
            lambda n=records: (
                list(tmp_path.glob("*.bin")) and the_file(tmp_path).stat().st_size > n * RECORD
            )
        )
        process.kill()
        process.communicate()
        with the_file(tmp_path).open("ab") as stream:  # a record torn by the kill
            stream.write(b"\1" * (RECORD // 3))
    assert int(run(shapes, tmp_path).packed.sum()) == right


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_two_processes_at_once(shapes: list[Shape], tmp_path: Path) -> None:
    both = [start(shapes[0].origin.path.parent, tmp_path) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    right = int(run(shapes, tmp_path / "alone").packed.sum())
    assert [int(out) for out, _ in answers] == [right, right], answers
    # The second waited for the first and computed nothing.
    assert the_file(tmp_path).stat().st_size == shape_cache.HEADER_BYTES + 24 * RECORD


def test_table_travels_to_worker_processes(shapes: list[Shape], tmp_path: Path) -> None:
    table = run(shapes, tmp_path)
    copy = pickle.loads(pickle.dumps(table))  # noqa: TID251 -- what a data loader does with it
    assert len(pickle.dumps(table)) < 100_000
    np.testing.assert_array_equal(copy.unpack([5]), table.unpack([5]))


def test_cache_that_cannot_be_written(shapes: list[Shape], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written or read"):
        run(shapes, tmp_path / "file" / "cache")

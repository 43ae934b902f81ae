"""No damage of any file keeps the check from its end."""

import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from sphere_library import write_library

from triform.datasets.library.checking.check import check_library


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "library"
    return write_library(
        folder, names=("ball1",), views=1, size=8, points=20, voxels=8, colors=True
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_is_survived(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever bytes a file holds, the check ends with a list."""
    folder = shutil.copytree(small, tmp_path_factory.mktemp("damaged") / "library")
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    path = folder / data.draw(st.sampled_from(paths))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip" if content:
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
                    st.integers(0, 255)
                )
            case "cut":
                del content[data.draw(st.integers(0, len(content))) :]
            case _:
                at = data.draw(st.integers(0, len(content)))
                content[at:at] = data.draw(st.binary(max_size=9))
    path.write_bytes(content)
    report = check_library(str(folder), workers=1)
    assert all("\n" not in problem.line for problem in report.problems)
    shutil.rmtree(folder)

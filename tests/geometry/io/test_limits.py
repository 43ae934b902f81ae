import pytest

from triform.geometry.io import limits
from triform.geometry.io.limits import MAX_INSTANCE_COUNT, check_tree
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import MeshError


def test_trees_within_the_limits_pass():
    check_tree({0: [1, 1, 2], 1: [3], 2: [3, 3]}, 0)
    check_tree({}, "root")
    check_tree({i: [i + 1] for i in range(200)}, 0)


def test_doubling_is_counted_without_walking_it():
    check_tree({i: [i + 1, i + 1] for i in range(14)}, 0)
    with pytest.raises(MeshError, match=f"more than {MAX_INSTANCE_COUNT}"):
        check_tree({i: [i + 1, i + 1] for i in range(200)}, 0)


def test_circles_and_deep_nesting():
    with pytest.raises(MeshError, match="contains itself"):
        check_tree({0: [1], 1: [2], 2: [0]}, 0)
    with pytest.raises(MeshError, match="levels deep"):
        check_tree({i: [i + 1] for i in range(10_000)}, 0)


def test_files_that_would_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "MAX_MEMORY", 1400)
    with pytest.raises(MeshError, match=r"101 bytes of STL .* the limit is 100"):
        load_mesh(b"x" * 101, "stl")
    with pytest.raises(MeshError, match="no STL file"):
        load_mesh(b"x" * 100, "stl")

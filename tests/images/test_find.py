"""Image files by name, folder and pattern."""

import pytest

from triform.base.errors import UsageError
from triform.images.find import find_images


def test_files_folders_and_patterns(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt", "inside/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    a, b, c = (tmp_path / name for name in ("a.JPG", "b.png", "inside/c.webp"))
    assert find_images([str(tmp_path)]) == [a, b, c]
    assert find_images([str(tmp_path / "*.png"), str(a), str(tmp_path)]) == [b, a, c]
    assert find_images([str(tmp_path / "**" / "*.webp")]) == [c]
    assert find_images([str(tmp_path / "notes.txt")]) == [tmp_path / "notes.txt"]


@pytest.mark.parametrize("pattern", ["*.gif", "inside", "none.png"])
def test_nothing_found_names_the_pattern(pattern, tmp_path):
    (tmp_path / "inside").mkdir()
    with pytest.raises(UsageError, match=r"--images .*: no images there"):
        find_images([str(tmp_path / pattern)])

"""Known data sets become libraries once; other names are libraries themselves."""

from pathlib import Path

import pytest

from triform.base.errors import UserError
from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.preparation import known


def settings(folder: Path, **changes: object) -> PrepareSettings:
    small = {"views": 0, "points": 64, "voxel_size": (16,), "workers": 1}
    values = {"meshes": ("-",), "library": "-", "download_path": str(folder), **small, **changes}
    return PrepareSettings.model_validate(values)


def test_a_data_set_is_prepared_once_for_each_recipe(tmp_path, monkeypatch):
    library = known.open_or_prepare("testdataset:3", settings(tmp_path))
    assert len(library) == 3 and all(entry.points for entry in library.objects)
    other = settings(tmp_path, points=32)
    assert known.open_or_prepare("testdataset:3", other).root != library.root

    def refuse(_: PrepareSettings) -> None:
        raise AssertionError("prepared again")

    monkeypatch.setattr(known.prepare, "run", refuse)
    again = known.open_or_prepare("testdataset:3", settings(tmp_path, workers=2))
    assert again.root == library.root
    assert len(known.open_or_prepare(library.root, settings(tmp_path))) == 3


def test_an_unknown_name_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no shape library"):
        known.open_or_prepare(str(tmp_path / "nowhere"), settings(tmp_path))

"""`triform shapes prepare` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from triform.base.errors import UsageError
from triform.datasets.library.commands import main

SMALL = ["--views", "1", "--image_size", "16", "--points", "8", "--voxel_size", "8"]


def test_answers(
    meshes: Path, memory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (meshes / "table" / "paint.mtl").write_text("newmtl paint\nKd 1 0 0\n")
    words = ["prepare", str(meshes / "chair"), str(meshes / "table"), memory, *SMALL]
    assert main([*words, "--json"]) == 0
    message = capsys.readouterr()
    summary = json.loads(message.out)
    assert summary["objects"] == summary["prepared"] == 4
    assert message.err == "", "quiet where nobody watches"
    settings = tmp_path / "settings.yaml"
    settings.write_text("points: 4\nvoxel_size: [8, 4]\n")
    assert (
        main(["prepare", str(meshes / "chair"), memory, "--config", str(settings), "--views", "0"])
        == 0
    )
    assert "unchanged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare"], "MESHES is needed, before the flags or as --meshes"),
        (["prepare", "a"], "LIBRARY is needed, before the flags or as --library"),
        (
            ["prepare", "a", "b", "--views", "-1"],
            "--views: '-1' is not allowed: must be at least 0",
        ),
        (["prepare", "a", "b", "--voxel_size", "9999"], "must be at most 512"),
        (["prepare", "a", "b", "--camera", "even"], "perhaps you meant --cameras"),
        (["prepar"], "perhaps you meant prepare"),
    ],
)
def test_one_line_about_what_is_wrong(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        main(words)
    assert "\n" not in str(error.value)


def test_a_name_of_a_data_set(
    memory: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make_library: Callable[..., Path],
) -> None:
    (tmp_path / "sweethome3d").mkdir()
    make_library(tmp_path / "sweethome3d" / "test.sh3f")
    words = ["prepare", "sweethome3d", memory, "--download_path", str(tmp_path), *SMALL, "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["objects"] == 2

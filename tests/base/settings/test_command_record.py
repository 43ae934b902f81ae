import json
import os
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field

from triform.base.settings import command_record
from triform.base.settings.command import CommandResult
from triform.base.settings.command_record import (
    FOLDER,
    CommandRecord,
    CommandRecorder,
    changed_settings,
    readable,
)
from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input, Output, Storage


class ModelConfig(Group):
    width: int = Field(8, description="Width.")


class Verb(Settings):
    """A verb."""

    images: Annotated[tuple[Path, ...], Input()] = Field(description="Images.")
    output: Annotated[str, Output(".obj", or_folder=True)] = Field("a.obj", description="File.")
    sheet: Annotated[Path | None, Output(".png")] = Field(None, description="Sheet.")
    index: Annotated[str, Storage()] = Field("index", description="Index.")
    size: tuple[int, ...] = Field((1, 2), description="Size.")
    seed: int = Field(7, description="Seed.")
    model: ModelConfig = ModelConfig(width=9)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(writes, answer=None, **values):
    """Record a command that writes some files; returns the record, None if there is none."""
    recorder = CommandRecorder(Verb(images=("in.png",), **values))
    for name in writes:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    path = recorder.write("gan", "generate", ["--seed", "7", "--prompt", "a 'b'"], answer)
    return path and CommandRecord.model_validate_json(path.read_text())


def test_settings_that_differ_from_the_defaults():
    assert changed_settings(Verb(images=("in.png",))) == {"images": ["in.png"]}
    changed = changed_settings(Verb(images=("a",), size=(3,), model={"width": 8}, sheet="b.png"))
    expected = {"images": ["a"], "size": [3], "model.width": 8, "sheet": "b.png"}
    assert changed == expected


def test_files_of_the_stem_are_recorded_and_those_that_were_there_are_not(here):
    Path("out").mkdir()
    Path("out/a_old.obj").write_text("old")
    writes = ["out/a_001.obj", "out/a_002.glb", "out/b.obj", "index", "out/a_sub/x.obj"]
    answer = [
        {"files": ["out/a_001.obj", here / "out/a_002.glb"], "seen": str(here / "x/y/in.png")}
    ]
    record = run(writes, answer, output="out/a.obj", seed=3)
    assert [file.name for file in record.files] == ["a_001.obj", "a_002.glb"]
    assert record.files[0].bytes == len("out/a_001.obj")
    assert record.answer == [{"files": ["a_001.obj", "a_002.glb"], "seen": "y/in.png"}]
    assert record.command == "triform gan generate --seed 7 --prompt 'a '\"'\"'b'\"'\"''"
    assert (record.system, record.verb, record.seed) == ("gan", "generate", 3)
    assert record.settings == {"images": ["in.png"], "output": "out/a.obj", "seed": 3}
    assert [path.suffix for path in (here / "out" / FOLDER).iterdir()] == [".json"]


def test_a_file_that_is_written_anew_is_recorded():
    Path("a.obj").write_text("old")
    assert [file.name for file in run(["a.obj"]).files] == ["a.obj"]


def test_all_files_below_a_folder_but_hidden_ones_and_links():
    Path("out").mkdir()
    recorder = CommandRecorder(Verb(images=("a",), output="out"))
    Path("out/deep").mkdir()
    Path("out/deep/x.png").write_text("x")
    Path("out/.hidden").write_text("x")
    Path("out/link.png").symlink_to("deep/x.png")
    record = json.loads(recorder.write("gan", "generate", [], None).read_text())
    assert record["files"] == [{"name": "deep/x.png", "bytes": 1}]


def test_numbers_and_objects_of_an_answer():
    answer = CommandResult(
        {
            "a": np.float32(0.5),
            "b": float("nan"),
            "c": {1: np.ones(3)},
            "d": [{1}],
            "e": (2, True),
        }
    )
    record = run(["a.obj"], answer)
    assert record.answer == {"a": 0.5, "b": None, "c": {}, "d": ["{1}"], "e": [2, True]}
    assert run(["a.obj"], ["x" * 300_000]).answer is None


def test_names_that_are_no_text_have_marks_for_what_is_wrong():
    name = "a\udcff.obj"  # as Python reads the bytes of a name that is not UTF-8
    recorder = CommandRecorder(Verb(images=("b.png",), output=name))
    Path(name).write_text("x")
    path = recorder.write("gan", "generate", ["--output", name], {"files": [name]})
    record = CommandRecord.model_validate_json(path.read_text())
    assert [file.name for file in record.files] == ["a\ufffd.obj"] == record.answer["files"]
    assert record.settings == {"images": ["b.png"], "output": "a\ufffd.obj"}
    # The same name in the locale C, where letters arrive as single bytes.
    assert readable("стул".encode().decode("ascii", errors="surrogateescape")) == "стул"


def test_a_name_that_is_too_long_is_left_out():
    deep = "/".join(["out", *["x" * 200] * 3, "a.png"])
    assert [file.name for file in run(["out/b.png", deep], output="out").files] == ["b.png"]


def test_no_record_without_an_output_or_where_it_is_switched_off(monkeypatch):
    assert run(["index"]) is None and not Path(FOLDER).exists()
    monkeypatch.setenv(command_record.OFF, "1")
    assert run(["a.obj"]) is None and not Path(FOLDER).exists()


def test_a_folder_with_too_many_files_is_left_alone(monkeypatch):
    monkeypatch.setattr(command_record, "MAX_ENTRIES", 2)
    assert run([f"out/{index}.png" for index in range(4)], output="out") is None


def test_a_record_that_cannot_be_written_costs_a_warning(caplog, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    os.symlink("elsewhere", FOLDER)
    assert run(["a.obj"]) is None
    assert "no record of this command: it is a link" in caplog.text
    assert list((tmp_path / "elsewhere").iterdir()) == []

import json
import os

import pytest

from triform.base.settings.command_record import FOLDER
from triform.web.access import Access
from triform.web.command_results import FRESH_SECONDS, MAX_RECORDS, CommandResults
from triform.web.pages import verbs_by_page
from triform.web.results import NoSuchResult, ResultStore
from triform.web.uploads import Uploads


@pytest.fixture
def shapes(tmp_path):
    (tmp_path / "shapes" / "new").mkdir(parents=True)
    return tmp_path / "shapes"


@pytest.fixture
def commands(tmp_path, shapes, monkeypatch):
    """Results of commands in the folder `shapes`, looked for at every call."""
    monkeypatch.setattr("triform.web.command_results.FRESH_SECONDS", 0)
    store = ResultStore(tmp_path / "results")
    access = Access([shapes], tmp_path / "runs", Uploads(tmp_path / "uploads", 1, 1), store)
    yield CommandResults(access, verbs_by_page())
    store.close()


def write(folder, number=0, **values):
    """A record as the command line writes it, or with other values."""
    record = {
        **{"system": "voxel_gan", "verb": "generate", "command": "triform voxel_gan generate"},
        **{"settings": {"prompt": ["a chair"]}, "seed": 42, "started": 100.0 + number},
        **{"finished": 110.0 + number, "files": [], "answer": None, **values},
    }
    (folder / FOLDER).mkdir(exist_ok=True)
    path = folder / FOLDER / f"20260131-120000-{number:08x}.json"
    path.write_text(values.get("text") or json.dumps(record))
    return path


def file(folder, name, content="x"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    return {"name": name, "bytes": len(content)}


def names(record):
    return [each.name for each in record.files]


def test_a_record_becomes_a_result(commands, shapes):
    files = [file(shapes / "new", name) for name in ("a.glb", "sheet.png", "deep/x.csv")]
    write(shapes / "new", files=files, answer=[{"files": ["a.glb"]}])
    (record,) = commands.all()
    assert (record.origin, record.state, record.page) == ("shapes/new", "done", "shape")
    assert (record.title, record.seed, record.seconds) == ("a chair", 42, 10.0)
    assert record.settings == {"prompt": ["a chair"]} and record.is_repeatable
    assert [(each.name, each.kind) for each in record.files] == [
        ("a.glb", "mesh"),
        ("sheet.png", "image"),
        ("deep/x.csv", "table"),
    ]
    assert commands.get(record.id) == record
    assert commands.image(record) == "sheet.png"
    assert commands.file(record.id, "deep/x.csv") == shapes / "new" / "deep" / "x.csv"


def test_a_file_belongs_to_the_newest_command_that_wrote_it(commands, shapes):
    both, old = file(shapes, "model.obj"), file(shapes, "old.obj")
    write(shapes, 1, files=[both, old])
    write(shapes, 2, files=[both])
    assert [names(record) for record in commands.all()] == [["model.obj"], ["old.obj"]]


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.png", "/etc/a.png", "link.png", "way/secret.png", ".hidden.png", "a\\b.png"),
        *(".triform/x.png", "new/../a.png", "./a.png", "a//b.png", "secret.key", "shapes\0.png"),
        *("missing.png", "new", "changed.png", "fifo.png"),
    ],
)
def test_a_record_leads_to_no_other_file(commands, shapes, tmp_path, name):
    (tmp_path / "secret.png").write_text("x")
    (shapes / "secret.key").write_text("x")
    (shapes / "changed.png").write_text("longer than it was")
    (shapes / ".hidden.png").write_text("x")
    (shapes / "a.png").write_text("x")
    (shapes / "link.png").symlink_to(tmp_path / "secret.png")
    (shapes / "way").symlink_to(tmp_path)
    os.mkfifo(shapes / "fifo.png")
    write(shapes, files=[{"name": name, "bytes": 1}])
    (record,) = commands.all()
    assert names(commands.get(record.id)) == [] and commands.image(record) == ""
    with pytest.raises(NoSuchResult):
        commands.file(record.id, name)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "no JSON", '{"system": "a"}', "[" * 5000, "9" * 500),
        json.dumps({"system": "a" * 61, "verb": "b", "command": "c", "started": 1, "finished": 1}),
        '{"system": "a", "verb": "b", "command": "c", "started": 1e99, "finished": 1}',
    ],
)
def test_what_is_no_record_is_left_out(commands, shapes, text):
    path = write(shapes)
    path.write_text(text)
    assert commands.all() == []


def test_links_and_other_names_are_no_records(commands, shapes, tmp_path):
    path = write(shapes)
    path.rename(tmp_path / "record.json")
    (shapes / FOLDER / "20260131-120000-00000001.json").symlink_to(tmp_path / "record.json")
    (shapes / FOLDER / "notes.json").write_text((tmp_path / "record.json").read_text())
    (shapes / FOLDER / "20260131-120000-00000002.json").mkdir()
    (shapes / "new" / FOLDER).symlink_to(shapes / FOLDER)
    assert commands.all() == []


def test_texts_are_printable_and_unknown_systems_are_shown_without_settings(commands, shapes):
    write(shapes, system="gone", verb="\x1b[2J", command="triform\u202e x", settings={"a": 1})
    (record,) = commands.all()
    assert record.title == "gone \\x1b[2J" and record.command == "triform\\u202e x"
    assert record.settings == {} and not record.is_repeatable and record.page == ""


@pytest.mark.parametrize(
    ("system", "verb", "settings", "count", "is_whole"),
    [
        ("voxel_gan", "generate", {"prompt": ["a"], "output": "x.obj", "format": ["obj"]}, 1, True),
        ("voxel_gan", "generate", {"prompt": ["a"], "device": "cpu", "sheet": "x"}, 1, True),
        ("voxel_gan", "generate", {"prompt": ["a"], "checkpoint": "x.pth"}, 1, False),
        ("voxel_gan", "generate", {"prompt": ["a"], "prompt_file": "x.txt"}, 1, False),
        ("voxel_gan", "generate", {"prompt": [1]}, 0, False),
        ("voxel_gan", "generate", {"num_samples": 9999}, 0, False),
        ("captioner", "caption", {"images": ["/home/me/a.png"], "beam_size": 2}, 1, False),
        ("voxel_gan", "evaluate", {"dataset": ["testdataset"]}, 1, True),
        ("voxel_gan", "evaluate", {"dataset": ["/data"]}, 0, False),
        ("dcgan", "generate", {"num_samples": 4, "unknown": 1}, 1, False),
    ],
)
def test_only_settings_that_name_no_file_are_sent_again(
    commands, shapes, system, verb, settings, count, is_whole
):
    write(shapes, system=system, verb=verb, settings=settings)
    (record,) = commands.all()
    assert (len(record.settings), record.is_repeatable) == (count, is_whole)


def test_a_result_of_images_is_named_by_them(commands, shapes):
    write(shapes, system="captioner", verb="caption", settings={"images": ["/home/me/a.png", "b"]})
    assert [record.title for record in commands.all()] == ["a.png, b"]


def test_the_newest_records_of_a_folder_are_read(commands, shapes):
    for number in range(MAX_RECORDS + 2):
        write(shapes, number)
    found = commands.all()
    assert len(found) == MAX_RECORDS and found[-1].created == 102.0


def test_records_are_read_once_and_looked_for_again_later(tmp_path, shapes, monkeypatch):
    store = ResultStore(tmp_path / "results")
    access = Access([shapes, shapes / "new"], tmp_path, Uploads(tmp_path / "up", 1, 1), store)
    commands = CommandResults(access, verbs_by_page())
    write(shapes / "new")  # in a named folder in a named folder: listed once
    times = [1000.0]
    monkeypatch.setattr("triform.web.command_results.time.monotonic", lambda: times[0])
    assert len(commands.all()) == 1
    write(shapes / "new", 1)
    assert len(commands.all()) == 1
    times[0] += FRESH_SECONDS
    read = []
    monkeypatch.setattr(commands, "_read", lambda path, name: read.append(path.name))
    assert len(commands.all()) == 1 and read == ["20260131-120000-00000001.json"]
    store.close()

"""Furniture libraries (.sh3f) that somebody else made: zip archives with a Java catalogue."""

import logging
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bounded_memory import refused_cheaply, run_bounded
from hostile_place import BOX

from triform.base.errors import UserError
from triform.datasets import sweethome3d
from triform.datasets.listing import list_shapes
from triform.datasets.shape import read_marker
from triform.datasets.sweethome3d import CATALOGUE, parse_properties, read_library

Refused = Callable[..., str]
ONE = "id#1=one\nname#1=Box\nmodel#1=/box.obj\nwidth#1=1\ndepth#1=1\nheight#1=1\n"


def sh3f(
    path: Path, catalogue: str | bytes, members: dict[str, bytes] | None = None, packed: int = 8
) -> Path:
    """A furniture library."""
    text = catalogue.encode("latin-1") if isinstance(catalogue, str) else catalogue
    with zipfile.ZipFile(path, "w", packed) as archive:
        archive.writestr(f"{CATALOGUE}.properties", text)
        for name, data in (members if members is not None else {"box.obj": BOX.encode()}).items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("catalogue", "members"),
    [
        ("", {}),
        (ONE, {}),
        ("name=Nothing\n", {"box.obj": b"x"}),
        ("\0\xff" * 500, {}),
        ("id#1=one\nmodel#1=/box.obj\n", {"box.obj": b"x"}),
    ],
)
def test_a_library_without_models_is_one_line(
    refused: Refused, place: Path, catalogue: str, members: dict[str, bytes]
) -> None:
    sh3f(place / "empty.sh3f", catalogue, members)
    names = "empty.sh3f: there are no models in it"
    refused("shapes", "prepare", "empty.sh3f", "lib", status=1, names=names)


def test_an_empty_library_beside_others_is_left_out(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "folder").mkdir()
    sh3f(place / "folder" / "empty.sh3f", "")
    sh3f(place / "folder" / "one.sh3f", ONE)
    with caplog.at_level(logging.WARNING):
        assert [shape.object_id for shape in list_shapes([place / "folder"])] == ["sweethome3d/one"]


@pytest.mark.parametrize("kind", ["letters", "nothing", "comments", "escapes", "spaces", "keys"])
def test_properties_are_read_in_linear_time(kind: str) -> None:
    """A line that went on was copied for each of its pieces: twice the length, four times."""
    pieces = {
        "letters": "a\\\n",
        "nothing": "\\\n",
        "comments": "\\\n#\n",
        "escapes": "\\\\\\\n",
        "spaces": "a \\\n ",
        "keys": "a:\n",
    }

    def seconds(count: int) -> float:
        data = (pieces[kind] * count).encode()
        started = time.process_time()
        for _ in parse_properties(data):
            pass
        return time.process_time() - started

    assert seconds(200_000) < 5


def test_lines_that_go_on_mean_what_they_did() -> None:
    text = "a\\\n  b=1\\\n#2\n\\\n#c\nd=\\\\\\\n x\n\\\n\\\n\ne\\\\\nf=3\\"
    assert list(parse_properties(text.encode())) == [("ab", "1#2"), ("d", "\\x")]


@pytest.mark.parametrize("packed", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_catalogue_that_unpacks_to_much(place: Path, packed: int) -> None:
    path = sh3f(place / "a.sh3f", bytes(2**28), packed=packed)
    assert CATALOGUE in refused_cheaply(lambda: read_library(path))


def test_a_catalogue_of_many_models(place: Path) -> None:
    path = sh3f(place / "a.sh3f", "".join(f"name#{n}=a\n" for n in range(300_000)))
    assert "more than 20,000 models" in refused_cheaply(lambda: read_library(path))


def test_a_catalogue_of_many_texts(place: Path) -> None:
    """Keys that nothing reads are not kept."""
    lines = "".join(f"{n:x}#1=\nx{n:x}=\n" for n in range(200_000))
    path = sh3f(place / "a.sh3f", ONE + lines)
    assert run_bounded(lambda: read_library(path))["kind"] == "done"


def test_numbers_of_thousands_of_digits(place: Path) -> None:
    path = sh3f(place / "a.sh3f", f"{ONE}name#{'9' * 5000}=a\nwidth#1={'9' * 5000}\n")
    assert [model.object_id for model in read_library(path)] == ["one"]


def test_catalogues_of_many_languages(place: Path) -> None:
    many = {f"{CATALOGUE}_l{n}.properties": b"name#1=x" for n in range(100)}
    path = sh3f(place / "a.sh3f", ONE, {"box.obj": BOX.encode(), **many})
    assert "more than 64 languages" in refused_cheaply(lambda: read_library(path))


def test_many_models_in_one_folder(place: Path) -> None:
    """Each model's fingerprint listed all files beside it."""
    count = 6000
    text = "".join(f"name#{n}=a\nmodel#{n}=/{n}.obj\nid#{n}={n}\n" for n in range(count))
    path = sh3f(place / "a.sh3f", text, {f"{n}.obj": b"" for n in range(count)}, packed=0)
    assert run_bounded(lambda: read_library(path))["kind"] == "done"
    models = read_library(path)
    assert len({model.fingerprint for model in models}) == count


def test_many_members_are_refused_before_they_are_listed(place: Path) -> None:
    path = sh3f(place / "a.sh3f", ONE, {f"{n}": b"" for n in range(30_000)}, packed=0)
    assert "more than 20,000" in refused_cheaply(lambda: read_library(path))


def test_textures_that_are_missing_are_looked_for_once(place: Path) -> None:
    """For every name that was missing all material libraries were read again."""
    names = [f"newmtl m{n}\nmap_Kd missing{n}.png\n" for n in range(1500)]
    materials = "".join(names).encode()
    used = "".join(f"usemtl m{n}\nf 1 2 4 3\n" for n in range(1500)).encode()
    obj = b"mtllib box.mtl\n" + BOX.encode() + used
    more = {name: b"#" * 2**20 for name in ("x.mtl", "y.mtl")}
    path = sh3f(place / "a.sh3f", ONE, {"box.obj": obj, "box.mtl": materials, **more})
    (model,) = read_library(path)
    assert run_bounded(lambda: model.load(appearance=True))["kind"] == "done"


@pytest.mark.parametrize("member", ["box.obj", "box.png"])
def test_members_that_unpack_to_much(place: Path, member: str) -> None:
    members = {"box.obj": BOX.encode(), "box.png": b"", member: bytes(2**28)}
    path = sh3f(place / "a.sh3f", f"{ONE}icon#1=/box.png\n", members)
    (model,) = read_library(path)
    call = model.preview if member == "box.png" else model.load
    assert member in refused_cheaply(call)


def test_pipes_and_devices_are_refused(place: Path) -> None:
    os.mkfifo(place / "a.sh3f")
    (place / "b.sh3f").symlink_to("/dev/zero")
    for name in ("a.sh3f", "b.sh3f"):
        assert "no regular file" in refused_cheaply(lambda: read_library(place / name))  # noqa: B023


@pytest.mark.parametrize("content", [None, "[" * 100_000, "[1]", '"a"'])
def test_a_marker_that_is_none_says_nothing(place: Path, content: str | None) -> None:
    """`dataset.json` of a stranger's folder: a pipe waited for ever, depth was a crash."""
    os.mkfifo(place / "dataset.json") if content is None else (place / "dataset.json").write_text(
        content
    )
    assert run_bounded(lambda: read_marker(place))["kind"] == "done"
    assert read_marker(place) == {}


def test_the_archive_is_read_anew_when_it_changes(place: Path) -> None:
    """Its table of contents is kept for the next model, not for another file."""
    path = sh3f(place / "a.sh3f", ONE)
    assert [model.names[0][1] for model in read_library(path)] == ["Box"]
    other = sh3f(place / "b.sh3f", ONE.replace("Box", "Chest"))
    os.replace(other, path)
    assert [model.names[0][1] for model in read_library(path)] == ["Chest"]
    path.unlink()
    with pytest.raises(UserError, match=r"a\.sh3f"):
        read_library(path)
    assert sweethome3d._cached_archive.cache_info().maxsize == 2

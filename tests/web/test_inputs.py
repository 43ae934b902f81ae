"""Files that are sent for a job, several of one name, and as examples of classes."""

from types import SimpleNamespace

import pytest

from triform.base.errors import UsageError
from triform.web.access import Access, NotAllowed
from triform.web.inputs import Inputs, input_names, lasting
from triform.web.requests import build_settings, read_request
from triform.web.results import ResultStore
from triform.web.uploads import Uploads


@pytest.fixture
def place(tmp_path, png):
    """Access with three uploads, two of one name; and the folder of a job."""
    store = ResultStore(tmp_path / "results")
    uploads = Uploads(tmp_path / "uploads", 1e6, 1e7)
    access = Access([], tmp_path / "runs", uploads, store)
    names = [("cat.png", png), ("cat.png", png + b"2"), ("dog.png", png + b"3")]
    access.uploads_of_test = [f"upload:{uploads.add(name, [data])['id']}" for name, data in names]
    (tmp_path / "job" / "inputs").mkdir(parents=True)
    yield access
    store.close()


def test_files_of_one_name_are_kept_apart(place, tmp_path, png):
    first, second, third = place.uploads_of_test
    values = {"images": [first, second, first], "mesh": third, "seed": 1}
    names = input_names(values, place)
    assert names == {first: "cat.png", second: "cat 2.png", third: "dog.png"}
    files = Inputs(place, tmp_path / "job", names)
    assert files.path(second) == tmp_path / "job" / "inputs" / "cat 2.png"
    assert files.path(second).read_bytes() == png + b"2"
    assert files.path(first).read_bytes() == png
    kept = lasting(values, place, "R")
    assert kept["images"] == ["input:R/cat.png", "input:R/cat 2.png", "input:R/cat.png"]
    assert kept["mesh"] == "input:R/dog.png" and kept["seed"] == 1


def test_a_classifier_from_pictures_that_are_sent(place, tmp_path):
    first, second, third = place.uploads_of_test
    classes = {"a cat": [first, second], "b": [third]}
    request = read_request("protonet", "classify", {"examples": classes, "images": [first]})
    folder = tmp_path / "job"
    settings = build_settings(request, place, folder, SimpleNamespace(galleries=folder))
    assert settings.examples == folder / "examples"
    found = sorted(
        path.relative_to(settings.examples).as_posix()
        for path in settings.examples.rglob("*")
        if path.is_file()
    )
    assert found == ["a cat/cat 2.png", "a cat/cat.png", "b/dog.png"]
    kept = lasting(request.references, place, "R")
    assert kept["examples"]["a cat"] == ["input:R/cat.png", "input:R/cat 2.png"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "0 classes; from 2 to 20 are taken"),
        ({"a": ["upload:x"]}, "1 classes"),
        ({"a": ["upload:x"], "../b": ["upload:x"]}, "cannot be the name of a class"),
        ({"a": ["upload:x"], ".b": ["upload:x"]}, "cannot be the name of a class"),
        ({"a": ["upload:x"], "b" * 61: ["upload:x"]}, "cannot be the name of a class"),
        ({"a": ["upload:x"], "b": []}, "class 'b' has no images"),
        ({"a": ["upload:x"], "b": "upload:x"}, "class 'b' has no images"),
        ({"a": ["upload:x"], "b": [1]}, "1 is not a text"),
        ({"a": ["upload:x"], "b": ["upload:x"] * 33}, "33 values; at most 32"),
        ({"a": ["/etc/passwd"], "b": ["x"]}, "'/etc/passwd' is not taken"),
        ({"a": ["upload:x"], "b": ["upload:y"]}, "no such upload"),
        ({str(number): ["upload:x"] for number in range(21)}, "21 classes"),
    ],
)
def test_wrong_classes_are_refused_in_words(place, tmp_path, classes, message):
    with pytest.raises(UsageError) as error:
        values = {"examples": classes, "images": [place.uploads_of_test[0]]}
        request = read_request("protonet", "classify", values)
        build_settings(request, place, tmp_path / "job", SimpleNamespace(galleries=tmp_path))
    assert message in str(error.value)


def test_a_folder_of_the_server_is_no_image(place, tmp_path):
    (tmp_path / "shapes").mkdir()
    place.folders["shapes"] = tmp_path / "shapes"
    files = Inputs(place, tmp_path / "job", {})
    with pytest.raises(UsageError, match="'folder:shapes' is no image"):
        files.folder_of_classes("examples", {"a": ["folder:shapes"]})
    with pytest.raises(NotAllowed):
        files.folder_of_classes("examples", {"a": ["folder:shapes/../.."]})


def test_words_that_look_like_a_reference_are_words(place, tmp_path):
    request = read_request("voxel_gan", "generate", {"prompt": ["upload: a chair"], "seed": 1})
    assert request.references == {"seed": 1}

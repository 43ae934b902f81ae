import json
import shlex

import pytest

from triform.base.errors import UsageError
from triform.base.settings.config import parse
from triform.systems.captioner.config import CaptionConfig
from triform.systems.voxel_gan.config import GenerateConfig
from triform.web.access import Access, NotAllowed
from triform.web.requests import build_settings, command_line, read_request
from triform.web.results import ResultStore
from triform.web.server_values import ServerFolders
from triform.web.uploads import Uploads


@pytest.fixture
def place(tmp_path, png):
    """Access with one folder `shapes`, an upload, a run; a file outside that nobody may read."""
    (tmp_path / "shapes" / "chairs").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "shapes" / "link").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "shapes" / "way").symlink_to(tmp_path)
    run = tmp_path / "runs" / "voxel_gan" / "run_1"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 5\ntraining:\n  epochs: 3\n")
    store = ResultStore(tmp_path / "results")
    uploads = Uploads(tmp_path / "uploads", 1e6, 1e7)
    access = Access([tmp_path / "shapes"], tmp_path / "runs", uploads, store)
    access.upload = uploads.add("../../Фото.PNG", [png])["id"]
    access.server_folders = ServerFolders(
        tmp_path / "runs", tmp_path / "data", tmp_path / "galleries"
    )
    folder = tmp_path / "job"
    for name in ("inputs", "files"):
        (folder / name).mkdir(parents=True)
    access.folder = folder
    yield access
    store.close()


def build(place, system, verb, values, preset=""):
    request = read_request(system, verb, values, preset)
    return request, build_settings(request, place, place.folder, place.server_folders)


def test_shapes_are_written_into_the_result_in_all_formats(place):
    values = {"prompt": ["a chair", " "], "num_samples": 3, "size_mm": 80}
    request, settings = build(place, "voxel_gan", "generate", values)
    assert settings.prompt == ("a chair",) and settings.num_samples == 3
    assert settings.output == str(place.folder / "files")
    assert settings.format == ("glb", "obj", "stl", "ply", "3mf")
    assert request.title.startswith("a chair")
    assert request.units == 6


def test_the_command_line_gives_the_same_settings(place):
    values = {"prompt": ["--a 'chair'", "b"], "seed": 9, "on_floor": True, "num_samples": 2}
    request, settings = build(place, "voxel_gan", "generate", {**values, "prompt": ["a 'b'", "c"]})
    words = shlex.split(command_line(request, settings))
    assert words[:3] == ["triform", "voxel_gan", "generate"]
    assert parse(GenerateConfig, words[3:]) == settings


def test_images_are_single_files_with_their_stages(place):
    values = {"prompt": ["a", "b"], "num_images": 3, "show_stages": True, "like": "0/2"}
    request, settings = build(place, "text_to_image", "generate", values)
    assert settings.output == place.folder / "files" and settings.like == "0/2"
    assert request.units == 6 and request.title == "a, b"
    with pytest.raises(UsageError, match="like"):
        build(place, "text_to_image", "generate", {"like": "../x"})


def test_an_index_is_named_by_its_folder(place, tmp_path):
    folder = tmp_path / "shapes" / "chairs"
    _, settings = build(place, "clip", "index", {"folders": ["folder:shapes/chairs"]})
    assert settings.folders == (str(folder),) and not settings.follow_links
    query = ["a dog +2:snow -a cat", f"upload:{place.upload}", "black and/or white"]
    values = {"query": query, "index_file": "folder:shapes/chairs", "format": ["jpeg"]}
    request, found = build(place, "clip", "search", values)
    assert found.index_file == settings.index_file
    assert found.index_file == str(tmp_path / "galleries" / "photos_folder_shapes_chairs.gallery")
    assert found.query == (query[0], str(place.folder / "inputs" / "Фото.png"), query[2])
    assert found.format == ("jpeg",) and request.title == f"{query[0]}, {query[2]}"
    assert "--index_file" in command_line(request, found)


def test_each_model_has_its_own_index(place, tmp_path):
    values = {"index_file": "folder:shapes", "query": ["a"], "model": "triform-clip"}
    _, found = build(place, "clip", "search", values)
    assert found.model == "triform-clip"
    assert found.index_file.endswith("photos_folder_shapes@triform-clip.gallery")
    place.models = ("ours/model",)
    index = {"folders": ["folder:shapes"], "model": "ours/model"}
    _, found = build(place, "clip", "index", index)
    assert found.model == "ours/model"
    assert found.index_file.endswith("photos_folder_shapes@ours_model.gallery")


def test_hits_of_a_subfolder(place, tmp_path):
    values = {"index_file": "folder:shapes", "query": ["a"], "folder": "folder:shapes/chairs"}
    _, found = build(place, "clip", "search", values)
    assert found.folder == str(tmp_path / "shapes" / "chairs")
    (tmp_path / "shapes" / "chairs" / "old" / "red" / "x").mkdir(parents=True)
    (tmp_path / "shapes" / ".hidden").mkdir()
    names = ["shapes", "shapes/chairs", "shapes/chairs/old", "shapes/chairs/old/red"]
    assert place.subfolders() == names  # three levels; no links, nothing hidden


def test_examples_are_files_of_the_application(place):
    _, settings = build(place, "captioner", "caption", {"images": ["example:bicycle"]})
    assert settings.images[0].endswith("web/static/example_bicycle.webp")


@pytest.mark.parametrize(
    "query",
    [
        *("/etc/passwd", "/etc/a.png", "./a.png", "../a.png", "~/a.png", "a ~/a.png", "+/a.png"),
        *("2:/a.png", "a -2:/a.png", "runs/vae/a.png", "a b/c.jpg d", "C:\\a.png", "..\\a", "~x/y"),
    ],
)
def test_a_query_names_no_file(place, query):
    with pytest.raises(UsageError, match="names a file"):
        build(place, "clip", "search", {"query": [query], "index_file": "folder:shapes"})


def test_an_upload_is_copied_into_the_result(place):
    values = {"images": [f"upload:{place.upload}"]}
    request, settings = build(place, "captioner", "caption", values)
    copy = place.folder / "inputs" / "Фото.png"
    assert settings.images == (str(copy),) and copy.read_bytes().startswith(b"\x89PNG")
    assert settings.attention_maps == place.folder / "files" / "attention_maps"
    words = shlex.split(command_line(request, settings))
    assert parse(CaptionConfig, words[3:]) == settings


def test_a_named_folder_and_a_data_set(place, tmp_path):
    values = {"gallery": ["folder:shapes/chairs", "testdataset:40"], "text": ["a"]}
    _, settings = build(place, "retrieval", "search", values)
    assert settings.gallery == (str(tmp_path / "shapes" / "chairs"), "testdataset:40")
    assert settings.index.startswith(str(tmp_path / "galleries"))
    assert settings.download_path == str(tmp_path / "data")


def test_a_training_writes_only_runs(place, tmp_path):
    _, settings = build(place, "voxel_gan", "train", {"training.lr": 0.1}, "tiny")
    assert settings.logging.runs_dir == str(tmp_path / "runs")
    assert settings.training.checkpoint == settings.training.checkpoint_dir == ""
    assert settings.training.lr == 0.1 and settings.data.voxel_size < 64  # of the preset


def test_a_resumed_run_keeps_its_settings(place, tmp_path):
    values = {"training.resume_from": "run:voxel_gan/run_1"}
    _, settings = build(place, "voxel_gan", "train", values)
    assert settings.seed == 5 and settings.training.epochs == 3
    assert settings.training.resume_from == str(tmp_path / "runs" / "voxel_gan" / "run_1")


def test_a_training_begins_with_weights_that_ship_or_of_a_run(place, tmp_path):
    run = str(tmp_path / "runs" / "voxel_gan" / "run_1")
    for text, value in (("shipped", "shipped"), ("run:voxel_gan/run_1", run), ("", "")):
        request, settings = build(place, "voxel_gan", "train", {"training.initial_weights": text})
        assert settings.training.initial_weights == value
        assert settings.seed == 42  # weights alone, no settings of that run
        words = shlex.split(command_line(request, settings))
        assert words[3:] == ["--initial_weights", value]


@pytest.mark.parametrize(
    "reference",
    [
        "folder:shapes/../secret.txt",
        "folder:shapes/link",
        "folder:shapes/way/secret.txt",
        "folder:shapes//etc/passwd",
        "folder:/etc",
        "folder:shapes/a\\..\\b",
        "folder:shapes/missing",
        "folder:other",
        "folder:",
        "folder:shapes/\0",
        "upload:../../secret.txt",
        "upload:" + "0" * 32,
        "upload:",
        "run:../secret",
        "run:voxel_gan/..",
        "run:voxel_gan/run_2",
        "run:a/b/c",
        "result:20260101-000000-00000000/x.png",
        "result:../x/y",
        "example:../icon",
        "example:nothing",
        "input:../secret.txt",
        "input:20260101-000000-00000000/../../secret.txt",
    ],
)
def test_references_lead_nowhere_else(place, reference, tmp_path):
    with pytest.raises(NotAllowed) as error:
        place.resolve(reference)
    assert str(tmp_path) not in str(error.value)  # where the folder lies is nobody's business


@pytest.mark.parametrize(
    ("system", "verb", "values", "message"),
    [
        ("voxel_gan", "generate", {"output": "/tmp/x"}, "'output': no setting of this form"),
        ("voxel_gan", "generate", {"prompt_file": "/etc/passwd"}, "no setting of this form"),
        ("voxel_gan", "generate", {"text_encoder": "evil/model"}, "no setting of this form"),
        ("voxel_gan", "generate", {"checkpoint": "/etc/passwd"}, "is not taken: send a file"),
        ("voxel_gan", "generate", {"checkpoint": "weights.pth"}, "is not taken: send a file"),
        ("voxel_gan", "generate", {"num_samples": 257}, "more than 256"),
        ("voxel_gan", "generate", {"num_samples": "4"}, "is not a slider"),
        ("voxel_gan", "generate", {"num_samples": True}, "is not a slider"),
        ("voxel_gan", "generate", {"num_samples": 0}, "must be at least 1"),
        ("voxel_gan", "generate", {"sigma": [1]}, "is not a slider"),
        ("voxel_gan", "generate", {"on_floor": "yes"}, "is not a switch"),
        ("voxel_gan", "generate", {"up": "x"}, "must be"),
        ("voxel_gan", "generate", {"up": {"a": 1}}, "is not a text"),
        ("voxel_gan", "generate", {"prompt": ["a"] * 33}, "at most 32"),
        ("voxel_gan", "generate", {"prompt": ["a" * 1001]}, "at most 1000"),
        ("voxel_gan", "generate", {"prompt": ["a\x1b[2J"]}, "invisible characters"),
        ("voxel_gan", "generate", {"prompt": [["a"]]}, "is not a text"),
        ("voxel_gan", "train", {"logging.use_wandb": True}, "no setting of this form"),
        ("voxel_gan", "train", {"data.dataset": ["../x"]}, "is not taken"),
        ("voxel_gan", "train", {"training.initial_weights": "/etc/passwd"}, "is not taken"),
        ("voxel_gan", "train", {"training.initial_weights": "best.pth"}, "is not taken"),
        ("voxel_gan", "train", {"training.initial_weights": "../shipped"}, "is not taken"),
        ("voxel_gan", "train", {"training.initial_weights": "run:voxel_gan/.."}, "no run"),
        ("voxel_gan", "train", {"training.initial_weights": "run:voxel_gan/run_2"}, "no such run"),
        (
            "voxel_gan",
            "train",
            {"training.initial_weights": "folder:shapes/link"},
            "out of the folder",
        ),
        ("voxel_gan", "train", {"data.dataset": ["http://a/b"]}, "is not taken"),
        ("retrieval", "search", {"gallery": ["/etc"]}, "is not taken"),
        ("retrieval", "search", {"gallery": ["chroma://a/b"]}, "is not taken"),
        ("retrieval", "search", {"image": ["/etc/passwd"]}, "is not taken"),
        ("retrieval", "search", {"text": ["a"]}, "--gallery is needed"),
        ("clip", "search", {"query": ["a"]}, "no folder of photos is named"),
        ("clip", "index", {"folders": ["/etc"]}, "is not taken"),
        ("clip", "index", {"folders": ["folder:shapes"], "follow_links": True}, "no setting"),
        ("clip", "search", {"query": ["a"], "index_file": "/etc"}, "is not taken"),
        ("clip", "search", {"query": ["a"], "index_file": "chroma://a:1/b"}, "is not taken"),
        ("clip", "search", {"query": ["a"], "index_file": "folder:other"}, "not one of the named"),
        ("clip", "search", {"query": ["a"], "model": "evil/model"}, "is not taken; known: ViT"),
        ("clip", "search", {"query": ["a"], "model": "../x"}, "is not taken; known: ViT"),
        ("clip", "search", {"query": ["a"], "folder": "/etc"}, "write folder:NAME/PART"),
        ("clip", "search", {"query": ["a"], "folder": "folder:shapes/../x"}, "out of the folder"),
        ("dqn", "play", {"environment": "os:system"}, "is not taken"),
        ("captioner", "caption", {}, "needed"),
        ("captioner", "config", {"preset": "x"}, "no setting of this form"),
        ("voxel_gan", "destroy", {}, "no verb"),
        ("../etc", "generate", {}, "unknown system"),
    ],
)
def test_wrong_values_are_refused_in_words(place, system, verb, values, message):
    with pytest.raises(UsageError) as error:
        build(place, system, verb, values)
    assert message in str(error.value) and "\n" not in str(error.value)
    json.dumps(str(error.value))
    assert list((place.folder / "inputs").iterdir()) == []


def test_unknown_presets_are_refused():
    with pytest.raises(UsageError, match="no preset"):
        read_request("voxel_gan", "train", {}, "../../secret")

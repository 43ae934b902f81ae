import os
import typing
from pathlib import Path

import pytest

from triform import systems
from triform.base.errors import UsageError
from triform.base.settings.flags import FlagTable
from triform.base.settings.path_role import Input, Output, path_role
from triform.web.forms import form
from triform.web.pages import verbs_by_page
from triform.web.server_values import NOT_WRITTEN, ServerFolders, server_values

FOLDERS = ServerFolders(Path("/s/runs"), Path("/s/data"), Path("/s/galleries"))
FILES = Path("/s/job/files")
ROWS = sorted({(row["system"], row["verb"]) for rows in verbs_by_page().values() for row in rows})
TEXTS = {
    *("class", "classes", "cluster", "device", "encoder", "entity", "environment", "exclude"),
    *("environment_arguments", "features", "format", "labels", "like", "monitor", "project"),
    *("prompt", "query_maker", "split", "taken_from", "taken_to", "templates", "text", "where"),
    *("unseen_maker", "without"),
}
"""Settings of texts that never name a file or a folder."""


def table(system, verb):
    return FlagTable(systems.load(system).config.VERBS[verb])


def decided(system, verb, **values):
    folder = FILES.parent
    return server_values(system, table(system, verb), folder, FOLDERS, values)


def holds(kind, searched):
    return kind is searched or any(holds(each, searched) for each in typing.get_args(kind))


@pytest.mark.parametrize(("system", "verb"), ROWS)
def test_every_setting_of_a_path_declares_what_it_is_for(system, verb):
    for flag in table(system, verb).flags:
        kind, role = flag.field.annotation, path_role(flag.field)
        if holds(kind, Path) or (holds(kind, str) and flag.path[-1] not in TEXTS):
            assert role is not None, flag.name
        elif role is not None:
            assert isinstance(role, Input) and flag.path[-1] == "split", flag.name  # CSV or a name
        if isinstance(role, Output):
            default = flag.field.get_default()
            suffix = Path(str(default)).suffix if default else role.suffix
            # Of a file that may have several suffixes a subclass changes only the default.
            assert suffix == role.suffix or (role.or_folder and suffix in (".glb", ".obj"))


@pytest.mark.parametrize(("system", "verb"), ROWS)
def test_every_output_is_written_into_the_result(system, verb):
    values = decided(system, verb, index_file="folder:a", folders=["folder:a"])
    offered = {each["name"] for each in form(systems.load(system).config.VERBS[verb])}
    for flag in table(system, verb).flags:
        role, name = path_role(flag.field), ".".join(flag.path)
        if not isinstance(role, Output):
            continue
        assert name not in offered
        if flag.path[-1] in NOT_WRITTEN:
            assert name not in values and flag.field.get_default() is None
            continue
        path = Path(values[name])
        assert path == FILES or FILES in path.parents
        assert path.suffix in (("", role.suffix) if role.or_folder else (role.suffix,))


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("dcgan evaluate", "output.png"),
        ("captioner evaluate", "output.jsonl"),
        ("retrieval evaluate", "output.json"),
        ("clip duplicates", "output.csv"),
        ("shape_flow evaluate", ""),
        ("shape_flow generate", ""),
        ("text_to_image generate", ""),
        ("dcgan generate", "generated.png"),
        ("dqn play", "play.gif"),
    ],
)
def test_an_output_is_the_kind_of_file_that_the_verb_writes(verb, name):
    values = decided(*verb.split(), index_file="folder:shapes")
    assert Path(values["output"]) == FILES / name


def test_other_outputs_have_names_of_their_own():
    latent_map = decided("autoencoder", "reconstruct")["latent_map"]
    assert latent_map == str(FILES / "latent_map.png")
    assert decided("captioner", "caption")["attention_maps"] == str(FILES / "attention_maps")


def test_stores_lie_in_the_folders_of_the_server():
    values = decided("retrieval", "search", gallery=["folder:b", "testdataset:40"])
    assert values["index"] == "/s/galleries/retrieval_folder_b_testdataset_40.gallery"
    assert values["download_path"] == "/s/data"
    training = decided("captioner", "train")
    assert training["logging.runs_dir"] == "/s/runs" and training["data.vocab_path"] == ""
    assert training["training.checkpoint_dir"] == training["training.checkpoint"] == ""
    with pytest.raises(UsageError, match="no folder of photos is named"):
        decided("clip", "search")


@pytest.mark.parametrize(
    ("system", "formats"),
    [
        ("voxel_gan", ["glb", "obj", "stl", "ply", "3mf"]),
        ("shap_e", ["glb", "obj", "ply"]),
    ],
)
def test_meshes_are_saved_in_every_format_that_the_verb_writes(system, formats):
    assert decided(system, "generate")["format"] == formats


def test_duplicates_are_sought_in_the_newest_index_of_a_folder(tmp_path):
    """They need vectors, no matter of which model; another folder's are of other photos."""
    folders = ServerFolders(tmp_path, tmp_path, tmp_path)
    values = {"index_file": "folder:photos"}

    def index(verb, **more):
        found = server_values("clip", table("clip", verb), FILES, folders, values | more)
        return Path(found["index_file"]).name

    assert index("duplicates") == "photos_folder_photos.gallery"  # not there, as is said later
    older, newest = (tmp_path / index("search", model=name) for name in ("", "a/b"))
    assert (older.name, newest.name) == (
        "photos_folder_photos.gallery",
        "photos_folder_photos@a_b.gallery",
    )
    for number, path in enumerate((older, newest, tmp_path / "photos_folder_photos_old.gallery")):
        path.touch()
        os.utime(path, (number, number))
    assert index("duplicates") == newest.name
    newest.unlink()
    assert index("duplicates") == older.name

"""The verb `submit`: documented folders in, the documented table out."""

import csv
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.geometry.io.export import save_mesh
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh
from triform.images.read import read_image
from triform.systems.retrieval.checkpoint_pair import save_pair
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.documented import submission
from triform.systems.retrieval.documented.submission import split_model, submit, write_submission
from triform.systems.retrieval.model import build_image_tower, build_point_encoder
from triform.systems.retrieval.trained import Retriever
from triform.systems.retrieval.verb_config import SubmitConfig

MODEL = {
    "point_width": 24,
    "point_depth": 1,
    "point_heads": 2,
    "patch_widths": (8, 16, 16),
    "num_group": 8,
    "group_size": 8,
    "emb_dim": 16,
    "image_width": 8,
}
SMALL_DATA = {"image_size": 16, "points": 64, "image_embeddings": "images.npz"}


def towers(folder, seed, features=0, feature_source=None, **model):
    """A pair of files with random networks."""
    torch.manual_seed(seed)
    config = Config.model_validate({"model": {**MODEL, **model}, "data": SMALL_DATA})
    system = types.SimpleNamespace(
        config=config,
        image_tower=build_image_tower(config.model, features),
        point_encoder=build_point_encoder(config.model),
        feature_source=feature_source or {},
    )
    paths = folder / f"moe_{seed}.pth", folder / f"pc_encoder_{seed}.pth"
    save_pair(*paths, system, {"recall": 0.5})
    return f"{paths[0]}:{paths[1]}"


@pytest.fixture
def data(tmp_path):
    """The four folders: 5 image queries, 4 meshes, 3 mesh queries, 6 objects of 2 or 3 views."""
    random = np.random.default_rng(0)
    root = tmp_path / "test"

    def image(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(path)

    def mesh(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_mesh(Mesh(random.random((9, 3)), random.permutation(9).reshape(3, 3)), path)

    for number in (7, 3, 525, 12, 1000):
        image(root / "queries_image_to_mesh" / f"{number:04d}.png")
    for number in range(4):
        mesh(root / "gallery_mesh_for_image" / f"{number + 40:04d}.stl")
    for number in range(3):
        mesh(root / "queries_mesh_to_image" / f"{number + 80:04d}.stl")
    for number in range(6):
        for view in range(2 + (number == 2)):
            image(root / "gallery_image_for_mesh" / f"{number + 600:04d}_{view + 9}.png")
    return root


@pytest.fixture
def settings(data, tmp_path):
    def make(*models, **changes):
        words = {
            "model": models,
            "data": data,
            "output": tmp_path / "submission.csv",
            "device": "cpu",
            "image_batch_size": 4,
        }
        return SubmitConfig(**{**words, **changes})

    return make


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def embedded(model, data):
    """One member's vectors of queries and galleries, straight from its retriever."""
    member = split_model(model)
    retriever = Retriever.from_checkpoint_pair(member.images, member.points, "cpu")

    def look(folder, start=""):
        files = sorted((data / folder).glob(f"{start}*"))
        return retriever.encode_images([read_image(path) for path in files])

    def feel(folder):
        files = sorted((data / folder).iterdir())
        return retriever.encode_meshes([load_mesh(path) for path in files])

    means = [look("gallery_image_for_mesh", f"{n:04d}_").mean(0) for n in range(600, 606)]
    return (
        look("queries_image_to_mesh"),
        feel("gallery_mesh_for_image"),
        feel("queries_mesh_to_image"),
        unit(np.stack(means)),
    )


def expected(models, data, way):
    """Ranked ids of both tasks."""
    tables = [embedded(model, data) for model in models]
    result = []
    for (q, g), first in (((0, 1), 40), ((2, 3), 600)):
        if way == "similarities":
            similarities = np.mean([table[q] @ table[g].T for table in tables], axis=0)
        else:
            queries, gallery = (unit(np.mean([table[n] for table in tables], 0)) for n in (q, g))
            similarities = queries @ gallery.T
        order = np.argsort(-similarities, axis=1)[:, :3]
        result.append([[f"{n + first:04d}" for n in row] for row in order])
    return result


@pytest.mark.parametrize("way", ["embeddings", "similarities"])
@pytest.mark.parametrize("count", [1, 2])
def test_both_tasks(settings, data, tmp_path, way, count):
    models = [towers(tmp_path, seed) for seed in range(count)]
    answer = submit(settings(*models, ensemble=way))
    assert (answer["image_to_mesh"], answer["mesh_to_image"], answer["models"]) == (5, 3, count)
    header, *table = rows(answer["file"])
    assert header == [
        "id",
        "image_to_mesh_image",
        "image_to_mesh_mesh",
        "mesh_to_image_mesh",
        "mesh_to_image_image",
    ]
    images, meshes = expected(models, data, way)
    assert [row[0] for row in table] == ["0", "1", "2", "3", "4"]
    assert [row[1] for row in table] == ["0003", "0007", "0012", "0525", "1000"]
    assert [row[2] for row in table] == [repr(ids) for ids in images]
    assert [row[3] for row in table] == ["0080", "0081", "0082", "", ""]
    assert [row[4] for row in table] == [*(repr(ids) for ids in meshes), "", ""]


def test_bytes_are_those_of_pandas(tmp_path):
    """Two tables side by side with `concat`, an id in front, `to_csv`: NaN is an empty cell."""
    images = [(f"{n:04d}", ["0001", "it's", 'a "b", c']) for n in range(3)]
    meshes = [("0009", ["0002"])]
    write_submission(tmp_path / "ours.csv", images, meshes)
    text = (tmp_path / "ours.csv").read_bytes()
    assert text.splitlines()[2].startswith(b"1,0001,") and text.endswith(b",,\n")
    pandas = pytest.importorskip("pandas")
    one = pandas.DataFrame(images, columns=["image_to_mesh_image", "image_to_mesh_mesh"])
    two = pandas.DataFrame(meshes, columns=["mesh_to_image_mesh", "mesh_to_image_image"])
    table = pandas.concat([one, two], axis=1)
    table.insert(0, "id", table.index)
    table.to_csv(tmp_path / "theirs.csv", index=False, lineterminator="\n")
    assert text == (tmp_path / "theirs.csv").read_bytes()


def test_the_same_twice(settings, tmp_path):
    model = towers(tmp_path, 0)
    submit(settings(model))
    first = (tmp_path / "submission.csv").read_bytes()
    submit(settings(model, image_batch_size=1))
    assert (tmp_path / "submission.csv").read_bytes() == first


def test_frozen_encoder_is_asked_once_for_the_whole_ensemble(settings, tmp_path, monkeypatch):
    pytest.importorskip("timm")
    name = "random:test_vit"
    models = [
        towers(tmp_path, n, 64, image_encoder=name, image_head="moe", n_experts=2) for n in (0, 1)
    ]
    actual = []
    encode = submission.ImageEncoder.encode
    monkeypatch.setattr(
        submission.ImageEncoder, "encode", lambda self, p: actual.extend(p) or encode(self, p)
    )
    submit(settings(*models))
    assert len(actual) == 5 + 13
    other = towers(tmp_path, 2, 64, {"weights": "f" * 32}, image_encoder=name, image_head="moe")
    refused(lambda: submit(settings(other)), "trained on images embedded with the weights fff")


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_widths_that_differ_need_similarities(settings, tmp_path):
    models = [towers(tmp_path, 0), towers(tmp_path, 1, emb_dim=12)]
    refused(lambda: submit(settings(*models)), "12 and 16 numbers", "--ensemble similarities")
    submit(settings(*models, ensemble="similarities"))


# The pair of files


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("moe.pth:pc.pth", ("moe.pth", "pc.pth")),
        ("a/b/moe.pth:/c/pc.pth", ("a/b/moe.pth", "/c/pc.pth")),
        (r"C:\runs\moe.pth:D:\runs\pc.pth", (r"C:\runs\moe.pth", r"D:\runs\pc.pth")),
        (r"C:/runs/moe.pth:pc.pth", ("C:/runs/moe.pth", "pc.pth")),
        (r"moe.pth:d:\pc.pth", ("moe.pth", r"d:\pc.pth")),
        ("run_04:49/moe.pth:run_05:10/pc.pth", ("run_04:49/moe.pth", "run_05:10/pc.pth")),
        ("m:p", ("m", "p")),
    ],
)
def test_pairs_of_any_system(text, pair, monkeypatch):
    monkeypatch.setattr(submission.Path, "is_file", lambda self: str(self) in pair)
    member = split_model(text)
    assert (str(member.images), str(member.points)) == pair


def test_one_checkpoint_is_a_model_too(tmp_path):
    (tmp_path / "best.pth").touch()
    assert split_model(str(tmp_path / "best.pth")).points is None


def test_a_run_is_a_model_too(tmp_path):
    best = tmp_path / "run_1" / "checkpoints" / "best.pth"
    best.parent.mkdir(parents=True)
    best.touch()
    member = split_model(str(tmp_path / "run_1"))
    assert (member.images, member.points) == (best, None)
    with pytest.raises(UserError, match=r"--model .*no run directory"):
        split_model(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("moe.pth", "not a file, and not MOE:PC"),
        ("moe.pth:", "not a file, and not MOE:PC"),
        ("moe.pth:pc.pth", "moe.pth is not there"),
        (r"C:\moe.pth:D:\pc.pth", r"C:\moe.pth is not there"),
    ],
)
def test_pairs_that_are_none(text, message):
    with pytest.raises(UsageError) as caught:
        split_model(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_flags_repeat():
    parsed = parse(SubmitConfig, ["--model", "a:b", "--model", "c:d", "--output", "x.csv"])
    assert parsed.model == ("a:b", "c:d") and parsed.top_k == 3
    with pytest.raises(UsageError, match="--model MOE:PC is needed"):
        parse(SubmitConfig, [])


def test_wrong_folders_and_files_are_one_line(settings, data, tmp_path):
    model = towers(tmp_path, 0)
    refused(lambda: submit(settings(model, data=tmp_path / "none")), "no such folder", "--data")
    refused(lambda: submit(settings(model, output=tmp_path / "a.txt")), "must end in .csv")
    refused(lambda: submit(settings("none:none2")), "none is not there")
    backwards = ":".join(reversed(model.split(":")))
    refused(lambda: submit(settings(backwards)), "MOE:PC")
    query = data / "queries_image_to_mesh" / "0003.png"
    whole = query.read_bytes()
    query.write_bytes(b"a chair")
    refused(lambda: submit(settings(model)), "0003.png", "no image")
    query.write_bytes(whole)
    mesh = data / "gallery_mesh_for_image" / "0041.stl"
    whole = mesh.read_bytes()
    mesh.write_bytes(b"solid nothing\nendsolid")
    refused(lambda: submit(settings(model)), "0041.stl")
    flat = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]))
    save_mesh(flat, mesh)
    refused(lambda: submit(settings(model)), "0041.stl", "without an area")
    mesh.write_bytes(whole)
    (data / "gallery_image_for_mesh" / "photo.png").write_bytes(query.read_bytes())
    refused(lambda: submit(settings(model)), "photo.png", "ID_VIEW.png")
    (data / "gallery_image_for_mesh" / "photo.png").unlink()
    (data / "queries_image_to_mesh" / "0003.jpg").write_bytes(query.read_bytes())
    refused(lambda: submit(settings(model)), "0003.jpg and 0003.png have one id")
    (data / "queries_image_to_mesh" / "0003.jpg").unlink()
    for path in (data / "queries_mesh_to_image").iterdir():
        path.unlink()
    refused(lambda: submit(settings(model)), "queries_mesh_to_image: empty")
    assert not (tmp_path / "submission.csv").exists()

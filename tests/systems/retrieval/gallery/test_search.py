"""The verb `search` on small real meshes, with networks of random weights.

Random networks find the thing itself: the same image, mesh or text gives the same vector.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiny_retriever import weights
from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.datasets.library.layout import captions_bytes
from triform.datasets.testdataset import write_testdataset
from triform.geometry.io.export import save_mesh
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh
from triform.geometry.sampling.surface_points import sample_surface
from triform.search.gallery import create_gallery, open_gallery
from triform.systems.retrieval.gallery import build, fusion
from triform.systems.retrieval.gallery.entries import list_entries
from triform.systems.retrieval.gallery.search import read_where, search
from triform.systems.retrieval.trained import Retriever
from triform.systems.retrieval.verb_config import SearchConfig


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors", 0)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    """Five pieces of furniture with captions."""
    folder = tmp_path_factory.mktemp("meshes") / "shop"
    write_testdataset(folder, 5)
    return folder


@pytest.fixture
def ask(meshes, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))

    def call(**changes):
        words = {"gallery": str(meshes), "checkpoint": str(checkpoint), "device": "cpu"}
        return search(SearchConfig(**{**words, **changes}))

    return call


def files(meshes):
    return sorted(path for path in meshes.rglob("*") if path.suffix in (".obj", ".glb", ".ply"))


def test_a_mesh_finds_itself(ask, meshes):
    for path in files(meshes)[:2]:
        rows = ask(mesh=str(path), top_k=3)
        assert [row["rank"] for row in rows] == [1, 2, 3]
        assert rows[0]["path"] == str(path) and rows[0]["similarity"] == pytest.approx(1, abs=1e-3)
        assert rows[0]["id"].startswith("shop/") and rows[0]["caption"]
        assert rows[0]["query"] == str(path)


def test_answers_are_those_of_the_fusion(ask, meshes, checkpoint, tmp_path):
    """Best view and points for images, mean view and points for texts: exactly, by hand."""
    retriever = Retriever.from_checkpoint(checkpoint, "cpu")
    shapes = [load_mesh(path, appearance=True) for path in files(meshes)]
    points = retriever.encode_meshes(shapes)
    size = retriever.image_size
    views = np.stack([retriever.encode_framed(fusion.gallery_views(s, size)) for s in shapes])
    names = [str(path) for path in files(meshes)]
    Image.fromarray(fusion.gallery_views(shapes[3], 64)[7]).save(tmp_path / "photo.png")
    image = retriever.encode_images([Image.open(tmp_path / "photo.png")])
    rows = ask(image="photo.png", top_k=5)
    expected = fusion.fuse(image, views, points)[0] / (1 + fusion.POINT_WEIGHT)
    assert [row["path"] for row in rows] == [names[n] for n in np.argsort(-expected)]
    np.testing.assert_allclose([r["similarity"] for r in rows], -np.sort(-expected), atol=1e-3)
    text = retriever.encode_texts(["a round table"])
    mean = views.mean(1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    expected = (text @ (mean + points).T)[0] / 2
    rows = ask(text="a round table", top_k=5, words=False)
    assert [row["path"] for row in rows] == [names[n] for n in np.argsort(-expected)]
    np.testing.assert_allclose([r["similarity"] for r in rows], -np.sort(-expected), atol=1e-3)
    expected = (image @ points.T)[0]
    rows = ask(image="photo.png", top_k=5, views=False)
    assert [row["path"] for row in rows] == [names[n] for n in np.argsort(-expected)]


def test_the_gallery_is_built_once(ask, meshes, monkeypatch):
    metadata = ask()
    assert (metadata["added"], metadata["vectors"], metadata["skipped"]) == (5, 5 * 38, 0)
    read = []
    monkeypatch.setattr(build, "_add", lambda *a, **k: read.append(a) or pytest.fail("built again"))
    repeated = ask()
    assert (repeated["added"], repeated["gallery"]) == (0, metadata["gallery"])


def test_only_what_changed_is_embedded_again(checkpoint, tmp_path, ask):
    folder = tmp_path / "parts"
    write_testdataset(folder, 4)
    index = str(tmp_path / "parts.gallery")
    assert ask(gallery=str(folder), index=index)["added"] == 4
    first, second, *_ = files(folder)
    first.write_bytes(second.read_bytes())
    assert ask(gallery=str(folder), index=index)["added"] == 1
    rows = ask(gallery=str(folder), index=index, mesh=str(second), top_k=2)
    assert {row["path"] for row in rows} == {str(first), str(second)}
    assert rows[1]["similarity"] > 0.999
    first.unlink()
    metadata = ask(gallery=str(folder), index=index)
    assert (metadata["added"], metadata["removed"], metadata["vectors"]) == (0, 1, 3 * 38)
    assert ask(gallery=index, mesh=str(second), top_k=9)[0]["path"] == str(second)
    assert ask(gallery=str(folder), index=index, rebuild=True)["added"] == 3


def test_an_interrupted_build_goes_on(ask, monkeypatch, tmp_path):
    monkeypatch.setattr(build, "ENTRIES_AT_ONCE", 2)
    add, calls = build._add, []

    def stop(*words, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return add(*words, **options)

    monkeypatch.setattr(build, "_add", stop)
    with pytest.raises(KeyboardInterrupt):
        ask(index="a.gallery")
    monkeypatch.setattr(build, "_add", add)
    assert ask(index="a.gallery")["added"] == 3


def test_a_bad_mesh_is_left_out(ask, tmp_path, caplog, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("triform"), "propagate", True)
    folder = tmp_path / "parts"
    write_testdataset(folder, 2)
    (folder / "broken.stl").write_bytes(b"solid x")
    (folder / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    metadata = ask(gallery=str(folder))
    assert (metadata["added"], metadata["skipped"]) == (2, 2)
    assert "left out" in caplog.text and "nan.obj" in caplog.text
    (tmp_path / "only").mkdir()
    (folder / "broken.stl").rename(tmp_path / "only" / "broken.stl")
    refused(lambda: ask(gallery=str(tmp_path / "only")), "nothing in it can be read", "broken.stl")


def test_filters(ask, meshes):
    everything = ask(text="thing", top_k=9)
    category = everything[-1]["category"]
    rows = ask(text="thing", top_k=9, where=f"category={category}")
    assert rows == [
        {**row, "rank": n}
        for n, row in enumerate((r for r in everything if r["category"] == category), start=1)
    ]
    refused(lambda: ask(text="thing", where="category=submarine"), "--where category=submarine")
    with pytest.raises(UsageError, match="write FIELD=VALUE"):
        ask(text="thing", where="chairs")


def test_sheet(ask, meshes, tmp_path):
    path = files(meshes)[0]
    ask(mesh=str(path), text="a bed", top_k=3, sheet=tmp_path / "made" / "sheet.png")
    with Image.open(tmp_path / "made" / "sheet.png") as sheet:
        assert sheet.width > 4 * 128 and sheet.height > 2 * 128
        assert np.asarray(sheet.convert("L")).std() > 10


def library_of(meshes, folder):
    """A small shape library by its layout: points, colours, two images of each object."""
    entries, captions = {}, {}
    for number, path in enumerate(files(meshes)):
        name, mesh = f"thing-{number}", load_mesh(path)
        points = sample_surface(mesh, 100, 1)
        images = [f"images/{name}_view{n}.png" for n in (1, 2)]
        for position in ("points", "images"):
            (folder / position).mkdir(parents=True, exist_ok=True)
        np.save(folder / "points" / f"{name}.npy", points.points.astype(np.float32))
        for image, view in zip(images, fusion.gallery_views(mesh, 32)[::9], strict=False):
            Image.fromarray(view).save(folder / image)
        entries[name] = {"points": f"points/{name}.npy", "images": images, "category": "any"}
        captions[name] = [(f"thing {number}", "en")]
    (folder / "metadata.json").write_text(json.dumps(entries))
    (folder / "captions.csv").write_bytes(captions_bytes(captions))
    return folder


def test_a_library_is_a_gallery(ask, meshes, tmp_path):
    folder = library_of(meshes, tmp_path / "library")
    assert ask(gallery=str(folder))["vectors"] == 5 * (1 + 2 + 1)
    rows = ask(gallery=str(folder), image=str(folder / "images" / "thing-3_view2.png"), top_k=2)
    assert rows[0]["id"] == "thing-3" and rows[0]["caption"] == "thing 3"
    assert rows[0]["path"].endswith("thing-3_view1.png")
    points = np.load(folder / "points" / "thing-1.npy")
    points[5] = np.nan
    np.save(folder / "points" / "thing-1.npy", points)
    metadata = ask(gallery=str(folder), rebuild=True)
    assert (metadata["added"], metadata["skipped"]) == (4, 1)


def test_texts_find_names(ask, meshes, tmp_path):
    """Random networks know nothing: what is called so is found by its name alone."""
    folder = tmp_path / "parts"
    (folder / "Connector_JST.3dshapes").mkdir(parents=True)
    names = ["PinHeader_1x02_P2.54mm", "LED_D5.0mm", "Connector_JST.3dshapes/JST_PH_S6B"]
    for name, path in zip(names, files(meshes), strict=False):
        mesh = load_mesh(path)
        save_mesh(Mesh(mesh.vertices, mesh.faces), folder / f"{name}.obj")
    for text, name in (
        ("pin header", names[0]),
        ("2.54 mm", names[0]),
        ("5mm led", names[1]),
        ("connector jst", names[2]),
    ):
        rows = ask(gallery=str(folder), index="a.gallery", text=text, top_k=3)
        assert rows[0]["path"] == str(folder / f"{name}.obj") and rows[0]["word_rank"] == 1
        plain = ask(gallery="a.gallery", text=text, top_k=3, words=False)
        assert {row["id"]: row["similarity"] for row in plain} == {
            row["id"]: row["similarity"] for row in rows
        }
        assert [row["word_rank"] for row in plain] == [0, 0, 0]
    assert ask(gallery="a.gallery", text="violin") == ask(
        gallery="a.gallery", text="violin", words=False
    )


def test_folders_are_queries(ask, meshes, tmp_path):
    rows = ask(mesh=str(meshes), top_k=1)
    assert [(row["query"], row["path"]) for row in rows] == [
        (str(p), str(p)) for p in files(meshes)
    ]
    (tmp_path / "none").mkdir()
    refused(lambda: ask(image=str(tmp_path / "none")), "--image", "nothing in it")


def test_z_is_up_in_cad(ask, meshes, tmp_path):
    """The same thing as OBJ and, turned, as STL: one vector where the axis is read, else two."""
    folder = tmp_path / "parts"
    folder.mkdir()
    mesh = load_mesh(files(meshes)[0])
    save_mesh(Mesh(mesh.vertices, mesh.faces), tmp_path / "query.obj")
    x, y, z = mesh.vertices.T
    write_stl(folder / "part.stl", np.stack([x, -z, y], 1)[mesh.faces])
    rows = ask(gallery=str(folder), mesh="query.obj", index="a.gallery")
    assert rows[0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert ask(gallery=str(folder), up="y", index="a.gallery")["added"] == 1
    for up, order in (("auto", [0, 1, 2]), ("z", [0, 1, 2]), ("y", [0, 2, 1])):
        (entry,) = list_entries([str(folder)], "datasets", up)
        size = np.ptp(entry.read().mesh.vertices, axis=0)
        np.testing.assert_allclose(size, np.ptp(mesh.vertices, axis=0)[order], rtol=1e-5)


def write_stl(path, triangles):
    """A binary STL that declares nothing, as CAD programs write it."""
    faces = np.zeros(len(triangles), [("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    faces["v"] = triangles
    path.write_bytes(b" " * 80 + np.uint32(len(faces)).tobytes() + faces.tobytes())


def test_what_another_command_added_is_not_removed(ask, meshes, tmp_path):
    """One index, two commands with sources of their own: the second is refused in a line."""
    other = tmp_path / "more"
    write_testdataset(other, 2, seed=5)
    assert ask(index="a.gallery")["added"] == 5
    refused(
        lambda: ask(gallery=str(other), index="a.gallery"), "a.gallery", "5 of its", "--rebuild"
    )
    facts = ask(gallery=(str(meshes), str(other)), index="a.gallery")
    assert (facts["added"], facts["removed"]) == (2, 0)
    assert ask(gallery=str(other), index="a.gallery", rebuild=True)["added"] == 2


def test_images_are_found_by_images_and_meshes(ask, meshes, tmp_path, checkpoint):
    """The other way: the gallery is a folder of images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shapes = [load_mesh(path, appearance=True) for path in files(meshes)]
    for number, mesh in enumerate(shapes):
        Image.fromarray(fusion.gallery_views(mesh, 48)[5]).save(folder / f"{number}.png")
    (rows,) = ask(gallery=str(folder), image=str(folder / "2.png"), top_k=1)
    assert rows["id"] == "2.png" and rows["similarity"] == pytest.approx(1, abs=1e-3)
    retriever = Retriever.from_checkpoint(checkpoint, "cpu")
    images = retriever.encode_images([Image.open(folder / f"{n}.png") for n in range(5)])
    views = retriever.encode_framed(fusion.gallery_views(shapes[1], retriever.image_size))
    expected = fusion.fuse(images, views[None], retriever.encode_meshes(shapes[1:2]))[:, 0]
    rows = ask(gallery=str(folder), mesh=str(files(meshes)[1]), top_k=5)
    assert [row["id"] for row in rows] == [f"{n}.png" for n in np.argsort(-expected)]
    np.testing.assert_allclose(
        [row["similarity"] for row in rows],
        -np.sort(-expected) / (1 + fusion.POINT_WEIGHT),
        atol=1e-3,
    )


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_wrong_input_is_one_line(ask, meshes, tmp_path, checkpoint):
    path = str(files(meshes)[0])
    (tmp_path / "note.png").write_text("a chair")
    refused(lambda: ask(image="note.png"), "note.png", "no image")
    refused(lambda: ask(image="none.png"), "none.png", "not there")
    refused(lambda: ask(mesh="none.obj"), "none.obj")
    refused(lambda: ask(gallery="nowhere/at/all"), "nowhere/at/all")
    refused(lambda: ask(checkpoint="none.pth"), "--checkpoint none.pth")
    refused(lambda: ask(index="gallery.bin"), "must end in .gallery")
    refused(lambda: ask(gallery=(str(meshes), str(meshes))), "in another part of the gallery")
    (tmp_path / "empty").mkdir()
    refused(lambda: ask(gallery=str(tmp_path / "empty")), "no meshes in it")
    ask(index="a.gallery")
    other = weights(tmp_path / "other.safetensors", 1, texts=False)
    mixed = "use the weights and --views it was built with"
    refused(lambda: ask(index="a.gallery", checkpoint=str(other), mesh=path), "a.gallery", mixed)
    refused(lambda: ask(gallery="a.gallery", checkpoint=str(other), mesh=path), mixed)
    refused(lambda: ask(gallery="a.gallery", views=False, mesh=path), mixed)
    refused(lambda: ask(checkpoint=str(other), text="a bed"), "trained without texts")
    Path("a.gallery").write_bytes(Path("a.gallery").read_bytes()[:5000])
    refused(lambda: ask(index="a.gallery", mesh=path), "a.gallery", "damaged", "--rebuild")
    assert ask(index="a.gallery", mesh=path, rebuild=True)[0]["path"] == path
    with pytest.raises(UsageError, match="--gallery is needed"):
        parse(SearchConfig, ["--text", "a bed"])


def test_a_gallery_of_before_its_index_padded_is_one_line(ask, meshes, checkpoint):
    """Version 1 held vectors with one more coordinate, compared by cosine."""
    retriever = Retriever.from_checkpoint(checkpoint, "cpu")
    encoder = build.encoder_id(retriever, views=True).replace("version 2", "version 1")
    old = create_gallery("old.gallery", encoder=encoder)
    old.add(["a#points0"], np.ones((1, retriever.dim + 1)), [{}], encoder=encoder)
    old.save()
    path = str(files(meshes)[0])
    for flags in ({"gallery": "old.gallery"}, {"index": "old.gallery"}):
        refused(lambda flags=flags: ask(mesh=path, **flags), "old.gallery", "--rebuild")
    assert ask(index="old.gallery", mesh=path, rebuild=True)[0]["path"] == path


def test_a_damaged_gallery_in_the_cache_is_built_anew(ask, meshes):
    position = Path(ask()["gallery"])
    position.write_bytes(b"noise")
    assert ask()["added"] == 5
    assert len(open_gallery(position)) == 5 * 38


def test_the_same_weights_in_another_file_are_the_same_encoder(ask, checkpoint, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(checkpoint.read_bytes())
    ask(index="a.gallery")
    assert ask(index="a.gallery", checkpoint=str(copy))["added"] == 0


def test_a_trained_run_on_its_library(ask, tiny_run, library):
    """The real thing, small: an image of the library that the run was trained on."""
    first = library.objects[0]
    image = f"{library.root}/{first.images[0]}"
    rows = ask(gallery=library.root, checkpoint=str(tiny_run), image=image, text="a bed")
    assert len(rows) == 10 and {row["query"] for row in rows} == {image, "a bed"}
    assert all(-1 <= row["similarity"] <= 1.0001 for row in rows)


def test_answers_of_several_questions(ask, meshes):
    paths = [str(path) for path in files(meshes)[:3]]
    rows = ask(mesh=tuple(paths), text=("a bed", "a lamp"), top_k=2)
    assert [row["query"] for row in rows] == [q for q in [*paths, "a bed", "a lamp"] for _ in "ab"]
    assert read_where(("a=1", "a=2", "b=x=y")) == {"a": ["1", "2"], "b": ["x=y"]}

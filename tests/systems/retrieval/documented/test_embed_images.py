"""The verb `embed` and its file, with a tiny network saved as timm saves one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.images.read import read_image
from triform.pretrained.image_encoder import ImageEncoder, load_image_encoder
from triform.systems.retrieval.documented import embed_images
from triform.systems.retrieval.documented.embed_images import embed, read_embeddings
from triform.systems.retrieval.verb_config import EmbedConfig

timm = pytest.importorskip("timm")
OBJECTS, VIEWS = ("0525", "0526", "desk_2"), 4


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    """A ViT of one layer for 16 pixels."""
    path = tmp_path_factory.mktemp("encoder") / "tiny"
    arguments = {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2}
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **arguments)
    config = {"num_classes": 0, "pretrained_cfg": {"input_size": [3, 16, 16], "num_classes": 0}}
    timm.models.save_for_hf(
        model, path, safe_serialization=True, model_args=arguments, model_config=config
    )
    return path


@pytest.fixture
def images(tmp_path):
    """A folder of images, `ID_VIEW.png`."""
    folder = tmp_path / "train" / "images"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in OBJECTS:
        for view in range(VIEWS):
            pixels = random.integers(0, 256, (20, 30, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}_{view}.png")
    (folder / "0525_0.depth.png").write_bytes(b"not ours")
    return folder


@pytest.fixture
def settings(images, encoder_folder, tmp_path):
    def make(**changes):
        words = {
            "library": str(images),
            "output": tmp_path / "out" / "images.npz",
            "image_encoder": str(encoder_folder),
            "device": "cpu",
            "image_batch_size": 3,
        }
        return EmbedConfig(**{**words, **changes})

    return make


def files(folder):
    return sorted(path for path in folder.glob("*.png") if ".depth" not in path.name)


def test_the_file_is_the_documented_one(settings, images, encoder_folder):
    """`embeddings` (N, D) float and `filenames`, readable by numpy alone; the encoder's numbers."""
    answer = embed(settings())
    assert (answer["objects"], answer["images"], answer["computed"]) == (3, 12, 12)
    encoder = load_image_encoder(str(encoder_folder))
    with np.load(answer["file"]) as arrays:
        names = arrays["filenames"].tolist()
        assert names == [path.name for path in files(images)]
        assert arrays["embeddings"].dtype == np.float32
        expected = encoder.encode([read_image(path) for path in files(images)])
        np.testing.assert_allclose(arrays["embeddings"], expected, atol=1e-5)
        assert str(arrays["model"]) == str(encoder_folder)
        assert str(arrays["transform"]) == encoder.transform_hash
    assert not Path(f"{answer['file']}.parts").exists()


def test_rows_by_object_follow_the_view_numbers(settings, images):
    for path in files(images):  # view 10 has to come after view 9
        view = int(path.stem.rpartition("_")[2])
        path.rename(path.with_name(f"{path.stem.rpartition('_')[0]}_view{view + 8}.png"))
    found = read_embeddings(embed(settings())["file"])
    by_object = found.by_object(VIEWS)
    assert set(by_object) == set(OBJECTS)
    rows = [found.filenames.index(f"desk_2_view{n}.png") for n in (8, 9, 10, 11)]
    np.testing.assert_array_equal(by_object["desk_2"], found.embeddings[rows])


def test_a_library_by_its_metadata(settings, images):
    names = {
        name: {"images": [f"images/{name}_{view}.png" for view in range(2)]} for name in OBJECTS
    }
    (images.parent / "metadata.json").write_text(json.dumps(names))
    answer = embed(settings(library=str(images.parent)))
    assert answer["images"] == 6
    assert set(read_embeddings(answer["file"]).by_object(2)) == set(OBJECTS)


def test_only_what_changed_is_computed_again(settings, images):
    first = read_embeddings(embed(settings())["file"])
    assert embed(settings())["computed"] == 0
    Image.new("RGB", (9, 9), "red").save(images / "0526_1.png")
    Image.new("RGB", (9, 9), "blue").save(images / "0526_4.png")
    (images / "0525_3.png").unlink()
    answer = embed(settings())
    assert (answer["computed"], answer["images"]) == (2, 12)
    second = read_embeddings(answer["file"])
    for name in set(first.filenames) & set(second.filenames):
        same = np.array_equal(
            first.embeddings[first.filenames.index(name)],
            second.embeddings[second.filenames.index(name)],
        )
        assert same == (name != "0526_1.png")


def test_an_interrupted_run_goes_on(settings, monkeypatch):
    """What was finished when it stopped is not computed again; the result is the same."""
    expected = read_embeddings(embed(settings(output=Path("whole.npz").absolute()))["file"])
    Path("whole.npz").unlink()
    monkeypatch.setattr(embed_images, "PART", 5)
    actual = []
    forward = ImageEncoder.forward

    def stop(self, images):
        actual.append(len(images))
        if sum(actual) > 7:
            raise KeyboardInterrupt
        return forward(self, images)

    monkeypatch.setattr(ImageEncoder, "forward", stop)
    with pytest.raises(KeyboardInterrupt):
        embed(settings())
    assert len(list(Path(f"{settings().output}.parts").glob("*.npz"))) == 1
    actual.clear()
    monkeypatch.setattr(
        ImageEncoder,
        "forward",
        lambda self, images: actual.append(len(images)) or forward(self, images),
    )
    found = read_embeddings(embed(settings())["file"])
    assert sum(actual) == 12 - 5 + 1  # one more to ask for the width
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-6)
    assert found.filenames == expected.filenames


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_missing_view_is_one_line(settings, images):
    (images / "0526_2.png").unlink()
    refused(lambda: embed(settings()), "0526 has 3 images, view 2 is missing")
    (images / "0526_3.png").unlink()
    refused(lambda: embed(settings(views=4)), "0526 has 2 of 4 images, view 2 is missing")
    refused(lambda: embed(settings(views=2)), "0525 has 4 images, expected 2")


def test_wrong_images_are_one_line(settings, images, tmp_path):
    (images / "0525_1.png").write_bytes(b"not an image")
    refused(lambda: embed(settings()), "0525_1.png", "damaged or no image")
    (images / "0525_1.png").rename(images / "photo.png")
    refused(lambda: embed(settings()), "'photo.png' names no object and view")
    (images / "photo.png").rename(images / "0525_01.jpg")
    (images / "0525_2.png").rename(images / "0525_1.png")
    refused(lambda: embed(settings()), "view 1 of 0525 stands twice", "0525_01.jpg", "0525_1.png")
    (tmp_path / "empty").mkdir()
    refused(lambda: embed(settings(library=str(tmp_path / "empty"))), "no images in it")
    refused(lambda: embed(settings(library="nowhere/at/all")), "nowhere/at/all")
    with pytest.raises(UsageError, match=r"must end in \.npz"):
        embed(settings(output=Path("out.csv")))


def test_another_encoders_file_is_not_written_over(settings, encoder_folder, tmp_path):
    embed(settings())
    other = tmp_path / "other"
    other.mkdir()
    for path in encoder_folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    config = json.loads((other / "config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.5, 0.5, 0.5]
    (other / "config.json").write_text(json.dumps(config))
    refused(lambda: embed(settings(image_encoder=str(other))), "stale", "--overwrite")
    assert embed(settings(image_encoder=str(other), overwrite=True))["computed"] == 12


def test_stale_files_are_refused(settings, encoder_folder):
    path = embed(settings())["file"]
    assert read_embeddings(path, model=str(encoder_folder)).model == str(encoder_folder)
    refused(lambda: read_embeddings(path, model="eva02"), path, "stale", "eva02")
    refused(lambda: read_embeddings(path, transform_hash="0" * 16), "stale", "transform")
    refused(lambda: read_embeddings(path, weights="0" * 32), "stale", "weights")


def test_the_documented_file_without_a_maker_is_read(tmp_path, caplog, monkeypatch):
    """As the original program wrote it: two arrays, compressed."""
    import logging

    monkeypatch.setattr(logging.getLogger("triform"), "propagate", True)
    names = [f"{n:04d}_{view}.png" for n in (525, 526) for view in range(24)]
    table = np.random.default_rng(0).standard_normal((48, 1024))
    np.savez_compressed(tmp_path / "a.npz", embeddings=table, filenames=np.array(names))
    found = read_embeddings(tmp_path / "a.npz", model="eva02")
    assert "does not say which encoder" in caplog.text
    assert found.by_object(24)["0526"].shape == (24, 1024) and found.embeddings.dtype == np.float32


def test_damaged_files_are_one_line(settings, tmp_path):
    path = Path(embed(settings())["file"])
    whole = path.read_bytes()

    def check(data, *words):
        path.write_bytes(data)
        refused(lambda: read_embeddings(path), str(path), *words)

    check(b"", "damaged or no .npz")
    check(whole[:-50], "damaged or no .npz")
    check(b"embeddings" * 9, "damaged or no .npz")
    position = whole.index(b"NUMPY") + 200
    check(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :], "damaged")
    path.write_bytes(b"")
    refused(lambda: embed(settings()), "damaged", "--overwrite")
    refused(lambda: read_embeddings(tmp_path), "a folder")
    refused(lambda: read_embeddings(tmp_path / "none.npz"), "not there", "triform retrieval embed")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"embeddings": np.ones((2, 3))}, "expected embeddings and filenames"),
        ({"embeddings": np.ones((2, 3)), "filenames": np.array(["a_0.png"])}, "2 embeddings and 1"),
        ({"embeddings": np.ones(2), "filenames": np.array(["a_0.png"])}, "expected numbers (N, D)"),
        ({"embeddings": np.ones((1, 2)), "filenames": np.array([3])}, "and text"),
        (
            {"embeddings": np.full((1, 2), np.nan), "filenames": np.array(["a_0.png"])},
            "the embedding of a_0.png holds NaN",
        ),
        (
            {"embeddings": np.ones((1, 2)), "filenames": np.array(["a_0.png"], dtype=object)},
            "Python objects, which are not read",
        ),
    ],
)
def test_wrong_contents_are_one_line(arrays, message, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    refused(lambda: read_embeddings(tmp_path / "a.npz"), "a.npz", message)


def test_a_header_that_promises_memory_is_not_believed(tmp_path):
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 1024)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("embeddings.npy", header.getvalue() + b"\0" * 64)
        archive.writestr("filenames.npy", header.getvalue())
    refused(lambda: read_embeddings(tmp_path / "a.npz"), "another size than its header says")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("embeddings.npy", b"\0" * 50_000_000)
    refused(lambda: read_embeddings(tmp_path / "a.npz"), "would unpack to 50000000 bytes")


# Runs `embed`, and kills itself once two parts are written.
KILLED_RUN = """
import os, signal, sys
from triform.base.settings.config import parse
from triform.systems.retrieval.documented import embed_images
from triform.systems.retrieval.verb_config import EmbedConfig

embed_images.PART = 2
write, written = embed_images.write_embeddings, []

def write_and_die(path, found):
    write(path, found)
    written.append(path)
    if len(written) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

embed_images.write_embeddings = write_and_die
embed_images.embed(parse(EmbedConfig, sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL here")
def test_killed_runs_lose_at_most_a_part(settings, tmp_path, monkeypatch):
    """kill -9, then again: the same file as without, and no half file in between."""
    expected = read_embeddings(embed(settings())["file"])
    killed = settings(output=tmp_path / "killed.npz")
    monkeypatch.setattr(embed_images, "PART", 2)
    parts = Path(f"{killed.output}.parts")
    flags = [
        word
        for name in ("library", "output", "image_encoder", "views", "device")
        for word in (f"--{name}", str(getattr(killed, name)))
    ]
    # A process of its own: threads of torch do not outlive a fork.
    child = subprocess.run([sys.executable, "-c", KILLED_RUN, *flags], check=False)
    assert child.returncode == -signal.SIGKILL
    assert not killed.output.exists()
    stored = 2 * len(list(parts.glob("[0-9a-f]*.npz")))
    assert stored == 4
    actual = []
    compute = embed_images._compute
    monkeypatch.setattr(
        embed_images, "_compute", lambda e, p, *more: actual.extend(p) or compute(e, p, *more)
    )
    embed(killed)
    assert len(actual) == 12 - stored
    found = read_embeddings(killed.output)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
    assert found.filenames == expected.filenames and not parts.exists()


def test_flags():
    flags = ["--library", "a", "--output", "b.npz", "--image_encoder", "resnet18", "--views", "24"]
    parsed = parse(EmbedConfig, flags)
    assert (parsed.library, parsed.views, parsed.image_encoder) == ("a", 24, "resnet18")
    assert EmbedConfig().image_encoder == "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k"

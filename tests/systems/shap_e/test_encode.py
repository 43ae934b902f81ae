"""Latents of a library: resumable, independent of the batch; libraries that lack something."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from triform.base.errors import UserError
from triform.engine.checkpoints.checkpoint import export_weights
from triform.systems.shap_e.config import Config, TransmitterConfig
from triform.systems.shap_e.encode import encode
from triform.systems.shap_e.latent_files import read_latent
from triform.systems.shap_e.transmitter.transmitter import Transmitter
from triform.systems.shap_e.verb_config import EncodeConfig

SMALL = TransmitterConfig(
    encoder_width=16,
    encoder_layers=2,
    encoder_heads=2,
    data_tokens=4,
    inner_points=32,
    inner_views=2,
    view_size=8,
    view_patch=4,
    latent_width=8,
    hidden=4,
)
SHAPE = (SMALL.latent_vectors, SMALL.latent_width)


def weights(folder: Path, encoder_input: str, seed: int = 0) -> str:
    torch.manual_seed(seed)
    settings = SMALL.model_copy(update={"encoder_input": encoder_input})
    path = folder / f"{encoder_input}-{seed}.safetensors"
    networks = {"transmitter": Transmitter(settings).state_dict()}
    config = Config(transmitter=settings).model_dump(mode="json")
    export_weights(path, networks, config, system="shap_e")
    return str(path)


def run(library: Path, transmitter: str, output: Path, **options) -> dict:
    settings = {"library": str(library), "transmitter": transmitter, "output": output}
    return encode(EncodeConfig.model_validate({**settings, "device": "cpu", **options}))


def test_a_known_data_set_is_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    transmitter = weights(tmp_path, "points")
    made = run(Path("testdataset:2"), transmitter, tmp_path / "made", max_samples=2)
    assert (made["encoded"], made["failed"]) == (2, 0)
    assert len(list((tmp_path / "made").glob("*.npy"))) == 2


@pytest.mark.parametrize("encoder_input", ["points", "points_and_views"])
def test_batches_give_the_latents_of_single_objects(shapes, tmp_path, encoder_input):
    transmitter = weights(tmp_path, encoder_input)
    options = {"number_format": "float32"}
    one = run(shapes, transmitter, tmp_path / "one", batch_size=1, **options)
    many = run(shapes, transmitter, tmp_path / "many", batch_size=5, **options)
    assert one["encoded"] == many["encoded"] == one["objects"] and not many["failed"]
    files = sorted((tmp_path / "one").glob("*.npy"))
    assert len(files) == one["objects"]
    for file in files:
        a, b = read_latent(file, SHAPE), read_latent(tmp_path / "many" / file.name, SHAPE)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert a.abs().max() <= 1 and a.std() > 0


def test_it_goes_on_where_it_stopped(shapes, tmp_path):
    transmitter, output = weights(tmp_path, "points"), tmp_path / "latents"
    first = run(shapes, transmitter, output, max_samples=3)
    times = {path: path.stat().st_mtime_ns for path in output.glob("*.npy")}
    assert first["encoded"] == 3 == len(times)
    rest = run(shapes, transmitter, output)
    assert rest["there already"] == 3 and rest["encoded"] == rest["objects"] - 3
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    with pytest.raises(UserError, match="latents of another encoder"):
        run(shapes, weights(tmp_path, "points", seed=1), output)
    with pytest.raises(UserError, match="latents of another number_format"):
        run(shapes, transmitter, output, number_format="int8")


def test_a_library_of_points_alone(tmp_path):
    """(3, N), no colours, no metadata: enough for an encoder of points, not for one of views."""
    library = tmp_path / "library"
    (library / "points").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, shape in (("a", (3, 40)), ("b", (40, 3)), ("few", (10, 3))):
        np.save(library / "points" / f"{name}.npy", random.uniform(-0.5, 0.5, shape))
    (library / "captions.csv").write_text("object_id,caption\na,a chair\n", encoding="utf-8")
    report = run(library, weights(tmp_path, "points"), tmp_path / "latents")
    assert report["encoded"] == 3
    with pytest.raises(UserError, match=r"a has 0 images and 0 depth files.*--encoder_input"):
        run(library, weights(tmp_path, "points_and_views"), tmp_path / "other")


def test_damaged_objects_are_named_and_the_rest_encoded(shapes, tmp_path):
    library = tmp_path / "library"
    shutil.copytree(shapes, library)
    points = sorted((library / "points").glob("*.npy"))
    points[0].write_bytes(b"damaged")
    report = run(library, weights(tmp_path, "points"), tmp_path / "latents")
    assert report["failed"] == 1 and report["encoded"] == report["objects"] - 1
    assert json.loads((tmp_path / "latents" / "latents.json").read_text())["shape"] == list(SHAPE)

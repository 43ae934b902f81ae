"""The documented pair of files, trained encoders in use, and the measuring of them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.datasets.listing import list_shapes
from triform.datasets.load import load_dataset
from triform.engine.checkpoints.checkpoint import export_weights, load_weights
from triform.systems.retrieval import system
from triform.systems.retrieval.checkpoint_pair import (
    SaveBestRecall,
    load_image_tower,
    load_point_encoder,
    recall_of,
)
from triform.systems.retrieval.config import Config
from triform.systems.retrieval.dataset import read_dataset
from triform.systems.retrieval.model import MoEImgHead
from triform.systems.retrieval.trained import Retriever, open_retriever
from triform.systems.retrieval.verb_config import EvaluateConfig

PAIRS = [
    (f"moe_recall@3_{way}.pth", f"pc_encoder_recall@3_{way}.pth") for way in ("img2pc", "pc2img")
]


@pytest.fixture(scope="module")
def retriever(tiny_run):
    return open_retriever(str(tiny_run), "cpu")


@pytest.fixture(scope="module")
def objects(library):
    return read_dataset(library, image_size=32)


def test_the_documented_files_are_there_and_safe(tiny_run):
    for pair in PAIRS:
        for name in pair:
            content = torch.load(tiny_run / "checkpoints" / name, weights_only=True)
            assert 0 <= content["recall"] <= 1 and content["k"] == 3
    moe, points = (tiny_run / "checkpoints" / name for name in PAIRS[0])
    assert load_image_tower(moe).image_size == 32
    encoder, count = load_point_encoder(points)
    assert count == 128 and not encoder.training


def test_best_files_hold_the_best_recall(tiny_run):
    lines = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    for way in ("img2pc", "pc2img"):
        actual = [line[f"val/{way}_recall@3"] for line in lines if f"val/{way}_recall@3" in line]
        path = tiny_run / "checkpoints" / f"moe_recall@3_{way}.pth"
        assert len(actual) == 3 and recall_of(path) == pytest.approx(max(actual))


def test_a_worse_epoch_overwrites_nothing(tmp_path):
    """Also after a resume: the file itself says what is to be beaten."""

    class Part(torch.nn.Linear):
        head, encoder = torch.nn.Linear(2, 2), None

    config = SimpleNamespace(model_dump=lambda mode: {})
    stand_in = SimpleNamespace(
        config=config, image_tower=Part(1, 1), point_encoder=Part(1, 1), feature_source={}
    )

    def epoch(value, number):
        SaveBestRecall((3,)).on_epoch_end(
            SimpleNamespace(
                metrics={"val/img2pc_recall@3": value},
                checkpoint_dir=tmp_path,
                system=stand_in,
                epoch=number,
            )
        )
        return torch.load(tmp_path / PAIRS[0][1], weights_only=True)["epoch"]

    assert [epoch(v, n) for n, v in enumerate((0.2, 0.5, 0.4, 0.5, 0.6))] == [0, 1, 1, 1, 4]


def test_a_saved_point_encoder_is_a_frozen_backbone(tiny_run, objects):
    """The documented use of `pc_encoder_recall@K_*.pth` in a second stage."""
    path = tiny_run / "checkpoints" / PAIRS[0][1]
    encoder, _ = load_point_encoder(path)
    points = torch.from_numpy(np.array(objects.points[:2, :128]))
    local, tokens = encoder.tokens(points)
    assert local.shape == (2, 16, 64) and tokens.shape == (2, 3, 64)
    assert not tokens.requires_grad
    content = torch.load(path, weights_only=True)
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, content["base_model"][key])


def test_pair_and_checkpoint_say_the_same(tiny_run, retriever, objects):
    point_sets, images = objects.points[:3], [Image.fromarray(v) for v in objects.views[:3, 0]]
    moe, points = (tiny_run / "checkpoints" / name for name in PAIRS[0])
    pair = open_retriever(f"{moe}:{points}", "cpu")
    # both are of one of three epochs: the same space where they are of the same one
    epochs = {torch.load(p, weights_only=True)["epoch"] for p in (moe, points)}
    best = torch.load(tiny_run / "checkpoints" / "best.pth", weights_only=True)["epoch"]
    assert pair.config == retriever.config
    if epochs == {best}:
        np.testing.assert_allclose(
            pair.encode_points(list(point_sets)),
            retriever.encode_points(list(point_sets)),
            atol=1e-6,
        )
        np.testing.assert_allclose(
            pair.encode_images(images), retriever.encode_images(images), atol=1e-6
        )
    with pytest.raises(UserError, match="trained without texts"):
        pair.encode_texts(["a chair"])


def test_embeddings_are_of_length_one_in_one_space(retriever, objects, workspace):
    shapes = list_shapes(load_dataset(["testdataset:32"], workspace / "datasets"))[:3]
    generated = [
        retriever.encode_images([Image.fromarray(v) for v in objects.views[:4, 0]]),
        retriever.encode_meshes([shape.load() for shape in shapes]),
        retriever.encode_points(list(objects.points[:5]), list(objects.colors[:5])),
        retriever.encode_texts(["a chair", "a table"]),
    ]
    assert [len(vectors) for vectors in generated] == [4, 3, 5, 2]
    for vectors in generated:
        assert vectors.dtype == np.float32 and vectors.shape[1] == retriever.dim == 32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert retriever.encode_images([]).shape == (0, 32)
    assert retriever.encode_meshes([]).shape == (0, 32)


def test_a_batch_is_its_parts(retriever, objects):
    point_sets = list(objects.points[:5])
    together = retriever.encode_points(point_sets)
    alone = np.concatenate([retriever.encode_points([points]) for points in point_sets])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_fingerprint_follows_the_weights_not_the_file(tiny_run, retriever, tmp_path):
    path = tiny_run / "checkpoints" / "best.pth"
    weights, config, *_ = load_weights(path)
    shared = tmp_path / "weights.safetensors"
    export_weights(shared, weights, config, system="retrieval")
    assert Retriever.from_checkpoint(shared, "cpu").fingerprint == retriever.fingerprint
    weights["texts"]["layers.1.bias"][0] += 1
    export_weights(shared, weights, config, system="retrieval")
    assert Retriever.from_checkpoint(shared, "cpu").fingerprint != retriever.fingerprint


def test_files_of_the_original_program(tmp_path):
    """A bare state dict of the mixture of experts."""
    head = MoEImgHead(6, 4, 8)
    torch.save(head.state_dict(), tmp_path / "moe.pth")
    found = load_image_tower(tmp_path / "moe.pth")
    features = torch.randn(3, 6)
    torch.testing.assert_close(found.tower(features[..., None, None])[0], head(features))


def test_wrong_files_are_one_line(tiny_run, tmp_path):
    moe, points = (tiny_run / "checkpoints" / name for name in PAIRS[0])
    with pytest.raises(UserError, match="the image side first"):
        Retriever.from_checkpoint_pair(points, moe)
    with pytest.raises(UserError, match="the point encoder second"):
        Retriever.from_checkpoint_pair(moe, moe)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="no image head"):
        load_image_tower(tmp_path / "other.pth")
    with pytest.raises(UserError, match="not there"):
        open_retriever(f"{moe}:nowhere.pth")
    content = torch.load(moe, weights_only=True)
    content["moe"]["linear.weight"] = torch.zeros(5, 5)
    torch.save(content, tmp_path / "moe.pth")
    with pytest.raises(UserError, match="weights do not fit its settings: head"):
        load_image_tower(tmp_path / "moe.pth")


def test_clouds_that_cannot_be_embedded_are_one_line(retriever):
    with pytest.raises(UserError, match=r"number 1: 5 points, 128 are needed"):
        retriever.encode_points([np.zeros((5, 3))])
    bad = np.zeros((128, 3))
    bad[3] = np.inf
    with pytest.raises(UserError, match="number 2: NaN or infinity"):
        retriever.encode_points([np.random.default_rng(0).normal(size=(128, 3)), bad])


# evaluate


def evaluated(tiny_run, workspace, *flags):
    words = ["--checkpoint", str(tiny_run), "--device", "cpu"]
    words += ["--download_path", str(workspace / "datasets"), *flags]
    return system.evaluate(parse(EvaluateConfig, words))


def test_evaluate_reports_every_direction_beside_chance(tiny_run, workspace, tmp_path):
    path = tmp_path / "report.json"
    report = evaluated(tiny_run, workspace, "--split", "all", "--output", str(path))
    assert json.loads(path.read_text()) == report
    rows = {(row["query"], row["gallery"]): row for row in report["results"]}
    assert len(rows) == 7 and report["objects"] == 32
    assert rows["chance", "any"]["recall@1"] == pytest.approx(1 / 32, abs=1e-4)
    for row in rows.values():
        assert row["recall@1"] <= row["recall@3"] <= row["recall@5"] <= row["recall@10"]
        assert row["recall@1"] <= row["mrr"] <= 1
    assert evaluated(tiny_run, workspace, "--split", "all") == report  # the same twice


def test_evaluate_says_what_training_said(tiny_run, workspace):
    """The numbers of the best epoch, measured again from its file."""
    lines = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    best = torch.load(tiny_run / "checkpoints" / "best.pth", weights_only=True)["epoch"]
    logged = next(line for line in lines if "val/loss" in line and line["epoch"] == best)
    report = evaluated(tiny_run, workspace, "--split", "val")
    rows = {(row["query"], row["gallery"]): row for row in report["results"]}
    # bf16 in training, float32 here: a rank or two may change places
    for name, key in (
        ("img2pc", ("one image", "shapes")),
        ("pc2img", ("shape", "means of images")),
    ):
        assert rows[key]["recall@5"] == pytest.approx(logged[f"val/{name}_recall@5"], abs=0.13)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--library", "nowhere"], "nowhere"),
        (["--max_samples", "1", "--split", "all"], "at least 2 are needed"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(tiny_run, workspace, flags, words):
    with pytest.raises(UserError, match=words) as caught:
        evaluated(tiny_run, workspace, *flags)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--image_encoder", "vit"], "image_embeddings must name"),
        (["--points", "40"], "num_group 64"),
        (["--views", "1", "--image_image_weight", "1"], "views 2 or more"),
        (["--text_encoder", "", "--text_shape_weight", "1"], "need a text_encoder"),
        (["--image_shape_weight", "0"], "must be above 0"),
        (["--save_checkpoint_at_recall_k", "4"], "must be in k_list_for_recalls"),
        (["--moe_top_k", "9"], "moe_top_k 9 of n_experts 8"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(flags, words):
    with pytest.raises(UsageError, match=words):
        parse(Config, flags)

"""The documented training, small: a frozen encoder's features in an `.npz`, mixture of experts,
24 views, masked ReCon++ from a published file, four parameter groups, the pair of files."""

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.errors import UserError
from triform.engine.fit import fit
from triform.engine.verbs import train
from triform.images.read import read_image
from triform.pretrained.image_encoder import load_image_encoder
from triform.systems.retrieval import system
from triform.systems.retrieval.documented.embed_images import embed
from triform.systems.retrieval.encoders.recon import ReCon
from triform.systems.retrieval.model import build_point_encoder
from triform.systems.retrieval.system import System
from triform.systems.retrieval.trained import EncoderOverrides, Retriever
from triform.systems.retrieval.verb_config import EmbedConfig

from .conftest import preset

SMALLER = [
    "--points",
    "64",
    "--num_group",
    "8",
    "--group_size",
    "8",
    "--emb_dim",
    "24",
    "--point_width",
    "32",
    "--point_heads",
    "2",
    "--point_depth",
    "2",
    "--batch_size",
    "8",
    "--views",
    "4",
    "--epochs",
    "2",
    "--num_workers",
    "0",
    "--evaluate_every",
    "1",
    "--patch_widths",
    "16",
    "16",
    "16",
]


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    """A ViT of one layer, saved as timm saves one."""
    timm = pytest.importorskip("timm")
    path = tmp_path_factory.mktemp("encoder") / "tiny"
    arguments = {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2}
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **arguments)
    config = {"num_classes": 0, "pretrained_cfg": {"input_size": [3, 16, 16], "num_classes": 0}}
    timm.models.save_for_hf(
        model, path, safe_serialization=True, model_args=arguments, model_config=config
    )
    return path


@pytest.fixture(scope="module")
def features(library, encoder_folder, workspace):
    path = workspace / "images.npz"
    words = {"library": str(library.store.folder), "output": path, "device": "cpu"}
    embed(EmbedConfig(**words, image_encoder=str(encoder_folder)))
    return path


@pytest.fixture(scope="module")
def flags(library, features, encoder_folder, folders):
    where = ["--library", str(library.store.folder), "--image_embeddings", str(features)]
    return [*where, "--image_encoder", str(encoder_folder), *folders, *SMALLER]


def test_the_whole_documented_way(flags, encoder_folder, library):
    config = preset("documented", *flags)
    answer = train(system.System, config)
    run = answer["run"]
    pair = [f"{run}/checkpoints/{side}_recall@3_img2pc.pth" for side in ("moe", "pc_encoder")]
    retriever = Retriever.from_checkpoint_pair(*pair, "cpu")
    assert retriever.needs_image_encoder and retriever.feature_source["model"]
    encoder = load_image_encoder(str(encoder_folder))
    image = library.store.folder / library.objects[0].images[0]
    with pytest.raises(UserError, match="where you trust it, name it yourself with --image_enc"):
        retriever.encode_images([read_image(image)])
    retriever.overrides = EncoderOverrides(image=str(encoder_folder))
    with Image.open(image) as image:
        by_name = retriever.encode_images([image])
        repeated = retriever.encode_features(encoder.encode([image]))
    np.testing.assert_array_equal(by_name, repeated)
    assert by_name.shape == (1, 24) and np.linalg.norm(by_name) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match="reads 12 numbers"):
        retriever.encode_features(np.zeros((1, 13), np.float32))


def test_four_groups_with_the_documented_rates(flags):
    generated = System(preset("documented", *flags))
    groups = generated.optimizers["main"].param_groups
    actual = {(round(group["lr"], 9), group["weight_decay"]) for group in groups}
    assert actual == {(2e-4, 0.05), (2e-4, 0.0), (2e-5, 0.05), (2e-5, 0.0)}
    batch = next(iter(generated.batches()))
    assert batch["images"].shape == (8, 4, 12, 1, 1) and batch["texts"].shape == (8, 0)
    # ten epochs of warm-up
    assert generated.config.training.warmup_steps == 10 * generated.num_batches


def test_features_are_those_of_the_file(flags, features):
    generated = System(preset("documented", *flags))
    with np.load(features) as arrays:
        rows = dict(zip(arrays["filenames"].tolist(), arrays["embeddings"], strict=True))
    name = generated.dataset.ids[3]
    for view in range(4):
        stored = rows[f"{name}_view{view + 1}.png"]
        np.testing.assert_array_equal(generated.dataset.features[3, view], stored)


def test_it_begins_with_published_weights(flags, tmp_path):
    config = preset("documented", *flags)
    torch.manual_seed(5)
    source = build_point_encoder(config.model)
    state = {f"module.{key}": tensor for key, tensor in source.state_dict().items()}
    state["module.model.norm.weight"] = torch.ones(32)  # what only pre-training needs
    state["module.model.decoder.mask_token"] = torch.zeros(1, 1, 32)
    torch.save({"base_model": state}, tmp_path / "best_lvis.pth")
    generated = System(
        preset("documented", *flags, "--point_weights", str(tmp_path / "best_lvis.pth"))
    )
    for key, tensor in generated.point_encoder.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[key])
    other = ReCon(source.shape.__class__(embed_dim=64, num_heads=1, out_dim=24))
    torch.save({"base_model": other.state_dict()}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: .*--point_encoder"):
        System(preset("documented", *flags, "--point_weights", str(tmp_path / "other.pth")))


def test_stale_or_missing_features_are_one_line(flags, features, tmp_path):
    with pytest.raises(UserError, match=r"images\.npz"):
        System(preset("documented", *flags, "--image_encoder", "vit_large_patch14_dinov2"))
    with np.load(features) as arrays:
        stored = {key: arrays[key] for key in arrays.files}
    keep = [
        not name.startswith(stored["filenames"][0].split("_view")[0])
        for name in stored["filenames"].tolist()
    ]
    for key in ("embeddings", "filenames", "digests"):
        stored[key] = stored[key][keep]
    np.savez(tmp_path / "less.npz", **stored)
    with pytest.raises(UserError, match=r"less\.npz: lacks "):
        System(preset("documented", *flags, "--image_embeddings", str(tmp_path / "less.npz")))


def test_experts_are_kept_in_balance_where_asked(flags):
    config = preset(
        "documented", *flags, "--moe_top_k", "2", "--balance_weight", "0.01", "--max_steps", "2"
    )
    result = fit(System(config))
    assert 1 <= result.metrics["train/balance"] <= 8

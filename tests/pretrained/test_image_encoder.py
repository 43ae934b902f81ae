"""Image encoders, on tiny networks saved as timm and open_clip save theirs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from triform.base.errors import UserError
from triform.pretrained import hub, image_encoder
from triform.pretrained.image_encoder import load_image_encoder

timm = pytest.importorskip("timm")
SIZE = 32
TINY_VIT = {
    "img_size": SIZE,
    "patch_size": 8,
    "embed_dim": 24,
    "depth": 2,
    "num_heads": 2,
}
ARCHITECTURE = "vit_tiny_patch16_224"


def images(count=5):
    random = np.random.default_rng(0)
    sizes = [(40, 30), (17, 61), (32, 32), (100, 90), (8, 8)]
    return [
        Image.fromarray(random.integers(0, 256, (*sizes[n % 5], 3), dtype=np.uint8))
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A ViT of two layers, saved by timm with a data config of its own."""
    path = tmp_path_factory.mktemp("timm") / "tiny_vit"
    torch.manual_seed(0)
    model = timm.create_model(ARCHITECTURE, num_classes=7, **TINY_VIT)
    timm.models.save_for_hf(
        model,
        path,
        safe_serialization="both",
        model_args=TINY_VIT,
        model_config={
            "num_classes": 7,
            "pretrained_cfg": {
                "input_size": [3, SIZE, SIZE],
                "mean": [0.2, 0.4, 0.6],
                "std": [0.5, 0.25, 0.2],
                "crop_mode": "squash",
                "crop_pct": 1.0,
                "interpolation": "bicubic",
                "fixed_input_size": True,
                "num_classes": 7,
                "classifier": "head",
                "first_conv": "patch_embed.proj",
            },
        },
    )
    return path


def reference(folder):
    """timm's own way: the saved classifier, cut off, and the transform of its data config."""
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    model.reset_classifier(0)
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.inference_mode():
        return model(torch.stack([transform(p) for p in images()])).numpy(), config


def test_folder_of_timm(folder):
    encoder = load_image_encoder(str(folder))
    expected, config = reference(folder)
    assert (config["crop_mode"], config["mean"][0]) == ("squash", 0.2)
    assert (encoder.dim, encoder.size) == (24, SIZE)
    np.testing.assert_allclose(encoder.encode(images()), expected, atol=1e-6)
    assert encoder.encode([]).shape == (0, 24)


def test_the_transform_is_the_one_of_the_weights(folder):
    """Squashed to the square, with the mean and deviation that the config says."""
    encoder = load_image_encoder(str(folder))
    actual = encoder.transform(Image.new("RGB", (50, 20), (255, 0, 51)))
    assert actual.shape == (3, SIZE, SIZE)
    for channel, value in enumerate([(1 - 0.2) / 0.5, (0 - 0.4) / 0.25, (0.2 - 0.6) / 0.2]):
        torch.testing.assert_close(actual[channel], torch.full((SIZE, SIZE), value))


def test_what_is_transparent_is_white(folder):
    encoder = load_image_encoder(str(folder))
    clear = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    assert torch.equal(
        encoder.transform(clear), encoder.transform(Image.new("RGB", (9, 9), "white"))
    )
    assert encoder.transform(Image.new("L", (9, 9))).shape == (3, SIZE, SIZE)


def test_the_same_image_gives_the_same_features_in_any_batch(folder, monkeypatch):
    encoder = load_image_encoder(str(folder))
    together = encoder.encode(images(40))
    monkeypatch.setattr(image_encoder, "BATCH_SIZE", 3)
    np.testing.assert_allclose(encoder.encode(images(40)), together, atol=1e-6)


def test_weights_from_a_file(folder, tmp_path):
    """A safetensors file and one of torch.save give what the folder gives."""
    expected = load_image_encoder(str(folder))
    for name in ("model.safetensors", "pytorch_model.bin"):
        encoder = load_image_encoder(f"timm:{folder}", weights=folder / name)
        assert encoder.fingerprint == expected.fingerprint
        np.testing.assert_array_equal(encoder.encode(images()), expected.encode(images()))


def test_published_name_with_a_local_file(tmp_path):
    """A published network's weights from a file, classifier and all."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit.r160_in1k").eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    encoder = load_image_encoder("test_vit.r160_in1k", weights=tmp_path / "weights.safetensors")
    model.reset_classifier(0)
    transform = timm.data.create_transform(
        **timm.data.resolve_model_data_config(model), is_training=False
    )
    with torch.inference_mode():
        expected = model(torch.stack([transform(p) for p in images()])).numpy()
    np.testing.assert_allclose(encoder.encode(images()), expected, atol=1e-6)
    assert (encoder.name, encoder.size) == ("test_vit.r160_in1k", 160)


def test_weights_from_the_hub(folder, tmp_path, monkeypatch):
    """A published name asks the hub for its own repository and reads the file that comes."""
    requested = {}
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit.r160_in1k").state_dict(), tmp_path / "model.safetensors")

    def hub_folder(repo, files, required, **words):
        requested.update(repo=repo, required=required, **words)
        return tmp_path

    monkeypatch.setattr(hub, "hub_folder", hub_folder)
    encoder = load_image_encoder("timm:test_vit.r160_in1k")
    assert encoder.name == "test_vit.r160_in1k" and requested["repo"] == "timm/test_vit.r160_in1k"
    assert "--image_weights" in requested["alternatives"] and requested["kind"] == "image encoder"


def test_hashes_follow_weights_and_transform(folder, tmp_path):
    before = load_image_encoder(str(folder))
    state = load_file(folder / "model.safetensors")
    state["blocks.0.attn.qkv.bias"][0] += 1e-3
    save_file(state, tmp_path / "other.safetensors")
    after = load_image_encoder(str(folder), weights=tmp_path / "other.safetensors")
    assert after.fingerprint != before.fingerprint
    assert after.transform_hash == before.transform_hash
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.5, 0.5, 0.5]
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(load_file(folder / "model.safetensors"), tmp_path / "model.safetensors")
    after = load_image_encoder(str(tmp_path))
    assert after.fingerprint == before.fingerprint
    assert after.transform_hash != before.transform_hash


def test_documented_encoder_without_weights_says_what_to_do():
    with pytest.raises(UserError) as caught:
        load_image_encoder()
    message = str(caught.value)
    assert "timm/eva02_large_patch14_448.mim_m38m_ft_in22k_in1k is not on this machine" in message
    assert "--image_weights FILE" in message and "\n" not in message and "minilm" not in message


def test_documented_encoder_is_what_the_document_says():
    """Its published data config: 448 pixels, squashed, bicubic, CLIP's mean."""
    config = timm.models.get_pretrained_cfg(image_encoder.DEFAULT)
    assert config.input_size == (3, 448, 448) and config.crop_mode == "squash"
    assert config.interpolation == "bicubic" and config.mean[0] == pytest.approx(0.48145466)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "timm knows no such network.*perhaps you meant"),
        ("resnet18.never_trained", "timm knows no such network or weights"),
        ("./nowhere", "there is no such folder"),
        ("some/thing", "there is no such folder"),
        ("", "timm knows no such network"),
        ("vit_tiny_patch16_18x2_224", "timm|hub"),
    ],
)
def test_wrong_names_are_one_line(name, message):
    with pytest.raises(UserError, match=message) as caught:
        load_image_encoder(name)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_are_refused(folder, tmp_path):
    """Another network's, a part missing, noise, a pickle with a payload: never random numbers."""
    state = load_file(folder / "model.safetensors")
    path = tmp_path / "weights.safetensors"

    def refused(weights, match):
        with pytest.raises(UserError, match=match) as caught:
            load_image_encoder(str(folder), weights=weights)
        assert "\n" not in str(caught.value)

    save_file({key: value for key, value in state.items() if "blocks.1.mlp" not in key}, path)
    refused(path, r"the weights lack 4 of its parts, such as blocks\.1\.mlp")
    save_file({**state, "norm.weight": torch.ones(25)}, path)
    refused(path, "cannot be read: RuntimeError.*norm.weight")
    path.write_bytes(b"noise" * 100)
    refused(path, "cannot be read")
    witness = tmp_path / "ran"
    payload = tmp_path / "weights.pth"
    payload.write_bytes(f"cbuiltins\nopen\n(V{witness}\nVw\ntR.".encode())
    refused(payload, "nothing in it was executed")
    assert not witness.exists()
    refused(tmp_path / "none.pth", "--image_weights .*none.pth: not there")


def test_folder_without_a_model(tmp_path):
    with pytest.raises(UserError, match=r"holds neither config\.json nor open_clip_config\.json"):
        load_image_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text('{"architecture": "resnet18", "pretrained_cfg": {}}')
    with pytest.raises(UserError, match=r"cannot be read.*No suitable checkpoints"):
        load_image_encoder(str(tmp_path))


def test_random_weights_only_by_their_own_name(caplog, propagate):
    encoder = load_image_encoder("random:test_vit")
    assert encoder.name == "random:test_vit" and "random weights" in caplog.text
    before = torch.random.get_rng_state()
    assert load_image_encoder("random:test_vit").fingerprint == encoder.fingerprint
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture
def propagate(monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("triform"), "propagate", True)


def test_nothing_of_torch_stays_changed(folder):
    before = torch.nn.Module.load_state_dict
    load_image_encoder(str(folder))
    assert torch.nn.Module.load_state_dict is before


@pytest.mark.parametrize("name", ["resnet50", "timm:resnet50", "open_clip:ViT-B-32/openai"])
def test_a_known_name_is_never_a_folder(name, tmp_path, monkeypatch):
    """Checkpoints may name it: what lies beside them under that name is not meant."""
    monkeypatch.chdir(tmp_path)
    for file in ("config.json", "open_clip_config.json"):
        path = tmp_path / name.partition(":")[2] / file if ":" in name else tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    with pytest.raises(UserError, match="is not on this machine"):
        load_image_encoder(name)


# open_clip

TINY_CLIP = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 128, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture
def clip_folder(tmp_path):
    open_clip = pytest.importorskip("open_clip", reason="the extra `clip` is not installed")
    torch.manual_seed(0)
    model = open_clip.CLIP(**TINY_CLIP).eval()
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7], "interpolation": "bicubic"}
    config = {"model_cfg": TINY_CLIP, "preprocess_cfg": preprocess}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    return tmp_path


def test_folder_of_open_clip(clip_folder):
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    with torch.inference_mode():
        tensors = torch.stack([transform(image) for image in images()])
        expected = model.eval().encode_image(tensors).numpy()
    for name in (str(clip_folder), f"open_clip:{clip_folder}"):
        encoder = load_image_encoder(name)
        assert (encoder.dim, encoder.size) == (12, 16)
        np.testing.assert_allclose(encoder.encode(images()), expected, atol=1e-6)


def test_open_clip_weights_without_images_are_refused(clip_folder):
    path = clip_folder / "open_clip_model.safetensors"
    state = {key: value for key, value in load_file(path).items() if key != "visual.proj"}
    save_file(state, path)
    with pytest.raises(UserError, match=r"visual\.proj") as caught:
        load_image_encoder(str(clip_folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-33/openai", "perhaps you meant open_clip:ViT-B-32"),
        ("open_clip:ViT-B-32", "say which weights.*openai"),
        ("open_clip:ViT-B-32/opeanai", "say which weights.*openai"),
        ("open_clip:ViT-B-32/openai", "is not on this machine.*--image_weights"),
    ],
)
def test_names_of_open_clip(name, message):
    pytest.importorskip("open_clip", reason="the extra `clip` is not installed")
    with pytest.raises(UserError, match=message) as caught:
        load_image_encoder(name)
    assert "\n" not in str(caught.value)


def test_missing_package_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match=r"pip install 'triform\[clip\]'"):
        load_image_encoder("open_clip:ViT-B-32/openai")

"""Conversion between Shap-E's files, diffusers' and ours, bit for bit; and what is refused."""

import hashlib
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import PriorTransformer

from triform.base.errors import UserError
from triform.systems.shap_e.config import ModelConfig, TransmitterConfig
from triform.systems.shap_e.conversion.convert import OFFICIAL, convert
from triform.systems.shap_e.conversion.original_config import transmitter_config
from triform.systems.shap_e.conversion.weight_names import (
    prior_to_original,
    transmitter_to_original,
)
from triform.systems.shap_e.model import Prior
from triform.systems.shap_e.trained import Trained, load_transmitter
from triform.systems.shap_e.transmitter.transmitter import Transmitter
from triform.systems.shap_e.verb_config import ConvertConfig

SMALL = TransmitterConfig(
    encoder_width=16,
    encoder_layers=2,
    encoder_heads=2,
    data_tokens=4,
    inner_points=8,
    inner_views=2,
    view_size=8,
    view_patch=4,
    latent_width=8,
    hidden=4,
)
YAML = {
    "name": "Transmitter",
    "encoder": {
        "name": "PointCloudPerceiverChannelsEncoder",
        "cross_attention_dataset": "pcl_and_multiview_pcl",
        "params_proj": {"name": "channels", "use_ln": True, "learned_scale": 0.0625},
        "latent_bottleneck": {"name": "clamp_noise", "noise_scale": 0.1},
        "d_latent": 8,
        "width": 16,
        "layers": 2,
        "heads": 2,
        "data_ctx": 4,
        "inner_batch_size": [8, 2],
        "min_unrolls": 1,
        "max_unrolls": 1,
        "image_size": 8,
        "patch_size": 4,
        "use_depth": True,
    },
    "renderer": {
        "name": "NeRSTFRenderer",
        "nerstf": {"name": "MLPNeRSTFModel", "d_hidden": 4, "density_activation": "relu"},
    },
}


def run(source: Path, target: Path, **options) -> dict:
    return convert(ConvertConfig(weights=source, output=target, **options))


def original_prior(kind: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = ModelConfig(model_type=kind, prior_width=16, prior_layers=2, prior_heads=2)
    prior = Prior(model, 16, 8, 12)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter)
    return prior_to_original(prior.transformer.state_dict(), 2)


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["text300M", "image300M"])
def test_prior_to_diffusers_to_ours_and_back(tmp_path, kind):
    tensors, source = original_prior(kind), tmp_path / "mine.pt"
    torch.save(tensors, source)
    report = run(source, tmp_path / "prior", heads=2)
    assert report["from"] == "Shap-E" and report["networks"] == ["prior"]
    network = PriorTransformer.from_pretrained(tmp_path / "prior")
    assert network.config.num_attention_heads == 2
    assert run(tmp_path / "prior", tmp_path / "prior.safetensors")["from"] == "diffusers"
    assert run(tmp_path / "prior.safetensors", tmp_path / "again.pt")["from"] == "Triform"
    assert_same(torch.load(tmp_path / "again.pt", weights_only=True), tensors)
    trained = Trained.from_checkpoint(tmp_path / "prior.safetensors", "cpu")
    assert trained.config.model.model_type == kind
    x, t, cond = torch.randn(1, 16, 8), torch.tensor([3]), torch.randn(1, 2, 12)
    expected = network(
        x, t, cond * (1 if kind == "image300M" else 12**0.5)
    ).predicted_image_embedding
    torch.testing.assert_close(trained.prior(x, t, cond), expected)


def test_transmitter_and_decoder_there_and_back(tmp_path):
    torch.manual_seed(0)
    transmitter = Transmitter(SMALL)
    rest = {"renderer.void.background": torch.ones(3)}
    rest |= {
        f"renderer.nerstf.mlp.{n}.weight": torch.randn(4, 93 if n == 0 else 4) for n in range(4)
    }
    tensors = transmitter_to_original(transmitter.state_dict(), rest)
    torch.save(tensors, tmp_path / "mine.pt")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(YAML))
    with pytest.raises(UserError, match="needs --original_config"):
        run(tmp_path / "mine.pt", tmp_path / "ours.safetensors")
    run(tmp_path / "mine.pt", tmp_path / "ours.safetensors", original_config=tmp_path / "mine.yaml")
    loaded = load_transmitter(tmp_path / "ours.safetensors")
    assert_same(loaded.state_dict(), transmitter.state_dict())
    run(tmp_path / "ours.safetensors", tmp_path / "again.pt")
    assert_same(torch.load(tmp_path / "again.pt", weights_only=True), tensors)

    alone = {name: tensor for name, tensor in tensors.items() if name.startswith("renderer.")}
    alone |= {
        name.removeprefix("encoder."): tensor
        for name, tensor in tensors.items()
        if name.startswith("encoder.params_proj.")
    }
    torch.save(alone, tmp_path / "decoder.pt")
    run(tmp_path / "decoder.pt", tmp_path / "decoder.safetensors")
    decoder = load_transmitter(tmp_path / "decoder.safetensors")
    assert decoder.encoder is None
    assert_same(decoder.decoder.state_dict(), transmitter.decoder.state_dict())
    run(tmp_path / "decoder.safetensors", tmp_path / "decoder_again.pt")
    assert_same(torch.load(tmp_path / "decoder_again.pt", weights_only=True), alone)


def test_settings_of_the_original(tmp_path):
    path = tmp_path / "config.yaml"
    assert transmitter_config(YAML, path) == SMALL
    for part, name, value in (
        ("encoder", "cross_attention_dataset", "multiview"),
        ("encoder", "latent_warp", {"name": "tan2"}),
        ("encoder", "wings", 2),
        ("renderer", "name", "STFRenderer"),
    ):
        wrong = {**YAML, part: {**YAML[part], name: value}}
        with pytest.raises(UserError, match=name) as caught:
            transmitter_config(wrong, path)
        assert "\n" not in str(caught.value)


def test_official_names_need_official_checksums(tmp_path, monkeypatch):
    source = tmp_path / "text_cond.pt"
    torch.save(original_prior("text300M"), source)
    with pytest.raises(UserError, match="sha256 is not that of the published text_cond"):
        run(source, tmp_path / "prior.safetensors", heads=2)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    monkeypatch.setitem(OFFICIAL, "text_cond.pt", digest)
    run(source, tmp_path / "prior.safetensors", heads=2)


class Trap:
    """Would write a file if it were unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_wrong_files_are_one_line_and_execute_nothing(tmp_path):
    torch.save({"wrapped.pos_emb": Trap(str(tmp_path / "trap"))}, tmp_path / "pickle.pt")
    torch.save({"wrapped.pos_emb": torch.zeros(4, 4)}, tmp_path / "half.pt")
    torch.save({"other": torch.zeros(4, 4)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "folder").mkdir()
    for name in ("pickle.pt", "half.pt", "other.pt", "text.pt", "folder", "missing.pt"):
        with pytest.raises(UserError) as caught:
            run(tmp_path / name, tmp_path / "out.safetensors")
        assert "\n" not in str(caught.value) and name in str(caught.value)
    assert not (tmp_path / "trap").exists() and not (tmp_path / "out.safetensors").exists()

"""Encoders that are cached, fine-tuned, or taken from another captioner."""

from pathlib import Path

import numpy as np
import pytest
import torch
from captioned_folder import TINY, flags_of, write_flickr

from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.engine.verbs import train
from triform.systems.captioner.config import VERBS, Config
from triform.systems.captioner.system import System, Trained

PRESETS = Path(__file__).parents[3] / "src/triform/systems/captioner/presets"


def test_cached_features_are_those_of_encoding(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    flags = [
        *write_flickr(tmp_path),
        *flags_of(**TINY, encoder="random:resnet10t", image_size=64, vocab_path=""),
    ]
    cached = System(parse(Config, flags))
    plain = System(parse(Config, [*flags, "--cache_features", "false"]))
    for network in (cached.captioner, plain.captioner, plain.frozen["encoder"]):
        network.eval()
    with torch.no_grad():
        by_file, by_network = cached.evaluate("val"), plain.evaluate("val")
    assert cached.is_cached and not plain.is_cached
    assert by_file["loss"] == pytest.approx(
        by_network["loss"], rel=1e-3
    )  # cached in half precision


def test_a_tuned_encoder_is_saved_with_the_model(tmp_path, caplog):
    """Its weights are trained, its batch norms frozen, and no other weights are loaded later."""
    flags = [
        *flags_of(
            config="tiny",
            device="cpu",
            runs_dir=tmp_path,
            epochs=1,
            encoder="random:test_efficientnet",
            encoder_fine_tune="true",
            lr_mode="finetune",
            finetune_lr=0.01,
            detection=1,
        ),
    ]
    settings = parse(Config, flags, PRESETS)
    before = System(settings).captioner.encoder.state_dict()
    folder = Path(train(System, settings)["run"])
    caplog.clear()
    trained = Trained.from_checkpoint(folder / "checkpoints" / "last_checkpoint.pth.tar", "cpu")
    assert "random weights" not in caplog.text
    after = trained.model.encoder.state_dict()
    for name, tensor in after.items():
        is_statistic = "running" in name or "num_batches" in name
        assert torch.equal(tensor, before[name]) == is_statistic, name
    images = [np.zeros((40, 30, 3), np.uint8)]
    assert trained.caption(images, VERBS["caption"](images=("x",)))[0].token_ids


def test_the_tuned_encoder_of_another_captioner(tmp_path, monkeypatch):
    """It is frozen, its features are cached, and it is saved with the new model as well."""
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    name = "random:test_efficientnet"
    flags = [
        *flags_of(
            config="tiny",
            device="cpu",
            runs_dir=tmp_path,
            epochs=1,
            encoder=name,
            frame="true",
            detection=0,
        ),
    ]
    tuned = ["--encoder_fine_tune", "true", "--lr_mode", "finetune", "--finetune_lr", "0.01"]
    first_run = Path(train(System, parse(Config, [*flags, *tuned], PRESETS))["run"])
    config = parse(Config, [*flags, "--encoder_weights", str(first_run)], PRESETS)
    system = System(config)
    assert system.is_cached and not any(
        each.requires_grad for each in system.captioner.encoder.parameters()
    )
    folder = Path(train(System, config)["run"])
    best = [each / "checkpoints" / "best_checkpoint.pth.tar" for each in (first_run, folder)]
    original, saved = (
        Trained.from_checkpoint(path, "cpu").model.encoder.state_dict() for path in best
    )
    assert all(torch.equal(saved[key], tensor) for key, tensor in original.items())
    # Images and their cached feature maps give the same but for half precision.
    rows = system.eval_batches["val"].rows[:3]
    images = [system.table.images.image(int(row)) for row in rows]
    trained = Trained.from_checkpoint(best[1], "cpu")
    maps = torch.from_numpy(system.eval_batches["val"].features[rows].astype(np.float32))
    features = trained.encode(images)
    assert torch.allclose(
        features, trained.model.encode(maps), atol=2e-3 * float(features.abs().max())
    )
    hypotheses = trained.caption(images, VERBS["caption"](images=("x",), decoding="known"))
    captions = {text for row in system.table.rows("train") for text in system.table.captions[row]}
    assert {trained.text(each) for each in hypotheses} <= captions
    with pytest.raises(UserError, match=r"its encoder is random:test_efficientnet; needed is"):
        other = ["--encoder_weights", str(first_run), "--encoder", "random:test_vit"]
        System(parse(Config, [*flags, *other], PRESETS))
    with pytest.raises(UserError, match=r"--encoder_weights .*: no run directory, or nothing was"):
        System(parse(Config, [*flags, "--encoder_weights", str(tmp_path)], PRESETS))
    plain = ["--config", "tiny", "--device", "cpu", "--epochs", "1", "--runs_dir", str(tmp_path)]
    small = Path(train(System, parse(Config, plain, PRESETS))["run"])
    with pytest.raises(UserError, match="its encoder is small"):
        System(parse(Config, [*flags, "--encoder_weights", str(small)], PRESETS))

"""Fine-tuning from a frozen checkpoint, as the document describes, and what a failed run leaves."""

from pathlib import Path

import pytest
import torch
from captioned_folder import write_flickr

from triform.base.errors import UserError
from triform.base.settings.config import parse
from triform.engine.checkpoints import checkpoint
from triform.engine.checkpoints.finding import find_checkpoint
from triform.engine.fit import fit
from triform.engine.session import Session
from triform.engine.verbs import train
from triform.pretrained.feature_maps import load_feature_maps
from triform.systems.captioner import system as captioner_system
from triform.systems.captioner.config import Config
from triform.systems.captioner.system import System, Trained

SMALL = [
    "--encoder",
    "random:resnet10t",
    "--image_size",
    "64",
    "--freq_threshold",
    "1",
    "--embed_size",
    "16",
    "--decoder_dim",
    "16",
    "--encoder_dim",
    "16",
    "--batch_size",
    "4",
    "--num_workers",
    "0",
    "--device",
    "cpu",
    "--epochs",
    "2",
    "--sample_every",
    "0",
    "--no_bleu",
]
FINE_TUNE = ["--encoder_fine_tune", "true", "--lr_mode", "finetune", "--finetune_lr", "1e-3"]
BEST = "./checkpoints/best_checkpoint.pth.tar"


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags of a small training in a folder of its own, with the documented names of files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path / "cache"))
    return [*write_flickr(tmp_path), *SMALL]


def test_fine_tuning_begins_with_the_weights_of_a_frozen_run(flags: list[str]) -> None:
    """Decoder of the checkpoint, encoder as it was, both trained, by a new optimizer."""
    frozen = Path(train(System, parse(Config, flags))["run"])
    before = checkpoint.load(BEST)
    config = parse(Config, [*flags, *FINE_TUNE, "--resume_from", BEST])
    system = System(config)
    session = Session(system)
    start = {key: value.clone() for key, value in system.captioner.state_dict().items()}
    for key, value in before["networks"]["captioner"].items():
        assert torch.equal(start[key], value), key
    pretrained = load_feature_maps("random:resnet10t").state_dict()
    assert all(torch.equal(start[f"encoder.{key}"], value) for key, value in pretrained.items())
    assert not system.optimizers["main"].state and session.step == session.epoch == 0
    assert session.best is not None and session.best["value"] == before["best"]["value"]
    assert [group["lr"] for group in system.optimizers["main"].param_groups] == [1e-4, 1e-3]

    result = fit(System(config))
    state = checkpoint.load(result.run_dir / "checkpoints/last_checkpoint.pth.tar")
    weights = state["networks"]["captioner"]
    assert state["epoch"] == 2
    for name in ("encoder.model.conv1.0.weight", "output_proj.weight"):
        assert not torch.equal(weights[name], start[name]), name
    best = result.best
    assert best is not None and best["value"] <= before["best"]["value"]
    # The first run has its own files still, although both write to ./checkpoints.
    assert result.run_dir != frozen
    kept = checkpoint.load(find_checkpoint(str(frozen), "captioner"))
    assert kept["networks"]["captioner"].keys() == before["networks"]["captioner"].keys()
    tuned = Trained.from_checkpoint(find_checkpoint(str(result.run_dir), "captioner"), "cpu")
    assert tuned.encoder is None


def test_settings_that_do_not_fit_are_one_line(flags: list[str]) -> None:
    """Back to frozen, or with attention: hundreds of names, and one of them in the message."""
    train(System, parse(Config, [*flags, *FINE_TUNE, "--epochs", "1"]))
    for changed, reason in (
        ([], "captioner.encoder.model.conv1.0.weight belongs nowhere"),
        ([*FINE_TUNE, "--attention"], "captioner.pos_embed is missing"),
    ):
        with pytest.raises(UserError, match=f"does not fit this system: {reason}") as caught:
            train(System, parse(Config, [*flags, *changed, "--resume_from", BEST]))
        assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_a_run_that_fails_before_its_first_step_leaves_no_vocabulary(
    flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(captioner_system, "caption_loss", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(System, parse(Config, flags))
    assert not Path("vocab.pkl").exists()
    train(System, parse(Config, [*flags, "--max_steps", "1"]))
    assert Path("vocab.pkl").is_file()

import pickle
from pathlib import Path

import pytest
import torch

from triform.base.errors import UserError
from triform.systems.voxel_gan.config import ModelConfig
from triform.systems.voxel_gan.convolutional import (
    ConditionalVoxelDecoder,
    Discriminator,
    VoxelEncoder,
)
from triform.systems.voxel_gan.trained import Trained

CPU = torch.device("cpu")


def original_checkpoint(path: Path, *, use_batch_norm: bool = False) -> dict[str, torch.Tensor]:
    """A file as the original program wrote it: whole optimizers beside the weights."""
    torch.manual_seed(0)
    model = ModelConfig(
        latent_dim=6,
        cond_dim=10,
        hidden_channels=4,
        disc_hidden_channels=4,
        num_encoder_layers=3,
        num_decoder_layers=3,
        disc_num_layers=3,
        use_batch_norm=use_batch_norm,
    )
    encoder, decoder = VoxelEncoder(model, 16), ConditionalVoxelDecoder(model, 16)
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    state |= {f"decoder.{k}": v for k, v in decoder.state_dict().items()}
    discriminator = Discriminator(model, 16)
    content = {
        "epoch": 7,
        "cvae_state_dict": state,
        "discriminator_state_dict": discriminator.state_dict(),
        "optimizer_G": torch.optim.Adam(encoder.parameters()).state_dict(),
        "optimizer_D": torch.optim.Adam(discriminator.parameters()).state_dict(),
    }
    torch.save(content, path)
    return state


@pytest.mark.parametrize("use_batch_norm", [False, True])
def test_a_checkpoint_of_the_original_program_loads_and_decodes(
    tmp_path: Path, use_batch_norm: bool
) -> None:
    path = tmp_path / "checkpoint.pth"
    state = original_checkpoint(path, use_batch_norm=use_batch_norm)
    trained = Trained(path, CPU)
    assert trained.voxel_size == 16
    assert trained.model == ModelConfig(
        latent_dim=6,
        cond_dim=10,
        num_encoder_layers=3,
        num_decoder_layers=3,
        use_batch_norm=use_batch_norm,
        hidden_channels=4,
        text_encoder="clip",
    )
    loaded = trained.cvae.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    z, cond = torch.randn(2, 6), torch.zeros(2, 10)
    grids = trained.decode(z, cond)
    assert grids.shape == (2, 16, 16, 16) and 0 < grids.min() < grids.max() < 1


def test_a_run_is_read(tiny_run: Path) -> None:
    assert Trained(tiny_run / "checkpoints" / "best.pth", CPU).voxel_size == 16


class Evil:
    """What must never be executed."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return (os.system, ("touch executed",))


@pytest.mark.parametrize("kind", ["pickle", "cut", "text", "empty", "foreign", "parts missing"])
def test_a_file_that_is_no_checkpoint_is_one_line_and_nothing_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    state = original_checkpoint(path)
    match kind:
        case "pickle":
            path.write_bytes(pickle.dumps({"cvae_state_dict": Evil()}))
        case "cut":
            path.write_bytes(path.read_bytes()[:-500])
        case "text":
            path.write_text("weights\n" * 100)
        case "empty":
            path.write_bytes(b"")
        case "foreign":
            torch.save({"model": torch.zeros(3)}, path)
        case "parts missing":
            state.pop("decoder.fc.weight")
            torch.save({"cvae_state_dict": state}, path)
    with pytest.raises(UserError) as caught:
        Trained(path, CPU)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def test_weights_of_the_wrong_size_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = original_checkpoint(path)
    state["encoder.conv2.weight"] = torch.zeros(3, 3, 4, 4, 4)
    torch.save({"cvae_state_dict": state}, path)
    with pytest.raises(UserError, match=r"its settings: cvae\.encoder\.conv2\.weight") as caught:
        Trained(path, CPU)
    assert "\n" not in str(caught.value)

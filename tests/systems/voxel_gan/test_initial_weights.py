"""A run that begins with weights like those that ship."""

from pathlib import Path

import torch

from triform.engine.checkpoints.checkpoint import export_weights, load_weights
from triform.systems.voxel_gan.system import System

from .conftest import preset


def test_initial_weights_may_have_no_discriminator(
    tiny_run: Path, workspace: Path, tmp_path: Path
) -> None:
    """The discriminator begins anew, everything else is taken."""
    weights = load_weights(next(tiny_run.glob("checkpoints/best*")))
    networks = {name: each for name, each in weights.networks.items() if name != "discriminator"}
    path = tmp_path / "exported.safetensors"
    export_weights(path, networks, weights.config, system="voxel_gan", metadata=weights.metadata)
    name = "tiny" if weights.config["model"]["architecture"] == "plain" else "tiny_residual"
    flags = ["--download_path", str(workspace / "datasets"), "--seed", "7"]
    system = System(preset(name, *flags, "--initial_weights", str(path)))
    assert "discriminator" in system.networks
    system.load_initial_weights()
    for key, tensors in networks.items():
        state = system.networks[key].state_dict()
        assert all(torch.equal(state[each], tensors[each]) for each in tensors), key

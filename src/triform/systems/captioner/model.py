"""The decoder of the captioner: an LSTM over image features, with or without attention.

Vinyals et al., arXiv:1411.4555 (the mean feature conditions the LSTM); Xu et al., arXiv:1502.03044,
section 3.1.2 (soft attention with a gate); Lu et al., arXiv:1612.01887, section 2.1 (attention
after the LSTM's step: following "a red", only the red object matters).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.systems.captioner.config import ModelConfig
from triform.text.vocabulary import PAD, UNKNOWN, Vocabulary

CACHE_ELEMENTS = 2**18
"""Elements of a tensor that fit into the cache of one processor core."""


class DecoderState(NamedTuple):
    """State of the decoder for K sentences about each of N images.

    Attributes:
        hidden: (N * K, H) hidden state of the LSTM, the sentences of an image side by side.
        cell: (N * K, H) cell state.
        features: (N, L, E) image features.
        keys: (N, L, A) keys of the attention; (N, 0, 0) without attention.
        image_gates: (N, 4 * H) contribution of the mean feature to the LSTM's gates.
    """

    hidden: Tensor
    cell: Tensor
    features: Tensor
    keys: Tensor
    image_gates: Tensor

    def select(self, indices: Tensor) -> DecoderState:
        """The state of images by index; there is one sentence about each."""
        return DecoderState(*(tensor[indices] for tensor in self))


class CaptionerOutput(NamedTuple):
    """Predictions for N captions of B images, under teacher forcing.

    Attributes:
        logits: (N, T - 1, V) of every next token.
        attention: (N, T - 1, L) attention weights; None without attention.
        features: (B, L, E) image features.
    """

    logits: Tensor
    attention: Tensor | None
    features: Tensor


class Captioner(nn.Module):
    """LSTM decoder that turns feature maps into captions.

    Args:
        config: Sizes.
        in_channels: Channels of the feature maps.
        vocabulary: Words that it predicts.
        encoder: Turns images into feature maps, if its weights are saved with the decoder's.
    """

    def __init__(
        self,
        config: ModelConfig,
        in_channels: int,
        vocabulary: Vocabulary,
        encoder: nn.Module | None = None,
    ):
        super().__init__()
        self.grid_size = config.encoded_image_size
        self.encoder = encoder or nn.Identity()
        width, hidden = config.encoder_dim, config.decoder_dim
        self.feature_proj = nn.Conv2d(in_channels, width, 1)
        self.embedding = nn.Embedding(
            len(vocabulary), config.embed_size, padding_idx=vocabulary.word_to_idx[PAD]
        )
        self.init_hidden = nn.Linear(width, hidden)
        self.init_cell = nn.Linear(width, hidden)
        self.lstm = nn.LSTMCell(config.embed_size + width, hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.output_proj = nn.Linear(hidden, len(vocabulary))
        self.context_proj = nn.Linear(width, hidden, bias=False) if config.attention else None
        self.attention = (
            Attention(width, hidden, config.attention_dim, config.attention_score)
            if config.attention
            else None
        )
        # Without positions in its features, attention could only guess what "left" is.
        self.pos_embed = (
            nn.Parameter(torch.zeros(config.encoded_image_size**2, width))
            if config.attention
            else None
        )
        self.word_dropout = config.word_dropout
        self.unknown_id = vocabulary.word_to_idx[UNKNOWN]

    def encode(self, images: Tensor) -> Tensor:
        """Image features (B, L, E), row by row, of images or feature maps (B, C, S, S)."""
        maps = images
        if images.shape[1] != self.feature_proj.in_channels:
            maps = self.encoder(images)
        if maps.shape[-1] < self.grid_size:  # projection and pooling commute: fewer pixels first
            maps = F.adaptive_avg_pool2d(self.feature_proj(maps), self.grid_size)
        else:
            maps = self.feature_proj(F.adaptive_avg_pool2d(maps, self.grid_size))
        features = maps.flatten(2).transpose(1, 2)
        return features if self.pos_embed is None else features + self.pos_embed

    def init_state(self, features: Tensor) -> DecoderState:
        """The state before the first token, of one sentence about each of N images."""
        mean = features.mean(1)
        keys = features.new_zeros(len(features), 0, 0)
        if self.attention is not None:
            keys = self.attention.key(features)
        hidden, cell = torch.tanh(self.init_hidden(mean)), torch.tanh(self.init_cell(mean))
        # The mean feature is an input of every step and never changes: multiply it once.
        lstm = self.lstm
        weight = lstm.weight_ih[:, self.embedding.embedding_dim :]
        image_gates = F.linear(mean, weight, lstm.bias_ih + lstm.bias_hh)
        return DecoderState(hidden, cell.float(), features, keys, image_gates)

    def step(
        self, token_ids: Tensor, state: DecoderState
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """Predict one more token of each sentence.

        Args:
            token_ids: (N * K,) last tokens of K sentences about each of N images, the sentences
                of an image side by side.
            state: Of N images and N * K sentences.

        Returns:
            Logits (N * K, V) of the next tokens, the state, and attention weights (N * K, L).
        """
        state = self._lstm_step(self._token_gates(token_ids), state)
        hidden = state.hidden.view(len(state.features), -1, state.hidden.shape[1])
        logits, weights = self._predict(hidden, state)
        return logits.flatten(0, 1), state, None if weights is None else weights.flatten(0, 1)

    def forward(self, images: Tensor, captions: Tensor, image_index: Tensor) -> CaptionerOutput:
        """Predict every next token from the true tokens before it (teacher forcing).

        Args:
            images: (B, C, S, S) images in [0, 1], or feature maps.
            captions: (N, T) int64 token ids.
            image_index: (N,) int64 image that each caption is about.
        """
        features = self.encode(images)
        state = self.init_state(features).select(image_index)
        inputs = captions[:, :-1]
        if self.training and self.word_dropout:
            dropped = torch.rand(inputs.shape, device=inputs.device) < self.word_dropout
            dropped[:, 0] = False  # the start token is no word
            inputs = inputs.masked_fill(dropped, self.unknown_id)
        hidden = []
        for token_gates in self._token_gates(inputs).unbind(1):
            state = self._lstm_step(token_gates, state)
            hidden.append(state.hidden)
        # Only the LSTM is sequential; attention and output run on all steps at once.
        logits, attention = self._predict(torch.stack(hidden, 1), state)
        return CaptionerOutput(logits, attention, features)

    def _token_gates(self, token_ids: Tensor) -> Tensor:
        """Contribution of tokens (...,) to the LSTM's gates, (..., 4 * H)."""
        embeddings: Tensor = self.embedding(token_ids)
        return F.linear(embeddings, self.lstm.weight_ih[:, : embeddings.shape[-1]])

    def _lstm_step(self, token_gates: Tensor, state: DecoderState) -> DecoderState:
        """The state after one more token, given its contribution (N * K, 4 * H) to the gates."""
        image_gates = state.image_gates
        if len(token_gates) != len(image_gates):
            image_gates = image_gates.repeat_interleave(len(token_gates) // len(image_gates), 0)
        gates = token_gates + image_gates + F.linear(state.hidden, self.lstm.weight_hh)
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, 1)
        cell = torch.sigmoid(forget_gate) * state.cell
        cell = cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
        hidden = torch.sigmoid(output_gate) * torch.tanh(cell).to(gates.dtype)
        return state._replace(hidden=hidden, cell=cell)

    def _predict(self, hidden: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None]:
        """Logits (N, T, V) and attention weights (N, T, L) from hidden states (N, T, H)."""
        weights = None
        if self.attention is not None and self.context_proj is not None:
            context, weights = self.attention(hidden, state)
            hidden = hidden + self.context_proj(context)
        return self.output_proj(self.dropout(hidden)), weights


class Attention(nn.Module):
    """Gated attention over the positions of an image (arXiv:1502.03044, section 4.2.1).

    Additive (arXiv:1409.0473, appendix A.1.2), or by scaled dot products (arXiv:1706.03762,
    section 3.2.1). An additive score compares query and key only where its tanh saturates; a dot
    product does so from the first step.

    Args:
        feature_dim: Width of the image features.
        hidden_dim: Width of the LSTM's state.
        attention_dim: Width of queries and keys.
        score: "additive" or "dot".
    """

    def __init__(
        self, feature_dim: int, hidden_dim: int, attention_dim: int, score: str = "additive"
    ):
        super().__init__()
        self.key = nn.Linear(feature_dim, attention_dim)
        self.query = nn.Linear(hidden_dim, attention_dim, bias=False)
        # A bias would cancel in the softmax.
        self.score = nn.Linear(attention_dim, 1, bias=False) if score == "additive" else None
        self.gate = nn.Linear(hidden_dim, feature_dim)

    def forward(self, hidden: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """Context vectors (N, T, E) and weights (N, T, L) of hidden states (N, T, H)."""
        query = self.query(hidden)
        if self.score is None:
            scores = query @ state.keys.to(query.dtype).transpose(1, 2) / query.shape[-1] ** 0.5
        elif torch.is_grad_enabled():
            scores = self.score(torch.tanh(state.keys[:, None] + query[:, :, None]))[..., 0]
        else:
            scores = _additive_scores(self.score.weight[0], state.keys, query)
        weights = scores.float().softmax(2)
        context = weights.to(state.features.dtype) @ state.features
        return torch.sigmoid(self.gate(hidden)) * context, weights


def _additive_scores(weight: Tensor, keys: Tensor, query: Tensor) -> Tensor:
    """Scores (N, T, L) of keys (N, L, A) for queries (N, T, A), without a gradient.

    A few images at a time and always in the same buffer, which stays in the processor's cache.
    """
    count, length, width = keys.shape
    chunk = min(count, max(1, CACHE_ELEMENTS // (query.shape[1] * length * width)))
    keys, weight = keys.to(query.dtype), weight.to(query.dtype)
    buffer = query.new_empty(chunk, query.shape[1], length, width)
    scores = query.new_empty(count, query.shape[1], length)
    for start in range(0, count, chunk):
        part = slice(start, min(start + chunk, count))
        sums = buffer[: part.stop - start]
        torch.add(keys[part, None], query[part, :, None], out=sums)
        torch.matmul(sums.tanh_(), weight, out=scores[part])
    return scores


class WordDetector(nn.Module):
    """Detects words of an image by noisy-or over its positions (arXiv:1411.4952, section 3.1).

    Used in training only: it teaches the encoder the words' appearance before the decoder's
    attention has learned where to look.

    Args:
        feature_dim: Width of the image features.
        num_words: K words.
    """

    INITIAL_BIAS = -6.0
    """Logit of a word at a position before training."""

    def __init__(self, feature_dim: int, num_words: int):
        super().__init__()
        self.classifier = nn.Linear(feature_dim, num_words)
        nn.init.constant_(self.classifier.bias, self.INITIAL_BIAS)

    def forward(self, features: Tensor) -> Tensor:
        """Negative log-probability (B, K) that a word is absent, from features (B, L, E)."""
        return F.softplus(self.classifier(features).float()).sum(1)

"""A picture's features become words: an LSTM, with or without attention.

Vinyals et al., arXiv:1411.4555 (the picture's mean vector tells the LSTM what to say); Xu et al.,
arXiv:1502.03044, section 3.1.2 (soft attention with a gate).
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

from triform.systems.captioner.config import ModelConfig
from triform.text.vocabulary import PAD, Vocabulary


class State(NamedTuple):
    """Where the decoder stands in N sentences.

    Attributes:
        hidden: (N, H).
        cell: (N, H).
        places: (N, L, E) features.
        keys: (N, L, A) what attention compares; (N, 0, 0) without attention.
        mean: (N, E) mean of the places.
    """

    hidden: Tensor
    cell: Tensor
    places: Tensor
    keys: Tensor
    mean: Tensor

    def rows(self, numbers: Tensor) -> State:
        """The state of these sentences, in this order."""
        return State(*(tensor[numbers] for tensor in self))


class SmallEncoder(nn.Module):
    """Four stages of residual blocks, from pictures in [0, 1] to (B, 4 * width, S / 8, S / 8)."""

    def __init__(self, width: int):
        super().__init__()
        self.out_channels = 4 * width
        self.layers = nn.Sequential(
            _conv_norm(3, width, stride=2),
            Residual(width),
            _conv_norm(width, 2 * width, stride=2),
            Residual(2 * width),
            _conv_norm(2 * width, 4 * width, stride=2),
            Residual(4 * width),
        ).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((images * 2 - 1).contiguous(memory_format=torch.channels_last))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (arXiv:1512.03385)."""

    def __init__(self, width: int):
        super().__init__()
        self.first = _conv_norm(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def _conv_norm(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            norm=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
        )
    )


class Captioner(nn.Module):
    """Feature maps to words.

    The vocabulary travels with the weights, as a buffer of JSON.

    Args:
        config: sizes.
        in_channels: channels of the feature maps.
        vocabulary: its words.
        encoder: makes feature maps out of pictures, where it is trained with the rest.
    """

    words: Tensor

    def __init__(
        self,
        config: ModelConfig,
        in_channels: int,
        vocabulary: Vocabulary,
        encoder: nn.Module | None = None,
    ):
        super().__init__()
        self.grid = config.encoded_image_size
        self.encoder = encoder or nn.Identity()
        width, hidden = config.encoder_dim, config.decoder_dim
        self.project = nn.Conv2d(in_channels, width, 1)
        self.embed = nn.Embedding(
            len(vocabulary), config.embed_size, padding_idx=vocabulary.word_to_idx[PAD]
        )
        self.start_hidden = nn.Linear(width, hidden)
        self.start_cell = nn.Linear(width, hidden)
        self.lstm = nn.LSTMCell(config.embed_size + width, hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.to_words = nn.Linear(hidden, len(vocabulary))
        # Words see what is looked at without a detour (arXiv:1502.03044, equation 7).
        self.tell = nn.Linear(width, hidden, bias=False) if config.attention else None
        self.attention = (
            Attention(width, hidden, config.attention_dim) if config.attention else None
        )
        # What attention sees must say where it is, or "left" can only be guessed.
        self.position = (
            nn.Parameter(torch.zeros(config.encoded_image_size**2, width))
            if config.attention
            else None
        )
        self.register_buffer("words", pack_words(vocabulary))

    def encode(self, images: Tensor) -> Tensor:
        """Pictures or feature maps (B, C, S, S) to places (B, L, E), row by row."""
        maps = nn.functional.adaptive_avg_pool2d(self.encoder(images), self.grid)
        places = self.project(maps).flatten(2).transpose(1, 2)
        return places if self.position is None else places + self.position

    def start(self, places: Tensor) -> State:
        """The state before the first word, of N sentences about N pictures."""
        mean = places.mean(1)
        keys = places.new_zeros(len(places), 0, 0)
        if self.attention is not None:
            keys = self.attention.key(places)
        hidden, cell = torch.tanh(self.start_hidden(mean)), torch.tanh(self.start_cell(mean))
        return State(hidden, cell, places, keys, mean)

    def step(self, words: Tensor, state: State) -> tuple[Tensor, State, Tensor | None]:
        """From words (N,) to logits (N, V) of the next ones; and the attention (N, L)."""
        context, weights = state.mean, None
        if self.attention is not None:
            context, weights = self.attention(state)
        seen = torch.cat([self.embed(words), context.to(state.hidden.dtype)], 1)
        hidden, cell = self.lstm(seen, (state.hidden, state.cell))
        told = hidden if self.tell is None else hidden + self.tell(context)
        logits = self.to_words(self.dropout(told))
        return logits, state._replace(hidden=hidden, cell=cell), weights

    def forward(
        self, images: Tensor, captions: Tensor, picture: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Every next word, given the true ones before it.

        Args:
            images: (B, C, S, S) pictures in [0, 1], or feature maps.
            captions: (N, T) int64.
            picture: (N,) int64, which picture each caption is about.

        Returns:
            Logits (N, T - 1, V), and attention (N, T - 1, L) where there is any.
        """
        state = self.start(self.encode(images)).rows(picture)
        logits, attention = [], []
        for words in captions[:, :-1].unbind(1):
            scores, state, weights = self.step(words, state)
            logits.append(scores)
            attention.append(weights)
        looked = None if self.attention is None else torch.stack(attention, 1)  # type: ignore[arg-type]
        return torch.stack(logits, 1), looked


class Attention(nn.Module):
    """Additive attention over places (arXiv:1409.0473), with a gate (arXiv:1502.03044, 4.2.1)."""

    def __init__(self, places: int, hidden: int, width: int):
        super().__init__()
        self.key = nn.Linear(places, width)
        self.query = nn.Linear(hidden, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)  # a bias would change no distribution
        self.gate = nn.Linear(hidden, places)

    def forward(self, state: State) -> tuple[Tensor, Tensor]:
        """What is seen (N, E), and where (N, L)."""
        query = self.query(state.hidden)[:, None]
        weights = self.score(torch.tanh(state.keys + query))[..., 0].float().softmax(1)
        seen = (weights.to(state.places.dtype)[:, None] @ state.places)[:, 0]
        return torch.sigmoid(self.gate(state.hidden)) * seen, weights


def pack_words(vocabulary: Vocabulary) -> Tensor:
    """A vocabulary as bytes, (n,) uint8."""
    content = [vocabulary.words, vocabulary.freq_threshold]
    data = json.dumps(content, ensure_ascii=False).encode()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def unpack_words(packed: Tensor) -> Vocabulary:
    """The vocabulary in bytes.

    Raises:
        ValueError: there is none in them.
    """
    words, threshold = json.loads(bytes(packed.tolist()).decode())
    return Vocabulary({word: number for number, word in enumerate(words)}, int(threshold))

"""A picture's features become words: an LSTM, with or without attention.

Vinyals et al., arXiv:1411.4555 (the picture's mean vector tells the LSTM what to say); Xu et al.,
arXiv:1502.03044, section 3.1.2 (soft attention with a gate); Lu et al., arXiv:1612.01887, section
2.1 (look after the word is heard: behind "a red", only the red thing matters).
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.systems.captioner.config import ModelConfig
from triform.text.vocabulary import PAD, SPECIAL, UNKNOWN, Vocabulary

CACHED = 2**18
"""Numbers that fit into the cache that a processor's core has to itself."""


class State(NamedTuple):
    """Where the decoder stands in sentences about N pictures, K about each.

    Attributes:
        hidden: (N * K, H), one picture after the other.
        cell: (N * K, H).
        places: (N, L, E) features.
        keys: (N, L, A) what attention compares; (N, 0, 0) without attention.
        shown: (N, 4 * H) what the mean of the places adds to the gates of the LSTM.
    """

    hidden: Tensor
    cell: Tensor
    places: Tensor
    keys: Tensor
    shown: Tensor

    def rows(self, numbers: Tensor) -> State:
        """The state of these pictures, in this order; of one sentence about each."""
        return State(*(tensor[numbers] for tensor in self))


class Told(NamedTuple):
    """What is said about B pictures in N captions while true words are heard.

    Attributes:
        logits: (N, T - 1, V) of every next word.
        attention: (N, T - 1, L), where there is any.
        places: (B, L, E) what was looked at.
    """

    logits: Tensor
    attention: Tensor | None
    places: Tensor


class SmallEncoder(nn.Module):
    """Three stages of residual blocks, from pictures in [0, 1] to (B, 4 * width, S / 8, S / 8).

    Args:
        width: channels of the first stage; each stage has twice those of the one before.
        num_blocks: residual blocks of a stage.
        dropout: share of channels left out behind each block of the last stage.
    """

    def __init__(self, width: int, num_blocks: int = 1, dropout: float = 0.0):
        super().__init__()
        self.out_channels = 4 * width
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers.append(_conv_norm(inputs, outputs, stride=2))
            left_out = dropout if outputs == 4 * width else 0.0
            layers += [Residual(outputs, left_out) for _ in range(num_blocks)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((images * 2 - 1).contiguous(memory_format=torch.channels_last))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (arXiv:1512.03385)."""

    def __init__(self, width: int, dropout: float = 0.0):
        super().__init__()
        self.first = _conv_norm(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(torch.relu(x + self.second(self.first(x))))


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

    The vocabulary travels with the weights, as a buffer of JSON; so do the captions that were
    learned, where they are few enough to choose among them.

    Args:
        config: sizes.
        in_channels: channels of the feature maps.
        vocabulary: its words.
        encoder: makes feature maps out of pictures, where its weights go with the rest.
        known: captions that were learned.
    """

    words: Tensor
    known: Tensor

    def __init__(
        self,
        config: ModelConfig,
        in_channels: int,
        vocabulary: Vocabulary,
        encoder: nn.Module | None = None,
        known: Sequence[str] = (),
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
        self.tell = nn.Linear(width, hidden, bias=False) if config.attention else None
        self.attention = (
            Attention(width, hidden, config.attention_dim, config.attention_score)
            if config.attention
            else None
        )
        # What attention sees must say where it is, or "left" can only be guessed.
        self.position = (
            nn.Parameter(torch.zeros(config.encoded_image_size**2, width))
            if config.attention
            else None
        )
        self.word_dropout, self.unknown = config.word_dropout, vocabulary.word_to_idx[UNKNOWN]
        self.register_buffer("words", pack_words(vocabulary))
        self.register_buffer("known", pack(list(known)))

    def encode(self, images: Tensor) -> Tensor:
        """Pictures or feature maps (B, C, S, S) to places (B, L, E), row by row."""
        maps = images
        if images.shape[1] != self.project.in_channels:
            maps = self.encoder(images)
        if maps.shape[-1] < self.grid:  # averages may be taken before or after: fewer first
            maps = F.adaptive_avg_pool2d(self.project(maps), self.grid)
        else:
            maps = self.project(F.adaptive_avg_pool2d(maps, self.grid))
        places = maps.flatten(2).transpose(1, 2)
        return places if self.position is None else places + self.position

    def start(self, places: Tensor) -> State:
        """The state before the first word, of N sentences about N pictures."""
        mean = places.mean(1)
        keys = places.new_zeros(len(places), 0, 0)
        if self.attention is not None:
            keys = self.attention.key(places)
        hidden, cell = torch.tanh(self.start_hidden(mean)), torch.tanh(self.start_cell(mean))
        # The mean goes in with every word and is always the same: once is enough.
        lstm = self.lstm
        weight = lstm.weight_ih[:, self.embed.embedding_dim :]
        shown = F.linear(mean, weight, lstm.bias_ih + lstm.bias_hh)
        return State(hidden, cell.float(), places, keys, shown)

    def step(self, words: Tensor, state: State) -> tuple[Tensor, State, Tensor | None]:
        """One more word of each sentence.

        Args:
            words: (N * K,) the last words of K sentences about each of N pictures, one picture
                after the other.
            state: of N pictures and N * K sentences.

        Returns:
            Logits (N * K, V) of the next words, the state, and the attention (N * K, L).
        """
        state = self._hear(self._words(words), state)
        logits, weights = self._say(state.hidden.unflatten(0, (len(state.places), -1)), state)
        return logits.flatten(0, 1), state, None if weights is None else weights.flatten(0, 1)

    def forward(self, images: Tensor, captions: Tensor, picture: Tensor) -> Told:
        """Every next word, given the true ones before it.

        Args:
            images: (B, C, S, S) pictures in [0, 1], or feature maps.
            captions: (N, T) int64.
            picture: (N,) int64, which picture each caption is about.
        """
        places = self.encode(images)
        state = self.start(places).rows(picture)
        words = captions[:, :-1]
        if self.training and self.word_dropout:
            missed = torch.rand(words.shape, device=words.device) < self.word_dropout
            missed[:, 0] = False  # the start is no word
            words = words.masked_fill(missed, self.unknown)
        heard = []
        for said in self._words(words).unbind(1):
            state = self._hear(said, state)
            heard.append(state.hidden)
        # Only hearing goes word by word; looking and saying is done for all words at once.
        logits, attention = self._say(torch.stack(heard, 1), state)
        return Told(logits, attention, places)

    def _words(self, words: Tensor) -> Tensor:
        """What words (...,) add to the gates of the LSTM, (..., 4 * H)."""
        vectors: Tensor = self.embed(words)
        return F.linear(vectors, self.lstm.weight_ih[:, : vectors.shape[-1]])

    def _hear(self, said: Tensor, state: State) -> State:
        """The state after one more word, (N * K, 4 * H) what it adds to the gates."""
        shown = state.shown
        if len(said) != len(shown):
            shown = shown.repeat_interleave(len(said) // len(shown), 0)
        gates = said + shown + F.linear(state.hidden, self.lstm.weight_hh)
        let_in, keep, new, let_out = gates.chunk(4, 1)
        cell = torch.sigmoid(keep) * state.cell + torch.sigmoid(let_in) * torch.tanh(new)
        hidden = torch.sigmoid(let_out) * torch.tanh(cell).to(gates.dtype)
        return state._replace(hidden=hidden, cell=cell)

    def _say(self, hidden: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        """Logits (N, T, V) after states of the LSTM (N, T, H), and the attention (N, T, L)."""
        told, weights = hidden, None
        if self.attention is not None and self.tell is not None:
            seen, weights = self.attention(hidden, state)
            told = hidden + self.tell(seen)
        return self.to_words(self.dropout(told)), weights


class Attention(nn.Module):
    """Attention over places, with a gate (arXiv:1502.03044, section 4.2.1).

    Additive (arXiv:1409.0473, appendix A.1.2), or by scaled products (arXiv:1706.03762, section
    3.2.1). A sum of what is looked for and what is there compares both only where its layer
    saturates; a product does from the start.

    Args:
        places: width of a place.
        hidden: width of the LSTM's state.
        width: of what is compared.
        score: "additive" or "dot".
    """

    def __init__(self, places: int, hidden: int, width: int, score: str = "additive"):
        super().__init__()
        self.key = nn.Linear(places, width)
        self.query = nn.Linear(hidden, width, bias=False)
        # A bias would change no distribution.
        self.score = nn.Linear(width, 1, bias=False) if score == "additive" else None
        self.gate = nn.Linear(hidden, places)

    def forward(self, hidden: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """What is seen (N, T, E), and where (N, T, L), from states (N, T, H)."""
        query = self.query(hidden)
        if self.score is None:
            scores = query @ state.keys.to(query.dtype).transpose(1, 2) / query.shape[-1] ** 0.5
        elif torch.is_grad_enabled():
            scores = self.score(torch.tanh(state.keys[:, None] + query[:, :, None]))[..., 0]
        else:
            scores = self._additive(self.score.weight[0], state.keys, query)
        weights = scores.float().softmax(2)
        seen = weights.to(state.places.dtype) @ state.places
        return torch.sigmoid(self.gate(hidden)) * seen, weights

    def _additive(self, weight: Tensor, keys: Tensor, query: Tensor) -> Tensor:
        """How well keys (N, L, A) answer queries (N, T, A): (N, T, L), without a gradient.

        A few pictures at a time and always in the same memory: what lies between stays in the
        processor's cache.
        """
        count, length, width = keys.shape
        few = min(count, max(1, CACHED // (query.shape[1] * length * width)))
        keys, weight = keys.to(query.dtype), weight.to(query.dtype)
        between = query.new_empty(few, query.shape[1], length, width)
        scores = query.new_empty(count, query.shape[1], length)
        for start in range(0, count, few):
            part = slice(start, min(start + few, count))
            room = between[: part.stop - start]
            torch.add(keys[part, None], query[part, :, None], out=room)
            torch.matmul(room.tanh_(), weight, out=scores[part])
        return scores


class WordDetector(nn.Module):
    """Which words are to be seen anywhere (arXiv:1411.4952, section 3.1: noisy-or of all places).

    Needed in training alone: it teaches the encoder what words look like without waiting for the
    decoder to know where to look.

    Args:
        width: of a place.
        count: K words are looked for.
    """

    RARE = -6.0
    """Log-odds at the start that a place shows a word."""

    def __init__(self, width: int, count: int):
        super().__init__()
        self.words = nn.Linear(width, count)
        nn.init.constant_(self.words.bias, self.RARE)

    def forward(self, places: Tensor) -> Tensor:
        """Places (B, L, E) to minus the log-probability that a word is nowhere, (B, K)."""
        return F.softplus(self.words(places).float()).sum(1)


def pack(content: object) -> Tensor:
    """Plain data as the bytes of its JSON, (n,) uint8."""
    data = json.dumps(content, ensure_ascii=False).encode()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def unpack(packed: Tensor) -> Any:
    """What is in such bytes.

    Raises:
        ValueError: no JSON.
    """
    try:
        return json.loads(bytes(packed.tolist()).decode())
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def pack_words(vocabulary: Vocabulary) -> Tensor:
    """A vocabulary as bytes, (n,) uint8."""
    return pack([vocabulary.words, vocabulary.freq_threshold])


def unpack_words(packed: Tensor) -> Vocabulary:
    """The vocabulary in bytes.

    Raises:
        ValueError: there is none in them.
    """
    words, threshold = unpack(packed)
    numbers = {str(word): number for number, word in enumerate(words)}
    if len(numbers) != len(words):
        raise ValueError("a word stands twice in the vocabulary")
    if missing := [word for word in SPECIAL if word not in numbers]:
        raise ValueError(f"the vocabulary lacks {missing[0]}")
    return Vocabulary(numbers, int(threshold))


def unpack_captions(packed: Tensor) -> list[str]:
    """The captions in bytes.

    Raises:
        ValueError: there are none in them.
    """
    captions = unpack(packed)
    if not isinstance(captions, list) or not all(isinstance(text, str) for text in captions):
        raise ValueError("the captions that were learned are no list of texts")
    return captions

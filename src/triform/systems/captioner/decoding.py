"""Decoding of captions: greedy, sampling, and beam search over all images at once.

`<UNK>`, padding and a second start are never predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from triform.systems.captioner.model import Captioner, DecoderState
from triform.systems.captioner.prefix_tree import PrefixTree
from triform.text.vocabulary import END, PAD, START, UNKNOWN, Vocabulary

MINUS_INFINITY = float("-inf")


@dataclass(frozen=True)
class Hypothesis:
    """A decoded caption.

    Attributes:
        token_ids: Without start and end.
        score: Log-probability, of a beam divided by length to the power of the length penalty.
        finished: Whether the end was predicted within the maximal length.
        attention: (T, L) attention weights of each token; None without attention.
    """

    token_ids: list[int]
    score: float
    finished: bool
    attention: Tensor | None = None


class Beams(NamedTuple):
    """K hypotheses of each of N images in a beam search.

    Attributes:
        token_ids: (N, K, 1 + T) with the start.
        scores: (N, K) log-probabilities.
        finished_ids: (N, K, max_length + 1) best finished hypotheses, filled up with the end.
        finished_scores: (N, K) their scores in descending order; minus infinity for none.
        images: (N,) index of the image.
    """

    token_ids: Tensor
    scores: Tensor
    finished_ids: Tensor
    finished_scores: Tensor
    images: Tensor


class Decoder:
    """Decodes captions with one captioner and its vocabulary.

    Args:
        model: In evaluation mode.
        vocabulary: Its words.
        max_length: Words at most.
    """

    def __init__(self, model: Captioner, vocabulary: Vocabulary, max_length: int):
        self.model, self.max_length = model, max_length
        token_id = vocabulary.word_to_idx
        self.start_id, self.end_id = token_id[START], token_id[END]
        self.suppressed_ids = [token_id[PAD], token_id[START], token_id[UNKNOWN]]

    def _logits(
        self, token_ids: Tensor, state: DecoderState
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """Float32 logits (N, V) of the next tokens, the state and the attention."""
        logits, state, attention = self.model.step(token_ids, state)
        logits = logits.float()
        logits[:, self.suppressed_ids] = MINUS_INFINITY
        return logits, state, attention

    def greedy(self, features: Tensor) -> list[Hypothesis]:
        """The most probable token at each step; features are (B, L, E)."""
        return self.sample(features, temperature=0)

    @torch.no_grad()
    def sample(
        self,
        features: Tensor,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> list[Hypothesis]:
        """Sample token by token.

        Args:
            features: (B, L, E).
            temperature: Divides the logits; 0 takes the most probable token.
            top_k: Sample among so many tokens only; 0 = all.
            top_p: Sample among the most probable tokens whose sum reaches this.
            generator: Random numbers.
        """
        state = self.model.init_state(features)
        token_ids = torch.full((len(features),), self.start_id, device=features.device)
        scores = torch.zeros(len(features), device=features.device)
        done = token_ids == self.end_id
        steps, attention_steps = [], []
        for _ in range(self.max_length + 1):  # one more, for the end
            logits, state, attention = self._logits(token_ids, state)
            log_probs = logits.log_softmax(1)
            if temperature == 0:
                token_ids = log_probs.argmax(1)
            else:
                probs = filter_logits(log_probs / temperature, top_k, top_p).softmax(1)
                sampled = torch.multinomial(probs.cpu(), 1, generator=generator)[:, 0]
                token_ids = sampled.to(token_ids.device)
            token_ids = torch.where(done, self.end_id, token_ids)
            scores += torch.where(done, 0, log_probs.gather(1, token_ids[:, None])[:, 0])
            done = done | (token_ids == self.end_id)
            steps.append(token_ids)
            if attention is not None:
                attention_steps.append(attention)
            if bool(done.all()):
                break
        sentences = torch.stack(steps, 1)
        maps = torch.stack(attention_steps, 1) if attention_steps else None
        return [
            self._hypothesis(
                sentences[row], scores[row].item(), None if maps is None else maps[row]
            )
            for row in range(len(features))
        ]

    def _hypothesis(
        self, sentence: Tensor, score: float, attention: Tensor | None = None
    ) -> Hypothesis:
        """A hypothesis from token ids up to the first end."""
        token_ids = sentence.tolist()
        finished = self.end_id in token_ids[: self.max_length + 1]
        length = token_ids.index(self.end_id) if finished else min(len(token_ids), self.max_length)
        weights = None if attention is None else attention[:length].cpu()
        return Hypothesis(token_ids[:length], score, finished, weights)

    @torch.no_grad()
    def beam(
        self,
        features: Tensor,
        beam_size: int,
        length_penalty: float = 0.7,
        tree: PrefixTree | None = None,
    ) -> list[Hypothesis]:
        """Beam search of all images at once.

        The score of a hypothesis is its log-probability divided by its length (with the end) to the
        power of the length penalty (arXiv:1609.08144, section 7). Finished hypotheses leave the
        beam; if none is finished at the maximal length, the best unfinished one is returned.

        Args:
            features: (B, L, E).
            beam_size: Hypotheses per image.
            length_penalty: 0 compares log-probabilities as they are.
            tree: Restricts hypotheses to these captions.
        """
        count, device = len(features), features.device
        state = self.model.init_state(features)
        state = state._replace(
            hidden=state.hidden.repeat_interleave(beam_size, 0),
            cell=state.cell.repeat_interleave(beam_size, 0),
        )
        scores = torch.full((count, beam_size), MINUS_INFINITY, device=device)
        scores[:, 0] = 0  # all beams of an image are equal at first
        beams = Beams(
            torch.full((count, beam_size, 1), self.start_id, device=device),
            scores,
            torch.full((count, beam_size, self.max_length + 1), self.end_id, device=device),
            torch.full((count, beam_size), MINUS_INFINITY, device=device),
            torch.arange(count, device=device),
        )
        nodes = torch.zeros(count * beam_size, dtype=torch.long, device=device)
        hypotheses: dict[int, Hypothesis] = {}
        for length in range(1, self.max_length + 2):
            logits, state, _ = self._logits(beams.token_ids[..., -1].flatten(), state)
            normalizer = logits.logsumexp(1, keepdim=True)
            if tree is not None:
                allowed = tree.allowed_tokens(nodes, logits.shape[1])
                logits.masked_fill_(~allowed, MINUS_INFINITY)
            divisor = length**length_penalty
            beams, parents = self._extend(beams, logits, normalizer, divisor)
            bound = beams.scores[:, 0] / (self.max_length + 1) ** length_penalty
            done = beams.finished_scores[:, -1] >= bound
            if length > self.max_length:
                done = torch.ones_like(done)
            # Finished images are removed in groups, because removing copies the features.
            if 4 * int(done.sum()) >= len(done):
                for row in done.nonzero()[:, 0].tolist():
                    hypotheses[int(beams.images[row])] = self._best(beams, row, divisor)
                active = (~done).nonzero()[:, 0]
                if not len(active):
                    break
                beams, parents = Beams(*(tensor[active] for tensor in beams)), parents[active]
                state = state._replace(
                    features=state.features[active],
                    keys=state.keys[active],
                    image_gates=state.image_gates[active],
                )
            parents = parents.flatten()
            if tree is not None:
                nodes = tree.next_nodes(nodes[parents], beams.token_ids[..., -1].flatten())
            # The beams of an image share its features: only the state of the LSTM differs.
            state = state._replace(hidden=state.hidden[parents], cell=state.cell[parents])
        return [hypotheses[image] for image in range(count)]

    def _extend(
        self, beams: Beams, logits: Tensor, normalizer: Tensor, divisor: float
    ) -> tuple[Beams, Tensor]:
        """Extend each beam by one token.

        Args:
            beams: Of N images, K for each.
            logits: (N * K, V) of the next tokens; minus infinity where they are not allowed.
            normalizer: (N * K, 1) log of the sum of all exponentials.
            divisor: Turns the log-probability of a finished hypothesis into its score.

        Returns:
            The new beams, and (N, K) the old beam of each, counted over all images.
        """
        count, size = beams.scores.shape
        length = beams.token_ids.shape[2]
        # Only the best tokens of each beam can be among the best of its image.
        top_log_probs, top_ids = logits.topk(min(2 * size, logits.shape[1]))
        num_top = top_ids.shape[1]
        totals = beams.scores[..., None] + (top_log_probs - normalizer).view(count, size, num_top)
        totals, positions = totals.flatten(1).topk(min(2 * size, size * num_top))
        beam = positions // num_top
        next_ids = top_ids.view(count, -1).gather(1, positions)
        token_ids = torch.cat([_gather_rows(beams.token_ids, beam), next_ids[..., None]], 2)
        ends = next_ids == self.end_id

        finished_scores = torch.where(ends, totals, MINUS_INFINITY)[:, :size] / divisor
        finished_ids = torch.full_like(
            beams.finished_ids[:, : finished_scores.shape[1]], self.end_id
        )
        finished_ids[..., :length] = token_ids[:, :size, 1:]
        finished_scores, order = torch.cat([beams.finished_scores, finished_scores], 1).topk(size)
        finished_ids = _gather_rows(torch.cat([beams.finished_ids, finished_ids], 1), order)

        scores, order = torch.where(ends, MINUS_INFINITY, totals).topk(size)
        first_beam = size * torch.arange(count, device=scores.device)[:, None]
        token_ids = _gather_rows(token_ids, order)
        extended = Beams(token_ids, scores, finished_ids, finished_scores, beams.images)
        return extended, beam.gather(1, order) + first_beam

    def _best(self, beams: Beams, row: int, divisor: float) -> Hypothesis:
        """The best finished hypothesis of an image; the best unfinished one if there is none."""
        score = beams.finished_scores[row, 0].item()
        if score > MINUS_INFINITY:
            return self._hypothesis(beams.finished_ids[row, 0], score)
        token_ids = beams.token_ids[row, 0, 1 : self.max_length + 1].tolist()
        return Hypothesis(token_ids, beams.scores[row, 0].item() / divisor, False)

    @torch.no_grad()
    def attention_maps(self, features: Tensor, token_ids: list[int]) -> Tensor | None:
        """Attention weights (T, L) of each token of a sentence; features are (1, L, E)."""
        state, maps = self.model.init_state(features), []
        for token_id in [self.start_id, *token_ids[:-1]]:
            token = torch.tensor([token_id], device=features.device)
            _, state, attention = self.model.step(token, state)
            if attention is None:
                return None
            maps.append(attention[0].cpu())
        return torch.stack(maps) if maps else None


def _gather_rows(sentences: Tensor, rows: Tensor) -> Tensor:
    """Sentences (N, K, T) of each image in another order, rows (N, M) of the K."""
    return sentences.gather(1, rows[..., None].expand(-1, -1, sentences.shape[2]))


def filter_logits(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Top-k and nucleus filtering (arXiv:1904.09751): minus infinity for excluded tokens."""
    if top_k:
        threshold = logits.topk(min(top_k, logits.shape[1])).values[:, -1:]
        logits = logits.masked_fill(logits < threshold, MINUS_INFINITY)
    if top_p < 1:
        ordered, order = logits.sort(1, descending=True)
        probs = ordered.softmax(1)
        excluded = probs.cumsum(1) - probs >= top_p  # the first token always stays
        logits = logits.masked_fill(excluded.gather(1, order.argsort(1)), MINUS_INFINITY)
    return logits

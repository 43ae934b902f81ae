"""Sentences word by word: greedy, beam search over all pictures at once, or by chance.

`<UNK>`, padding and a second start are never said.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from triform.systems.captioner.known import KnownCaptions
from triform.systems.captioner.model import Captioner, State
from triform.text.vocabulary import END, PAD, START, UNKNOWN, Vocabulary


@dataclass(frozen=True)
class Said:
    """What was said about a picture.

    Attributes:
        words: numbers, without start and end.
        score: log-probability over length to the power; of beams without power where greedy.
        finished: whether the sentence came to its end before the longest length.
        attention: (T, L) where each word looked; None without attention.
    """

    words: list[int]
    score: float
    finished: bool
    attention: Tensor | None = None


class Decoder:
    """Decodes with one captioner and its vocabulary.

    Args:
        model: in evaluation mode.
        vocabulary: its words.
        max_length: words at most.
    """

    def __init__(self, model: Captioner, vocabulary: Vocabulary, max_length: int):
        self.model, self.max_length = model, max_length
        numbers = vocabulary.word_to_idx
        self.first, self.end = numbers[START], numbers[END]
        self.never = [numbers[PAD], numbers[START], numbers[UNKNOWN]]

    def _step(self, words: Tensor, state: State) -> tuple[Tensor, State, Tensor | None]:
        """Log-probabilities (N, V) of the next words."""
        logits, state, attention = self.model.step(words, state)
        logits = logits.float()
        logits[:, self.never] = float("-inf")
        return logits.log_softmax(1), state, attention

    @torch.no_grad()
    def choose(
        self,
        places: Tensor,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        random: torch.Generator | None = None,
    ) -> list[Said]:
        """One word after the other: the likeliest, or drawn where there is a temperature.

        Args:
            places: (B, L, E).
            temperature: 0 takes the likeliest word.
            top_k: only so many words are drawn from; 0 = all.
            top_p: only the likeliest words whose sum reaches this.
            random: what to draw with.
        """
        state = self.model.start(places)
        words = torch.full((len(places),), self.first, device=places.device)
        score, done = torch.zeros(len(places), device=places.device), words == self.end
        chosen, looked = [], []
        for _ in range(self.max_length + 1):  # one more, for the end
            likely, state, attention = self._step(words, state)
            if temperature == 0:
                words = likely.argmax(1)
            else:
                odds = _narrowed(likely / temperature, top_k, top_p).softmax(1)
                words = torch.multinomial(odds.cpu(), 1, generator=random)[:, 0].to(words.device)
            words = torch.where(done, self.end, words)
            score += torch.where(done, 0, likely.gather(1, words[:, None])[:, 0])
            done = done | (words == self.end)
            chosen.append(words)
            looked.append(attention)
            if bool(done.all()):
                break
        sentences = torch.stack(chosen, 1)
        maps = None if looked[0] is None else torch.stack(looked, 1)  # type: ignore[arg-type]
        return [
            self._said(sentences[row], score[row].item(), None if maps is None else maps[row])
            for row in range(len(places))
        ]

    def _said(self, numbers: Tensor, score: float, attention: Tensor | None) -> Said:
        words = numbers.tolist()
        finished = self.end in words[: self.max_length + 1]
        length = words.index(self.end) if finished else min(len(words), self.max_length)
        looked = None if attention is None else attention[:length].cpu()
        return Said(words[:length], score, finished, looked)

    @torch.no_grad()
    def beam(
        self,
        places: Tensor,
        size: int,
        length_power: float = 0.7,
        known: KnownCaptions | None = None,
    ) -> list[Said]:
        """Beam search of all pictures at once.

        A sentence's score is its log-probability over its length (with the end) to a power
        (arXiv:1609.08144, section 7). Finished sentences are kept apart and no longer followed;
        where none is finished at the longest length, the best unfinished one is the answer.

        Args:
            places: (B, L, E).
            size: sentences followed for each picture.
            length_power: 0 compares log-probabilities as they are.
            known: says one of these captions and nothing else.
        """
        count, device = len(places), places.device
        minus = float("-inf")
        state = self.model.start(places)
        state = state._replace(
            hidden=state.hidden.repeat_interleave(size, 0),
            cell=state.cell.repeat_interleave(size, 0),
        )
        words = torch.full((count * size,), self.first, device=device)
        score = torch.full((count, size), minus, device=device)
        score[:, 0] = 0  # all beams of a picture are the same at first
        said = torch.zeros(count, size, 0, dtype=torch.long, device=device)
        best = torch.full((count, size), minus, device=device)
        kept = torch.full((count, size, self.max_length + 1), self.end, device=device)
        rows = list(range(count))  # of the pictures that are still followed
        nodes = torch.zeros_like(words)  # in the tree of known captions
        answers: dict[int, Said] = {}
        for length in range(1, self.max_length + 2):
            logits, state, _ = self.model.step(words, state)
            logits = logits.float()
            logits[:, self.never] = float("-inf")
            total_odds = logits.logsumexp(1, keepdim=True)
            if known is not None:
                logits.masked_fill_(~known.allowed(nodes, logits.shape[1]), minus)
            # Only the best words of each beam can be among the best of its picture.
            tops, next_words = logits.topk(min(2 * size, logits.shape[1]))
            tops = tops - total_odds
            each = tops.shape[1]
            total = score[..., None] + tops.view(len(rows), size, each)
            top, place = total.flatten(1).topk(min(2 * size, size * each))
            beam = place // each
            word = next_words.view(len(rows), -1).gather(1, place)
            grown = torch.cat([said.gather(1, _like(beam, said)), word[..., None]], 2)
            ends = word == self.end

            finished = torch.where(ends, top, minus)[:, :size] / length**length_power
            filled = torch.full_like(kept[:, : finished.shape[1]], self.end)
            filled[..., :length] = grown[:, :size]
            best, order = torch.cat([best, finished], 1).topk(size)
            kept = torch.cat([kept, filled], 1).gather(
                1, order[..., None].expand(-1, -1, kept.shape[2])
            )

            score, order = torch.where(ends, minus, top).topk(size)
            said = grown.gather(1, _like(order, grown))
            parents = beam.gather(1, order) + size * torch.arange(len(rows), device=device)[:, None]
            hopeful = score[:, 0] / (self.max_length + 1) ** length_power
            done = best[:, -1] >= hopeful
            if length > self.max_length:
                done = torch.ones_like(done)
            # Pictures are put aside in groups, because their places have to be copied then.
            if 4 * int(done.sum()) >= len(rows):
                for row in done.nonzero()[:, 0].tolist():
                    if best[row, 0] > minus:
                        answers[rows[row]] = self._said(kept[row, 0], best[row, 0].item(), None)
                    else:
                        open_score = score[row, 0].item() / length**length_power
                        open_words = said[row, 0, : self.max_length].tolist()
                        answers[rows[row]] = Said(open_words, open_score, False)
                left = (~done).nonzero()[:, 0]
                rows = [rows[row] for row in left.tolist()]
                if not rows:
                    break
                said, score, best, kept, parents = (
                    tensor[left] for tensor in (said, score, best, kept, parents)
                )
                state = state._replace(
                    places=state.places[left], keys=state.keys[left], shown=state.shown[left]
                )
            words, heads = said[..., -1].flatten(), parents.flatten()
            if known is not None:
                nodes = known.follow(nodes[heads], words)
            # Beams of a picture see the same places: only what was said differs.
            state = state._replace(hidden=state.hidden[heads], cell=state.cell[heads])
        return [answers[row] for row in range(count)]

    @torch.no_grad()
    def look(self, places: Tensor, sentence: list[int]) -> Tensor | None:
        """Where each word of a sentence looked, (T, L); places are (1, L, E)."""
        state, maps = self.model.start(places), []
        for number in [self.first, *sentence[:-1]]:
            word = torch.tensor([number], device=places.device)
            _, state, attention = self.model.step(word, state)
            if attention is None:
                return None
            maps.append(attention[0].cpu())
        return torch.stack(maps) if maps else None


def _like(order: Tensor, sentences: Tensor) -> Tensor:
    return order[..., None].expand(-1, -1, sentences.shape[2])


def _narrowed(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits with minus infinity for words that may not be drawn (arXiv:1904.09751)."""
    if top_k:
        least = logits.topk(min(top_k, logits.shape[1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if top_p < 1:
        ordered, order = logits.sort(1, descending=True)
        odds = ordered.softmax(1)
        beyond = odds.cumsum(1) - odds >= top_p  # the first word is always kept
        logits = logits.masked_fill(beyond.gather(1, order.argsort(1)), float("-inf"))
    return logits

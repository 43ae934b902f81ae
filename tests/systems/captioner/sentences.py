"""What a whole sentence is worth to a captioner, word by word; shared by the tests of decoding."""

import torch

from triform.systems.captioner.model import Captioner
from triform.text.vocabulary import PAD, START, UNKNOWN, Vocabulary


@torch.no_grad()
def log_probability(
    model: Captioner, words: Vocabulary, place: torch.Tensor, numbers: list[int]
) -> float:
    """By the plain definition, words never said left out."""
    state = model.start(place)
    before, total = words.word_to_idx[START], 0.0
    for number in numbers:
        logits, state, _ = model.step(torch.tensor([before]), state)
        logits[:, [words.word_to_idx[word] for word in (PAD, START, UNKNOWN)]] = float("-inf")
        total += logits.log_softmax(1)[0, number].item()
        before = number
    return total

"""Log-probability of a whole sentence, token by token; shared by the tests of decoding."""

import torch

from triform.systems.captioner.model import Captioner
from triform.text.vocabulary import PAD, START, UNKNOWN, Vocabulary


@torch.no_grad()
def log_probability(
    model: Captioner, vocabulary: Vocabulary, features: torch.Tensor, token_ids: list[int]
) -> float:
    """By the plain definition, without suppressed tokens."""
    state = model.init_state(features)
    last, total = vocabulary.word_to_idx[START], 0.0
    suppressed = [vocabulary.word_to_idx[word] for word in (PAD, START, UNKNOWN)]
    for token_id in token_ids:
        logits, state, _ = model.step(torch.tensor([last]), state)
        logits[:, suppressed] = float("-inf")
        total += logits.log_softmax(1)[0, token_id].item()
        last = token_id
    return total

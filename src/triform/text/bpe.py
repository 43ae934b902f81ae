"""Byte-pair encoding that is trained on captions (arXiv:1508.07909), with the library tokenizers.

Bytes are the smallest pieces, so that any text of any language can be encoded. Padding has id 0,
the beginning of a text 1 and its end 2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL_TOKENS = ("[PAD]", "[START]", "[END]")
PAD_ID, START_ID, END_ID = range(3)
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
"""One letter for each byte."""
MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + len(ALPHABET)


class BytePairEncoding:
    """A tokenizer: lower case, Unicode NFC, pieces of words.

    Attributes:
        merges: Pairs of pieces, by priority, as `left right`.
        vocab_size: Number of token ids.
    """

    def __init__(self, merges: Sequence[str]):
        """Build a tokenizer.

        Args:
            merges: As the attribute.

        Raises:
            ValueError: A merge is no pair of pieces that are there before it.
        """
        self.merges = tuple(merges)
        pieces = dict.fromkeys([*SPECIAL_TOKENS, *ALPHABET])
        pairs = []
        for merge in self.merges:
            left, _, right = merge.partition(" ")
            if left not in pieces or right not in pieces:
                raise ValueError(f"{merge[:60]!r} is no merge of known pieces")
            pieces[left + right] = None
            pairs.append((left, right))
        vocab = {piece: index for index, piece in enumerate(pieces)}
        self.vocab_size = len(vocab)
        self._tokenizer = _pipeline(models.BPE(vocab=vocab, merges=pairs))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> BytePairEncoding:
        """Train on texts.

        Args:
            texts: Captions of the training split.
            vocab_size: Number of token ids, at most; fewer where the texts have fewer pieces.
        """
        tokenizer = _pipeline(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=ALPHABET,
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        merges = json.loads(tokenizer.to_str())["model"]["merges"]
        return cls([" ".join(merge) for merge in merges])

    def encode(self, texts: Sequence[str], max_tokens: int) -> tuple[list[list[int]], int]:
        """Encode texts.

        Args:
            texts: Texts.
            max_tokens: Tokens of a text, start and end included; a longer one is cut before its
                end token.

        Returns:
            Token ids, and the number of texts that were cut.
        """
        token_ids, num_cut = [], 0
        for encoding in self._tokenizer.encode_batch_fast(list(texts)):
            num_cut += len(encoding.ids) > max_tokens - 2
            token_ids.append([START_ID, *encoding.ids[: max_tokens - 2], END_ID])
        return token_ids, num_cut

    def decode(self, token_ids: Sequence[int]) -> str:
        """The normalised text of token ids."""
        text: str = self._tokenizer.decode(
            [each for each in token_ids if each >= len(SPECIAL_TOKENS)]
        )
        return text


def _pipeline(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer

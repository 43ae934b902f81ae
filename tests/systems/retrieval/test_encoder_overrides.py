"""Encoders that the user names in the place of those in a file."""

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.pretrained.shipped_weights import shipped
from triform.systems.retrieval import trained
from triform.systems.retrieval.trained import EncoderOverrides, Retriever


class Fake:
    """An encoder of any width."""

    name, fingerprint = "fake", "fake-1"

    def __init__(self, dim: int):
        self.dim = dim

    def encode(self, texts):
        return np.ones((len(texts), self.dim), np.float32)


def test_the_users_text_encoder_is_loaded(monkeypatch):
    requested = []
    monkeypatch.setattr(
        trained, "load_text_encoder", lambda name, device: requested.append(name) or Fake(384)
    )
    for inputs, expected in ((None, "minilm"), ("", "minilm"), ("./mine", "./mine")):
        retriever = Retriever.from_checkpoint(shipped("retrieval"), "cpu")
        retriever.overrides = EncoderOverrides(text=inputs)
        assert retriever.encode_texts(["a chair"]).shape == (1, retriever.dim)
        assert requested.pop() == expected


def test_an_encoder_of_another_width_is_one_line(monkeypatch):
    monkeypatch.setattr(trained, "load_text_encoder", lambda name, device: Fake(512))
    retriever = Retriever.from_checkpoint(shipped("retrieval"), "cpu")
    retriever.overrides = EncoderOverrides(text="clip")
    with pytest.raises(UserError, match=r"reads 384 numbers of a sentence.*'fake' gives 512"):
        retriever.encode_texts(["a chair"])

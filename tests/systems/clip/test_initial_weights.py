"""An image encoder that begins with what the captioner learned."""

import pytest
import torch

from triform import systems
from triform.base.errors import UserError
from triform.pretrained.shipped_weights import shipped
from triform.systems.clip import initial_weights
from triform.systems.clip.config import LITE, ModelConfig
from triform.systems.clip.model import CLIP


def clip():
    config = ModelConfig(image_encoder=LITE, text_width=16, text_layers=1, text_heads=2)
    return CLIP(config, 32, 300, 0.07, has_bias=False)


def test_the_encoder_is_the_captioners():
    model = clip()
    initial_weights.load_captioner_encoder(model)
    captioner = systems.load("captioner").system.Trained.choose(None, "cpu").model
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = captioner.encoder.eval()(images).mean((2, 3))
    torch.testing.assert_close(model.eval().image_encoder(images * 2 - 1), expected)


def test_weights_of_another_network_are_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(initial_weights, "shipped", lambda name: shipped("autoencoder"))
    with pytest.raises(UserError, match="its weights do not fit its settings") as raised:
        initial_weights.load_captioner_encoder(clip())
    assert "\n" not in str(raised.value)

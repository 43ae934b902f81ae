"""Encoders of CLIP: padding, the end token, chunks with the gradient of the whole batch."""

import copy
import math

import pytest
import torch

from triform.systems.clip.config import Config, ModelConfig
from triform.systems.clip.model import CLIP, ConvEncoder, TextTransformer

TINY = {"image_width": 16, "text_width": 16, "text_layers": 2, "text_heads": 2, "embed_dim": 8}


def clip(image_encoder="vit", seed=0, **model):
    torch.manual_seed(seed)
    config = ModelConfig(image_encoder=image_encoder, patch_size=8, **{**TINY, **model})
    return CLIP(config, 16, 300, 0.07, has_bias=False)


def batch(count=10):
    random = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 16, 16, generator=random)
    tokens = torch.randint(3, 300, (count, 9), generator=random)
    for row in range(count):
        tokens[row, 3 + row % 5 :] = 0
    return images, tokens


@pytest.fixture
def transformer():
    torch.manual_seed(0)
    return TextTransformer(300, 16, 2, 2, 12, 0.0).eval()


def test_padding_changes_nothing(transformer):
    tokens = torch.tensor([[1, 50, 60, 2]])
    padded = torch.nn.functional.pad(tokens, (0, 6))
    other = torch.tensor([[1, 50, 60, 70, 80, 90, 2, 0, 0, 0]])
    together = transformer(torch.cat([padded, other]))
    torch.testing.assert_close(together[:1], transformer(tokens))


def test_the_feature_is_that_of_the_end_token(transformer):
    """By the position of the last token, whatever ids stand before it."""
    tokens = torch.tensor([[1, 299, 60, 2, 0, 0]])
    states = []
    transformer.norm.register_forward_hook(lambda _, inputs, __: states.append(inputs[0]))
    transformer(tokens)
    x = transformer.token_embedding(tokens) + transformer.position_embedding[:6]
    expected = transformer.layers(x, src_key_padding_mask=tokens == 0)[:, 3]
    torch.testing.assert_close(states[0], expected)


def test_word_order_matters(transformer):
    first, second = transformer(torch.tensor([[1, 50, 60, 2], [1, 60, 50, 2]]))
    assert (first - second).abs().max() > 1e-3


def test_encoder_of_the_course():
    """Four convolutions of stride 2 and a max-pooling: 64, 128, 256, 512 channels."""
    encoder = ConvEncoder(64)
    shapes = [
        tuple(module.weight.shape)
        for module in encoder.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    assert shapes == [(64, 3, 7, 7), (128, 64, 3, 3), (256, 128, 3, 3), (512, 256, 3, 3)]
    assert encoder.blocks(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 7, 7)
    assert encoder(torch.zeros(2, 3, 64, 64)).shape == (2, 512)


@pytest.mark.parametrize("image_encoder", ["conv", "resnet", "vit"])
def test_outputs_have_length_one_and_the_temperature_is_clips(image_encoder):
    output = clip(image_encoder)(*batch())
    assert output["images"].shape == output["texts"].shape == (10, 8)
    for name in ("images", "texts"):
        torch.testing.assert_close(output[name].norm(dim=1), torch.ones(10))
    assert output["scale"].item() == pytest.approx(1 / 0.07)


def test_frozen_parts_of_a_pretrained_encoder():
    """Stem, two stages and depthwise kernels stay; everything else has a gradient."""
    choices = {"frozen_stages": 2, "train_depthwise": False}
    model = clip("tf_efficientnet_lite0", **choices)
    images, tokens = batch()
    output = model.train()(images, tokens)
    (output["images"][:5] * output["texts"][5:]).sum().backward()
    network = model.image_encoder.maps.model
    depthwise = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.groups > 1
    }
    assert len(depthwise) == 16
    for name, parameter in network.named_parameters():
        early = name.startswith(("conv_stem", "bn1", "blocks.0.", "blocks.1."))
        is_frozen = early or name in depthwise
        assert (parameter.grad is None) == is_frozen, name
    assert model.image_projection.weight.shape == (8, 1280)
    trained = clip("tf_efficientnet_lite0").image_encoder.parameters()
    assert all(each.requires_grad for each in trained)


def test_features_of_a_pretrained_encoder_are_the_networks():
    model = clip("tf_efficientnet_lite0").eval()
    images, _ = batch()
    encoder = model.image_encoder
    features = encoder.maps.model.forward_features((images - 0.5) / 0.5).mean((2, 3))
    torch.testing.assert_close(encoder(images * 2 - 1), features, atol=1e-5, rtol=1e-4)


def gradients(model):
    images, tokens = batch()
    output = model(images, tokens)
    logits = output["scale"] * output["images"] @ output["texts"].T
    loss = torch.nn.functional.cross_entropy(logits, torch.arange(10))
    model.zero_grad()
    loss.backward()
    return loss.detach(), {name: each.grad for name, each in model.named_parameters()}


@pytest.mark.parametrize("chunk_size", [1, 3, 10])
def test_chunks_have_the_gradient_of_the_whole_batch(chunk_size):
    model = clip()
    loss, expected = gradients(model)
    model.chunk_size = chunk_size
    chunked_loss, found = gradients(model)
    torch.testing.assert_close(chunked_loss, loss)
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() < 1e-5 * gradient.norm() + 1e-7, name


def test_chunks_keep_dropout_and_count_batches_once():
    """The second pass has the random numbers of the first and leaves running statistics alone."""
    model = clip("resnet", image_dropout=0.5, text_dropout=0.5)
    model.chunk_size = 5
    before = copy.deepcopy(model)
    seeds = []
    for network in (model, before):
        torch.manual_seed(3)
        output = network(*batch())
        if network is model:
            (output["images"] * output["texts"]).sum().backward()
        seeds.append(output["images"].detach())
    assert torch.equal(*seeds)
    for name, buffer in before.named_buffers():
        assert torch.equal(buffer, dict(model.named_buffers())[name]), name


def test_chunks_save_memory():
    """Between the passes no activations of an encoder are kept, only inputs and embeddings."""

    def saved_values(chunk_size):
        model = clip("resnet")
        model.chunk_size = chunk_size
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(*batch())
        return total

    assert saved_values(5) < 0.1 * saved_values(0)


def test_temperature_stays_within_its_limits():
    model = clip()
    for value, expected in ((9.0, math.log(100)), (-1.0, 0.0), (3.0, 3.0)):
        model.logit_scale.data.fill_(value)
        model.clamp_scale()
        assert model.logit_scale.item() == pytest.approx(expected)


def test_sizes_that_do_not_fit_are_refused():
    for wrong in (
        {"model": {"text_width": 30, "text_heads": 8}},
        {"model": {"image_encoder": "vit", "image_width": 30, "image_heads": 4}},
        {"model": {"image_encoder": "vit", "patch_size": 13}},
    ):
        with pytest.raises(ValueError, match=r"do(es)? not divide"):
            Config.model_validate(wrong)

"""CLIP: encoders of images and texts into one space. Tensors in, tensors out."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from triform.losses.contrastive import MAX_SCALE
from triform.pretrained.feature_maps import FeatureMaps, load_feature_maps
from triform.systems.clip.config import LITE, TRANSFORMER, ModelConfig

PAD_ID = 0
FIRST_BIAS = -10.0
"""Of the sigmoid loss: most pairs are no positives."""


class TextTransformer(nn.Module):
    """Token ids to features of the end-of-text token.

    Args:
        vocab_size: Number of token ids.
        width: Of the features.
        layers: Of the transformer.
        heads: Of its attention.
        max_tokens: Longest text.
        dropout: Of attention and layers.
    """

    def __init__(
        self, vocab_size: int, width: int, layers: int, heads: int, max_tokens: int, dropout: float
    ):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Parameter(torch.empty(max_tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding, std=0.01)
        # The library's copies of one layer all have the same first weights.
        for parameter in self.layers.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=width**-0.5 * (2 * layers) ** -0.25)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T) int64, padded with 0 at the end, to (N, width)."""
        is_token = tokens != PAD_ID
        x = self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]]
        x = self.layers(x, src_key_padding_mask=~is_token)
        end = is_token.sum(1) - 1
        output: Tensor = self.norm(x[torch.arange(len(x), device=x.device), end])
        return output


class TextLayers(nn.Module):
    """Layers on top of a frozen sentence encoder: (N, in_features) to (N, width)."""

    def __init__(self, in_features: int, width: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(in_features),
            nn.Linear(in_features, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.LayerNorm(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layers(features)
        return output


class ConvEncoder(nn.Module):
    """Four convolutions of stride 2 with batch norms, and the mean over positions."""

    def __init__(self, width: int):
        super().__init__()
        widths = (width, 2 * width, 4 * width, 8 * width)
        stem = _conv_norm_relu(3, width, kernel_size=7)
        stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        blocks = [_conv_norm_relu(*pair) for pair in itertools.pairwise(widths)]
        self.blocks = nn.Sequential(stem, *blocks)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, 8 * width)."""
        features: Tensor = self.blocks(images).mean((2, 3))
        return features


class PretrainedEncoder(nn.Module):
    """Features of a pretrained network of timm, the mean over positions.

    Args:
        maps: The network, a convolutional one with the parts of EfficientNet.
        frozen_stages: Stages that are not trained; the first has the first convolution as well.
        trained: Train any of it.
        train_depthwise: Train the depthwise convolutions.
        dropout: Of the features.
    """

    def __init__(
        self,
        maps: FeatureMaps,
        frozen_stages: int,
        *,
        trained: bool = True,
        train_depthwise: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.maps = maps if trained else maps.requires_grad_(False).eval()
        self.trained = trained
        self.dropout = nn.Dropout(dropout)
        network: Any = maps.model
        frozen = [*network.blocks[:frozen_stages]]
        frozen += [network.conv_stem, network.bn1] if frozen_stages else []
        if not train_depthwise:
            frozen += [
                each
                for each in network.modules()
                if isinstance(each, nn.Conv2d) and each.groups > 1
            ]
        for module in frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Set the mode; batch norms of a network that is not trained keep their statistics."""
        super().train(mode)
        if not self.trained:
            self.maps.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1], or features (B, F) of `encode`, to (B, F)."""
        output: Tensor = self.dropout(images if images.ndim == 2 else self.encode(images))
        return output

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] to features (B, F), without dropout."""
        features: Tensor = self.maps((images + 1) / 2).mean((2, 3))
        return features


class CLIP(nn.Module):
    """Image and text encoders with projections, and the learned temperature.

    Args:
        model: Sizes of the encoders.
        image_size: Pixels along each side of an image.
        text_inputs: Number of token ids, or width of the frozen encoder's embeddings.
        temperature: First temperature.
        has_bias: Whether logits have a bias, for the sigmoid loss.
        pretrained: Load the weights of a pretrained encoder; False if the caller sets them.

    Attributes:
        logit_scale: ln(1 / temperature).
        logit_bias: Added to the logits; None without one.
        chunk_size: Inputs that are encoded at once in training; 0 = all.
    """

    def __init__(
        self,
        model: ModelConfig,
        image_size: int,
        text_inputs: int,
        temperature: float,
        *,
        has_bias: bool,
        pretrained: bool = False,
    ):
        super().__init__()
        self.chunk_size = 0
        self.image_encoder, image_features = build_image_encoder(
            model, image_size, pretrained=pretrained
        )
        self.text_encoder = build_text_encoder(model, text_inputs)
        self.image_projection = nn.Linear(image_features, model.embed_dim, bias=False)
        self.text_projection = nn.Linear(model.text_width, model.embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.logit_bias = nn.Parameter(torch.tensor(FIRST_BIAS)) if has_bias else None

    def forward(self, images: Tensor, texts: Tensor) -> dict[str, Tensor]:
        """Encode a batch.

        Args:
            images: (B, 3, S, S) RGB in [0, 1], or features (B, F) of a pretrained encoder.
            texts: Token ids (N, T), or features (N, F) of the frozen encoder.

        Returns:
            `images` (B, D) and `texts` (N, D) of length 1, and the scalars `scale` and, with the
            sigmoid loss, `bias`.
        """
        outputs = {
            "images": self._in_chunks(self.encode_images, images),
            "texts": self._in_chunks(self.encode_texts, texts),
            "scale": self.logit_scale.exp(),
        }
        return outputs if self.logit_bias is None else {**outputs, "bias": self.logit_bias}

    def encode_images(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) RGB in [0, 1], or features (B, F), to (B, D) float32 of length 1."""
        is_encoded = images.ndim == 2
        features = self.image_projection(
            self.image_encoder(images if is_encoded else images * 2 - 1)
        )
        return F.normalize(features.float(), dim=-1)

    def encode_texts(self, texts: Tensor) -> Tensor:
        """Token ids or features to (N, D) float32 of length 1."""
        return F.normalize(self.text_projection(self.text_encoder(texts)).float(), dim=-1)

    def _in_chunks(self, encode: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Encode inputs in chunks, with the gradient of the whole batch (arXiv:2101.06983).

        Between forward and backward pass only the embeddings are kept; the backward pass encodes
        each chunk again, with the same random numbers. Batch norms take the statistics of a chunk.
        """
        size = self.chunk_size
        if not size or len(inputs) <= size or not torch.is_grad_enabled():
            return encode(inputs)
        chunks = [
            checkpoint(
                encode,
                chunk,
                use_reentrant=False,
                context_fn=lambda: (contextlib.nullcontext(), frozen_statistics(self)),
            )
            for chunk in inputs.split(size)
        ]
        return torch.cat(chunks)

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Keep the temperature at 1/100 or above, and at 1 or below."""
        self.logit_scale.clamp_(0, math.log(MAX_SCALE))


@contextlib.contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Keep running statistics of batch norms as they are while a network runs again."""
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def build_image_encoder(
    model: ModelConfig, image_size: int, *, pretrained: bool = False
) -> tuple[nn.Module, int]:
    """Build an encoder of (B, 3, S, S) in [-1, 1] to features (B, F), and give F.

    Raises:
        UserError: The weights of a pretrained one are not there.
    """
    width, depth = model.image_width, model.image_depth
    if model.image_encoder == "conv":
        return ConvEncoder(width), 8 * width
    if model.image_encoder == "resnet":
        resnet = ResNet(
            BasicBlock,  # type: ignore[arg-type]  # the library means the class
            layers=(depth,) * 4,
            channels=(width, 2 * width, 4 * width, 8 * width),
            stem_type="deep",
            stem_width=width // 2,
            num_classes=0,
            drop_rate=model.image_dropout,
            zero_init_last=False,
        )
        return resnet, 8 * width
    if model.image_encoder == LITE:
        maps = load_feature_maps(LITE, pretrained=pretrained)
        encoder = PretrainedEncoder(
            maps,
            model.frozen_stages,
            trained=model.train_image_encoder,
            train_depthwise=model.train_depthwise,
            dropout=model.image_dropout,
        )
        return encoder, maps.out_channels
    transformer = VisionTransformer(
        image_size,
        model.patch_size,
        num_classes=0,
        embed_dim=width,
        depth=depth,
        num_heads=model.image_heads,
        drop_rate=model.image_dropout,
    )
    return transformer, width


def build_text_encoder(model: ModelConfig, text_inputs: int) -> nn.Module:
    """Build the text encoder that settings name."""
    if model.text_encoder != TRANSFORMER:
        return TextLayers(text_inputs, model.text_width, model.text_dropout)
    return TextTransformer(
        text_inputs,
        model.text_width,
        model.text_layers,
        model.text_heads,
        model.max_tokens,
        model.text_dropout,
    )


def _conv_norm_relu(inputs: int, outputs: int, kernel_size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(
                inputs, outputs, kernel_size, stride=2, padding=kernel_size // 2, bias=False
            ),
            norm=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(inplace=True),
        )
    )

"""A trained captioner, and the verb `caption`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from triform.base.errors import UsageError, UserError
from triform.base.progress import progress_bar
from triform.base.seeding import generator
from triform.engine.checkpoints.checkpoint import StateDicts
from triform.engine.checkpoints.trained import TrainedModel
from triform.engine.device import pick_device
from triform.images.find import find_images
from triform.images.read import HELD_SIDE, on_background, read_image
from triform.pretrained.feature_maps import load_feature_maps
from triform.systems.captioner.attention_maps import draw_attention
from triform.systems.captioner.config import SMALL, CaptionConfig, Config, EvaluateConfig
from triform.systems.captioner.data import MAX_KNOWN_CAPTIONS, preprocess, to_tensor
from triform.systems.captioner.decoding import Decoder, Hypothesis
from triform.systems.captioner.encoders import SYSTEM, load_frozen, small_encoder
from triform.systems.captioner.model import Captioner
from triform.systems.captioner.prefix_tree import PrefixTree
from triform.text.vocabulary import UNKNOWN, Vocabulary

DOCUMENTED = "./checkpoints/best_checkpoint.pth.tar"


class Trained(TrainedModel[Config]):
    """A trained captioner in evaluation mode.

    Attributes:
        vocabulary: Its words.
        model: The network.
        encoder: Its frozen encoder; None if the encoder is part of the network.
        tree: Its training captions, if they were saved with it.
    """

    system, documented = SYSTEM, DOCUMENTED
    config_class = Config

    def __init__(
        self, path: Path, device: torch.device, encoder: str = "", encoder_weights: str = ""
    ):
        super().__init__(path, device)
        self.encoder: nn.Module | None = None
        if isinstance(self.model.encoder, nn.Identity):
            frozen = load_frozen(self.config.model, path, encoder, encoder_weights)
            self.encoder = frozen.eval().to(device)
        unknown_id = self.vocabulary.word_to_idx[UNKNOWN]
        captions = [self.vocabulary.encode(text)[1:] for text in self.metadata["captions"]]
        self.tree = PrefixTree([caption for caption in captions if unknown_id not in caption])

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        model, state = self.config.model, tensors[SYSTEM]
        vocabulary, captions = self.metadata["vocabulary"], self.metadata["captions"]
        if not all(isinstance(text, str) for text in [*vocabulary["words"], *captions]):
            raise ValueError("words and captions must be texts")
        self.vocabulary = Vocabulary.from_words(
            vocabulary["words"], int(vocabulary["freq_threshold"])
        )
        encoder: nn.Module | None = None
        if model.encoder == SMALL:
            encoder = small_encoder(model)
        elif any(name.startswith("encoder.") for name in state):
            encoder = load_feature_maps(model.encoder, pretrained=False)
        in_channels = state["feature_proj.weight"].shape[1]
        self.model = Captioner(model, in_channels, self.vocabulary, encoder)
        return {SYSTEM: self.model}

    @torch.no_grad()
    def encode(self, images: Sequence[np.ndarray | Image.Image]) -> Tensor:
        """Encode images of any size as features (B, L, E)."""
        inputs = np.stack([preprocess(image, self.config.data) for image in images])
        batch = to_tensor(inputs).to(self.device)
        return self.model.encode(batch if self.encoder is None else self.encoder(batch))

    def caption(
        self, images: Sequence[np.ndarray | Image.Image], settings: CaptionConfig | EvaluateConfig
    ) -> list[Hypothesis]:
        """Caption images with the decoding of the settings."""
        decoder = Decoder(self.model, self.vocabulary, settings.max_length)
        features = self.encode(images)
        if settings.decoding == "greedy":
            return decoder.greedy(features)
        if settings.decoding == "sample":
            return decoder.sample(
                features,
                temperature=settings.temperature,
                top_k=settings.top_k,
                top_p=settings.top_p,
                generator=generator("caption", settings.seed),
            )
        tree = self.tree if settings.decoding == "known" else None
        if tree is not None and not tree:
            raise UsageError(
                f"--decoding known: {self.source} keeps no captions to choose among (up to "
                f"{MAX_KNOWN_CAPTIONS:,} different ones of the training are kept); choose beam"
            )
        return decoder.beam(features, settings.beam_size, settings.length_penalty, tree)

    def text(self, hypothesis: Hypothesis) -> str:
        """The words of a decoded caption."""
        return self.vocabulary.decode(hypothesis.token_ids)


def load_trained(settings: CaptionConfig | EvaluateConfig) -> Trained:
    """Load the captioner that settings name.

    Raises:
        UserError: There is none.
    """
    path, device = Trained.find(settings.checkpoint), pick_device(settings.device)
    return Trained(path, device, settings.encoder, settings.encoder_weights)


def caption(settings: CaptionConfig) -> list[dict[str, Any]]:
    """Caption images; an image that cannot be read gets a `problem` instead.

    Raises:
        UsageError: No images there, or attention maps of a captioner without attention.
        UserError: No such captioner, or no image can be read.
    """
    paths = find_images(settings.images)
    trained = load_trained(settings)
    if settings.attention_maps is not None and trained.model.attention is None:
        raise UsageError(
            f"--attention_maps: {trained.source} has no attention; train with --attention true"
        )
    rows: list[dict[str, Any]] = []
    starts = range(0, len(paths), settings.batch_size)
    for start in progress_bar(starts, desc="captioning", unit="batch"):
        batch = paths[start : start + settings.batch_size]
        images = [_read(path) for path in batch]
        readable = [image for image in images if not isinstance(image, str)]
        hypotheses = iter(trained.caption(readable, settings) if readable else [])
        for path, image in zip(batch, images, strict=True):
            if isinstance(image, str):
                rows.append({"image": str(path), "caption": None, "problem": image})
                continue
            rows.append(_row(trained, path, image, next(hypotheses), settings))
    if all("problem" in row for row in rows):
        raise UserError(rows[0]["problem"])
    return rows


def _row(
    trained: Trained,
    path: Path,
    image: Image.Image,
    hypothesis: Hypothesis,
    settings: CaptionConfig,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "image": str(path),
        "caption": trained.text(hypothesis),
        "score": round(hypothesis.score, 4),
    }
    if not hypothesis.finished:
        row["unfinished"] = True
    if settings.attention_maps is not None:
        decoder = Decoder(trained.model, trained.vocabulary, settings.max_length)
        weights = decoder.attention_maps(trained.encode([image]), hypothesis.token_ids)
        words = [trained.vocabulary.words[token_id] for token_id in hypothesis.token_ids]
        if weights is not None:
            target = settings.attention_maps / f"{path.stem}.png"
            shown = preprocess(image, trained.config.data)
            draw_attention(shown, words, weights.numpy(), target)
            row["attention"] = str(target)
    return row


def _read(path: Path) -> Image.Image | str:
    """The image, or why it cannot be read."""
    try:
        return on_background(read_image(path, longest=HELD_SIDE))
    except UserError as error:
        return str(error)

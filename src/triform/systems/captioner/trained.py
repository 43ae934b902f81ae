"""A trained captioner, and what it says about pictures."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from triform.base.errors import UsageError, UserError
from triform.base.seeding import generator
from triform.engine.building import misfit
from triform.engine.checkpoint import StateDicts
from triform.engine.device import pick_device
from triform.engine.trained import TrainedModel
from triform.images.read import HELD_SIDE, IMAGE_SUFFIXES, on_background, read_image
from triform.pretrained.feature_maps import load_feature_maps
from triform.systems.captioner.config import SMALL, CaptionConfig, Config, EvaluateConfig
from triform.systems.captioner.data import MOST_KNOWN, as_seen, to_tensor
from triform.systems.captioner.decoding import Decoder, Said
from triform.systems.captioner.encoders import SYSTEM, load_frozen, small_encoder
from triform.systems.captioner.known import KnownCaptions
from triform.systems.captioner.maps import draw_attention
from triform.systems.captioner.model import Captioner, pack, unpack_captions, unpack_words
from triform.text.vocabulary import UNKNOWN

DOCUMENTED = "./checkpoints/best_checkpoint.pth.tar"


class Trained(TrainedModel[Config]):
    """A trained captioner in evaluation mode.

    Attributes:
        vocabulary: Its words.
        model: The network.
        known: The captions that it learned, where they are few enough.
    """

    system, documented = SYSTEM, DOCUMENTED
    config_class = Config

    def __init__(
        self, path: Path, device: torch.device, encoder: str = "", encoder_weights: str = ""
    ):
        super().__init__(path, device)
        self.encoder: nn.Module | None = None
        if isinstance(self.model.encoder, nn.Identity):  # somebody else's, which stays as it is
            frozen = load_frozen(self.config.model, path, encoder, encoder_weights)
            self.encoder = frozen.eval().to(device)
        unknown = self.vocabulary.word_to_idx[UNKNOWN]
        sayable = [self.vocabulary.encode(text)[1:] for text in self._captions]
        self.known = KnownCaptions([each for each in sayable if unknown not in each])

    def read(self, path: Path) -> tuple[StateDicts, Config]:
        tensors, config = super().read(path)
        try:
            given = tensors[SYSTEM]
            given.setdefault("known", pack([]))  # not kept by early versions
            self.vocabulary = unpack_words(given["words"])
            self._captions = unpack_captions(given["known"])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise misfit(path, error) from error
        return tensors, config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        model, given = self.config.model, tensors[SYSTEM]
        own: nn.Module | None = None
        if model.encoder == SMALL:
            own = small_encoder(model)
        elif any(name.startswith("encoder.") for name in given):  # it is saved with the rest
            own = load_feature_maps(model.encoder, empty=True)
        channels = given["project.weight"].shape[1]
        self.model = Captioner(model, channels, self.vocabulary, own, self._captions)
        return {SYSTEM: self.model}

    @torch.no_grad()
    def places(self, pictures: Sequence[np.ndarray | Image.Image]) -> Tensor:
        """Pictures of any size to features (B, L, E)."""
        seen = np.stack([as_seen(picture, self.config.data) for picture in pictures])
        images = to_tensor(seen).to(self.device)
        return self.model.encode(images if self.encoder is None else self.encoder(images))

    def say(
        self, pictures: Sequence[np.ndarray | Image.Image], settings: CaptionConfig | EvaluateConfig
    ) -> list[Said]:
        """Captions of pictures, as settings say."""
        decoder = Decoder(self.model, self.vocabulary, settings.max_length)
        places = self.places(pictures)
        if settings.decoding == "beam":
            return decoder.beam(places, settings.beam_size, settings.length_power)
        if settings.decoding == "known":
            if not self.known:
                raise UsageError(
                    f"--decoding known: {self.source} keeps no captions to choose among (up to "
                    f"{MOST_KNOWN:,} different ones of the training are kept); choose beam"
                )
            return decoder.beam(places, settings.beam_size, settings.length_power, self.known)
        if settings.decoding == "greedy":
            return decoder.choose(places)
        return decoder.choose(
            places, temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p,
            random=generator("caption", settings.seed),
        )  # fmt: skip

    def text(self, said: Said) -> str:
        """The sentence."""
        return self.vocabulary.decode(said.words)


def chosen(settings: CaptionConfig | EvaluateConfig) -> Trained:
    """The captioner that settings name.

    Raises:
        UserError: There is none.
    """
    path, device = Trained.find(settings.checkpoint), pick_device(settings.device)
    return Trained(path, device, settings.encoder, settings.encoder_weights)


def caption(settings: CaptionConfig) -> list[dict[str, Any]]:
    """Say a sentence about each picture; a picture that cannot be read gets its reason instead.

    Raises:
        UsageError: No pictures there, or attention asked of a captioner that has none.
        UserError: No such captioner, or not one picture can be read.
    """
    files = _files(settings.pictures)
    trained = chosen(settings)
    if settings.attention_maps is not None and trained.model.attention is None:
        raise UsageError(
            f"--attention_maps: {trained.source} has no attention; train with --attention true"
        )
    rows: list[dict[str, Any]] = []
    starts = range(0, len(files), settings.batch_size)
    for start in tqdm(starts, "captioning", unit="batch", disable=None, leave=False):
        part = files[start : start + settings.batch_size]
        pictures = [_read(path) for path in part]
        whole = [each for each in pictures if not isinstance(each, str)]
        said = iter(trained.say(whole, settings) if whole else [])
        for path, picture in zip(part, pictures, strict=True):
            if isinstance(picture, str):
                rows.append({"picture": str(path), "caption": None, "problem": picture})
                continue
            rows.append(_row(trained, path, picture, next(said), settings))
    if all("problem" in row for row in rows):
        raise UserError(rows[0]["problem"])
    return rows


def _row(
    trained: Trained, path: Path, picture: Image.Image, said: Said, settings: CaptionConfig
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "picture": str(path), "caption": trained.text(said), "score": round(said.score, 4),
    }  # fmt: skip
    if not said.finished:
        row["unfinished"] = True
    if settings.attention_maps is not None:
        decoder = Decoder(trained.model, trained.vocabulary, settings.max_length)
        looked = decoder.look(trained.places([picture]), said.words)
        words = [trained.vocabulary.words[number] for number in said.words]
        if looked is not None:
            target = settings.attention_maps / f"{path.stem}.png"
            draw_attention(as_seen(picture, trained.config.data), words, looked.numpy(), target)
            row["attention"] = str(target)
    return row


def _read(path: Path) -> Image.Image | str:
    try:
        return on_background(read_image(path, longest=HELD_SIDE))
    except UserError as error:
        return str(error)


def _files(given: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for word in given:
        some = list(_matches(word))
        if not some:
            raise UsageError(f"--pictures {word}: no pictures there")
        found += some
    return list(dict.fromkeys(found))


def _matches(word: str) -> Iterator[Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        inside = sorted(path.rglob("*"))
        yield from (one for one in inside if one.suffix.lower() in IMAGE_SUFFIXES)
    elif path.exists():
        yield path
    else:
        yield from (Path(one) for one in sorted(glob.glob(str(path), recursive=True)))

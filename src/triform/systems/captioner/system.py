"""Wires pictures, words, networks and loss together; one function per verb."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.base.seeding import generator, seed_everything
from triform.engine.device import pick_device
from triform.engine.fit import fit
from triform.engine.protocol import System as EngineSystem
from triform.engine.sampler import EpochLoader
from triform.engine.update import Update
from triform.metrics.bleu import bleu
from triform.systems.captioner.config import SMALL, Config
from triform.systems.captioner.data import (
    Batches,
    find_vocabulary,
    learned_captions,
    load_table,
    telling_words,
)
from triform.systems.captioner.decoding import Decoder, Said
from triform.systems.captioner.encoders import load_encoder
from triform.systems.captioner.evaluation import evaluate
from triform.systems.captioner.features import frozen_features
from triform.systems.captioner.loss import caption_loss, detection_loss
from triform.systems.captioner.model import Captioner, WordDetector
from triform.systems.captioner.showing import config
from triform.systems.captioner.trained import Trained, caption
from triform.text.vocabulary import Vocabulary, words_of

__all__ = ["System", "caption", "config", "evaluate", "from_checkpoint", "train"]

logger = get_logger(__name__)

WATCHED = 500
"""Training pictures whose loss is measured again in evaluation mode, for the overfitting watch."""
LONGEST = 30
NUM_SAMPLES = 16


class System(EngineSystem):
    """An LSTM that captions pictures, with an encoder that is frozen, tuned, or trained with it."""

    name = "captioner"

    def __init__(self, config: Config):
        super().__init__(config)
        seed_everything(config.seed)  # the network's first weights
        self.config: Config = config
        device = pick_device(config.device)  # a wrong name is told before pictures are read
        data, model, training = config.data, config.model, config.training
        self.table = load_table(config)
        self.vocabulary = find_vocabulary(self.table, data)
        encoder, learns, travels = load_encoder(model)
        encoder.requires_grad_(learns)
        own = encoder if travels else None
        features = None
        self.captioner = Captioner(
            model, _channels(encoder), self.vocabulary, own, learned_captions(self.table)
        )
        self.networks = {"captioner": self.captioner}
        looked_for: list[int] = []
        if model.detection:
            looked_for = telling_words(self.table, self.vocabulary)
            if not looked_for:
                raise UserError(
                    f"detection {model.detection:g}: no word tells these {len(self.table)} "
                    "pictures apart, for too many share each; leave it at 0"
                )
            self.networks["detector"] = WordDetector(model.encoder_dim, len(looked_for))
        if not learns:
            self.frozen = {"encoder": encoder}
            if data.cache_features:
                features = frozen_features(encoder, self.table, data, device)  # type: ignore[arg-type]
        self.cached = features is not None
        self.optimizers = {
            "main": self._optimizer(training, encoder if model.encoder != SMALL else None)
        }
        rows = self.table.rows("train")
        self.training_batches = Batches(
            self.table, rows, self.vocabulary, data, features, looked_for, training=True
        )
        self.loader = EpochLoader(
            len(rows), self.training_batches, batch_size=data.batch_size, seed=config.seed,
            num_workers=data.num_workers,
        )  # fmt: skip
        self.held = {
            split: Batches(
                self.table, some, self.vocabulary, data, features, looked_for, training=False
            )
            for split, some in self._measured().items()
        }
        self.stateful = {"vocabulary": SameWords(self.vocabulary), "loader": self.loader}

    def _optimizer(self, training: Any, pretrained: nn.Module | None) -> torch.optim.Optimizer:
        theirs = (
            {each for each in pretrained.parameters() if each.requires_grad}
            if pretrained
            else set()
        )
        own = [
            each
            for network in self.networks.values()
            for each in network.parameters()
            if each not in theirs and each.requires_grad
        ]
        groups = [{"params": own, "lr": training.lr}]
        if theirs:
            tuned = [each for each in self.captioner.parameters() if each in theirs]
            groups.append({"params": tuned, "lr": training.pretrained_lr})
        return torch.optim.AdamW(groups, weight_decay=training.weight_decay, fused=True)

    def _measured(self) -> dict[str, np.ndarray]:
        """Rows that are measured in training; some of the training's own for the watch."""
        rows = {split: some for split, some in self.table.splits.items() if len(some)}
        order = torch.randperm(len(rows["train"]), generator=generator("watched", 0)).numpy()
        rows["train"] = rows["train"][order[:WATCHED]]
        return rows

    @property
    def num_batches(self) -> int:
        return len(self.loader)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        return iter(self.loader)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        losses = self._losses(batch)
        update(losses["loss"])
        return losses

    def _losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        images = self._seen(batch["images"])
        captions, model = batch["captions"], self.config.model
        told = self.networks["captioner"](images, captions, batch["picture"])
        losses = caption_loss(told.logits, captions, told.attention, model.doubly_stochastic)
        if "detector" in self.networks:
            absence = self.networks["detector"](told.places)
            detection = detection_loss(absence, batch["shown"])
            losses["loss"] = losses["loss"] + model.detection * detection
            losses["detection"] = detection.detach()
        return losses

    def _seen(self, images: Tensor) -> Tensor:
        """What the captioner takes: a frozen encoder's maps, or pictures."""
        if self.frozen and not self.cached:
            with torch.no_grad():
                return self.frozen["encoder"](images)
        return images

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Loss per word; on validation also BLEU of captions that nobody helped with."""
        if split not in self.held:
            return {}
        batches, metrics = self.held[split], self.config.metrics
        total, count = 0.0, 0
        said: list[Said] = []
        wants_bleu = metrics.bleu and split != "train"
        for start in range(0, len(batches.rows), self.config.data.batch_size):
            indices = range(start, min(start + self.config.data.batch_size, len(batches.rows)))
            batch = {
                key: value.to(self.device)
                for key, value in batches(indices, generator("evaluate", start)).items()
            }
            words = int((batch["captions"][:, 1:] != 0).sum())
            total += float(self._losses(batch)["loss"]) * words
            count += words
            if wants_bleu:
                said += self._say(self._seen(batch["images"]))
        numbers = {"loss": total / max(1, count)}
        if wants_bleu:
            captions = [self.vocabulary.decode(each.words) for each in said]
            references = [
                [" ".join(words_of(text)) for text in self.table.captions[row]]
                for row in batches.rows
            ]
            scores = bleu(captions, references, metrics.use_sacrebleu_if_available)
            numbers |= {name: value for name, value in scores.items() if name != "signature"}
        return numbers

    def _say(self, images: Tensor) -> list[Said]:
        decoder = Decoder(self.captioner, self.vocabulary, LONGEST)
        return decoder.choose(self.captioner.encode(images))

    def sample(self, folder: Path, step: int) -> None:
        """Captions of a few validation pictures beside them."""
        from triform.geometry.sheet import contact_sheet

        batches = self.held.get("val") or self.held["train"]
        rows = batches.rows[:NUM_SAMPLES]
        said = self._say(self._seen(batches.images(rows).to(self.device)))
        captions = [self.vocabulary.decode(each.words) for each in said]
        pictures = [_enlarged(self.table.pictures.picture(int(row))) for row in rows]
        with atomic_write(folder / f"{step:06d}.png") as stream:
            contact_sheet(pictures, captions, 4).save(stream, "PNG")
        lines = [
            {"picture": self.table.pictures.name(int(row)), "caption": text}
            for row, text in zip(rows, captions, strict=True)
        ]
        with atomic_write(folder / f"{step:06d}.json", "w") as stream:
            json.dump(lines, stream, ensure_ascii=False, indent=1)


class SameWords:
    """Refuses to go on with other words than those that were learned."""

    def __init__(self, vocabulary: Vocabulary):
        self.words = list(vocabulary.words)

    def state_dict(self) -> dict[str, Any]:
        return {"words": self.words}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["words"] != self.words:
            raise UserError(
                f"vocab_path: its {len(self.words)} words are not the {len(state['words'])} that "
                "the checkpoint was trained with; give the vocabulary of that run"
            )


def _channels(encoder: nn.Module) -> int:
    return int(encoder.out_channels)  # type: ignore[arg-type]


def _enlarged(picture: np.ndarray, least: int = 160) -> np.ndarray:
    """A small picture made larger by a whole factor, a large one smaller."""
    from PIL import Image

    if (factor := least // max(picture.shape[:2])) > 1:
        return np.kron(picture, np.ones((factor, factor, 1), np.uint8))
    image = Image.fromarray(picture)
    image.thumbnail((2 * least, 2 * least))
    return np.asarray(image)


def train(config: Config) -> dict[str, Any]:
    """Train, and say where the run is and how it ended."""
    result = fit(System(config), config)
    return {"run": str(result.run_dir), **result.metrics}


def from_checkpoint(path: Path, device: str = "auto") -> Trained:
    """The trained captioner in a file; see `systems.from_checkpoint`."""
    return Trained(path, pick_device(device))

"""The system: wires images, vocabulary, networks and losses together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triform.base.errors import UserError
from triform.base.files import atomic_write
from triform.base.seeding import generator
from triform.engine.checkpoints.checkpoint import Weights
from triform.engine.device import pick_device
from triform.engine.epoch_loader import EpochLoader
from triform.engine.optimizers import adamw
from triform.engine.processes import process_index
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.images.contact_sheet import contact_sheet
from triform.metrics.bleu import bleu
from triform.pretrained.feature_maps import FeatureMaps
from triform.systems.captioner.config import Config
from triform.systems.captioner.data import (
    CaptionBatches,
    informative_words,
    known_captions,
    load_vocabulary,
)
from triform.systems.captioner.decoding import Decoder, Hypothesis
from triform.systems.captioner.encoders import load_encoder
from triform.systems.captioner.evaluation import evaluate
from triform.systems.captioner.feature_cache import cached_features
from triform.systems.captioner.initial_weights import for_vocabulary
from triform.systems.captioner.loss import caption_loss, detection_loss
from triform.systems.captioner.model import Captioner, WordDetector
from triform.systems.captioner.show_config import config
from triform.systems.captioner.small_encoder import SmallEncoder
from triform.systems.captioner.trained import Trained, caption
from triform.tasks.captioning.caption_scores import reference_sentences
from triform.tasks.captioning.data import load_table

__all__ = ["System", "Trained", "caption", "config", "evaluate"]

NUM_TRAIN_EVAL = 500
"""Training images whose loss is measured in evaluation mode, to detect overfitting."""
MAX_LENGTH = 30
"""Words in a caption of the validation, at most."""
NUM_SAMPLES, MIN_SAMPLE_SIDE = 16, 160


class System(EngineSystem[Config]):
    """An LSTM captioner, with an encoder that is frozen, fine-tuned, or trained with it."""

    name = "captioner"
    optional_networks = ("detector",)

    def __init__(self, config: Config):
        super().__init__(config)
        data, model = config.data, config.model
        self.table = load_table(data, config.seed)
        self.vocabulary = load_vocabulary(self.table, data)
        self.is_vocabulary_saved = False
        self.known_captions = known_captions(self.table)
        encoder = load_encoder(model)
        encoder.network.requires_grad_(encoder.trainable)
        self.captioner = Captioner(
            model,
            encoder.network.out_channels,
            self.vocabulary,
            encoder.network if encoder.saved_with_model else None,
        )
        self.networks = {"captioner": self.captioner}
        if isinstance(encoder.network, FeatureMaps):
            self.pretrained = ("captioner.encoder.",)
        detected: list[int] = []
        if model.detection:
            detected = informative_words(self.table, self.vocabulary)
            if not detected:
                raise UserError(
                    f"detection {model.detection:g}: no word tells these {len(self.table)} "
                    "images apart, for too many share each; leave it at 0"
                )
            self.networks["detector"] = WordDetector(model.encoder_dim, len(detected))
        features = None
        if not encoder.trainable:
            self.frozen = {"encoder": encoder.network}
            if data.cache_features and isinstance(encoder.network, FeatureMaps):
                device = pick_device(config.device)
                features = cached_features(encoder.network, self.table, data, device)
        self.is_cached = features is not None
        self.optimizers = {"main": self._optimizer(encoder.network)}

        def batches(rows: np.ndarray, *, training: bool) -> CaptionBatches:
            return CaptionBatches(
                self.table, rows, self.vocabulary, data, features, detected, training=training
            )

        train = self.table.rows("train")
        self.loader = EpochLoader(
            len(train),
            batches(train, training=True),
            batch_size=data.batch_size,
            seed=config.seed,
            num_workers=data.num_workers,
        )
        order = torch.randperm(len(train), generator=generator("watched", 0)).numpy()
        eval_rows = {split: rows for split, rows in self.table.splits.items() if len(rows)}
        eval_rows["train"] = train[order[:NUM_TRAIN_EVAL]]
        self.eval_batches = {
            split: batches(rows, training=False) for split, rows in eval_rows.items()
        }

    def _optimizer(self, encoder: FeatureMaps | SmallEncoder) -> torch.optim.Optimizer:
        """AdamW with the learning rate of fine-tuning for a pretrained encoder."""
        training = self.config.training
        pretrained = list(encoder.parameters()) if isinstance(encoder, FeatureMaps) else []
        tuned = [parameter for parameter in pretrained if parameter.requires_grad]
        tuned_ids = {id(parameter) for parameter in tuned}
        new = [
            parameter
            for network in self.networks.values()
            for parameter in network.parameters()
            if parameter.requires_grad and id(parameter) not in tuned_ids
        ]
        groups: list[dict[str, Any]] = [{"params": new}]
        if tuned:
            groups.append({"params": tuned, "lr": training.pretrained_lr})
        return adamw(groups, training)

    def metadata(self) -> dict[str, Any]:
        """The vocabulary, and the captions that `--decoding known` chooses among."""
        return {
            "vocabulary": {
                "words": list(self.vocabulary.words),
                "freq_threshold": self.vocabulary.freq_threshold,
            },
            "captions": self.known_captions,
        }

    def adapt_weights(self, weights: Weights, path: Path) -> Weights:
        """Give words that both vocabularies have the rows that they were trained with."""
        new = self.captioner.state_dict()
        tensors = for_vocabulary(weights, self.vocabulary.words, new, path)
        return weights._replace(networks={**weights.networks, "captioner": tensors})

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        losses = self._losses(batch)
        update(losses["loss"])
        if not self.is_vocabulary_saved:
            self._save_vocabulary()
        return losses

    def _save_vocabulary(self) -> None:
        """Write a new vocabulary to `vocab_path`, by one process."""
        self.is_vocabulary_saved = True
        path = Path(self.config.data.vocab_path).expanduser()
        if self.config.data.vocab_path and process_index() == 0 and not path.exists():
            self.vocabulary.save(path)

    def _losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        inputs = self._inputs(batch["images"])
        captions, model = batch["captions"], self.config.model
        output = self.networks["captioner"](inputs, captions, batch["image_index"])
        losses = caption_loss(output.logits, captions, output.attention, model.doubly_stochastic)
        if "detector" in self.networks:
            absence = self.networks["detector"](output.features)
            detection = detection_loss(absence, batch["detection_targets"])
            losses["loss"] = losses["loss"] + model.detection * detection
            losses["detection"] = detection.detach()
        return losses

    def _inputs(self, images: Tensor) -> Tensor:
        """Inputs of the captioner: feature maps of a frozen encoder, or images."""
        if self.frozen and not self.is_cached:
            with torch.no_grad():
                maps: Tensor = self.frozen["encoder"](images)
                return maps
        return images

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Loss per word; except on the training split also BLEU of greedy captions."""
        if split not in self.eval_batches:
            return {}
        batches, metrics = self.eval_batches[split], self.config.metrics
        batch_size, num_rows = self.config.data.batch_size, len(batches.rows)
        total, count = 0.0, 0
        hypotheses: list[Hypothesis] = []
        has_bleu = metrics.bleu and split != "train"
        for start in range(0, num_rows, batch_size):
            indices = range(start, min(start + batch_size, num_rows))
            batch = {
                key: value.to(self.device)
                for key, value in batches(indices, generator("evaluate", start)).items()
            }
            num_words = int((batch["captions"][:, 1:] != 0).sum())
            total += float(self._losses(batch)["loss"]) * num_words
            count += num_words
            if has_bleu:
                hypotheses += self._greedy(batch["images"])
        numbers = {"loss": total / max(1, count)}
        if has_bleu:
            captions = [self.vocabulary.decode(each.token_ids) for each in hypotheses]
            references = reference_sentences(self.table, batches.rows)
            scores = bleu(captions, references, metrics.use_sacrebleu_if_available)
            numbers |= {name: value for name, value in scores.items() if name != "signature"}
        return numbers

    def _greedy(self, images: Tensor) -> list[Hypothesis]:
        decoder = Decoder(self.captioner, self.vocabulary, MAX_LENGTH)
        return decoder.greedy(self.captioner.encode(self._inputs(images)))

    def sample(self, folder: Path, step: int) -> None:
        """Write a few validation images with their captions."""
        batches = self.eval_batches.get("val") or self.eval_batches["train"]
        rows = batches.rows[:NUM_SAMPLES]
        hypotheses = self._greedy(batches.images(rows).to(self.device))
        captions = [self.vocabulary.decode(each.token_ids) for each in hypotheses]
        images = [_scaled(self.table.images.image(int(row))) for row in rows]
        with atomic_write(folder / f"{step:06d}.png") as stream:
            contact_sheet(images, captions, 4).save(stream, "PNG")
        lines = [
            {"image": self.table.images.name(int(row)), "caption": text}
            for row, text in zip(rows, captions, strict=True)
        ]
        with atomic_write(folder / f"{step:06d}.json", "w") as stream:
            json.dump(lines, stream, ensure_ascii=False, indent=1)


def _scaled(image: np.ndarray) -> np.ndarray:
    """A small image enlarged by a whole factor, a large one reduced."""
    if (factor := MIN_SAMPLE_SIDE // max(image.shape[:2])) > 1:
        return np.kron(image, np.ones((factor, factor, 1), np.uint8))
    reduced = Image.fromarray(image)
    reduced.thumbnail((2 * MIN_SAMPLE_SIDE, 2 * MIN_SAMPLE_SIDE))
    return np.asarray(reduced)

"""The system: wires data, encoders and losses together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.files import atomic_write
from triform.base.seeding import generator
from triform.datasets.captioned.shards import Shards, is_shards
from triform.datasets.captioned.table import CaptionTable
from triform.engine.epoch_loader import EpochLoader
from triform.engine.processes import process_count, process_index
from triform.engine.protocol import System as EngineSystem
from triform.engine.update import Update
from triform.images.contact_sheet import contact_sheet
from triform.losses.contrastive import gather_with_gradient
from triform.losses.image_text import (
    image_text_logits,
    positive_pairs,
    sigmoid_loss,
    softmax_loss,
)
from triform.metrics.retrieval import retrieval_metrics
from triform.systems.clip.analysis import analyze
from triform.systems.clip.classification import classify
from triform.systems.clip.config import LITE, Config
from triform.systems.clip.data import PairBatches, make_text_inputs
from triform.systems.clip.encoded_images import EncodedImages
from triform.systems.clip.evaluation import evaluate
from triform.systems.clip.initial_weights import CAPTIONER, load_captioner_encoder
from triform.systems.clip.model import CLIP, PretrainedEncoder
from triform.systems.clip.shard_loader import ShardLoader, first_captions, shard_table
from triform.systems.clip.trained import Trained
from triform.tasks.captioning.data import load_table
from triform.tasks.contrastive.images import ResizedImages, resize
from triform.tasks.contrastive.text_inputs import TokenInputs

__all__ = ["System", "Trained", "analyze", "classify", "evaluate"]

MAX_EVALUATED = 1000
"""Images of a split that are evaluated during training, at most."""
NUM_SAMPLES, SAMPLE_SIDE = 12, 96


class System(EngineSystem[Config]):
    """Encoders of images and texts, trained to match."""

    name = "clip"
    monitor = "val/recall@1"
    monitor_mode = "max"
    shared_metadata = ("merges",)

    def __init__(self, config: Config):
        super().__init__(config)
        data, model, training = config.data, config.model, config.training
        self.evaluated: dict[str, PairBatches] = {}
        self.table: CaptionTable | None = None
        self.stream: ShardLoader | None = None
        if is_shards(data.dataset):
            shards = Shards(
                data.dataset,
                seed=config.seed,
                buffer_size=data.shuffle_buffer,
                index=process_index(),
                count=process_count(),
            )
            captions = first_captions(data.dataset)
            if data.val_shards:
                self.table = shard_table(data.val_shards, "val", data.image_size)
        else:
            self.table = load_table(data, config.seed, size=data.image_size)
            rows = self.table.rows("train")
            captions = list(
                dict.fromkeys(text for row in rows for text in self.table.captions[row])
            )
        self.text_inputs = make_text_inputs(model, captions)
        if is_shards(data.dataset):
            self.stream = ShardLoader(shards, self.text_inputs, data, config.seed)
            self.stateful["stream"] = self.stream
        self.clip = CLIP(
            model,
            data.image_size,
            self.text_inputs.size,
            training.first_temperature,
            has_bias=training.loss == "sigmoid",
            pretrained=model.image_weights == "imagenet",
        )
        if model.image_encoder == LITE and model.image_weights == CAPTIONER:
            load_captioner_encoder(self.clip)
        self.clip.chunk_size = training.chunk_size
        self.networks = {"clip": self.clip}
        self.optimizers = {"main": self._optimizer()}
        if self.table is not None:
            self._set_table(self.table)

    def _set_table(self, table: CaptionTable) -> None:
        """Batches of the splits of a table."""
        data = self.config.data
        images: ResizedImages | EncodedImages
        images = ResizedImages(table, data.image_size, frame=data.frame)
        encoder = self.clip.image_encoder
        if isinstance(encoder, PretrainedEncoder) and not self.config.model.train_image_encoder:
            width = self.clip.image_projection.in_features
            images = EncodedImages(
                images,
                lambda each: encoder.encode(each.to(self.device) * 2 - 1),
                width,
                encoder.maps.state_dict(),
            )
        inputs = (images, self.text_inputs, data)
        self.evaluated = {
            split: PairBatches(table, self._sample(rows), *inputs, training=False)
            for split, rows in table.splits.items()
            if len(rows) > 1
        }
        if self.stream is None:
            train = table.rows("train")
            self.loader = EpochLoader(
                len(train),
                PairBatches(table, train, *inputs, training=True),
                batch_size=data.batch_size,
                seed=self.config.seed,
                num_workers=data.num_workers,
                drop_last=len(train) >= data.batch_size,
            )

    @property
    def num_batches(self) -> int | None:
        """Batches in one epoch."""
        return super().num_batches if self.stream is None else len(self.stream)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """Iterate over the rest of the current epoch."""
        return super().batches() if self.stream is None else iter(self.stream)

    def _sample(self, rows: np.ndarray) -> np.ndarray:
        order = torch.randperm(len(rows), generator=generator("evaluated", 0)).numpy()
        sample: np.ndarray = rows[np.sort(order[:MAX_EVALUATED])]
        return sample

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW with CLIP's moments; no decay of the temperature, biases and norms."""
        training = self.config.training
        of_images = {id(each) for each in self.clip.image_encoder.parameters()}
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for each in self.clip.parameters():
            rate = (training.image_lr if id(each) in of_images else 0.0) or training.lr
            decay = training.weight_decay if each.ndim > 1 else 0.0
            if each.requires_grad:
                groups.setdefault((-rate, decay), []).append(each)
        parameters = [
            {"params": group, "lr": -rate, "weight_decay": decay}
            for (rate, decay), group in sorted(groups.items())
        ]
        return torch.optim.AdamW(
            parameters, lr=training.lr, betas=(0.9, 0.98), eps=1e-6, fused=True
        )

    def metadata(self) -> dict[str, Any]:
        """Merges of the word pieces, or the width of the frozen encoder's embeddings."""
        if isinstance(self.text_inputs, TokenInputs):
            return {"merges": list(self.text_inputs.bpe.merges)}
        return {"text_dim": self.text_inputs.size}

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, Tensor]:
        texts = batch["texts"].flatten(0, 1)
        extra = batch.get("extra_texts", texts[:0])
        output = self.networks["clip"](batch["images"], torch.cat([texts, extra]))
        paired, extra = output["texts"].split([len(texts), len(extra)])
        output["images"] = gather_with_gradient(output["images"])
        output["texts"] = torch.cat([gather_with_gradient(paired), gather_with_gradient(extra)])
        names = ("group", "text_id", "extra_group", "extra_text_id")
        losses = self._losses(
            output, {name: gather(batch[name]) for name in names if name in batch}
        )
        update(losses["loss"])
        self.clip.clamp_scale()
        return losses

    def _losses(self, output: dict[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Loss of embeddings, and the share of images whose nearest text is a right one."""
        group, text_id = batch["group"], batch["text_id"]
        text_image = torch.arange(len(group), device=group.device)
        text_image = text_image.repeat_interleave(text_id.shape[1])
        positives = positive_pairs(group, group[text_image], text_image, text_id.flatten())
        num_texts = positives.shape[1]
        if "extra_group" in batch:
            is_right = group[:, None] == batch["extra_group"][None]
            is_right |= (text_id[..., None] == batch["extra_text_id"]).any(1)
            positives = torch.cat([positives, is_right], 1)
        bias = output.get("bias", 0.0)
        logits = image_text_logits(output["images"], output["texts"], output["scale"], bias)
        if self.config.training.loss == "sigmoid":
            losses = sigmoid_loss(logits, positives)
        else:
            losses = softmax_loss(logits, positives, num_texts)
        with torch.no_grad():
            is_right = positives.gather(1, logits.argmax(1, keepdim=True))
            losses["accuracy"] = is_right.float().mean()
            losses["temperature"] = 1 / output["scale"]
        return losses

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Loss in batches, and recall of both directions over the split."""
        if split not in self.evaluated:
            return {}
        batches, size = self.evaluated[split], self.config.data.batch_size
        losses, images, texts, groups = [], [], [], []
        for start in range(0, len(batches.rows), size):
            indices = range(start, min(start + size, len(batches.rows)))
            batch = {
                key: value.to(self.device)
                for key, value in batches(indices, generator("evaluate", start)).items()
            }
            output = self.clip(batch["images"], batch["texts"].flatten(0, 1))
            loss = self._losses(output, batch)["loss"]
            losses.append(float(loss) * len(indices))
            images.append(output["images"].cpu())
            texts.append(output["texts"].unflatten(0, batch["text_id"].shape)[:, 0].cpu())
            groups.append(batch["group"].cpu())
        group = torch.cat(groups)
        relevant = (group[:, None] == group[None]).numpy()
        similarity = image_text_logits(torch.cat(images), torch.cat(texts), 1.0).numpy()
        to_text = retrieval_metrics(similarity, relevant, (1, 5))
        to_image = retrieval_metrics(similarity.T, relevant, (1, 5))
        numbers = {"loss": sum(losses) / len(batches.rows)}
        for name in ("recall@1", "recall@5"):
            numbers[f"image_to_text_{name}"] = to_text[name]
            numbers[f"text_to_image_{name}"] = to_image[name]
            numbers[name] = (to_text[name] + to_image[name]) / 2
        return numbers

    def sample(self, folder: Path, step: int) -> None:
        """Draw images of the validation, each above the caption that fits it best."""
        batches = self.evaluated.get("val") or self.evaluated.get("train")
        if batches is None:
            return
        table = batches.table
        batch = batches(range(len(batches.rows)), generator("sample", 0))
        captions = [table.captions[row][0] for row in batches.rows]
        images = self.clip.encode_images(batch["images"][:NUM_SAMPLES].to(self.device))
        texts = self.clip.encode_texts(batch["texts"][:, 0].to(self.device))
        best = image_text_logits(images, texts, 1.0).argmax(1).tolist()
        shown = [
            resize(table.images.image(int(row)), SAMPLE_SIDE) for row in batches.rows[:NUM_SAMPLES]
        ]
        with atomic_write(folder / f"{step:06d}.png") as stream:
            contact_sheet(shown, [captions[each] for each in best], 4).save(stream, "PNG")


def gather(ids: Tensor) -> Tensor:
    """Integers (N, ...) of all processes, in their order."""
    if process_count() == 1:
        return ids
    parts = [torch.empty_like(ids) for _ in range(process_count())]
    torch.distributed.all_gather(parts, ids.contiguous())
    return torch.cat(parts)

"""Training of the autoencoder and of the flows; the verbs are in modules of their own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UsageError
from triform.engine.epoch_loader import EpochLoader
from triform.engine.optimizers import adamw
from triform.engine.protocol import System as EngineSystem
from triform.engine.resume import resume_point
from triform.engine.update import Update
from triform.losses.rectified_flow import flow_loss
from triform.metrics.voxel import voxel_iou
from triform.systems.shape_flow.autoencoder import Autoencoder
from triform.systems.shape_flow.condition import Condition, drop_conditions
from triform.systems.shape_flow.config import CELL, Config
from triform.systems.shape_flow.data import (
    ShapeBatches,
    ShapeDataset,
    ShapeTexts,
    load_shape_dataset,
    training_metadata,
)
from triform.systems.shape_flow.evaluation import evaluate
from triform.systems.shape_flow.flow import CellFlow
from triform.systems.shape_flow.generation import generate
from triform.systems.shape_flow.latents import encode_rows
from triform.systems.shape_flow.layout import Layout, LayoutFlow
from triform.systems.shape_flow.loss import autoencoder_loss
from triform.systems.shape_flow.model import (
    NETWORKS_OF_STAGE,
    TRAINED_IN_STAGE,
    build_networks,
)
from triform.systems.shape_flow.reconstruction import interpolate, reconstruct
from triform.systems.shape_flow.sample_images import draw_generated, draw_reconstructions
from triform.systems.shape_flow.texts import load_token_encoder
from triform.systems.shape_flow.trained import Trained

__all__ = ["System", "Trained", "evaluate", "generate", "interpolate", "reconstruct"]

EVALUATION_BATCH_SIZE = 8
MAX_EVALUATION_SHAPES = 96
EVALUATION_TIMES = 8
NUM_SAMPLES = 8
STATISTICS_MOMENTUM = 0.02
LAYOUT_NOISE = 0.1
"""Noise on the code of a layout that is decoded or refined: a generated code is never exact."""
EXACT_SHARE = 0.5
"""Share of exact latents, not layouts, that the decoder goes on learning from."""
OPTIMIZED = {
    "autoencoder": ("autoencoder",),
    "layout": ("layout", "layout_flow"),
    "flow": ("cell_flow",),
}
"""Networks of each optimizer."""
NEEDED = {
    "layout": ("autoencoder",),
    "decoder": ("autoencoder", "layout", "layout_flow"),
    "flow": ("autoencoder", "layout", "layout_flow"),
}
"""Networks that a stage takes from the weights it begins with."""


class System(EngineSystem[Config]):
    """Local latents of signed distances, and rectified flows over them."""

    name = "shape_flow"
    loader: EpochLoader
    variable_metadata = ("captions", "proportions")

    def __init__(self, config: Config, dataset: ShapeDataset | None = None):
        super().__init__(config)
        data, model, training = config.data, config.model, config.training
        with_text = training.stage != "autoencoder"
        initial = self._initial_weights()
        # Loaded first: a wrong name is an error at once, not after minutes of computing.
        encoder = load_token_encoder(model.text_encoder) if with_text else None
        self.dataset = load_shape_dataset(data) if dataset is None else dataset
        self._build_networks(0 if encoder is None else encoder.dim, initial)
        texts = ShapeTexts(self.dataset, encoder, model.max_tokens) if encoder else None
        self.splits = {split: self._batches(split, texts) for split in ("train", "val", "test")}
        train = self.splits["train"]
        self._metadata = {} if encoder is None else training_metadata(train, encoder)
        self.loader = EpochLoader(
            len(train),
            train,
            batch_size=data.batch_size,
            seed=config.seed,
            num_workers=data.num_workers,
            drop_last=len(train) >= data.batch_size,
        )
        if train.latents is not None and "layout" not in initial:
            self.layout.fit(train.latents.flatten(0, 1).float())
            self._update_flow_std()
        self.monitor = "val/iou" if "autoencoder" in self.optimizers else "val/loss"
        self.monitor_mode = "max" if "autoencoder" in self.optimizers else "min"

    def metadata(self) -> dict[str, Any]:
        return self._metadata

    @property
    def has_flows(self) -> bool:
        """Whether this stage trains the layout or the flow over cells."""
        return "layout" in self.optimizers or "flow" in self.optimizers

    @property
    def is_decoder_stage(self) -> bool:
        """Whether the decoder alone is trained, on layouts."""
        return self.config.training.stage == "decoder"

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Channels and cells along each side of a latent."""
        cells = self.config.data.resolution // CELL
        return self.config.model.latent_channels, cells, cells, cells

    def _initial_weights(self) -> dict[str, dict[str, Tensor]]:
        """Tensors of the networks that training starts from; a resumed run holds them itself.

        Raises:
            UsageError: The stage needs weights and none are given, or they lack a network.
            UserError: They cannot be read.
        """
        training = self.config.training
        source: str | None = training.initial_weights
        needed = NEEDED.get(training.stage, ())
        if training.resume_from:
            # The newest checkpoint: a run that was stopped early has no best one.
            checkpoint = resume_point(Path(training.resume_from), self.config)[1]
            source = str(checkpoint) if checkpoint else source
        if not source:
            if needed:
                raise UsageError(
                    f"--stage {training.stage}: it begins with a trained {needed[-1]}; name its "
                    "run with --initial_weights, or train all at once with --stage joint"
                )
            return {}
        if not training.resume_from:
            source = str(self.find_initial_weights())
        trained = Trained.choose(source, "cpu")
        found = {name: network.state_dict() for name, network in trained.networks.items()}
        if missing := [name for name in needed if name not in found]:
            raise UsageError(
                f"--initial_weights {source}: there is no {missing[0]} in it, which "
                f"--stage {training.stage} begins with; train that stage first"
            )
        return found

    def load_initial_weights(self) -> None:
        """Nothing: the networks were built with them."""

    def _build_networks(self, text_dim: int, initial: dict[str, dict[str, Tensor]]) -> None:
        """Networks of the stage, with initial weights where there are any, and optimizers."""
        training = self.config.training
        self.networks = build_networks(self.config, NETWORKS_OF_STAGE[training.stage], text_dim)
        for name, network in self.networks.items():
            if name in initial:
                source = training.initial_weights or str(training.resume_from)
                _load(network, initial[name], name, source)
            network.requires_grad_(name in TRAINED_IN_STAGE[training.stage])
        if training.stage == "decoder":
            cast(Autoencoder, self.networks["autoencoder"]).encoder.requires_grad_(False)
        # Without the engine's wrappers, for the methods of the networks.
        self.parts = dict(self.networks)
        for optimizer, names in OPTIMIZED.items():
            parameters = [
                parameter
                for name in names
                if name in self.networks
                for parameter in self.networks[name].parameters()
                if parameter.requires_grad
            ]
            if parameters:
                self.optimizers[optimizer] = adamw(parameters, training)

    @property
    def autoencoder(self) -> Autoencoder:
        """Between fields and latents."""
        return cast(Autoencoder, self.parts["autoencoder"])

    @property
    def layout(self) -> Layout:
        """The linear code of whole shapes."""
        return cast(Layout, self.parts["layout"])

    @torch.no_grad()
    def _update_flow_std(self) -> None:
        cast(LayoutFlow, self.parts["layout_flow"]).std.copy_(self.layout.normalized_std)

    def _batches(self, split: str, texts: ShapeTexts | None) -> ShapeBatches:
        data, is_train = self.config.data, split == "train"
        rows = self.dataset.rows(split)
        if is_train:
            rows = self.dataset.training_rows(data.parametric_share)
        latents = None
        if "autoencoder" not in self.optimizers:
            distinct, position = np.unique(rows, return_inverse=True)
            mirror = is_train and data.mirror
            latents = encode_rows(self.autoencoder, self.dataset, distinct, mirror=mirror)[position]
        return ShapeBatches(self.dataset, rows, texts, latents, augment=is_train and data.mirror)

    def step(self, batch: dict[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        values: dict[str, float | Tensor] = {}
        total: Tensor | float = 0.0
        if "autoencoder" in self.optimizers:
            losses, latents = self._autoencoder_losses(batch)
            update(losses["loss"], "autoencoder")
            total = total + losses.pop("loss").detach()
            values |= losses
        else:
            latents = batch["latents"]
        if self.has_flows:
            training = self.config.training
            condition = drop_conditions(
                _condition(batch),
                whole=training.condition_dropout,
                text=training.text_dropout,
                attribute=training.attribute_dropout,
            )
            if training.stage == "joint":
                self.layout.update_latent_statistics(latents, STATISTICS_MOMENTUM)
            x = self.layout.normalize(latents)
        if "layout" in self.optimizers:
            if training.stage == "joint":
                self.layout.update_code_statistics(x, STATISTICS_MOMENTUM)
                self._update_flow_std()
            losses = self._layout_losses(x, condition, training.layout_repeats)
            update(losses["layout_code"] + losses["layout"], "layout")
            total = total + losses["layout"].detach()
            values |= losses
        if "flow" in self.optimizers:
            losses = self._flow_losses(x, condition)
            update(losses["flow"], "flow")
            total = total + losses["flow"].detach()
            values |= losses
        return {"loss": total, **values}

    def _autoencoder_losses(
        self, batch: dict[str, Tensor], *, sample: bool = True
    ) -> tuple[dict[str, Tensor], Tensor]:
        distance, colors = batch["distance"], batch["colors"]
        noise = torch.zeros(len(distance), *self.latent_shape, device=distance.device)
        if sample:
            noise.normal_()
        replace = partial(self._layouts, sample=sample) if self.is_decoder_stage else None
        decoded, decoded_colors, mean, logvar = self.networks["autoencoder"](
            distance, colors, noise, replace
        )
        losses = autoencoder_loss(
            decoded, distance, decoded_colors, colors, mean, logvar, self.config.loss
        )
        losses["iou"] = voxel_iou(decoded.detach() < 0, distance < 0).mean()
        return losses, mean.detach().float()

    @torch.no_grad()
    def _layouts(self, mean: Tensor, z: Tensor, *, sample: bool) -> Tensor:
        """Layouts of means (B, C, G, G, G), noisy and with some samples z where `sample` is set."""
        code = self.layout(self.layout.normalize(mean))[0].float()
        if sample:
            code = code + LAYOUT_NOISE * torch.randn_like(code)
        layouts = self.layout.denormalize(self.layout.decode(code)).float()
        if not sample:
            return layouts
        is_exact = torch.rand(len(z), 1, 1, 1, 1, device=z.device) < EXACT_SHARE
        return torch.where(is_exact, z.float(), layouts)

    def _layout_losses(self, x: Tensor, condition: Condition, repeats: int) -> dict[str, Tensor]:
        """Losses of the linear code and of the flow over it, at several times for each shape.

        The code is trained in the stage `joint` alone.
        """
        code, reconstruction = self.networks["layout"](x)
        code = code.detach().float().repeat(repeats, 1)
        noise = torch.randn_like(code)
        t = torch.rand(len(code), device=code.device)
        x_t = (1 - t[:, None]) * noise + t[:, None] * code
        velocity = self.networks["layout_flow"](x_t, t, condition.repeat(repeats))
        return {
            "layout_code": (reconstruction.float() - x).square().mean(),
            "layout": flow_loss(velocity, code, noise),
        }

    def _flow_losses(self, x: Tensor, condition: Condition) -> dict[str, Tensor]:
        """Loss of the flow over cells around a layout of slightly wrong codes."""
        with torch.no_grad():
            code = self.layout(x)[0].float()
            layout = self.layout.decode(code + LAYOUT_NOISE * torch.randn_like(code)).float()
            residual = (x - layout) / self.layout.residual_std
        # Not randn_like: it fills in the order of memory, which depends on kernels.
        noise = torch.randn(residual.shape, device=residual.device)
        # Logit-normal: most of training where the direction is hardest to tell (arXiv:2403.03206).
        t = torch.sigmoid(torch.randn(len(x), device=x.device))
        times = t[:, None, None, None, None]
        x_t = (1 - times) * noise + times * residual
        velocity = self.networks["cell_flow"](x_t, t, layout, condition)
        return {"flow": flow_loss(velocity, residual, noise)}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Losses, with the IoU of reconstructions where the autoencoder is trained."""
        batches = self.splits[split]
        totals: dict[str, float] = {}
        count = min(len(batches), MAX_EVALUATION_SHAPES)
        for start in range(0, count, EVALUATION_BATCH_SIZE):
            batch = batches.ordered_batch(start, min(EVALUATION_BATCH_SIZE, count - start))
            batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
            size = len(next(iter(batch.values())))
            for name, value in self._evaluate_batch(batch).items():
                totals[name] = totals.get(name, 0.0) + float(value) * size
        return {name: total / count for name, total in totals.items()} if count else {}

    def _evaluate_batch(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.device)
        if "autoencoder" in self.optimizers:
            losses, latents = self._autoencoder_losses(batch, sample=False)
            total = total + losses["loss"]
        else:
            latents = batch["latents"]
        if self.has_flows:
            x, condition = self.layout.normalize(latents), _condition(batch)
        if "layout" in self.optimizers:
            losses |= self._layout_losses(x, condition, EVALUATION_TIMES)
            total = total + losses["layout"]
        if "flow" in self.optimizers:
            losses |= self._flow_losses(x, condition)
            total = total + losses["flow"]
        return {**losses, "loss": total}

    def sample(self, folder: Path, step: int) -> None:
        """Write held-out shapes above their reconstructions, and shapes of their captions."""
        batches = self.splits["val"] if len(self.splits["val"]) else self.splits["train"]
        batch = batches.ordered_batch(0, NUM_SAMPLES)
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        path = folder / f"step_{step:07d}.png"
        if "autoencoder" in self.optimizers:
            draw_reconstructions(self.autoencoder, batch["distance"], batch["colors"], path)
        if batches.texts is not None:
            shapes = self.dataset.shape_index[batches.rows[: len(batch["sentence"])]]
            draw_generated(
                self.autoencoder,
                self.layout,
                cast(LayoutFlow, self.parts["layout_flow"]),
                cast(CellFlow | None, self.parts.get("cell_flow")),
                _condition(batch),
                [batches.texts.captions[shape][0] for shape in shapes],
                path.with_stem(f"{path.stem}_generated"),
            )


def _load(network: torch.nn.Module, weights: dict[str, Tensor], name: str, source: str) -> None:
    """Load weights; a refinement of the decoder that they do not have starts as the identity.

    Raises:
        UsageError: They are those of a network of another shape.
    """
    try:
        missing, unexpected = network.load_state_dict(weights, strict=False)
        misfits = [*unexpected, *(key for key in missing if not key.startswith("decoder.refine."))]
    except RuntimeError:
        misfits = ["sizes of its tensors"]
    if misfits:
        raise UsageError(
            f"--initial_weights {source}: its {name} does not fit the settings of the model "
            f"({misfits[0]}); give those of its run, as in its config.yaml"
        )


def _condition(batch: dict[str, Tensor]) -> Condition:
    return Condition(batch["attributes"], batch["words"], batch["word_mask"], batch["sentence"])

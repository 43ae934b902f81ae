"""The trained networks of a file, whichever stages it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.engine.checkpoints.checkpoint import StateDicts
from triform.engine.checkpoints.trained import TrainedModel
from triform.systems.shape_flow.autoencoder import Autoencoder
from triform.systems.shape_flow.condition import TIME_DIM, Condition
from triform.systems.shape_flow.config import Config
from triform.systems.shape_flow.flow import CellFlow
from triform.systems.shape_flow.layout import Layout, LayoutFlow
from triform.systems.shape_flow.model import build_networks
from triform.systems.shape_flow.sampling import sample_latents
from triform.tasks.shape_generation.attributes import VOCABULARY


class Trained(TrainedModel[Config]):
    """A trained model in evaluation mode.

    Attributes:
        autoencoder: Between fields and latents.
        layout: Linear code of whole shapes; None where only the autoencoder was trained.
        layout_flow: The flow over codes; None likewise.
        cell_flow: The flow over cells; None where it was not trained: layouts are decoded as they
            are then.
        text_dim: Width of the text encoder's vectors.
    """

    system = "shape_flow"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        self.text_dim = 0
        if "layout_flow" in tensors:
            inputs = tensors["layout_flow"]["condition.layers.0.weight"].shape[1]
            others = len(VOCABULARY) * self.config.model.attribute_dim
            self.text_dim = inputs - TIME_DIM - others
        built = build_networks(self.config, set(tensors), self.text_dim)
        self.autoencoder = cast(Autoencoder, built["autoencoder"])
        self.layout = cast(Layout | None, built.get("layout"))
        self.layout_flow = cast(LayoutFlow | None, built.get("layout_flow"))
        self.cell_flow = cast(CellFlow | None, built.get("cell_flow"))
        return built

    @torch.no_grad()
    def sample(
        self,
        condition: Condition,
        code_noise: Tensor,
        cell_noise: Tensor,
        *,
        guidance: float,
        cell_guidance: float,
        num_steps: int,
        cell_steps: int,
    ) -> Tensor:
        """Latents (B, C, G, G, G) from conditions and noise (B, K) and (B, C, G, G, G).

        Raises:
            UserError: Only the autoencoder was trained.
        """
        if self.layout is None or self.layout_flow is None:
            raise UserError(
                f"{self.source}: holds an autoencoder without a flow, which generates nothing; "
                "train the stages layout and flow as well"
            )
        return sample_latents(
            self.layout,
            self.layout_flow,
            self.cell_flow,
            condition,
            code_noise,
            cell_noise,
            guidance=guidance,
            cell_guidance=cell_guidance,
            num_steps=num_steps,
            cell_steps=cell_steps,
        )

    @torch.no_grad()
    def encode(self, distance: Tensor, colors: Tensor) -> Tensor:
        """Posterior means (B, C, G, G, G) of fields."""
        mean: Tensor = self.autoencoder.encoder(distance, colors)[0]
        return mean

    @torch.no_grad()
    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Latents to distances (B, R, R, R) in voxels and colours (B, 3, R/2, R/2, R/2)."""
        distance, colors = self.autoencoder.decoder(z)
        return distance[:, 0].float(), colors.float()

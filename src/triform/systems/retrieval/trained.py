"""Trained encoders, wherever they come from: checkpoints, shipped weights, documented pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.engine.checkpoint import StateDicts
from triform.engine.device import pick_device
from triform.engine.trained import TrainedModel, find_checkpoint
from triform.geometry.mesh import Mesh
from triform.geometry.sample import sample_surface
from triform.pretrained.fingerprint import state_fingerprint
from triform.pretrained.named_models import select_model
from triform.pretrained.text_encoder import TextEncoder, load_text_encoder
from triform.systems.retrieval.augment import plain_pictures
from triform.systems.retrieval.config import SMALL, Config, ModelConfig
from triform.systems.retrieval.framing import frame
from triform.systems.retrieval.model import (
    ImageTower,
    TextTower,
    build_image_tower,
    build_point_encoder,
    build_text_tower,
    unit_sphere,
)
from triform.systems.retrieval.recon import NO_COLOR, ReCon
from triform.systems.retrieval.towers import load_image_tower, load_point_encoder

logger = get_logger(__name__)

SYSTEM = "retrieval"
BATCH = 32
WIDTH = 512
"""Numbers of a point within the encoder, about."""
MOST_NUMBERS = BATCH * 512 * 32 * WIDTH
"""Numbers between points and tokens at once: those of a batch of the largest published size. A
file's settings say how many a cloud has."""
SAMPLING_SEED = 0
PHRASES = ("{0}", "a {0}")
"""Ways to say a text; the mean of their embeddings is its own (arXiv:2103.00020 section 3.1.4)."""
Vectors = Float32[np.ndarray, "n d"]


@dataclass(frozen=True)
class GivenEncoders:
    """Encoders that the user names instead of the file.

    Attributes:
        text: Name of the text encoder; None or "" leaves the file's.
        image: Name of the frozen image encoder.
        image_weights: File of its weights.
    """

    text: str | None = None
    image: str | None = None
    image_weights: Path | None = None


class Retriever:
    """Encoders of pictures, meshes and texts into one space.

    Attributes:
        source: The file or files it came from.
        dim: Length of an embedding.
        fingerprint: Changes with any weight of any encoder, not with the kind of file.
        num_points: Points of a cloud.
        config: Settings of the training; None for files of the original program.
        features_by: Who made the features that the picture side was trained on: model, weights,
            transform; empty where it reads pictures itself, or nobody knows.
        given: The encoders that the user names, where the file names some that only they may.
    """

    def __init__(
        self,
        source: str,
        model: ModelConfig,
        image_tower: ImageTower,
        point_encoder: ReCon,
        text_tower: TextTower | None,
        *,
        image_size: int,
        num_points: int,
        device: torch.device,
        image_encoder: Any = None,
        config: Config | None = None,
        features_by: dict[str, str] | None = None,
    ):
        self.source, self.model, self.device = source, model, device
        self.config, self.features_by = config, features_by or {}
        self.image_tower = image_tower.to(device).eval()
        self.point_encoder = point_encoder.to(device).eval()
        self.text_tower = text_tower.to(device).eval() if text_tower is not None else None
        self.image_size, self.num_points = image_size, num_points
        self.dim = point_encoder.dim
        self.given = GivenEncoders()
        self._image_encoder = image_encoder
        self._text_encoder: TextEncoder | None = None
        states = {"images": image_tower, "points": point_encoder, "texts": self.text_tower}
        self.fingerprint = state_fingerprint(
            {
                f"{name}.{key}": tensor.float() if tensor.is_floating_point() else tensor
                for name, network in states.items()
                if network is not None
                for key, tensor in network.state_dict().items()
            },
            model.image_encoder,
            model.text_encoder if self.text_tower is not None else "",
        )

    @classmethod
    def from_checkpoint(
        cls, path: Path | str, device: str = "auto", image_encoder: Any = None
    ) -> Retriever:
        """Out of a checkpoint of a run, or shipped weights.

        Args:
            path: `.pth` or `.safetensors`.
            device: Where to compute.
            image_encoder: A frozen encoder that is loaded already.

        Raises:
            UserError: It cannot be read, or holds something else.
        """
        return Trained(Path(path), pick_device(device)).retriever(image_encoder)

    @classmethod
    def from_towers(
        cls, moe: Path | str, pc_encoder: Path | str, device: str = "auto",
        image_encoder: Any = None,
    ) -> Retriever:  # fmt: skip
        """Out of the documented pair of files.

        Args:
            moe: `moe_recall@K_*.pth`.
            pc_encoder: `pc_encoder_recall@K_*.pth`.
            device: Where to compute.
            image_encoder: A frozen encoder that is loaded already; needed for files of the
                original program, which do not name theirs.

        Raises:
            UserError: A file cannot be read, or the two have no space in common.
        """
        images = load_image_tower(moe)
        points, num_points = load_point_encoder(pc_encoder)
        if images.tower.head.out_dim != points.dim:
            raise UserError(
                f"{moe} makes vectors of {images.tower.head.out_dim} numbers, {pc_encoder} of "
                f"{points.dim}: they are not of one training"
            )
        return cls(
            f"{moe}:{pc_encoder}",
            images.model,
            images.tower,
            points,
            None,
            image_size=images.image_size,
            num_points=num_points,
            device=pick_device(device),
            image_encoder=image_encoder,
            config=images.config,
            features_by=images.features_by,
        )

    @property
    def has_text(self) -> bool:
        """Whether texts can be embedded."""
        return self.text_tower is not None

    @property
    def needs_image_encoder(self) -> bool:
        """Whether pictures go through somebody else's frozen network first."""
        return self.image_tower.encoder is None

    @torch.no_grad()
    def encode_images(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Pictures of any mode and size to vectors (N, D) of length 1."""
        if self.image_tower.encoder is not None:
            framed = [frame(picture, self.image_size) for picture in pictures]
            return self.encode_framed(
                np.stack(framed) if framed else np.zeros((0, 1, 1, 4), np.uint8)
            )
        return self.encode_features(self._frozen_images().encode(list(pictures)))

    @torch.no_grad()
    def encode_features(self, features: Vectors) -> Vectors:
        """What a frozen encoder made of pictures (N, F) to vectors (N, D) of length 1.

        Raises:
            UserError: They are of another width than those of the training.
        """
        width = self.image_tower.head.in_dim
        if len(features) and features.shape[1] != width:
            raise UserError(
                f"{self.source}: its head reads {width} numbers of a picture, the image encoder "
                f"gives {features.shape[1]}"
            )
        table = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        return self._run(table, lambda part: self.image_tower(part)[0])

    @torch.no_grad()
    def encode_framed(self, framed: np.ndarray) -> Vectors:
        """Pictures (N, S, S, 4) uint8 that were cut to their object; the small encoder's way."""
        pictures = torch.from_numpy(np.ascontiguousarray(framed)).permute(0, 3, 1, 2)
        return self._run(pictures, lambda part: self.image_tower(plain_pictures(part.cpu()).to(
            self.device))[0])  # fmt: skip

    def encode_meshes(self, meshes: Sequence[Mesh]) -> Vectors:
        """Meshes to vectors (N, D) of length 1, by points on their surfaces."""
        clouds = [sample_surface(mesh, self.num_points, SAMPLING_SEED) for mesh in meshes]
        return self.encode_points(
            [cloud.points for cloud in clouds], [cloud.colors for cloud in clouds]
        )

    @torch.no_grad()
    def encode_points(
        self, points: Sequence[np.ndarray], colors: Sequence[np.ndarray | None] | None = None
    ) -> Vectors:
        """Clouds to vectors (N, D) of length 1.

        Args:
            points: Each (P, 3), as many points as the encoder was trained with or more.
            colors: Each (P, 3) uint8 sRGB, or None where there are none.

        Raises:
            UserError: A cloud has too few points, or holds something that is no number.
        """
        rows = []
        given = colors if colors is not None else [None] * len(points)
        for number, (cloud, color) in enumerate(zip(points, given, strict=True)):
            if len(cloud) < self.num_points or not np.isfinite(cloud).all():
                what = f"{len(cloud)} points, {self.num_points} are needed"
                what = what if len(cloud) < self.num_points else "NaN or infinity in it"
                raise UserError(f"point cloud number {number + 1}: {what}")
            chosen = np.arange(self.num_points) * len(cloud) // self.num_points
            shades: np.ndarray = np.full((self.num_points, 3), NO_COLOR, np.float32)
            if color is not None:
                shades = color[chosen].astype(np.float32) / 255
            rows.append(np.concatenate([cloud[chosen].astype(np.float32), shades], 1))
        table = torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, 1, 6)

        def embed(part: Tensor) -> Tensor:
            return self.point_encoder(unit_sphere(part[..., :3]), part[..., 3:].contiguous())

        shape = self.point_encoder.shape
        each = shape.num_group * max(self.num_points, shape.group_size * WIDTH)
        return self._run(table, embed, max(1, min(BATCH, MOST_NUMBERS // each)))

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Sentences to vectors (N, D) of length 1.

        Raises:
            UserError: These weights were trained without texts.
        """
        if self.text_tower is None:
            raise UserError(f"{self.source}: trained without texts; ask with a picture or a mesh")
        if self._text_encoder is None:
            name = select_model(
                self.given.text, self.model.text_encoder, "text encoder", source=self.source
            )
            self._text_encoder = load_text_encoder(name, str(self.device))
        width, seen = self.text_tower.in_dim, self._text_encoder.dim
        if seen != width:
            raise UserError(
                f"{self.source}: its text head reads {width} numbers of a sentence, the text "
                f"encoder {self._text_encoder.name!r} gives {seen}"
            )
        embedded = np.zeros((len(texts), self.dim), np.float32)
        for words in PHRASES:
            phrases = [words.replace("{0}", text) for text in texts]
            known = torch.from_numpy(self._text_encoder.encode(phrases))
            embedded += self._run(torch.nn.functional.normalize(known, dim=-1), self.text_tower)
        return np.asarray(embedded / np.linalg.norm(embedded, axis=1, keepdims=True))

    def _frozen_images(self) -> Any:
        """The frozen encoder, loaded when it is first needed."""
        if self._image_encoder is None:
            from triform.pretrained.image_encoder import load_image_encoder

            name = select_model(
                self.given.image, self.model.image_encoder, "image encoder", source=self.source
            )
            self._image_encoder = load_image_encoder(
                name, str(self.device), self.given.image_weights
            )
        return self._image_encoder

    def _run(self, table: Tensor, network: Any, size: int = BATCH) -> Vectors:
        """Rows through a network, a batch at a time."""
        found = np.zeros((len(table), self.dim), np.float32)
        for start in range(0, len(table), size):
            part = network(table[start : start + size].to(self.device))
            found[start : start + size] = part.float().cpu().numpy()
        return found


def open_retriever(given: str | None, device: str = "auto") -> Retriever:
    """What `--checkpoint` means: a file, a run, a pair MOE:PC, or (None) the shipped weights.

    Raises:
        UserError: It is not there, or holds something else.
    """
    if given is not None and not Path(given).exists():
        # Windows paths have colons of their own: every one may be the one between the two.
        cuts = [place for place, letter in enumerate(given) if letter == ":"]
        for cut in cuts:
            moe, points = Path(given[:cut]), Path(given[cut + 1 :])
            if moe.is_file() and points.is_file():
                return Retriever.from_towers(moe, points, device)
    return Retriever.from_checkpoint(find_checkpoint(given, SYSTEM, shipped=SYSTEM), device)


class Trained(TrainedModel[Config]):
    """The encoders of a checkpoint.

    Attributes:
        image_tower: The side of pictures.
        point_encoder: The side of meshes.
        text_tower: The side of texts; None where it was trained without.
    """

    system = SYSTEM
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        model, points = self.config.model, self.config.data.points
        if max(model.num_group, model.group_size) > points:
            raise ValueError(
                f"{model.num_group} groups of {model.group_size} among {points} points"
            )
        self.image_tower = build_image_tower(model, _feature_width(tensors, model))
        self.point_encoder = build_point_encoder(model)
        self.text_tower: TextTower | None = None
        towers = {"images": self.image_tower, "points": self.point_encoder}
        if "texts" not in tensors:
            return towers
        width = len(tensors["texts"]["layers.0.weight"])
        self.text_tower = build_text_tower(model, width)
        return {**towers, "texts": self.text_tower}

    def retriever(self, image_encoder: Any = None) -> Retriever:
        """What embeds pictures, meshes and texts with them."""
        return Retriever(
            str(self.source),
            self.config.model,
            self.image_tower,
            self.point_encoder,
            self.text_tower,
            image_size=self.config.data.image_size,
            num_points=self.config.data.points,
            device=self.device,
            image_encoder=image_encoder,
            config=self.config,
        )


def _feature_width(tensors: StateDicts, model: ModelConfig) -> int:
    """How many numbers of a picture the head reads; 0 where the encoder is our own."""
    if model.image_encoder == SMALL:
        return 0
    head = "head.experts.0.weight" if model.image_head == "moe" else "head.linear.weight"
    return int(tensors["images"][head].shape[1])

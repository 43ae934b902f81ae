"""Trained encoders out of checkpoints, shipped weights or documented pairs of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from PIL import Image
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.engine.checkpoints.checkpoint import StateDicts
from triform.engine.checkpoints.trained import TrainedModel
from triform.engine.device import pick_device
from triform.geometry.mesh import Mesh
from triform.geometry.sampling.surface_points import sample_surface
from triform.images.framing import frame
from triform.pretrained.fingerprint import state_fingerprint
from triform.pretrained.image_encoder import ImageEncoder, load_image_encoder
from triform.pretrained.named_models import select_model
from triform.pretrained.text_encoder import TextEncoder, load_text_encoder
from triform.systems.retrieval.checkpoint_pair import (
    load_image_tower,
    load_point_encoder,
    split_pair,
)
from triform.systems.retrieval.config import Config, ModelConfig
from triform.systems.retrieval.encoders.recon import NO_COLOR, ReCon
from triform.systems.retrieval.model import (
    ImageTower,
    TextTower,
    build_image_tower,
    build_point_encoder,
    build_text_tower,
    composite_on_white,
    unit_sphere,
)
from triform.systems.retrieval.verb_config import SMALL

BATCH_SIZE = 32
POINT_WIDTH = 512
"""Channels of a point within the encoder, about."""
MAX_ACTIVATIONS = BATCH_SIZE * 512 * 32 * POINT_WIDTH
"""Largest intermediate tensor of the patch embedding: that of a batch of the largest published
size. A file's settings name the number of groups and points, which may be anything."""
SAMPLING_SEED = 0
PROMPT_TEMPLATES = ("{0}", "a {0}")
"""The embedding of a text is the mean over these (arXiv:2103.00020 section 3.1.4)."""
Embeddings = Float32[np.ndarray, "n d"]


@dataclass(frozen=True)
class EncoderOverrides:
    """Frozen encoders that the user names, in place of those of the file.

    Attributes:
        text: Name of the text encoder; None or "" leaves the file's.
        image: Name of the frozen image encoder.
        image_weights: File of its weights.
    """

    text: str | None = None
    image: str | None = None
    image_weights: Path | None = None


class Retriever:
    """Encoders of images, meshes and texts into one space.

    Attributes:
        source: The file or files it came from.
        dim: Length of an embedding.
        fingerprint: Changes with any weight of any encoder, not with the kind of file.
        num_points: Points that the encoder reads of a shape.
        config: Settings of the training; None for files of the original program.
        feature_source: Encoder of the features that the image tower was trained on: `model`,
            `weights`, `transform`; empty where it reads images itself, or where it is unknown.
        overrides: Frozen encoders that the user names.
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
        image_encoder: ImageEncoder | None = None,
        config: Config | None = None,
        feature_source: dict[str, str] | None = None,
    ):
        self.source, self.model, self.device = source, model, device
        self.config, self.feature_source = config, feature_source or {}
        self.image_tower = image_tower.to(device).eval()
        self.point_encoder = point_encoder.to(device).eval()
        self.text_tower = text_tower.to(device).eval() if text_tower is not None else None
        self.image_size, self.num_points = image_size, num_points
        self.dim = point_encoder.dim
        self.overrides = EncoderOverrides()
        self._image_encoder = image_encoder
        self._text_encoder: TextEncoder | None = None
        towers = {"images": image_tower, "points": point_encoder, "texts": self.text_tower}
        self.fingerprint = state_fingerprint(
            {
                f"{name}.{key}": tensor.float() if tensor.is_floating_point() else tensor
                for name, network in towers.items()
                if network is not None
                for key, tensor in network.state_dict().items()
            },
            model.image_encoder,
            model.text_encoder if self.text_tower is not None else "",
        )

    @classmethod
    def from_checkpoint(
        cls, path: Path | str, device: str = "auto", image_encoder: ImageEncoder | None = None
    ) -> Retriever:
        """Load a checkpoint of a run, or shipped weights.

        Args:
            path: `.pth` or `.safetensors`.
            device: Torch device.
            image_encoder: A frozen encoder that is already loaded.

        Raises:
            UserError: It cannot be read, or holds something else.
        """
        return TrainedTowers(Path(path), pick_device(device)).retriever(image_encoder)

    @classmethod
    def from_checkpoint_pair(
        cls,
        moe: Path | str,
        pc_encoder: Path | str,
        device: str = "auto",
        image_encoder: ImageEncoder | None = None,
    ) -> Retriever:
        """Load the documented pair of files.

        Args:
            moe: `moe_recall@K_*.pth`.
            pc_encoder: `pc_encoder_recall@K_*.pth`.
            device: Torch device.
            image_encoder: A frozen encoder that is already loaded; needed for files of the
                original program, which do not name theirs.

        Raises:
            UserError: A file cannot be read, or the two have no space in common.
        """
        images = load_image_tower(moe)
        points, num_points = load_point_encoder(pc_encoder)
        if images.tower.head.out_dim != points.dim:
            raise UserError(
                f"{moe} makes embeddings of {images.tower.head.out_dim} numbers, {pc_encoder} of "
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
            feature_source=images.feature_source,
        )

    @property
    def has_text(self) -> bool:
        """Whether texts can be embedded."""
        return self.text_tower is not None

    @property
    def needs_image_encoder(self) -> bool:
        """Whether images first go through a frozen pretrained network."""
        return self.image_tower.encoder is None

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """Embeddings (N, D) of length 1 of images of any mode and size."""
        if self.image_tower.encoder is not None:
            framed = [frame(image, self.image_size) for image in images]
            return self.encode_framed(
                np.stack(framed) if framed else np.zeros((0, 1, 1, 4), np.uint8)
            )
        return self.encode_features(self._frozen_encoder().encode(list(images)))

    @torch.no_grad()
    def encode_features(self, features: Embeddings) -> Embeddings:
        """Embeddings (N, D) of length 1 of a frozen encoder's features (N, F).

        Raises:
            UserError: They are of another width than those of the training.
        """
        width = self.image_tower.head.in_dim
        if len(features) and features.shape[1] != width:
            raise UserError(
                f"{self.source}: its head reads {width} numbers of an image, the image encoder "
                f"gives {features.shape[1]}"
            )
        table = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        return self._in_batches(table, lambda part: self.image_tower(part)[0])

    @torch.no_grad()
    def encode_framed(self, framed: np.ndarray) -> Embeddings:
        """Embeddings by the small encoder of framed images (N, S, S, 4) uint8."""
        images = torch.from_numpy(np.ascontiguousarray(framed)).permute(0, 3, 1, 2)
        return self._in_batches(images, lambda part: self.image_tower(composite_on_white(part))[0])

    def encode_meshes(self, meshes: Sequence[Mesh]) -> Embeddings:
        """Embeddings (N, D) of length 1 of meshes, by points on their surfaces."""
        samples = [sample_surface(mesh, self.num_points, SAMPLING_SEED) for mesh in meshes]
        return self.encode_points([s.points for s in samples], [s.colors for s in samples])

    @torch.no_grad()
    def encode_points(
        self, points: Sequence[np.ndarray], colors: Sequence[np.ndarray | None] | None = None
    ) -> Embeddings:
        """Embeddings (N, D) of length 1 of point clouds.

        Args:
            points: Each (P, 3), as many points as the encoder was trained with or more.
            colors: Each (P, 3) uint8 sRGB, or None where there are none.

        Raises:
            UserError: Too few points in one, or numbers that are not finite.
        """
        rows = []
        colors = colors if colors is not None else [None] * len(points)
        for index, (xyz, rgb) in enumerate(zip(points, colors, strict=True)):
            if len(xyz) < self.num_points or not np.isfinite(xyz).all():
                reason = f"{len(xyz)} points, {self.num_points} are needed"
                reason = reason if len(xyz) < self.num_points else "NaN or infinity in it"
                raise UserError(f"point cloud number {index + 1}: {reason}")
            selected = np.arange(self.num_points) * len(xyz) // self.num_points
            floats: np.ndarray = np.full((self.num_points, 3), NO_COLOR, np.float32)
            if rgb is not None:
                floats = rgb[selected].astype(np.float32) / 255
            rows.append(np.concatenate([xyz[selected].astype(np.float32), floats], 1))
        table = torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, 1, 6)

        def embed(part: Tensor) -> Tensor:
            colors = part[..., 3:].contiguous()
            embeddings: Tensor = self.point_encoder(unit_sphere(part[..., :3]), colors)
            return embeddings

        shape = self.point_encoder.shape
        activations = shape.num_group * max(self.num_points, shape.group_size * POINT_WIDTH)
        batch_size = max(1, min(BATCH_SIZE, MAX_ACTIVATIONS // activations))
        return self._in_batches(table, embed, batch_size)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Embeddings (N, D) of length 1 of texts.

        Raises:
            UserError: These weights were trained without texts.
        """
        if self.text_tower is None:
            raise UserError(f"{self.source}: trained without texts; ask with an image or a mesh")
        if self._text_encoder is None:
            name = select_model(
                self.overrides.text, self.model.text_encoder, "text encoder", source=self.source
            )
            self._text_encoder = load_text_encoder(name, str(self.device))
        encoder = self._text_encoder
        if encoder.dim != self.text_tower.in_dim:
            raise UserError(
                f"{self.source}: its text head reads {self.text_tower.in_dim} numbers of a "
                f"sentence, the text encoder {encoder.name!r} gives {encoder.dim}"
            )
        embeddings = np.zeros((len(texts), self.dim), np.float32)
        for template in PROMPT_TEMPLATES:
            prompts = [template.replace("{0}", text) for text in texts]
            features = F.normalize(torch.from_numpy(encoder.encode(prompts)), dim=-1)
            embeddings += self._in_batches(features, self.text_tower)
        return np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))

    def _frozen_encoder(self) -> ImageEncoder:
        """The frozen encoder, loaded when it is first needed."""
        if self._image_encoder is None:
            name = select_model(
                self.overrides.image, self.model.image_encoder, "image encoder", source=self.source
            )
            self._image_encoder = load_image_encoder(
                name, str(self.device), self.overrides.image_weights
            )
        return self._image_encoder

    def _in_batches(
        self, table: Tensor, network: Callable[[Tensor], Tensor], batch_size: int = BATCH_SIZE
    ) -> Embeddings:
        """Embeddings (N, D) of the rows of a table."""
        embeddings = np.zeros((len(table), self.dim), np.float32)
        for start in range(0, len(table), batch_size):
            part = network(table[start : start + batch_size].to(self.device))
            embeddings[start : start + batch_size] = part.float().cpu().numpy()
        return embeddings


def open_retriever(
    checkpoint: str | None, device: str = "auto", overrides: EncoderOverrides | None = None
) -> Retriever:
    """Load a checkpoint, a run, a pair MOE:PC, or (None) the shipped weights.

    Raises:
        UserError: It is not there, or holds something else.
    """
    pairs = split_pair(checkpoint) if checkpoint and not Path(checkpoint).exists() else []
    if pairs:
        retriever = Retriever.from_checkpoint_pair(*pairs[0], device)
    else:
        retriever = Retriever.from_checkpoint(TrainedTowers.find(checkpoint), device)
    retriever.overrides = overrides or EncoderOverrides()
    return retriever


class TrainedTowers(TrainedModel[Config]):
    """The towers of a checkpoint.

    Attributes:
        image_tower: Images to embeddings.
        point_encoder: Point clouds to embeddings.
        text_tower: Texts to embeddings; None where it was trained without.
    """

    system = "retrieval"
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
        in_dim = len(tensors["texts"]["layers.0.weight"])
        self.text_tower = build_text_tower(model, in_dim)
        return {**towers, "texts": self.text_tower}

    def retriever(self, image_encoder: ImageEncoder | None = None) -> Retriever:
        """The retriever with these towers."""
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
    """Width of the features that the image head reads; 0 for the small encoder."""
    if model.image_encoder == SMALL:
        return 0
    head = "head.experts.0.weight" if model.image_head == "moe" else "head.linear.weight"
    return int(tensors["images"][head].shape[1])

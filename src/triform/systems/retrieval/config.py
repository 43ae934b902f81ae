"""Settings of the retrieval system and of its verbs. Imports no torch."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input, Storage
from triform.engine.config import (
    CosineSchedulerConfig,
    NoEarlyStoppingConfig,
    SystemConfig,
    TrainingConfig,
    move_init,
)
from triform.systems.retrieval.verb_config import (
    SMALL,
    EmbedConfig,
    EvaluateConfig,
    Recalls,
    SearchConfig,
    SubmitConfig,
    split_shared_file,
)


class DataConfig(Group):
    """Training data and its augmentation."""

    library: Annotated[str, Input()] = Field(
        "testdataset",
        min_length=1,
        description="A shape library (folder or address), or a known data set "
        "(`triform data list`), which is prepared once into the cache folder.",
    )
    download_path: Annotated[str, Storage()] = Field("datasets", description="Download folder.")
    image_embeddings: Annotated[str, Input()] = Field(
        "", description="The .npz of `triform retrieval embed`; for a frozen encoder."
    )
    split: Annotated[str, Input()] = Field(
        "", description="CSV `model_id,split` (train, validation, test); empty = the library's."
    )
    views: int = Field(4, ge=1, description="Images of each object in a step.")
    light_views: int = Field(
        0,
        ge=0,
        description="Number of them that are only lightly augmented, like gallery views.",
    )
    near_views: int = Field(
        0,
        ge=0,
        description="Draw an object's images of a step among this many nearest neighbours of a "
        "random view, as a query is compared with its nearest view; 0 = among all.",
    )
    image_size: int = Field(64, ge=16, le=512, description="Pixels along each side (small).")
    points: int = Field(
        1024, ge=32, le=100_000, description="Points of each object that the network reads."
    )
    batch_size: int = Field(32, ge=2, description="Objects per step, in each process.")
    num_workers: int = Field(0, ge=0, description="Worker processes that load data; 0 = none.")
    max_samples: int = Field(0, ge=0, description="Largest number of objects; 0 = all.")
    prepared_views: int = Field(
        24, ge=1, le=1000, description="Images of each object when a data set is prepared."
    )
    prepared_cameras: Literal["even", "upper", "random", "turntable"] = Field(
        "even",
        description="Their cameras, as in `triform shapes prepare --cameras`.",
    )
    prepared_size: int = Field(224, ge=8, le=4096, description="Their pixels along each side.")
    prepared_points: int = Field(
        16384,
        ge=32,
        le=1_000_000,
        description="Points of each object when a data set is prepared.",
    )
    point_scale: float = Field(
        1.5, ge=1, lt=4, description="Each axis is stretched by a factor from 1/this to this."
    )
    point_shift: float = Field(0.2, ge=0, le=1, description="Largest shift along each axis.")
    point_rotation: float = Field(
        0.0, ge=0, le=180, description="Largest rotation about the upright axis, in degrees."
    )
    point_jitter: float = Field(0.0, ge=0, le=0.1, description="Noise of each coordinate (sigma).")
    color_drop: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Probability that the colours of the points are replaced by 0.4.",
    )
    virtual_colors: float = Field(
        0.0, ge=0, le=1, description="Probability that an object's colour channels are permuted."
    )
    mirror: bool = Field(False, description="Mirror images and points of half of the objects.")
    image_augment: bool = Field(
        True, description="Augment training images: backgrounds, crops, rolls, blur, colours."
    )


class ModelConfig(Group):
    """Sizes of the networks."""

    image_encoder: Annotated[str, Input()] = Field(
        SMALL,
        min_length=1,
        description="`small` is trained here; anything else is frozen and read from "
        "image_embeddings, whose encoder it has to name.",
    )
    image_width: int = Field(64, ge=8, le=1024, description="Channels of the small encoder.")
    image_head: Literal["linear", "moe"] = Field(
        "linear", description="Head from image features to the embedding space."
    )
    n_experts: int = Field(8, ge=1, le=256, description="Experts of the head (moe).")
    moe_top_k: int = Field(
        0, ge=0, description="Number of experts used for each image; 0 = all (dense)."
    )
    point_encoder: Literal["tiny", "small", "base", "large"] = Field(
        "tiny", description="Size of ReCon++; small, base and large are the published ones."
    )
    point_weights: Annotated[str, Input()] = Field(
        "", description="Published ReCon++ weights to start from (.pth); empty = from scratch."
    )
    point_width: int = Field(0, ge=0, description="Width of its tokens; 0 = that of the size.")
    point_depth: int = Field(0, ge=0, le=64, description="Its layers; 0 = those of the size.")
    point_heads: int = Field(0, ge=0, description="Its attention heads; 0 = those of the size.")
    layer_scale: float = Field(
        -1.0,
        ge=-1,
        le=1,
        description="Initial LayerScale; -1 = that of the size, 0 = none.",
    )
    patch_widths: tuple[int, int, int] = Field(
        (128, 256, 512),
        description="Widths of its patch embedding: first layer, first pool, second layer.",
    )
    num_group: int = Field(64, ge=1, le=4096, description="Groups of points.")
    group_size: int = Field(32, ge=1, le=1024, description="Points in a group.")
    mask_ratio: float = Field(
        0.0, ge=0, lt=1, description="Share of the groups that are masked in training."
    )
    drop_path_rate: float = Field(
        0.1, ge=0, lt=1, description="Stochastic depth rate of the last layer."
    )
    img_queries: int = Field(13, ge=1, description="Global tokens for images.")
    text_queries: int = Field(3, ge=0, description="Global tokens for texts.")
    with_color: bool = Field(True, description="The network reads the points' colours.")
    stop_grad: bool = Field(False, description="Stop gradients from global to local tokens.")
    emb_dim: int = Field(256, ge=2, description="Width of the embedding space.")
    text_ratio: float = Field(
        0.3, ge=0, le=10, description="Weight of the text tokens in an embedding of points."
    )
    text_encoder: Annotated[str, Input()] = Field(
        "minilm",
        description="minilm, use-multilingual, clip, a hub name or a folder, frozen; "
        "empty = no texts.",
    )
    text_hidden: int = Field(512, ge=1, description="Width of the text head.")

    @model_validator(mode="after")
    def _widths_fit(self) -> "ModelConfig":
        if self.point_width and self.point_heads and self.point_width % self.point_heads:
            raise ValueError(
                f"point_width {self.point_width} must be a multiple of point_heads "
                f"{self.point_heads}"
            )
        if self.moe_top_k > self.n_experts:
            raise ValueError(f"moe_top_k {self.moe_top_k} of n_experts {self.n_experts}")
        return self


class RetrievalTrainingConfig(TrainingConfig):
    """Optimization, and the weights of the losses."""

    memory_knobs: ClassVar[tuple[str, ...]] = ("batch_size", "views", "num_group")

    epochs: int = 40
    lr: float = Field(default=1e-3, gt=0, description="Learning rate of the point encoder.")
    weight_decay: float = 0.05
    grad_clip: float = 10.0
    warmup_epochs: float = Field(
        1.0, ge=0, description="Epochs of warm-up; used when warmup_steps is 0."
    )
    head_lr_factor: float = Field(
        1.0, gt=0, description="Learning rate of everything but the point encoder, relative to lr."
    )
    temperature: float = Field(0.07, gt=0, le=10, description="Temperature of the softmax.")
    learn_temperature: bool = Field(False, description="Train the temperature as well.")
    positives: Literal["logsumexp", "mean", "each"] = Field(
        "logsumexp",
        description="Loss of several positive views: of their summed probability, the mean over "
        "them (SupCon), or the mean without the other positives among the negatives.",
    )
    image_positives: Literal["logsumexp", "mean", "each"] = Field(
        "each", description="The same for pairs of images of one object."
    )
    image_shape_weight: float = Field(1.0, ge=0, description="Weight of the image-shape loss.")
    text_shape_weight: float = Field(0.0, ge=0, description="Weight of the text-shape loss.")
    text_image_weight: float = Field(0.0, ge=0, description="Weight of the text-image loss.")
    image_image_weight: float = Field(
        0.0, ge=0, description="Weight of the loss between images of one object; views >= 2."
    )
    memory_size: int = Field(
        0, ge=0, description="Earlier images used as further negatives of images; 0 = none."
    )
    balance_weight: float = Field(
        0.0, ge=0, description="Weight of the load-balancing loss (moe); 0.01 is usual with top-k."
    )

    @property
    def uses_points(self) -> bool:
        """Whether any loss uses shapes."""
        return self.image_shape_weight > 0 or self.text_shape_weight > 0

    @property
    def uses_text(self) -> bool:
        """Whether any loss uses texts."""
        return self.text_shape_weight > 0 or self.text_image_weight > 0


class MetricsConfig(Group):
    """Metrics of the evaluation while training."""

    k_list_for_recalls: Recalls = Field(
        (1, 2, 3, 5, 10), min_length=1, description="The K of every Recall@K."
    )
    save_checkpoint_at_recall_k: Recalls = Field(
        (3,), description="Keep moe_recall@K and pc_encoder_recall@K files at the best of these."
    )
    monitor: str = Field(
        "recall@3",
        min_length=1,
        description="Metric of `val/` that selects the best weights.",
    )


class Config(SystemConfig):
    """Train encoders of images, shapes and texts into one space, on a shape library."""

    named_models = {("model", "text_encoder"): ("text encoder", "--text_encoder")}  # noqa: RUF012
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: RetrievalTrainingConfig = RetrievalTrainingConfig()
    scheduler: CosineSchedulerConfig = CosineSchedulerConfig()
    early_stopping: NoEarlyStoppingConfig = NoEarlyStoppingConfig()
    metrics: MetricsConfig = MetricsConfig()

    @classmethod
    def adapt_file(cls, values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Leave settings of the other verbs out."""
        return split_shared_file(cls, values, {})

    @model_validator(mode="before")
    @classmethod
    def _move_init(cls, values: Any) -> Any:
        return move_init(values)

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        """Check settings of different groups against each other."""
        data, model, training = self.data, self.model, self.training
        if data.points < max(model.num_group, model.group_size):
            raise ValueError(
                f"points {data.points} are fewer than num_group {model.num_group} "
                f"or group_size {model.group_size}"
            )
        if training.image_image_weight and data.views < 2:
            raise ValueError(f"image_image_weight needs views 2 or more, seen {data.views}")
        if 0 < data.near_views < data.views - 1:
            raise ValueError(f"near_views {data.near_views} are too few for views {data.views}")
        if data.light_views > data.views:
            raise ValueError(f"light_views {data.light_views} of views {data.views}")
        if model.image_encoder != SMALL and not data.image_embeddings:
            raise ValueError(
                f"image_encoder {model.image_encoder} is frozen: image_embeddings must name the "
                ".npz that `triform retrieval embed` wrote"
            )
        if not (training.uses_points or training.text_image_weight or training.image_image_weight):
            raise ValueError(
                "one of image_shape_weight, text_shape_weight, text_image_weight and "
                "image_image_weight must be above 0"
            )
        if training.uses_text and not model.text_encoder:
            raise ValueError("text_shape_weight and text_image_weight need a text_encoder")
        missing = set(self.metrics.save_checkpoint_at_recall_k) - set(
            self.metrics.k_list_for_recalls
        )
        if missing:
            raise ValueError(
                f"save_checkpoint_at_recall_k {min(missing)} must be in k_list_for_recalls"
            )
        if min(self.metrics.k_list_for_recalls) < 1:
            raise ValueError("k_list_for_recalls: K begins at 1")
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "evaluate": EvaluateConfig,
    "embed": EmbedConfig,
    "submit": SubmitConfig,
    "search": SearchConfig,
}

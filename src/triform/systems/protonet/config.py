"""Settings of prototypical networks and of their verbs. Imports no torch."""

from typing import Literal

from pydantic import Field

from triform.base.settings.config import Settings
from triform.engine.config import TrainingConfig
from triform.tasks.few_shot.config import (
    ClassifyConfig,
    ConvEmbeddingConfig,
    EvaluateEpisodesConfig,
    FewShotConfig,
)


class ModelConfig(ConvEmbeddingConfig):
    """Shape of the embedding, and distance between embeddings."""

    norm: Literal["batch", "group"] = Field("batch", description="Norm of the blocks.")
    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="Squared Euclidean distance, or cosine with a learned scale."
    )


class ProtonetTrainingConfig(TrainingConfig):
    """Optimization of the embedding."""

    memory_knobs = ("batch_size", "train_way", "image_size")

    epochs: int = 10
    lr: float = 1e-3
    use_amp: bool = False


class Config(FewShotConfig):
    """Train an embedding in which a class is the mean of its examples."""

    model: ModelConfig = ModelConfig()
    training: ProtonetTrainingConfig = ProtonetTrainingConfig()


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "evaluate": EvaluateEpisodesConfig,
    "classify": ClassifyConfig,
}

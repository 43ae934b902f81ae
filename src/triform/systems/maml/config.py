"""Settings of MAML and of its verbs. Imports no torch."""

from __future__ import annotations

from pydantic import Field, model_validator

from triform.base.settings.config import Settings
from triform.engine.config import TrainingConfig
from triform.tasks.few_shot.config import ClassifyConfig, EvaluateEpisodesConfig, FewShotConfig


class MAMLTrainingConfig(TrainingConfig):
    """Outer and inner optimization."""

    memory_knobs = ("batch_size", "inner_steps", "hidden_channels")

    epochs: int = 10
    use_amp: bool = False
    inner_steps: int = Field(5, ge=1, le=100, description="Gradient steps within an episode.")
    inner_lr: float = Field(0.01, gt=0, description="Learning rate within an episode.")
    learn_inner_lr: bool = Field(
        False, description="Learn the inner rate of each tensor and step as well (MAML++)."
    )
    test_steps: int = Field(
        0, ge=0, le=10_000, description="Gradient steps within a test episode; 0 = inner_steps."
    )
    first_order: bool = Field(
        False, description="Leave out second derivatives: cheaper, and usually less accurate."
    )
    anil: bool = Field(False, description="Adapt the last layer only (ANIL).")
    grouped_convolutions: bool = Field(
        True,
        description="On a CPU adapt to all episodes of a batch by grouped convolutions, 2.5 times "
        "as fast as torch.func.vmap; no effect elsewhere.",
    )


class Config(FewShotConfig):
    """Train initial weights from which a few gradient steps learn a new task."""

    training: MAMLTrainingConfig = MAMLTrainingConfig()

    @model_validator(mode="after")
    def _check_sizes(self) -> Config:
        """Outputs are one per class, and learned rates one per step."""
        data, training = self.data, self.training
        if data.train_way not in (0, data.n_way):
            raise ValueError(
                f"train_way {data.train_way} must be n_way {data.n_way} (or 0): the last layer "
                "has one output per class"
            )
        if training.learn_inner_lr and training.test_steps > training.inner_steps:
            raise ValueError(
                f"test_steps {training.test_steps} are more than the inner_steps "
                f"{training.inner_steps} whose rates are learned"
            )
        return self


VERBS: dict[str, type[Settings]] = {
    "train": Config,
    "evaluate": EvaluateEpisodesConfig,
    "classify": ClassifyConfig,
}

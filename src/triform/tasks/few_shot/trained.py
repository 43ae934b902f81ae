"""Base class of trained few-shot learners: the verbs `evaluate` and `classify`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import torch
from torch import Tensor

from triform.engine.checkpoints.trained import TrainedModel
from triform.engine.device import to_device
from triform.tasks.few_shot.classify import classify_images
from triform.tasks.few_shot.config import ClassifyConfig, EvaluateEpisodesConfig, FewShotConfig
from triform.tasks.few_shot.episodes import Episode, evaluation_sampler, load_table
from triform.tasks.few_shot.evaluation import mean_accuracy, nearest_pixels

FewShotConfigT = TypeVar("FewShotConfigT", bound=FewShotConfig)


class TrainedFewShot(TrainedModel[FewShotConfigT]):
    """A trained few-shot learner; a subclass adds `build` and `test_logits`."""

    @abstractmethod
    def test_logits(self, episode: Episode, *, transductive: bool) -> Tensor:
        """Logits (T, Q, N) of episodes, with N at least their number of classes.

        Args:
            episode: a batch of episodes on the model's device.
            transductive: whether queries of an episode may influence each other.
        """

    def check_task(self, n_way: int, *, transductive: bool = False) -> None:
        """Raise UsageError for tasks that the model cannot do; by default it can do all."""

    @torch.no_grad()
    def logits(self, episode: Episode, *, transductive: bool = False) -> Tensor:
        """Logits (T, Q, n_way) of episodes on any device.

        Raises:
            UsageError: the model cannot do such tasks.
        """
        n_way = int(episode["support_labels"].max()) + 1
        self.check_task(n_way, transductive=transductive)
        episode = to_device(episode, self.device)
        return self.test_logits(episode, transductive=transductive)[..., :n_way]

    @classmethod
    def evaluate(cls, settings: EvaluateEpisodesConfig) -> dict[str, Any]:
        """Accuracy on episodes of classes that were not trained on, beside the baseline's.

        Raises:
            UsageError: the model cannot do such tasks, or the data has too few classes for them.
            UserError: no such weights or data.
        """
        model = cls.choose(settings.checkpoint, settings.device)
        model.check_task(settings.n_way, transductive=settings.transductive)
        changes = {"download_path": settings.download_path}
        if settings.dataset:
            changes["dataset"] = settings.dataset
        data = model.config.data.model_copy(update=changes)
        sampler = evaluation_sampler(
            load_table(data),
            settings.split,
            n_way=settings.n_way,
            n_shot=settings.n_shot,
            n_query=settings.n_query,
            augment=settings.augment,
            query_maker=settings.query_maker,
        )

        def predict(episode: Episode) -> Tensor:
            return model.logits(episode, transductive=settings.transductive).argmax(-1)

        options = (sampler, settings.episodes, settings.seed)
        scores = mean_accuracy(predict, *options, show_progress=True)
        baseline = mean_accuracy(nearest_pixels, *options)
        return {
            "checkpoint": str(model.source),
            "dataset": data.dataset,
            "task": f"{settings.n_way}-way {settings.n_shot}-shot",
            "mode": "transductive" if settings.transductive else "inductive",
            **scores,
            "nearest_pixels_accuracy": baseline["accuracy"],
            "nearest_pixels_interval95": baseline["interval95"],
        }

    @classmethod
    def classify(cls, settings: ClassifyConfig) -> list[dict[str, Any]]:
        """Classify images by a few examples.

        Raises:
            UsageError: more classes of examples than the model can tell apart.
            UserError: no such weights or images, or fewer than two classes of examples.
        """
        model = cls.choose(settings.checkpoint, settings.device)
        data = model.config.data

        def predict(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
            episode = {"support": support, "support_labels": labels, "query": query}
            batch = {name: value[None] for name, value in episode.items()}
            return model.logits(batch)[0].softmax(-1).cpu()

        return classify_images(settings, predict, data.image_size, data.channels)

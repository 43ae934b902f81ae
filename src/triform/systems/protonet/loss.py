"""The loss: cross-entropy of a task's queries, the same for all learners of tasks."""

from triform.losses.tasks import query_loss

__all__ = ["query_loss"]

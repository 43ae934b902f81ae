"""Many tasks at once: each learned by itself, all in the same operations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from triform.systems.maml.config import MAMLTrainingConfig
from triform.systems.maml.model import Classifier, InnerRates, Weights, adapt, learned_within
from triform.systems.maml.stacked import stacked_logits

Task = dict[str, Tensor]


def task_logits(
    network: Classifier,
    inner_rates: InnerRates | None,
    batch: Task,
    training: MAMLTrainingConfig,
    *,
    steps: int,
    weights: Weights | None = None,
) -> Tensor:
    """Logits (T, Q, N) of the queries after learning the supports.

    Learning is always in float32: differences of weights within a task are small. Under autocast
    a processor that learns tasks side by side convolves queries and outer derivatives in bf16.

    Args:
        network: the classifier.
        inner_rates: learned rates; None takes `inner_lr` for all.
        batch: `support` (T, S, C, H, W), `support_labels` (T, S), `query` (T, Q, C, H, W).
        training: the settings.
        steps: within a task.
        weights: where learning begins; the network's own where not given.
    """
    names = learned_within(network, anil=training.anil)
    if inner_rates is None:
        rate = batch["support"].new_tensor(training.inner_lr)
        rates = [dict.fromkeys(names, rate) for _ in range(steps)]
    else:
        rates = inner_rates.rates()[:steps]
    start: Weights = dict(network.named_parameters()) if weights is None else weights

    kind = batch["support"].device.type
    low = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
    with torch.autocast(kind, enabled=False):
        if kind == "cpu" and training.side_by_side:
            return stacked_logits(
                network, start, batch, rates, first_order=training.first_order, low=low
            )
        return vmapped_logits(network, start, batch, rates, first_order=training.first_order)


def vmapped_logits(
    network: nn.Module, start: Weights, batch: Task, rates: list[Weights], *, first_order: bool
) -> Tensor:
    """The same by `torch.func`, for any network and device."""

    def one(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        learned = adapt(network, start, support, labels, rates, first_order=first_order)
        return functional_call(network, learned, (query,))

    return vmap(one)(batch["support"], batch["support_labels"], batch["query"])

"""Adaptation to episodes by gradient descent with a graph, for all episodes of a batch at once.

Finn, Abbeel and Levine, arXiv:1703.03400, algorithm 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from triform.systems.maml.config import MAMLTrainingConfig
from triform.systems.maml.grouped import grouped_logits
from triform.systems.maml.model import (
    Classifier,
    InnerLearningRates,
    Parameters,
    adapted_parameters,
)
from triform.tasks.few_shot.episodes import Episode


def adapt(
    network: nn.Module,
    parameters: Parameters,
    support: Tensor,
    labels: Tensor,
    rates: list[Parameters],
    *,
    first_order: bool = False,
) -> Parameters:
    """Adapt to one episode by plain gradient descent, with a graph through all steps.

    Args:
        network: the network; its own parameters are neither used nor changed.
        parameters: initial parameters.
        support: (S, C, H, W).
        labels: (S,) int64.
        rates: one entry per step, the learning rate of each adapted parameter.
        first_order: treat the gradients as constants.

    Returns:
        The parameters after the last step.
    """
    for rate in rates:
        fixed = {name: value for name, value in parameters.items() if name not in rate}
        adapted = {name: parameters[name] for name in rate}

        def loss(adapted: Parameters, fixed: Parameters = fixed) -> Tensor:
            logits = functional_call(network, {**fixed, **adapted}, (support,))
            return F.cross_entropy(logits, labels)

        gradients = grad(loss)(adapted)
        if first_order:
            gradients = {name: gradient.detach() for name, gradient in gradients.items()}
        parameters = {
            **fixed,
            **{name: adapted[name] - rate[name] * gradients[name] for name in rate},
        }
    return parameters


def adapted_logits(
    network: Classifier,
    inner_rates: InnerLearningRates | None,
    batch: Episode,
    training: MAMLTrainingConfig,
    *,
    steps: int,
    parameters: Parameters | None = None,
) -> Tensor:
    """Logits (T, Q, N) of the queries after adapting to the supports of each episode.

    Inner steps are in float32: the changes of parameters are small. Under autocast grouped
    convolutions compute queries and outer derivatives in bf16.

    Args:
        network: the classifier.
        inner_rates: learned rates; None uses `inner_lr` for all.
        batch: `support` (T, S, C, H, W), `support_labels` (T, S), `query` (T, Q, C, H, W).
        training: settings.
        steps: number of inner steps.
        parameters: initial parameters; by default the network's own.
    """
    if inner_rates is None:
        names = adapted_parameters(network, anil=training.anil)
        rates = [dict.fromkeys(names, batch["support"].new_tensor(training.inner_lr))] * steps
    else:
        rates = inner_rates.rates()[:steps]
    if parameters is None:
        parameters = dict(network.named_parameters())
    device = batch["support"].device.type
    bf16 = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16
    first_order = training.first_order
    with torch.autocast(device, enabled=False):
        if device == "cpu" and training.grouped_convolutions:
            return grouped_logits(
                network, parameters, batch, rates, first_order=first_order, bf16=bf16
            )
        return vmap_logits(network, parameters, batch, rates, first_order=first_order)


def vmap_logits(
    network: nn.Module,
    parameters: Parameters,
    batch: Episode,
    rates: list[Parameters],
    *,
    first_order: bool,
) -> Tensor:
    """Logits (T, Q, N) as of `adapted_logits` by `torch.func`, for any network and device."""

    def query_logits(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        adapted = adapt(network, parameters, support, labels, rates, first_order=first_order)
        logits: Tensor = functional_call(network, adapted, (query,))
        return logits

    logits: Tensor = vmap(query_logits)(batch["support"], batch["support_labels"], batch["query"])
    return logits

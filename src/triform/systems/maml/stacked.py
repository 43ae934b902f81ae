"""Learning many tasks in the same operations on a processor, second derivatives included.

The weights of all tasks stand side by side as channels of one wide network. `torch.func.vmap`
does so too, but its convolutions are not channels-last, and norms, ReLU and maxima are
differentiated a second time operation by operation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.conv_embedding import GROUPS
from triform.layers.first_block import Pictures, first_block, look_at
from triform.layers.norm_pool import norm_pool
from triform.layers.task_conv import Precision, task_conv
from triform.systems.maml.model import HEAD, Classifier, Weights

# More side by side make maps of which memory has to be asked of the system anew each time, which
# costs more than the convolutions.
AT_ONCE = 4


def stacked_logits(
    network: Classifier,
    start: Weights,
    batch: dict[str, Tensor],
    rates: list[Weights],
    *,
    first_order: bool,
    low: bool = False,
) -> Tensor:
    """Logits (T, Q, N) of the queries after learning the supports.

    Args:
        network: whose shape it is; its weights are not touched.
        start: where learning begins, the same for all tasks.
        batch: `support` (T, S, C, H, W), `support_labels` (T, S), `query` (T, Q, C, H, W).
        rates: one entry per step, the learning rate of each tensor that learns.
        first_order: treat the gradients within a task as constants.
        low: queries and outer derivatives in bf16; what is learned within a task stays exact.
    """
    tracked = torch.is_grad_enabled()
    # Without a graph the derivatives within a task would be outermost ones.
    within = Precision(rough=low and tracked and not first_order)
    said = []
    parts = (batch[key].split(AT_ONCE) for key in ("support", "support_labels", "query"))
    for support, labels, query in zip(*parts, strict=True):
        with torch.enable_grad():
            weights = {name: _spread(tensor, len(support)) for name, tensor in start.items()}
            features, seen = None, look_at(2 * support - 1)
            for step in rates:
                weights = {
                    name: w if tracked and w.requires_grad else w.detach().requires_grad_()
                    for name, w in weights.items()
                }
                if features is None or not all(name.startswith(HEAD) for name in step):
                    features = _features(network, weights, seen, within)
                loss = F.cross_entropy(
                    _last_layer(weights, features).flatten(0, 1),
                    labels.flatten(),
                    reduction="sum",
                )
                slopes = torch.autograd.grad(
                    loss / labels.shape[1],
                    [weights[name] for name in step],
                    create_graph=tracked and not first_order,
                    retain_graph=True,
                )
                weights = weights | {
                    name: weights[name] - step[name] * slope
                    for name, slope in zip(step, slopes, strict=True)
                }
        with torch.set_grad_enabled(tracked):
            seen = look_at(2 * query - 1)
            found = _features(network, weights, seen, Precision(low, low))
            said.append(_last_layer(weights, found))
    return torch.cat(said)


def _spread(tensor: Tensor, tasks: int) -> Tensor:
    """The same weights for every task; those of convolutions channels-last, as their maps."""
    if tensor.ndim != 4:
        return tensor.expand(tasks, *tensor.shape).contiguous()
    rows = tensor.permute(0, 2, 3, 1)
    return rows.expand(tasks, *rows.shape).contiguous().permute(0, 1, 4, 2, 3)


def _features(
    network: Classifier, weights: Weights, seen: Pictures, precision: Precision
) -> Tensor:
    """T tasks of B pictures to embeddings (T, B, D), each task by its own weights."""
    maps, tasks = None, seen.means.shape[1]
    for number, block in enumerate(network.embedding.blocks):
        conv, weight, bias = (
            weights[f"embedding.blocks.{number}.{name}"]
            for name in ("conv.weight", "norm.weight", "norm.bias")
        )
        norm = block.get_submodule("norm")
        assert isinstance(norm, nn.GroupNorm)
        if maps is None:
            maps = first_block(seen, conv, weight, bias, GROUPS, norm.eps)
            continue
        maps = task_conv(maps, conv.flatten(0, 1), tasks, precision)
        maps = norm_pool(maps, weight.flatten(), bias.flatten(), tasks * GROUPS, norm.eps)
    assert maps is not None  # there is at least one block
    return maps.unflatten(1, (tasks, -1)).transpose(0, 1).flatten(2)


def _last_layer(weights: Weights, features: Tensor) -> Tensor:
    """Embeddings (T, B, D) to logits (T, B, N)."""
    bias, weight = weights[HEAD + "bias"], weights[HEAD + "weight"]
    return torch.baddbmm(bias[:, None], features, weight.transpose(1, 2))

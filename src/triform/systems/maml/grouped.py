"""Adaptation to all episodes of a batch by grouped convolutions on a CPU.

The parameters of all episodes are concatenated as channel groups of one wide network.
`torch.func.vmap` does so too, but its convolutions are not channels-last, and norms, ReLU and
max-pooling are differentiated a second time operation by operation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triform.layers.conv_embedding import GROUPS
from triform.systems.maml.kernels.episode_conv import Precision, episode_conv
from triform.systems.maml.kernels.first_block import Patches, extract_patches, first_block
from triform.systems.maml.kernels.norm_pool import norm_pool
from triform.systems.maml.model import HEAD, Classifier, Parameters
from triform.tasks.few_shot.episodes import Episode

# With more, feature maps are so large that the allocator returns their memory to the system each
# time, which costs more than the convolutions.
MAX_EPISODES = 4


def grouped_logits(
    network: Classifier,
    parameters: Parameters,
    batch: Episode,
    rates: list[Parameters],
    *,
    first_order: bool,
    bf16: bool = False,
) -> Tensor:
    """Logits (T, Q, N) of the queries after adapting to the supports.

    Args:
        network: the classifier, for its architecture; its parameters are not used.
        parameters: initial parameters, the same for all episodes.
        batch: `support` (T, S, C, H, W), `support_labels` (T, S), `query` (T, Q, C, H, W).
        rates: one entry per step, the learning rate of each adapted parameter.
        first_order: treat the gradients of inner steps as constants.
        bf16: compute queries and outer derivatives in bf16; inner steps stay in float32.
    """
    has_graph = torch.is_grad_enabled()
    # Without a graph the derivatives of inner steps would count as outer ones.
    inner_precision = Precision(outer_bf16=bf16 and has_graph and not first_order)
    logits = []
    parts = (
        torch.split(batch[key], MAX_EPISODES) for key in ("support", "support_labels", "query")
    )
    for support, labels, query in zip(*parts, strict=True):
        with torch.enable_grad():
            adapted = {name: _repeat(value, len(support)) for name, value in parameters.items()}
            features, patches = None, extract_patches(2 * support - 1)
            for rate in rates:
                adapted = {
                    name: value if has_graph and value.requires_grad else _new_leaf(value)
                    for name, value in adapted.items()
                }
                if features is None or not all(name.startswith(HEAD) for name in rate):
                    features = _features(network, adapted, patches, inner_precision)
                loss = F.cross_entropy(
                    _head(adapted, features).flatten(0, 1), labels.flatten(), reduction="sum"
                )
                gradients = torch.autograd.grad(
                    loss / labels.shape[1],
                    [adapted[name] for name in rate],
                    create_graph=has_graph and not first_order,
                    retain_graph=True,
                )
                adapted = adapted | {
                    name: adapted[name] - rate[name] * gradient
                    for name, gradient in zip(rate, gradients, strict=True)
                }
        with torch.set_grad_enabled(has_graph):
            patches = extract_patches(2 * query - 1)
            query_features = _features(network, adapted, patches, Precision(bf16, bf16))
            logits.append(_head(adapted, query_features))
    return torch.cat(logits)


def _new_leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _repeat(tensor: Tensor, episodes: int) -> Tensor:
    """A parameter for each episode; those of convolutions channels-last."""
    if tensor.ndim != 4:
        return tensor.expand(episodes, *tensor.shape).contiguous()
    rows = tensor.permute(0, 2, 3, 1)
    return rows.expand(episodes, *rows.shape).contiguous().permute(0, 1, 4, 2, 3)


def _features(
    network: Classifier, parameters: Parameters, patches: Patches, precision: Precision
) -> Tensor:
    """Embeddings (T, B, D) of B images for each of T episodes, by the parameters of each."""
    maps, episodes = None, patches.means.shape[1]
    for index, block in enumerate(network.embedding.blocks):
        conv, weight, bias = (
            parameters[f"embedding.blocks.{index}.{name}"]
            for name in ("conv.weight", "norm.weight", "norm.bias")
        )
        norm = block.get_submodule("norm")
        assert isinstance(norm, nn.GroupNorm)
        if maps is None:
            maps = first_block(patches, conv, weight, bias, GROUPS, norm.eps)
            continue
        maps = episode_conv(maps, conv.flatten(0, 1), episodes, precision)
        maps = norm_pool(maps, weight.flatten(), bias.flatten(), episodes * GROUPS, norm.eps)
    assert maps is not None  # there is at least one block
    return torch.unflatten(maps, 1, (episodes, -1)).transpose(0, 1).flatten(2)


def _head(parameters: Parameters, features: Tensor) -> Tensor:
    """Logits (T, B, N) of embeddings (T, B, D)."""
    bias, weight = parameters[HEAD + "bias"], parameters[HEAD + "weight"]
    return torch.baddbmm(bias[:, None], features, weight.transpose(1, 2))

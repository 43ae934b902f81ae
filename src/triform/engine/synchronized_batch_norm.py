"""Batch norm over the batches of all processes, on any device.

torch's own `SyncBatchNorm` runs on GPUs alone. With this one, processes with a part of the batch
each compute what a single process computes with the whole.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from triform.losses.contrastive import gather_with_gradient

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synchronize_batch_norm(network: nn.Module) -> None:
    """Let a network's batch norms take the statistics of all processes' batches, in place."""
    for module in network.modules():
        if type(module) in KINDS:
            module.__class__ = SynchronizedBatchNorm


class SynchronizedBatchNorm(_BatchNorm):
    """Batch norm (arXiv:1502.03167) whose mean and variance are those of all processes."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...); in evaluation mode as ordinary batch norm does."""
        if not self.training:
            return super().forward(input)
        shape = (1, -1, *([1] * (input.dim() - 2)))
        axes = [0, *range(2, input.dim())]
        x = input.float()
        variance, mean = torch.var_mean(x, axes, correction=0)
        count = x.new_tensor([x.numel() / x.shape[1]])
        counts, means, variances = gather_with_gradient(
            torch.cat([count, mean, variance])[None]
        ).split([1, len(mean), len(mean)], dim=1)
        counts = counts.detach()
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (counts * (variances + (means - mean).square())).sum(0) / total
        self._update_running(mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
        output: Tensor = (x - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            output = output * self.weight.float().view(shape) + self.bias.float().view(shape)
        return output.to(input.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if self.running_mean is None or self.running_var is None:
            return
        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum or 0.0)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum or 0.0)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (B, C, ...), seen {tuple(input.shape)}")

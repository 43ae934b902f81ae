"""Optimizer step: backward, clipping, step, zeroing and learning rates, all in one place."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.engine.config import TrainingConfig
from triform.engine.device import NumberFormat
from triform.engine.processes import Processes
from triform.engine.schedule import Schedule
from triform.engine.sharding import full_tensor, release_memory

logger = get_logger(__name__)


class NonFiniteError(UserError):
    """Gradients were not finite in too many steps in a row."""


class Update:
    """Optimizer steps of a system: call it with a loss.

    A loss changes the parameters of its optimizer only: backward runs for those (`inputs=`).
    Without that, the loss of one network would leave gradients in every other network of its graph.

    Where parameters are sharded, backward has to run for all, and other gradients are dropped.

    A step whose gradient is not finite is skipped and counted, and running statistics that its
    forward pass changed are restored.

    Args:
        networks: The trained networks.
        optimizers: By name.
        schedule: Learning rates.
        training: The settings.
        precision: Number format of the forward pass; fp16 gets a gradient scaler per optimizer.
        processes: To average gradients that the system computed itself.

    Attributes:
        num_skipped: Steps skipped since the run began.
        norms: Gradient norm of each optimizer's last step, before clipping.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        schedule: Schedule,
        training: TrainingConfig,
        precision: NumberFormat,
        processes: Processes,
    ):
        self.optimizers, self.schedule, self.training = optimizers, schedule, training
        self.processes = processes
        self.num_skipped = 0
        self.norms: dict[str, float] = {}
        self.scalers = {
            name: torch.amp.GradScaler(processes.device.type)
            for name in optimizers
            if precision == "fp16"
        }
        self._base_rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in optimizers.items()
        }
        self._nonfinite_steps = dict.fromkeys(optimizers, 0)
        self._is_finite = dict.fromkeys(optimizers, True)
        self._networks = list(networks.values())
        self._statistics = list(_running_statistics(networks.values()))
        self._saved_statistics = [tensor.clone() for tensor in self._statistics]

    @property
    def is_healthy(self) -> bool:
        """Whether the last step of every optimizer was finite, so that saving makes sense."""
        return not any(self._nonfinite_steps.values())

    def begin(self, step: int, epoch: int) -> None:
        """Set the learning rates of the step that begins."""
        for name, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self._base_rates[name], strict=True):
                group["lr"] = self.schedule.rate(base, step, epoch)
        if self._statistics:
            torch._foreach_copy_(self._saved_statistics, self._statistics)

    def rates(self) -> dict[str, float]:
        """Learning rate of each optimizer's first parameter group."""
        return {
            name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()
        }

    def __call__(self, loss: Tensor, name: str = "main", *, retain_graph: bool = False) -> float:
        """Step an optimizer by the gradient of a loss, and those that were accumulated before.

        Args:
            loss: A scalar with a graph.
            name: The optimizer that steps.
            retain_graph: Keep the graph for another loss that shares a part of it.

        Returns:
            The norm of the gradient before clipping; nan or inf where the step was skipped.

        Raises:
            ValueError: No such optimizer, or a loss that is not a scalar with a graph.
            NonFiniteError: Too many steps in a row had no finite gradient.
        """
        self.accumulate(loss, name, retain_graph=retain_graph)
        is_finite, self._is_finite[name] = self._is_finite[name], True
        return self._step(name, self._parameters(name), self.scalers.get(name), is_finite=is_finite)

    def accumulate(self, loss: Tensor, name: str = "main", *, retain_graph: bool = False) -> None:
        """Add the gradient of a loss to that of the optimizer's next step.

        Losses of parts of a batch are divided by the number of parts, so that their sum is that of
        the batch.

        Args:
            loss: A scalar with a graph.
            name: The optimizer.
            retain_graph: Keep the graph for another loss that shares a part of it.

        Raises:
            ValueError: No such optimizer, or a loss that is not a scalar with a graph.
        """
        parameters = self._parameters(name)
        if loss.numel() != 1 or not loss.requires_grad:
            raise ValueError(
                f"update({name!r}) needs a scalar loss with a graph, seen shape "
                f"{tuple(loss.shape)}, requires_grad={loss.requires_grad}"
            )
        scaler = self.scalers.get(name)
        scaled = loss if scaler is None else scaler.scale(loss)
        # Autocast is for the forward pass; backward follows the formats it finds.
        with torch.autocast(loss.device.type, enabled=False):
            if self.processes.shards:
                torch.autograd.backward(scaled, retain_graph=retain_graph)
                self._drop_other_gradients(parameters)
            else:
                torch.autograd.backward(scaled, inputs=parameters, retain_graph=retain_graph)
        self._is_finite[name] &= bool(torch.isfinite(loss.detach()))

    def apply_gradients(self, gradients: Iterable[Tensor | None], name: str = "main") -> float:
        """Step an optimizer with gradients that the system computed itself.

        They are averaged over processes here.

        Args:
            gradients: One for each parameter of the optimizer, in its order; None for none.
            name: The optimizer that steps.

        Returns:
            The norm of the gradient before clipping.

        Raises:
            ValueError: No such optimizer, or the number of gradients is not that of parameters.
            NonFiniteError: Too many steps in a row had no finite gradient.
        """
        if self.processes.shards:
            raise UserError(
                "--fsdp: this system computes gradients of whole parameters itself, of which a "
                "process has only a slice; train without it"
            )
        parameters, gradients = self._parameters(name), list(gradients)
        if len(gradients) != len(parameters):
            raise ValueError(
                f"apply_gradients({name!r}): {len(gradients)} gradients for "
                f"{len(parameters)} parameters"
            )
        # Backward lays gradients out as their parameters are; a fused optimizer relies on it and
        # never asks for strides: others would each move a wrong element.
        copies = [
            None if gradient is None else torch.empty_like(parameter).copy_(gradient.detach())
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]
        self.processes.average_([gradient for gradient in copies if gradient is not None])
        for parameter, gradient in zip(parameters, copies, strict=True):
            parameter.grad = gradient
        return self._step(name, parameters, None, is_finite=True)

    def state_dict(self) -> dict[str, Any]:
        """State of the scalers and counters."""
        return {
            "scalers": {name: scaler.state_dict() for name, scaler in self.scalers.items()},
            "num_skipped": self.num_skipped,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        self.num_skipped = state["num_skipped"]
        for name, scaler in self.scalers.items():
            if name in state["scalers"]:
                scaler.load_state_dict(state["scalers"][name])

    def _drop_other_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Keep the gradients of these parameters alone."""
        retained = {id(parameter) for parameter in parameters}
        for network in self._networks:
            for parameter in network.parameters():
                if id(parameter) not in retained:
                    parameter.grad = None

    def _parameters(self, name: str) -> list[Tensor]:
        """The parameters of an optimizer."""
        if name not in self.optimizers:
            raise ValueError(f"no optimizer {name!r}; there are: {', '.join(self.optimizers)}")
        return [
            parameter
            for group in self.optimizers[name].param_groups
            for parameter in group["params"]
            if parameter.requires_grad
        ]

    def _step(
        self,
        name: str,
        parameters: Sequence[Tensor],
        scaler: torch.amp.GradScaler | None,
        *,
        is_finite: bool,
    ) -> float:
        """Unscale, clip, step or skip, and zero the gradients."""
        optimizer = self.optimizers[name]
        if scaler is not None:
            scaler.unscale_(optimizer)
        norm = float(full_tensor(clip_grad_norm_(parameters, self.training.grad_clip or math.inf)))
        # Losses differ from process to process: what one skips, all must skip.
        (is_skipped,) = self.processes.any(not (is_finite and math.isfinite(norm)))
        if not is_skipped:
            optimizer.step()
        if scaler is not None:
            # An overflow on one process only must lower the scale everywhere.
            scaler.update(scaler.get_scale() * scaler.get_backoff_factor() if is_skipped else None)
        optimizer.zero_grad(set_to_none=True)
        if self.processes.shards:
            release_memory(self.processes.device)  # that of the gradients
        self.norms[name] = norm
        self._count(
            name, is_skipped=is_skipped, overflow=scaler is not None and scaler.get_scale() > 1
        )
        return norm

    def _count(self, name: str, *, is_skipped: bool, overflow: bool) -> None:
        """Count skipped steps; raises after too many in a row."""
        if not is_skipped:
            self._nonfinite_steps[name] = 0
            return
        self.num_skipped += 1
        if self._statistics:
            torch._foreach_copy_(self._statistics, self._saved_statistics)
        # While fp16 looks for its scale, overflow is part of the search.
        self._nonfinite_steps[name] += not overflow
        count = self._nonfinite_steps[name]
        logger.debug("step of %s skipped: its gradient is not finite", name)
        if count >= self.training.max_nonfinite_steps:
            raise NonFiniteError(
                f"the gradient of {name!r} was not finite in {count} steps in a row"
            )


def _running_statistics(networks: Iterable[nn.Module]) -> Iterable[Tensor]:
    """Buffers that a forward pass changes in training: means and variances of batches."""
    for network in networks:
        for module in network.modules():
            if getattr(module, "track_running_stats", False):
                yield from (buffer for buffer in module.buffers(recurse=False))

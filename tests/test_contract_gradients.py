"""Gradients of every system with its `tiny` presets, and a loss that falls."""

import copy
from typing import Any

import numpy as np
import torch

from tiny_systems import Tiny, losses, numbers, tiny
from triform.engine.fit import fit

__all__ = ["tiny"]


def gradients(tiny: Tiny, *flags: str) -> dict[str, torch.Tensor]:
    """Sum of the gradients of every trained parameter over a few steps."""
    torch.manual_seed(0)
    system = tiny.system("--epochs", "1", "--max_steps", "3", *flags)
    names = {
        parameter: f"{network}.{name}"
        for network, module in system.networks.items()
        for name, parameter in module.named_parameters()
    }
    found: dict[str, torch.Tensor] = {}
    frozen = [p for module in system.frozen.values() for p in module.parameters()]

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        assert all(parameter.grad is None for parameter in frozen)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    seen = parameter.grad.detach().double()
                    found[names[parameter]] = found.get(names[parameter], 0) + seen

    for optimizer in system.optimizers.values():
        optimizer.register_step_pre_hook(look)
    fit(system)
    assert set(names.values()) >= set(found)
    for parameter, name in names.items():
        assert not parameter.requires_grad or name in found, f"{name} is in no optimizer"
    return found


def test_every_trained_parameter_gets_a_gradient(tiny):
    found = gradients(tiny, "--precision", "float32")
    assert found and all(torch.isfinite(gradient).all() for gradient in found.values())
    assert not [name for name, gradient in found.items() if not gradient.any()]


def test_bf16_gradients_are_those_of_float32(tiny):
    """Rounding turns a gradient by degrees; a broken kernel turns it anywhere."""
    exact = gradients(tiny, "--precision", "float32", "--lr", "1e-12")
    rounded = gradients(tiny, "--precision", "bf16", "--lr", "1e-12")
    largest = max(float(gradient.norm()) for gradient in exact.values())
    wrong = {}
    for name, gradient in exact.items():
        if gradient.norm() < 1e-4 * largest:
            assert rounded[name].norm() < 1e-2 * largest, name
            continue
        cosine = float((gradient * rounded[name]).sum() / gradient.norm() / rounded[name].norm())
        ratio = float(rounded[name].norm() / gradient.norm())
        if not (cosine > 0.9 and 0.75 < ratio < 1.33):
            wrong[name] = (round(cosine, 3), round(ratio, 3))
    assert not wrong


def test_overfits_one_batch(tiny):
    """On the same few samples again and again the loss has to fall."""
    flags = ["--epochs", "80", "--max_steps", "80", "--scheduler.type", "none", "--log_every", "1"]
    system = tiny.system(*flags, "--sample_every", "0", "--evaluate_every", "80")
    batch = next(iter(system.batches()))
    system.batches = lambda: iter([copy.deepcopy(batch) for _ in range(80)])
    values = losses(numbers(fit(system).run_dir))
    assert len(values) == 80 and np.isfinite(values).all()
    assert np.mean(values[-5:]) < 0.8 * np.mean(values[:3]), (values[:3], values[-5:])

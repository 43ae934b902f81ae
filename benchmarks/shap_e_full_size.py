"""One training step and one sampling step of a prior of Shap-E at full size.

    python benchmarks/shap_e_full_size.py text300M [--lora_rank 16] [--checkpointing]

Random weights and latents, batch of 1, float32. Prints parameters, seconds, and the peak memory of
the process beside the estimate that `triform shap_e train` tells beforehand. Needs 8 GB.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from triform.engine.optimizers import adamw
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.loss import diffusion_loss
from triform.systems.shap_e.memory import GIB, estimate_memory
from triform.systems.shap_e.model import Prior
from triform.systems.shap_e.noise_schedule import NoiseSchedule
from triform.systems.shap_e.samplers import Denoiser

CONDITIONS = {"text300M": (1, 768), "image300M": (256, 1024)}


def peak() -> float:
    """Peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model_type", choices=CONDITIONS)
    parser.add_argument("--lora_rank", type=int, default=0)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--prior_width", type=int, default=1024)
    parser.add_argument("--prior_layers", type=int, default=24)
    parser.add_argument("--vectors", type=int, default=1024, help="of a latent")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    before = peak()
    names = ("model_type", "lora_rank", "prior_width", "prior_layers")
    model = {name: getattr(arguments, name) for name in names}
    config = Config.model_validate(
        {
            "model": model,
            "data": {"batch_size": 1},
            "training": {"gradient_checkpointing": arguments.checkpointing},
        }
    )
    cond_vectors, dim = CONDITIONS[arguments.model_type]
    prior = Prior(config.model, arguments.vectors, 1024, dim)
    if arguments.checkpointing:
        prior.enable_gradient_checkpointing()
    print(estimate_memory(config, [prior], cond_vectors).describe(), flush=True)
    trained = [parameter for parameter in prior.parameters() if parameter.requires_grad]
    optimizer = adamw(trained, config.training)
    schedule = NoiseSchedule(config.diffusion)
    shape = (1, arguments.vectors, 1024)
    x0, noise = torch.rand(shape) * 2 - 1, torch.randn(shape)
    cond, t = torch.randn(1, cond_vectors, dim), torch.tensor([400])

    started = time.perf_counter()
    x_t = schedule.add_noise(x0, t, noise)
    losses = diffusion_loss(schedule, prior(x_t, t, cond), x0, x_t, t, noise)
    losses["loss"].mean().backward()
    optimizer.step()
    print(
        f"training step: {time.perf_counter() - started:.1f} s, loss {float(losses['loss']):.4f}, "
        f"peak {peak():.2f} GiB, {before:.2f} of them before the network",
        flush=True,
    )
    optimizer.zero_grad(set_to_none=True)
    started = time.perf_counter()
    with torch.no_grad():
        denoised = Denoiser(prior.eval(), schedule, cond, 3.0)(160 * noise, torch.tensor(160.0))
    print(
        f"sampling step with guidance: {time.perf_counter() - started:.1f} s, "
        f"{tuple(denoised.shape)}, finite {bool(torch.isfinite(denoised).all())}"
    )


if __name__ == "__main__":
    main()

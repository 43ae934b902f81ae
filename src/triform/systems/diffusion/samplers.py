"""Ways back from noise to a picture, through any number of steps.

Each goes from step t to a lower step s; s = -1 is the picture itself. All of them work on the
picture x_0 that the network believes in, kept within [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from triform.systems.diffusion.config import Sampler
from triform.systems.diffusion.noise import NoiseChain

Believe = Callable[[Tensor, Tensor], Tensor]
"""From x_t (B, ...) and t (B,) to the picture x_0."""


def steps_back(chain: NoiseChain, sampler: Sampler, steps: int) -> list[int]:
    """Steps t that are visited, from noise down; the one after the last is the picture."""
    last = len(chain) - 1
    if sampler == "dpm":  # the solver ends at the picture itself, not at step 0
        return torch.linspace(0, last, steps + 1).round().long().flip(0)[:-1].tolist()
    return torch.linspace(0 if steps > 1 else last, last, steps).round().long().flip(0).tolist()


def sample(
    believe: Believe,
    chain: NoiseChain,
    x: Tensor,
    *,
    sampler: Sampler,
    steps: int,
    random: torch.Generator,
    eta: float = 0.0,
) -> Iterator[Tensor]:
    """Goes from noise to pictures.

    Args:
        believe: what the network takes the picture to be.
        chain: the chain it was trained with.
        x: (B, ...) noise.
        sampler: which way.
        steps: how many.
        random: source of the noise that is put back.
        eta: share of it (ddim); 1 is ancestral sampling.

    Yields:
        What is believed after each step; the last is the result.
    """
    visited = steps_back(chain, sampler, steps)
    before: tuple[Tensor, Tensor] | None = None
    for t, s in zip(visited, [*visited[1:], -1], strict=True):
        x_0 = believe(x, torch.full((len(x),), t, device=x.device))
        if sampler == "dpm":
            x, before = dpm_step(chain, x, x_0, t, s, before)
        else:
            # No noise is added on the way to the picture itself.
            noise = torch.randn(x.shape, generator=random).to(x) if s >= 0 else torch.zeros_like(x)
            if sampler == "ddpm":
                x = ddpm_step(chain, x, x_0, t, s, noise)
            else:
                x = ddim_step(chain, x, x_0, t, s, noise, eta)
        yield x if s < 0 else x_0


def _kept(chain: NoiseChain, step: int) -> Tensor:
    return chain.kept[step] if step >= 0 else torch.ones((), dtype=torch.float64)


def ddpm_step(chain: NoiseChain, x_t: Tensor, x_0: Tensor, t: int, s: int, noise: Tensor) -> Tensor:
    """A draw from q(x_s | x_t, x_0) (arXiv:2006.11239, equations 6 and 7)."""
    now, then = _kept(chain, t), _kept(chain, s)
    alpha = now / then
    of_picture = then.sqrt() * (1 - alpha) / (1 - now)
    of_x = alpha.sqrt() * (1 - then) / (1 - now)
    deviation = ((1 - then) / (1 - now) * (1 - alpha)).sqrt()
    return float(of_picture) * x_0 + float(of_x) * x_t + float(deviation) * noise


def ddim_step(
    chain: NoiseChain, x_t: Tensor, x_0: Tensor, t: int, s: int, noise: Tensor, eta: float
) -> Tensor:
    """Along the same noise, or with some of it renewed (arXiv:2010.02502, equation 12)."""
    now, then = _kept(chain, t), _kept(chain, s)
    epsilon = (x_t - float(now.sqrt()) * x_0) / float((1 - now).sqrt())
    renewed = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    straight = (1 - then - renewed**2).clamp(min=0).sqrt()
    return float(then.sqrt()) * x_0 + float(straight) * epsilon + float(renewed) * noise


def dpm_step(
    chain: NoiseChain,
    x_t: Tensor,
    x_0: Tensor,
    t: int,
    s: int,
    before: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """DPM-Solver++(2M): second order in log signal-to-noise (arXiv:2211.01095, algorithm 2).

    Args:
        chain: the chain.
        x_t: where the sample is.
        x_0: what the network believes there.
        t: the step it is at.
        s: the step it goes to; -1 goes straight to what is believed.
        before: what was believed one step earlier, and the log signal-to-noise there.

    Returns:
        x_s, and the `before` of the next step.
    """
    now, then = _kept(chain, t), _kept(chain, s)
    here = ((now / (1 - now)).log() / 2).double()
    if s < 0:
        return x_0, (x_0, here)
    there = (then / (1 - then)).log() / 2
    step = there - here
    believed = x_0
    if before is not None:
        earlier, place = before
        ratio = float((here - place) / step)
        believed = (1 + 1 / (2 * ratio)) * x_0 - 1 / (2 * ratio) * earlier
    scale = ((1 - then) / (1 - now)).sqrt()
    moved = float(scale) * x_t - float(then.sqrt() * torch.expm1(-step)) * believed
    return moved, (x_0, here)

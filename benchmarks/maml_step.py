"""One meta-step of MAML: all tasks in one call of vmap, against a loop over tasks.

    python benchmarks/maml_step.py --threads 2

The same network, weights, tasks and second-order gradient (5-way, 3 inner steps). The peer is the
loop of the usual libraries: for each task the weights are copied, `torch.autograd.grad` with
`create_graph` makes every inner step, and the tasks' losses are added up. Ways take turns in one
process; the figures are medians of processor and of wall time. The gradients must agree.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from triform.base.config import load
from triform.systems.maml.config import Config
from triform.systems.maml.system import System

PRESETS = Path(__file__).parents[1] / "src/triform/systems/maml/presets"


def ours(system: System, batch: dict[str, Tensor]) -> list[Tensor]:
    """Gradient of the mean query loss by our way."""
    logits = system.logits(batch, steps=system.config.training.inner_steps)
    loss = F.cross_entropy(logits.flatten(0, 1), batch["query_labels"].flatten())
    return list(torch.autograd.grad(loss, list(system.network.parameters())))


def loop(system: System, batch: dict[str, Tensor]) -> list[Tensor]:
    """The same, task by task."""
    network, training = system.network, system.config.training
    rates = system.inner_rates.rates() if system.inner_rates is not None else None
    losses = []
    for support, labels, query, wanted in zip(
        *(batch[key] for key in ("support", "support_labels", "query", "query_labels")),
        strict=True,
    ):
        weights = {name: tensor.clone() for name, tensor in network.named_parameters()}
        for step in range(training.inner_steps):
            loss = F.cross_entropy(functional_call(network, weights, (support,)), labels)
            slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: tensor - (rates[step][name] if rates else training.inner_lr) * slope
                for (name, tensor), slope in zip(weights.items(), slopes, strict=True)
            }
        losses.append(F.cross_entropy(functional_call(network, weights, (query,)), wanted))
    return list(torch.autograd.grad(torch.stack(losses).mean(), list(network.parameters())))


def main(argv: list[str] | None = None) -> float:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="glyphs")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    system = System(load(Config, PRESETS / f"{given.preset}.yaml"))
    batch = next(iter(system.batches()))
    with torch.no_grad():  # an untrained last layer is zero and would hide the rest
        torch.nn.init.normal_(system.network.head.weight, 0, 0.1)
    for a, b in zip(ours(system, batch), loop(system, batch), strict=True):
        assert (a - b).norm() < 1e-3 * b.norm(), "the gradients differ"
    spent: dict[str, list[tuple[float, float]]] = {"vmap": [], "loop": []}
    for _ in range(given.repeats):
        for name, way in (("vmap", ours), ("loop", loop)):
            began = time.process_time(), time.perf_counter()
            way(system, batch)
            spent[name].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    processor, wall = (
        {name: statistics.median(one[place] for one in values) for name, values in spent.items()}
        for place in (0, 1)
    )
    for name in spent:
        print(f"{name}: {processor[name] * 1000:.0f} ms processor, {wall[name] * 1000:.0f} ms wall")
    ratio = wall["loop"] / wall["vmap"]
    print(f"ratio: {ratio:.2f} times (processor {processor['loop'] / processor['vmap']:.2f})")
    return ratio


if __name__ == "__main__":
    main()

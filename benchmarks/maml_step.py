"""One meta-step of MAML: all tasks in the same operations, against a loop over tasks.

    python benchmarks/maml_step.py
    python benchmarks/maml_step.py --threads 2

The same network, weights, tasks and second-order gradient (5-way, 3 inner steps). The peer is the
loop of the usual libraries, with torch's own layers: for each task a clone of the network,
`torch.autograd.grad` with `create_graph` for every inner step, and weights replaced by what comes
out. Where `higher` or `learn2learn` is installed, its own loop is run as well. Ways take turns in
one process; the figures are medians of processor and of wall time. The gradients must agree with
the loop's.

Ours is the default, episodes as channel groups; `vmap` is what `--grouped_convolutions false` does.
In bf16 ours computes the queries and outer derivatives alone in bf16; the loop in bf16 is torch's
autocast.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from triform.base.settings.config import parse
from triform.systems.maml.adaptation import adapted_logits
from triform.systems.maml.config import Config
from triform.systems.maml.system import System

PRESETS = Path(__file__).parents[1] / "src/triform/systems/maml/presets"
KEYS = ("support", "support_labels", "query", "query_labels")
Batch = dict[str, Tensor]


def ours(system: System, batch: Batch, grouped_convolutions: bool = True) -> list[Tensor]:
    """Gradient of the mean query loss by our implementation."""
    training = system.config.training.model_copy(
        update={"grouped_convolutions": grouped_convolutions}
    )
    logits = adapted_logits(system.network, None, batch, training, steps=training.inner_steps)
    loss = F.cross_entropy(logits.flatten(0, 1), batch["query_labels"].flatten())
    return list(torch.autograd.grad(loss, list(system.network.parameters())))


def ours_bf16(system: System, batch: Batch) -> list[Tensor]:
    """That under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return ours(system, batch)


def vmap(system: System, batch: Batch) -> list[Tensor]:
    """The same by `torch.func`."""
    return ours(system, batch, grouped_convolutions=False)


def loop(system: System, batch: Batch) -> list[Tensor]:
    """The same, task by task."""
    network, training = system.network, system.config.training
    losses = []
    for support, labels, query, target in zip(*(batch[key] for key in KEYS), strict=True):
        weights = {name: tensor.clone() for name, tensor in network.named_parameters()}
        for _ in range(training.inner_steps):
            loss = F.cross_entropy(functional_call(network, weights, (support,)), labels)
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: tensor - training.inner_lr * gradient
                for (name, tensor), gradient in zip(weights.items(), gradients, strict=True)
            }
        losses.append(F.cross_entropy(functional_call(network, weights, (query,)), target))
    return list(torch.autograd.grad(torch.stack(losses).mean(), list(network.parameters())))


def loop_bf16(system: System, batch: Batch) -> list[Tensor]:
    """The loop under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return loop(system, batch)


def with_higher(system: System, batch: Batch) -> list[Tensor]:
    """The loop of `higher`."""
    import higher

    network, training = system.network, system.config.training
    optimizer = torch.optim.SGD(network.parameters(), lr=training.inner_lr)
    total = torch.zeros(())
    for support, labels, query, target in zip(*(batch[key] for key in KEYS), strict=True):
        with higher.innerloop_ctx(network, optimizer, copy_initial_weights=False) as (copy, inner):
            for _ in range(training.inner_steps):
                inner.step(F.cross_entropy(copy(support), labels))
            total = total + F.cross_entropy(copy(query), target)
    return list(torch.autograd.grad(total / len(batch["query"]), list(network.parameters())))


def with_learn2learn(system: System, batch: Batch) -> list[Tensor]:
    """The loop of `learn2learn`."""
    from learn2learn.algorithms.maml import MAML

    network, training = system.network, system.config.training
    meta = MAML(network, lr=training.inner_lr)
    total = torch.zeros(())
    for support, labels, query, target in zip(*(batch[key] for key in KEYS), strict=True):
        learner = meta.clone()
        for _ in range(training.inner_steps):
            learner.adapt(F.cross_entropy(learner(support), labels))
        total = total + F.cross_entropy(learner(query), target)
    return list(torch.autograd.grad(total / len(batch["query"]), list(network.parameters())))


def main(argv: list[str] | None = None) -> float:
    """Print the times of all ways, and their ratios to ours in float32."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="glyphs")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    # One rate within all tasks, as the others have it.
    flags = ["--config", given.preset, "--learn_inner_lr", "false", "--device", "cpu"]
    system = System(parse(Config, flags, PRESETS))
    batch = next(iter(system.batches()))
    torch.manual_seed(0)
    # An untrained last layer is zero and would hide the rest.
    torch.nn.init.normal_(system.network.head.weight, 0, 0.1)
    ways = {
        "ours": ours,
        "ours, bf16": ours_bf16,
        "vmap": vmap,
        "loop": loop,
        "loop, bf16": loop_bf16,
    }
    reference = loop(system, batch)
    for name, way in (("higher", with_higher), ("learn2learn", with_learn2learn)):
        try:
            way(system, batch)
        except ImportError:
            print(f"{name} is not installed")
        else:
            ways[name] = way
    for name, way in ways.items():
        off = [
            float((a - b).norm() / b.norm())
            for a, b in zip(way(system, batch), reference, strict=True)
        ]
        print(f"{name}: gradient differs from the loop's by {max(off):.1e} at most")
        assert "bf16" in name or max(off) < 1e-3, "the gradients differ"
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(given.repeats):
        for name, way in ways.items():
            began = time.process_time(), time.perf_counter()
            way(system, batch)
            spent[name].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    processor, wall = (
        {name: statistics.median(one[place] for one in values) for name, values in spent.items()}
        for place in (0, 1)
    )
    for name in spent:
        more, longer = processor[name] / processor["ours"], wall[name] / wall["ours"]
        print(
            f"{name}: {processor[name] * 1000:.0f} ms processor ({more:.2f} of ours), "
            f"{wall[name] * 1000:.0f} ms wall ({longer:.2f})"
        )
    ratio = wall["loop"] / wall["ours"]
    print(f"ratio: {ratio:.2f} times (processor {processor['loop'] / processor['ours']:.2f})")
    return ratio


if __name__ == "__main__":
    main()

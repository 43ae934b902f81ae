"""First and second derivatives of a layer, to compare with those of another way."""

import torch


def derivatives(way, *given: torch.Tensor) -> list[torch.Tensor]:
    """Output, its derivatives, and those of a sum of these, all with the same random weights."""
    generator = torch.Generator().manual_seed(2)

    def random(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.dtype)

    inputs = [tensor.detach().requires_grad_() for tensor in given]
    out = way(*inputs)
    gradients = random(out).requires_grad_()
    first = torch.autograd.grad(out, inputs, gradients, create_graph=True)
    total = sum((one * random(one)).sum() for one in first)
    second = torch.autograd.grad(total, [gradients, *inputs[:2]])  # a bias has none
    return [tensor.detach() for tensor in (out, *first, *second)]

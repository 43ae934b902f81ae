"""The flow over codes of layouts: what its closed form gives, and that all of it is trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from triform.layers.rectified_flow import integrate
from triform.systems.shape_flow.condition import Condition
from triform.systems.shape_flow.config import ModelConfig
from triform.systems.shape_flow.layout_flow import ConditionalMean, LayoutFlow

STD = torch.tensor([1.0, 0.5, 0.1, 0.02])
SIZES = (3, 2)


def unknown_condition(count: int) -> Condition:
    return Condition(
        torch.zeros(count, 2, dtype=torch.long),
        torch.zeros(count, 1, 8),
        torch.zeros(count, 1, dtype=torch.bool),
        torch.zeros(count, 8),
    )


def small_flow(layout_dim: int = 4) -> LayoutFlow:
    torch.manual_seed(0)
    model = ModelConfig(
        layout_dim=layout_dim, layout_width=16, layout_blocks=1, condition_dim=16, mean_width=16
    )
    return LayoutFlow(model, SIZES, text_dim=8)


def silence_blocks(flow: LayoutFlow) -> None:
    """Only what is added in closed form is left."""
    torch.nn.init.zeros_(flow.proj_out.weight)
    torch.nn.init.zeros_(flow.proj_out.bias)


def test_closed_form_carries_noise_to_codes_of_known_mean_and_deviations() -> None:
    """t m + sqrt((1 - t)^2 + t^2 s^2) noise is the path of the flow between Gaussians."""
    flow = small_flow()
    silence_blocks(flow)
    flow.std.copy_(STD)
    share, mean = torch.tensor([1.0, 0.5, 0.2, 2.0]), torch.tensor([0.5, -1.0, 2.0, 0.0])
    with torch.no_grad():
        flow.residual_scale.copy_(share.log())
        flow.mean.proj_out.bias.copy_(mean)
    noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    nothing = unknown_condition(6)
    with torch.no_grad():
        code = integrate(lambda x, t: flow(x, t, nothing), noise, 400)
    # 2e-3: Heun's method with 400 steps.
    torch.testing.assert_close(code, STD * mean + STD * share * noise, atol=2e-3, rtol=0)


def test_outputs_are_scaled_to_what_is_left_to_predict() -> None:
    """By the deviation of the data at noise, and by 1 at data."""
    flow = small_flow(layout_dim=2)
    torch.nn.init.zeros_(flow.proj_out.weight)
    flow.std.copy_(torch.tensor([0.5, 0.1]))
    x_t, t = torch.randn(3, 2), torch.tensor([0.0, 0.5, 1.0])
    velocities = []
    for bias in (0.0, 1.0):
        torch.nn.init.constant_(flow.proj_out.bias, bias)
        velocities.append(flow(x_t, t, unknown_condition(3)))
    middle = [0.5 / (0.25 + 0.0625) ** 0.5, 0.1 / (0.25 + 0.0025) ** 0.5]
    expected = torch.tensor([[0.5, 0.1], middle, [1.0, 1.0]])
    torch.testing.assert_close(velocities[1] - velocities[0], expected, rtol=1e-5, atol=1e-5)


def test_mean_hears_attributes_and_sentence() -> None:
    """After a hundred steps of plain regression, by 1 and by 2 for two attributes, 4 for a text."""
    torch.manual_seed(0)
    mean = ConditionalMean(ModelConfig(layout_dim=1, mean_width=32), SIZES, text_dim=8)
    condition = unknown_condition(8)
    ids = torch.arange(8)
    condition.attributes[:, 0] = ids % 2 + 1
    condition.attributes[:, 1] = ids // 2 % 2
    condition.sentence[:, 3] = ids // 4
    target = (ids % 2 + 2 * (ids // 2 % 2) + 4 * (ids // 4)).float()[:, None]
    optimizer = torch.optim.Adam(mean.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        F.mse_loss(mean(condition)[1], target).backward()
        optimizer.step()
    # The target is a function of the condition: nothing is left but what 300 steps leave.
    torch.testing.assert_close(mean(condition)[1], target, atol=0.02, rtol=0)


def test_every_parameter_gets_a_gradient() -> None:
    flow = small_flow()
    flow.std.copy_(STD)
    with torch.no_grad():
        for parameter in flow.parameters():  # gates and last layers start at 0
            parameter.add_(0.1 * torch.randn_like(parameter))
    condition = unknown_condition(5)
    condition.attributes[:] = torch.tensor([[0, 0], [1, 1], [2, 0], [0, 1], [1, 0]])
    condition.sentence[:] = F.normalize(torch.randn(5, 8), dim=1)
    velocity = flow(torch.randn(5, 4), torch.linspace(0.1, 0.9, 5), condition)
    velocity.square().sum().backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name

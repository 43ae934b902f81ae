import torch

from triform.losses.rectified_flow import flow_loss
from triform.systems.voxel_gan.config import ModelConfig
from triform.systems.voxel_gan.prior import FlowPrior


class Straight(FlowPrior):
    """A prior whose velocity is known: from any point straight to a target that the text names."""

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        return (cond - x_t) / (1 - t[:, None]).clamp(min=1e-2)


def test_sampler_follows_a_straight_flow_to_its_end() -> None:
    cond = torch.randn(5, 4)
    prior = Straight(ModelConfig(latent_dim=4, cond_dim=4))
    end = prior.sample(cond, torch.randn(5, 4), num_steps=50, guidance_scale=1)
    torch.testing.assert_close(end, cond, atol=0.05, rtol=0)


def test_samples_get_back_the_scale_of_the_codes() -> None:
    prior = Straight(ModelConfig(latent_dim=4, cond_dim=4))
    prior.latent_mean += 3
    prior.latent_std *= 2
    cond = torch.randn(5, 4)
    end = prior.sample(cond, torch.randn(5, 4), num_steps=50, guidance_scale=1)
    torch.testing.assert_close(end, 2 * cond + 3, atol=0.1, rtol=0)
    torch.testing.assert_close(prior.normalize(end), cond, atol=0.05, rtol=0)


def test_tracked_scale_comes_to_the_codes_own() -> None:
    torch.manual_seed(0)
    prior = FlowPrior(ModelConfig(latent_dim=3, cond_dim=2))
    for _ in range(1500):
        prior.update_latent_statistics(torch.randn(64, 3) * torch.tensor([0.5, 1.0, 3.0]) + 2)
    torch.testing.assert_close(prior.latent_mean, torch.full((3,), 2.0), atol=0.15, rtol=0)
    torch.testing.assert_close(prior.latent_std, torch.tensor([0.5, 1.0, 3.0]), rtol=0.1, atol=0)


def test_learns_which_text_means_which_codes() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[2.0, -2.0], [-2.0, 2.0]])
    texts = torch.nn.functional.normalize(torch.randn(2, 8), dim=1)
    prior = FlowPrior(ModelConfig(latent_dim=2, cond_dim=8, prior_width=32, prior_layers=2))
    optimizer = torch.optim.Adam(prior.parameters(), lr=3e-3)
    for _ in range(400):
        which = torch.randint(2, (128,))
        latents = prior.normalize(centres[which] + 0.1 * torch.randn(128, 2))
        noise, t = torch.randn_like(latents), torch.rand(128)
        x_t = (1 - t[:, None]) * noise + t[:, None] * latents
        cond = texts[which] * (torch.rand(128, 1) > 0.1)
        loss = flow_loss(prior(x_t, t, cond), latents, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    requested = torch.arange(2).repeat_interleave(100)
    generated = prior.sample(
        texts[requested], torch.randn(200, 2), num_steps=16, guidance_scale=1.5
    )
    nearest = torch.cdist(generated, centres).argmin(1)
    assert (nearest == requested).float().mean() > 0.98
    unasked = prior.sample(torch.zeros(200, 8), torch.randn(200, 2), guidance_scale=1)
    share = (torch.cdist(unasked, centres).argmin(1) == 0).float().mean()
    assert 0.2 < share < 0.8  # without a text, both kinds come


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    prior = FlowPrior(ModelConfig(latent_dim=3, cond_dim=4, prior_width=16, prior_layers=2))
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # gates that start at zero hide what is below
    prior(torch.randn(5, 3), torch.rand(5), torch.randn(5, 4)).square().sum().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name

"""The networks of text to image: shapes, identities, and the sampler on a known flow."""

import pytest
import torch

from triform.systems.text_to_image.autoencoder import Autoencoder
from triform.systems.text_to_image.condition import TextCondition, sentence_condition
from triform.systems.text_to_image.config import ModelConfig
from triform.systems.text_to_image.gan import Discriminator, Generator
from triform.systems.text_to_image.prior import FlowPrior, RegressionPrior, build_prior

MODEL = ModelConfig(
    latent_channels=4, vae_width=8, prior_width=32, prior_layers=2, prior_heads=2, gan_width=8
)
TEXT_DIM, WORD_DIM = 12, 6
WORDS = MODEL.model_copy(update={"max_words": 5})


def unit(count: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, TEXT_DIM, generator=random), dim=1)


def sentences(count: int, seed: int = 0) -> TextCondition:
    return sentence_condition(unit(count, seed))


def texts(lengths: list[int], seed: int = 0) -> TextCondition:
    """Texts of so many words."""
    random = torch.Generator().manual_seed(seed)
    words = torch.randn(len(lengths), 5, WORD_DIM, generator=random)
    return TextCondition(
        unit(len(lengths)), words, torch.arange(5) < torch.tensor(lengths)[:, None]
    )


def random_prior(model: ModelConfig, word_dim: int = 0) -> FlowPrior:
    torch.manual_seed(0)
    prior = FlowPrior(model, 3, TEXT_DIM, word_dim)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return prior


@pytest.mark.parametrize(("channels", "size"), [(3, 16), (4, 48)])
def test_shapes_of_the_autoencoder(channels, size):
    torch.manual_seed(0)
    vae, images = Autoencoder(channels, MODEL), torch.rand(2, channels, size, size)
    cells = size // 8
    output, mean, logvar = vae(images, torch.zeros(2, 4, cells, cells))
    assert output.shape == images.shape and mean.shape == logvar.shape == (2, 4, cells, cells)
    torch.testing.assert_close(output, vae.decoder(mean))
    noise = torch.randn(2, 4, cells, cells)
    sampled = vae.decoder(mean + noise * (logvar / 2).exp())
    torch.testing.assert_close(vae(images, noise)[0], sampled)


def test_statistics_normalize_latents():
    torch.manual_seed(0)
    vae = Autoencoder(3, MODEL)
    offsets, scales = torch.tensor([1.0, -2.0, 0.0, 5.0]), torch.tensor([0.5, 1.0, 2.0, 4.0])
    latents = torch.randn(400, 4, 2, 2) * scales[:, None, None] + offsets[:, None, None]
    vae.update_statistics(latents, momentum=1.0)
    normalized = vae.normalize(latents)
    torch.testing.assert_close(normalized.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    std = normalized.square().mean((0, 2, 3)).sqrt()
    torch.testing.assert_close(std, torch.ones(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(vae.decode(normalized), vae.decoder(latents), atol=1e-4, rtol=1e-4)


def test_generator_starts_as_the_identity():
    torch.manual_seed(0)
    generator, images = Generator(4, MODEL, TEXT_DIM), torch.rand(2, 4, 24, 24)
    torch.testing.assert_close(generator(images, unit(2)), images)


def test_discriminator_sees_the_text_by_its_weight():
    torch.manual_seed(0)
    discriminator, images = Discriminator(MODEL, TEXT_DIM).eval(), torch.rand(3, 3, 16, 16)
    without = discriminator(images, unit(3, 1), 0.0)
    assert torch.equal(without, discriminator(images, unit(3, 2), 0.0))
    whole, half = (discriminator(images, unit(3, 1), weight) for weight in (1.0, 0.5))
    assert whole.shape == (3,) and not torch.equal(whole, without)
    torch.testing.assert_close(half, (whole + without) / 2)


def test_prior_starts_as_the_flow_of_gaussian_latents_around_the_mean_of_the_text():
    """Euler's method in many steps ends at mean + std * noise, the exact map for Gaussians."""
    torch.manual_seed(0)
    prior, text = FlowPrior(MODEL, 3, TEXT_DIM, 0), sentences(2)
    prior.residual_std.copy_(torch.tensor([0.2, 0.5, 1.0, 1.5])[:, None, None])
    noise = torch.randn(2, 4, 3, 3)
    latents = prior.sample(text, noise, steps=2000, guidance=1.0)
    _, mean = prior(noise, torch.zeros(2), text)
    torch.testing.assert_close(latents, mean + prior.residual_std * noise, atol=5e-3, rtol=0)


def test_prior_depends_on_time_text_and_place():
    prior, x, t = random_prior(MODEL), torch.randn(2, 4, 3, 3), torch.tensor([0.2, 0.7])
    first, mean = prior(x, t, sentences(2))
    assert first.shape == mean.shape == x.shape
    assert not torch.allclose(first, prior(x, t + 0.1, sentences(2))[0])
    assert not torch.allclose(first, prior(x, t, sentences(2, 5))[0])
    assert not torch.allclose(mean, prior(x, t, sentences(2, 5))[1])
    # The mean sees neither noise nor time.
    assert torch.equal(mean, prior(x + 1, t + 0.1, sentences(2))[1])
    # Positions are learned: exchanged cells do not give exchanged velocities.
    assert not torch.allclose(prior(x.flip(3), t, sentences(2))[0], first.flip(3))


def test_deviations_of_latents_from_their_mean_are_measured():
    prior, mean = FlowPrior(MODEL, 3, TEXT_DIM, 0), torch.randn(4, 4, 3, 3)
    offsets = torch.tensor([0.5, 1.0, 2.0, 0.0])[:, None, None]
    prior.update_residual_std(mean + offsets, mean, momentum=1.0)
    torch.testing.assert_close(prior.residual_std, offsets.clamp(min=1e-3))


def test_loss_of_the_velocity_leaves_the_mean_but_not_its_features():
    prior = random_prior(WORDS, WORD_DIM)
    velocity, _ = prior(torch.randn(2, 4, 3, 3), torch.tensor([0.2, 0.7]), texts([2, 4]))
    velocity.square().sum().backward()
    without = {name for name, each in prior.named_parameters() if each.grad is None}
    assert without == {"mean.proj_out.weight", "mean.proj_out.bias"}
    assert all(each.grad.any() for each in prior.parameters() if each.grad is not None)


def test_prior_sees_words_in_their_order_and_no_padding():
    prior = random_prior(WORDS, WORD_DIM)
    x, t, text = torch.randn(2, 4, 3, 3), torch.tensor([0.2, 0.7]), texts([2, 4])
    first, _ = prior(x, t, text)
    changed = text.words.clone()
    changed[0, 2:], changed[1, 4:] = 9.0, 9.0  # padding
    torch.testing.assert_close(
        prior(x, t, TextCondition(text.sentence, changed, text.word_mask))[0], first
    )
    exchanged = text.words[:, [1, 0, 2, 3, 4]]
    other, _ = prior(x, t, TextCondition(text.sentence, exchanged, text.word_mask))
    assert not torch.allclose(other[0], first[0]) and not torch.allclose(other[1], first[1])


def test_texts_that_are_dropped_are_not_seen():
    """Neither by their vectors nor by their words; the other rows stay as they are."""
    prior = random_prior(WORDS, WORD_DIM)
    x, t = torch.randn(2, 4, 3, 3), torch.tensor([0.2, 0.7])
    text, other = texts([2, 4]), texts([5, 1], seed=1)
    dropped = torch.tensor([True, False])
    first, second = (prior(x, t, each.without_text(dropped))[0] for each in (text, other))
    torch.testing.assert_close(first[0], second[0])
    torch.testing.assert_close(first[1], prior(x, t, text)[0][1])
    assert not torch.allclose(first[1], second[1])
    doubled, _ = prior(x.repeat(2, 1, 1, 1), t.repeat(2), text.with_unknown())
    torch.testing.assert_close(doubled[:2], prior(x, t, text)[0])
    torch.testing.assert_close(doubled[2], first[0])


class StraightFlow(FlowPrior):
    """The exact velocity of a flow to one point: the first numbers of the text."""

    def velocity(self, x_t, t, sentence, features, mean):
        target = sentence[:, :4, None, None].expand_as(x_t)
        return (target - x_t) / (1 - t)[:, None, None, None]


def test_euler_follows_a_straight_flow_to_its_end():
    prior, text = StraightFlow(MODEL, 2, TEXT_DIM, 0), sentences(3)
    latents = prior.sample(text, torch.randn(3, 4, 2, 2), steps=5, guidance=1.0)
    torch.testing.assert_close(latents, text.sentence[:, :4, None, None].expand(3, 4, 2, 2))


def test_guidance_goes_beyond_the_text():
    """Both velocities are straight, so one step ends at guidance times the point."""
    prior, text = StraightFlow(MODEL, 2, TEXT_DIM, 0), sentences(3)
    latents = prior.sample(text, torch.randn(3, 4, 2, 2), steps=1, guidance=3.0)
    torch.testing.assert_close(latents, 3 * text.sentence[:, :4, None, None].expand(3, 4, 2, 2))


def test_settings_choose_the_prior():
    assert isinstance(build_prior(MODEL, 2, TEXT_DIM, 0), FlowPrior)
    without = build_prior(MODEL.model_copy(update={"prior": "none"}), 2, TEXT_DIM, 0)
    assert isinstance(without, RegressionPrior)
    assert without(sentences(5)).shape == (5, 4, 2, 2)

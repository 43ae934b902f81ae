"""What both GANs share: the images that are measured, and the losses of a step by hand."""

import pytest
import torch
from torch.nn import functional as F

from triform.base.seeding import generator
from triform.losses.gan import R1_INTERVAL
from triform.systems.dcgan import system as dcgan
from triform.systems.style_gan import system as style_gan
from triform.systems.style_gan.config import EvaluateConfig
from triform.tasks.image_generation import image_splits
from triform.tasks.image_generation.config import EvaluateImagesConfig
from triform.tasks.image_generation.generation import generate_images

GANS = {"dcgan": (dcgan, EvaluateImagesConfig), "style_gan": (style_gan, EvaluateConfig)}


@pytest.fixture(params=GANS)
def gan(request: pytest.FixtureRequest):
    """The module of a GAN."""
    return GANS[request.param][0]


def small(gan, tagged, **training):
    """A narrow system on the tagged images."""
    config = gan.Config.model_validate(
        {
            "device": "cpu",
            "data": {"dataset": str(tagged.folder), "batch_size": 6},
            "model": {"latent_dim": 5, "width": 8},
            "training": training,
            "metrics": {"num_samples": 100},
        }
    )
    return gan.System(config)


def sampler(gan, generator: torch.nn.Module):
    """From latents to images without mixing."""
    return generator.generate if gan is style_gan else generator


@pytest.mark.parametrize(("gan", "settings"), GANS.values(), ids=GANS)
def test_generated_images_are_measured_against_the_test_part(
    gan, settings, tagged, measured, tmp_path
):
    found = measured(small(gan, tagged), gan.evaluate, settings)
    assert torch.equal(found["real"], tagged.images["test"])
    assert torch.equal(found["train"], tagged.images["train"])
    assert torch.equal(found["below"], tagged.images["train"])
    trained = gan.Trained.from_checkpoint(tmp_path / "weights.safetensors", "cpu")
    torch.manual_seed(5)  # noise of style_gan
    z = torch.randn(200, 5, generator=generator("generate", 5))
    drawn = generate_images(sampler(gan, trained.generator), z, 64)
    assert torch.equal(found["generated"], drawn) and torch.equal(found["above"], drawn)


def test_training_watches_the_distance_to_validation(
    gan, tagged, watched_kernel_distance, monkeypatch
):
    monkeypatch.setattr(image_splits, "MIN_HELD_OUT", 10)
    pairs, system = watched_kernel_distance, small(gan, tagged)
    for _ in range(2):
        numbers = system.evaluate("val")
        assert numbers == {"kernel_distance": 0.25, "kernel_distance_std": 0.5}
    assert system.evaluate("train") == {} and len(pairs) == 2
    z = torch.randn(100, 5, generator=generator("evaluate", "val"))
    for generated, real, subsets in pairs:
        assert torch.equal(real, tagged.images["val"]) and subsets == 20
        assert torch.equal(generated, generate_images(sampler(gan, system.generator), z))


def test_latent_vectors_become_the_network_s_images(gan, tagged):
    """In [-1, 1] to bytes, in batches."""
    system = small(gan, tagged)
    z = torch.randn(5, 5)
    with torch.no_grad():
        system.generator.eval()
        torch.manual_seed(0)
        expected = torch.cat([system.generator(part) for part in z.split(2)])
    torch.manual_seed(0)
    pixels = generate_images(sampler(gan, system.generator), z, 2)
    wanted = ((expected + 1) / 2 * 255).round()
    torch.testing.assert_close(pixels.float(), wanted, rtol=0, atol=1)


@pytest.mark.parametrize("steps", [0, 1, R1_INTERVAL])
def test_the_losses_of_a_step(gan, tagged, steps):
    """A discriminator that returns the mean of an image, and a generator of grey."""

    class Grey(torch.nn.Module):
        num_layers = 3

        def __init__(self):
            super().__init__()
            self.level = torch.nn.Parameter(torch.tensor(-0.5))

        def forward(self, z, *_):
            return self.level * torch.ones(len(z), 1, 8, 8)

    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, images):
            return self.slope * images.flatten(1).mean(1)

    system = small(gan, tagged, r1=0.3)
    system.networks = {"generator": Grey(), "discriminator": Mean()}
    system.gan_monitor.steps = steps
    images, pushed = tagged.images["val"][:6].float() / 255, {}
    losses = system.step({"images": images}, lambda loss, name: pushed.update({name: loss}))
    real = 2 * (images * 2 - 1).flatten(1).mean(1)
    fake = torch.full((6,), -1.0)
    expected = F.softplus(-real).mean() + F.softplus(fake).mean()
    if steps % R1_INTERVAL == 0:  # the slope of each of 64 pixels is 2 / 64
        expected = expected + R1_INTERVAL * 0.3 * 64 * (2 / 64) ** 2 / 2
    assert pushed["discriminator"].item() == pytest.approx(float(expected), rel=1e-5)
    assert pushed["generator"].item() == pytest.approx(float(F.softplus(-fake).mean()), rel=1e-5)
    assert losses["loss"] is losses["discriminator"] is pushed["discriminator"]
    assert losses["generator"] is pushed["generator"]
    # The discriminator's loss sends no gradient into the generator.
    pushed["discriminator"].backward()
    assert system.networks["generator"].level.grad is None
    right = ((real > 0).float().mean() + 1) / 2
    assert losses["discriminator_accuracy"].item() == pytest.approx(float(right))
    assert losses["diversity"].item() == 0


def test_steps_with_the_penalty_process_real_images_in_float32(gan):
    data, training = {"dataset": "digits", "batch_size": 8}, {"r1": 0.1}
    system = gan.System(gan.Config.model_validate({"data": data, "training": training}))
    batches, actual = system.batches(), []
    system.networks["discriminator"].register_forward_pre_hook(
        lambda *_: actual.append(torch.is_autocast_enabled("cpu"))
    )
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            system.step(next(batches), lambda *_: None)
    # real, fake, fake for the generator; the second step has no penalty
    assert actual == [False, True, True, True, True, True]

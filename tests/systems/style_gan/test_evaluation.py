"""What made pictures are measured against, and the losses of a step by hand."""

import pytest
import torch
from torch.nn import functional as F

from triform.base.seeding import generator
from triform.systems.style_gan import system as system_module
from triform.systems.style_gan import trained as trained_module
from triform.systems.style_gan.config import Config, EvaluateConfig
from triform.systems.style_gan.loss import LAZY
from triform.systems.style_gan.system import System, evaluate, from_checkpoint


def small(tagged, **training) -> Config:
    return Config.model_validate(
        {
            "device": "cpu",
            "data": {"dataset": str(tagged.folder), "batch_size": 6},
            "model": {"latent_dim": 5, "width": 8},
            "training": training,
            "metrics": {"num_samples": 100},
        }
    )


def test_made_pictures_are_measured_against_the_test_part(tagged, measured, tmp_path):
    found = measured(System(small(tagged)), trained_module, evaluate, EvaluateConfig)
    assert torch.equal(found["real"], tagged.images["test"])
    assert torch.equal(found["train"], tagged.images["train"])
    assert torch.equal(found["below"], tagged.images["train"])
    trained = from_checkpoint(tmp_path / "weights.safetensors", "cpu")
    torch.manual_seed(5)
    z = torch.randn(200, 5, generator=generator("generate", 5))
    drawn = trained_module.made(trained.generator, z, 64)
    assert torch.equal(found["made"], drawn) and torch.equal(found["above"], drawn)


def test_training_watches_the_distance_to_validation(tagged, watched_kernel_distance):
    pairs, system = watched_kernel_distance(system_module), System(small(tagged))
    for _ in range(2):
        numbers = system.evaluate("val")
        assert numbers == {"kernel_distance": 0.25, "kernel_distance_std": 0.5}
    assert system.evaluate("train") == {} and len(pairs) == 2
    z = torch.randn(100, 5, generator=generator("evaluate", "val"))
    for made, real, subsets in pairs:
        assert torch.equal(real, tagged.images["val"]) and subsets == 20
        assert torch.equal(made, trained_module.made(system.generator, z))


def test_latent_vectors_become_the_network_s_pictures(tagged):
    """In [-1, 1] to bytes, in batches."""
    system = System(small(tagged))
    z = torch.randn(5, 5)
    with torch.no_grad():
        system.generator.eval()
        torch.manual_seed(0)
        expected = torch.cat([system.generator(part) for part in z.split(2)])
    torch.manual_seed(0)
    pixels = trained_module.made(system.generator, z, 2)
    wanted = ((expected + 1) / 2 * 255).round()
    torch.testing.assert_close(pixels.float(), wanted, rtol=0, atol=1)


@pytest.mark.parametrize("steps", [0, 1, LAZY])
def test_the_losses_of_a_step(tagged, steps):
    """A discriminator that says the mean of a picture, and a generator of grey."""

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

    system = System(small(tagged, r1=0.3))
    system.networks = {"generator": Grey(), "discriminator": Mean()}
    system.watch.steps = steps
    images, pushed = tagged.images["val"][:6].float() / 255, {}
    losses = system.step({"images": images}, lambda loss, name: pushed.update({name: loss}))
    real = 2 * (images * 2 - 1).flatten(1).mean(1)
    fake = torch.full((6,), -1.0)
    expected = F.softplus(-real).mean() + F.softplus(fake).mean()
    if steps % LAZY == 0:  # the slope of each of 64 pixels is 2 / 64
        expected = expected + LAZY * 0.3 * 64 * (2 / 64) ** 2 / 2
    assert pushed["discriminator"].item() == pytest.approx(float(expected), rel=1e-5)
    assert pushed["generator"].item() == pytest.approx(float(F.softplus(-fake).mean()), rel=1e-5)
    assert losses["loss"] is losses["discriminator"] is pushed["discriminator"]
    assert losses["generator"] is pushed["generator"]
    # A network that is judged is not taught by its judge's loss, and the other way round.
    pushed["discriminator"].backward()
    assert system.networks["generator"].level.grad is None
    right = ((real > 0).float().mean() + 1) / 2
    assert losses["discriminator_accuracy"].item() == pytest.approx(float(right))
    assert losses["diversity"].item() == 0


def test_truncated_pictures_come_from_styles_nearer_to_the_average(tagged):
    """Half the way, and all of it: one and the same picture."""
    generator = System(small(tagged)).generator.eval()
    with torch.no_grad():
        for layer in generator.layers:
            layer.noise.zero_()
        generator.mapping.average.normal_()
        z = torch.randn(6, 5)
        average = generator.mapping.average
        w = average + 0.5 * (generator.mapping(z) - average)
        images = generator.synthesize(w[:, None].expand(-1, generator.num_layers, -1))
    half = trained_module.made(generator, z, 4, 0.5)
    wanted = ((images + 1) / 2 * 255).round().clamp(0, 255)
    torch.testing.assert_close(half.float(), wanted, rtol=0, atol=1)
    whole = trained_module.made(generator, z, 4, 0.0)
    assert (whole == whole[:1]).all() and not (half == half[:1]).all()

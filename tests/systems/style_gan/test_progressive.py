"""Progressive growing: the schedule by hand, continuous fades, a run that is cut off."""

import pytest
import torch
from torch.nn import functional as F

from triform import cli
from triform.layers.image_spec import ImageSpec
from triform.systems.style_gan.config import ModelConfig
from triform.systems.style_gan.model import Discriminator, Generator
from triform.systems.style_gan.progressive import level_and_fade, progress_at, reduced
from triform.systems.style_gan.system import Trained
from triform.tasks.image_generation.generation import generate_images

CONFIG = ModelConfig(width=4, latent_dim=6, noise=False, progressive_steps=10)


def networks(size=28, channels=1):
    torch.manual_seed(0)
    spec = ImageSpec(channels, size)
    return Generator(CONFIG, spec), Discriminator(CONFIG, spec)


def at(progress, *grown):
    for network in grown:
        network.progress.fill_(progress)


def test_schedule_by_hand():
    """10 steps at 7 pixels, 10 fading in 14, 10 at 14, 10 fading in 28, then 28."""
    found = [progress_at(step, 10, 2) for step in (0, 9, 10, 15, 20, 29, 30, 35, 40, 41, 1000)]
    assert found == [0, 0, 0, 0.5, 1, 1, 1, 1.5, 2, 2, 2]
    assert [level_and_fade(p) for p in (0.0, 0.25, 1.0, 1.75, 2.0)] == [
        (0, 1),
        (1, 0.25),
        (1, 1),
        (2, 0.75),
        (2, 1),
    ]


@pytest.mark.parametrize(("size", "sizes"), [(28, [7, 14, 28]), (31, [8, 16, 31]), (8, [4, 8])])
def test_sizes_on_the_way(size, sizes):
    generator, discriminator = networks(size, 3)
    real = torch.rand(4, 3, size, size) * 2 - 1
    for level, expected in enumerate(sizes):
        for progress in {float(level), max(0.0, level - 0.5)}:
            at(progress, generator, discriminator)
            fake = generator.train()(torch.randn(4, 6))
            small = reduced(real, progress, generator.levels, generator.base)
            assert fake.shape == small.shape == (4, 3, expected, expected)
            assert discriminator(fake).shape == (4,)
            assert generator.eval()(torch.randn(4, 6)).shape == (4, 3, size, size)


def test_a_fade_begins_where_the_smaller_size_was():
    generator, discriminator = networks()
    z = torch.randn(4, 6)
    real = torch.rand(4, 1, 28, 28) * 2 - 1
    at(1.0, generator, discriminator)
    before = generator.train()(z)
    small = reduced(real, 1.0, 2, 7)
    logits = discriminator(small)
    at(1 + 1e-6, generator, discriminator)
    torch.testing.assert_close(
        torch.atanh(generator(z)),
        F.interpolate(torch.atanh(before), scale_factor=2, mode="bilinear"),
        rtol=0,
        atol=1e-3,
    )
    faded = reduced(real, 1 + 1e-6, 2, 7)
    torch.testing.assert_close(F.avg_pool2d(faded, 2), small)
    torch.testing.assert_close(faded, small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(discriminator(faded), logits, rtol=0, atol=1e-4)


def test_grown_networks_are_those_without_growth():
    generator, discriminator = networks()
    plain = CONFIG.model_copy(update={"progressive_steps": 0})
    spec = ImageSpec(1, 28)
    others = Generator(plain, spec), Discriminator(plain, spec)
    for grown, other in zip((generator, discriminator), others, strict=True):
        state = {
            k: v for k, v in grown.state_dict().items() if not k.startswith(("progress", "from_s"))
        }
        other.load_state_dict(state)
    at(2.0, generator, discriminator)
    z = torch.randn(4, 6)
    assert torch.equal(generator(z), others[0](z))
    assert torch.equal(discriminator(generator(z)), others[1](generator(z)))
    real = torch.rand(4, 1, 28, 28)
    assert reduced(real, 2.0, 2, 7) is real


def test_unused_sizes_get_no_gradient():
    generator, discriminator = networks()
    at(0.5, generator, discriminator)
    discriminator(generator(torch.randn(4, 6))).sum().backward()
    has = {
        name
        for network in (generator, discriminator)
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }
    assert {"to_rgb.0.weight", "to_rgb.1.weight", "layers.2.weight"} <= has
    assert {"from_small_rgb.0.weight", "from_small_rgb.1.weight", "blocks.1.conv0.weight"} <= has
    unused = {"to_rgb.2.weight", "layers.3.weight", "from_rgb.weight", "blocks.0.conv0.weight"}
    assert not has & unused


def test_weights_know_how_far_they_are(tmp_path):
    """Cut off within a fade: generated images have the full size, of the sizes that are there."""
    flags = ["style_gan", "train", "--config", "tiny", "--runs_dir", str(tmp_path)]
    flags += ["--progressive_steps", "4", "--max_steps", "6", "--sample_every", "0"]
    assert cli.main(flags) == 0
    (checkpoint,) = tmp_path.glob("style_gan/run_*/checkpoints/last.pth")
    trained = Trained(checkpoint, torch.device("cpu"))
    assert float(trained.generator.progress) == 0.25  # of the step from 5 to 6
    assert generate_images(trained.generator, torch.randn(2, 16)).shape == (2, 1, 8, 8)

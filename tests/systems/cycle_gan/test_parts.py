"""CycleGAN's pool, schedule, losses, networks and data, against what the paper says of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.base.settings.config import parse
from triform.layers.image_spec import ImageSpec
from triform.systems.cycle_gan.config import Config, DataConfig, ModelConfig
from triform.systems.cycle_gan.data import (
    INK,
    PAPER,
    edges,
    is_constant,
    load_domains,
    tinted,
    training_loader,
)
from triform.systems.cycle_gan.image_pool import ImagePool
from triform.systems.cycle_gan.loss import discriminator_loss, generator_loss
from triform.systems.cycle_gan.lr_decay import linear_decay
from triform.systems.cycle_gan.model import Discriminator, Generator, min_image_size

SMALL = ModelConfig(width=8, blocks=1, discriminator_width=8)


def numbered(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers).float().view(-1, 1, 1, 1)


def test_pool_gives_new_images_while_it_fills():
    pool = ImagePool(4)
    assert torch.equal(pool.query(numbered(0, 1, 2)), numbered(0, 1, 2))
    assert len(pool.images) == 3


def test_pool_exchanges_half_and_loses_nothing():
    """Each image comes out at once or stays; whatever leaves the pool is handed out."""
    torch.manual_seed(0)
    pool, inputs = ImagePool(50), numbered(*range(2000))
    batch = torch.cat([pool.query(part) for part in inputs.split(8)])
    assert batch.shape == inputs.shape and len(pool.images) == 50
    stored = torch.stack(pool.images)
    everything = torch.cat([batch[50:], stored]).flatten().sort()[0]
    assert torch.equal(everything, inputs.flatten())
    late = batch[50:] != inputs[50:]
    assert 0.45 < float(late.float().mean()) < 0.55
    assert bool((batch <= inputs).all())  # none from the future


def test_pool_of_nothing_hands_everything_on():
    images = numbered(1, 2)
    assert ImagePool(0).query(images) is images


def test_pool_keeps_no_graph_and_survives_saving():
    torch.manual_seed(0)
    pool = ImagePool(3)
    pool.query(numbered(0, 1, 2).requires_grad_())
    assert not any(image.requires_grad for image in pool.images)
    repeated = ImagePool(3)
    repeated.load_state_dict(pool.state_dict())
    torch.manual_seed(1)
    first = pool.query(numbered(3, 4, 5, 6))
    torch.manual_seed(1)
    assert torch.equal(repeated.query(numbered(3, 4, 5, 6)), first)
    empty = ImagePool(3)
    empty.load_state_dict(ImagePool(3).state_dict())
    assert empty.images == []


def rates(total: int, start: float, steps: int) -> list[float]:
    return [linear_decay(step, total, start) for step in range(steps)]


def test_rate_is_constant_and_then_falls_evenly_to_zero():
    factors = rates(200, 0.5, 201)
    assert factors[:101] == [1.0] * 101
    np.testing.assert_allclose(np.diff(factors[100:]), -0.01, rtol=1e-9)
    assert factors[200] == 0.0
    assert rates(10, 1.0, 12) == [1.0] * 12
    assert rates(4, 0.0, 5) == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_losses_by_hand():
    a, b = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), -0.5)
    losses = generator_loss(
        (torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.5)),
        (a, b),
        (a + 0.1, b),
        (a, b - 0.2),
        lambda_cycle=10,
        lambda_identity=0.5,
    )
    parts = {name: float(value) for name, value in losses.items()}
    expected = {"adversarial": 1.25, "cycle": 0.1, "identity": 0.2, "loss": 1.25 + 1 + 1}
    assert parts == pytest.approx(expected, rel=1e-5)
    half = torch.full((3, 1, 2, 2), 0.5)
    assert float(discriminator_loss(half, half)) == 0.25
    assert float(discriminator_loss(torch.ones(1), torch.zeros(1))) == 0
    assert float(discriminator_loss(torch.zeros(1), torch.ones(1))) == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(28, 28), (15, 22), (9, 64)])
@pytest.mark.parametrize("levels", [1, 2])
def test_generator_keeps_any_size(channels, size, levels):
    network = Generator(SMALL.model_copy(update={"levels": levels}), ImageSpec(channels, 28))
    x = torch.rand(2, channels, *size) * 2 - 1
    y = network(x)
    assert y.shape == x.shape and bool((y.abs() <= 1).all())
    # Norms look at one image alone.
    assert torch.allclose(network(x[:1]), y[:1], atol=1e-5)


@torch.no_grad()
def test_generator_sees_contrast():
    """Norms alone make the same of a faint and of a strong image; the first layer tells them."""
    torch.manual_seed(0)
    network = Generator(SMALL, ImageSpec(1, 16))
    for parameter in network.parameters():
        parameter.mul_(5 if parameter.ndim == 4 else 1)
    x = torch.rand(1, 1, 16, 16) - 0.5
    assert float((network(x) - network(x / 4)).abs().mean()) > 0.05
    network.head.weight[:, SMALL.width :] = 0
    assert float((network(x) - network(x / 4)).abs().mean()) < 0.005


@pytest.mark.parametrize(("levels", "seen"), [(1, 16), (2, 34), (3, 70)])
def test_discriminator_sees_patches_of_the_stated_size(levels, seen):
    config = ModelConfig(discriminator_width=4, discriminator_levels=levels)
    network = Discriminator(config, 1)
    for module in network.modules():  # norms mix places: leave only what convolutions see
        if isinstance(module, torch.nn.InstanceNorm2d):
            module.forward = lambda x: x
    x = torch.rand(1, 1, 160, 160, requires_grad=True)
    output = network(x)
    (gradient,) = torch.autograd.grad(output[0, 0, output.shape[2] // 2, output.shape[3] // 2], x)
    rows = torch.nonzero(gradient[0, 0].abs().sum(1))[:, 0]
    assert int(rows.max() - rows.min()) + 1 == seen


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("discriminator_levels", [1, 2, 3])
def test_smallest_size_is_enough(levels, discriminator_levels):
    config = SMALL.model_copy(
        update={"levels": levels, "discriminator_levels": discriminator_levels}
    )
    size = min_image_size(config)
    x = torch.rand(1, 1, size, size)
    output = Discriminator(config, 1)(Generator(config, ImageSpec(1, size))(x))
    assert output.numel() and torch.isfinite(output).all()


def test_tinted_turns_black_and_white_round():
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(-1, 3, 2, 2)
    assert tinted(ends)[:, :, 0, 0].tolist() == [list(PAPER), list(INK)]


def test_edges_are_where_brightness_changes():
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    image[..., 4:] = 255
    lines = edges(image)
    assert bool((lines[..., 3:5] == 0).all()) and bool((lines[..., :3] == 255).all())
    assert bool((lines[..., 5:] == 255).all())


def test_flat_images_are_found():
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    images[1, 0] = 200  # one colour everywhere
    images[2, 1, :2] = 90
    assert is_constant(images).tolist() == [True, True, False]


def test_halves_share_no_image_and_test_images_are_pairs():
    config = parse(Config, ["--dataset", "digits", "--batch_size", "16"])
    domains = load_domains(config.data, 7)
    a, b = (set(domain.rows["train"].tolist()) for domain in (domains.a, domains.b))
    assert a and b and not a & b and not (a | b) & set(domains.a.rows["test"].tolist())
    assert abs(len(a) - len(b)) <= 1
    left, right = (each.part("test", 20) for each in (domains.a, domains.b))
    assert torch.equal(tinted(left), right)
    batch = next(iter(training_loader(domains, config)))
    assert batch["a"].shape == batch["b"].shape == (16, 3, 8, 8)


def folder(place, count: int, size: int, mode: str = "L"):
    place.mkdir()
    random = np.random.default_rng(size)
    for number in range(count):
        shape = (size, size) if mode == "L" else (size, size, 3)
        image = Image.fromarray(random.integers(0, 255, shape, dtype=np.uint8))
        image.save(place / f"{number}.png")
    return str(place)


def test_folders_of_grey_and_colour_meet_in_colour(tmp_path):
    a, b = folder(tmp_path / "a", 6, 12), folder(tmp_path / "b", 9, 12, "RGB")
    domains = load_domains(DataConfig(domain_a=a, domain_b=b))
    assert domains.shape == (3, 12) and not domains.paired
    assert domains.a.part("train", 99).shape[1] == domains.b.part("train", 99).shape[1] == 3


def test_folders_that_do_not_fit_say_so(tmp_path):
    a, b = folder(tmp_path / "a", 6, 12), folder(tmp_path / "b", 6, 10)
    with pytest.raises(UsageError, match=r"domain_b: .*10 x 10.*12 x 12.*--image_size"):
        load_domains(DataConfig(domain_a=a, domain_b=b))
    assert load_domains(DataConfig(domain_a=a, domain_b=b, image_size=16)).shape == (1, 16)
    with pytest.raises(UsageError, match="domain_a: no folder 'nowhere'"):
        load_domains(DataConfig(domain_a="nowhere", domain_b=b))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images in it"):
        load_domains(DataConfig(domain_a=a, domain_b=str(tmp_path / "empty")))
    with pytest.raises(UsageError, match="domain_b: missing"):
        parse(Config, ["--domain_a", a])
    with pytest.raises(UsageError, match="channels: 1 with --transform tinted"):
        load_domains(DataConfig(dataset="digits", channels=1))


def test_flat_training_images_are_told(tmp_path, caplog):
    a, b = folder(tmp_path / "a", 6, 12), folder(tmp_path / "b", 6, 12)
    for number in range(6):
        Image.new("L", (12, 12), 10 * number).save(tmp_path / "a" / f"{number}.png")
    load_domains(DataConfig(domain_a=a, domain_b=b))
    assert "4 of 4 images of domain A are nearly constant" in caplog.text

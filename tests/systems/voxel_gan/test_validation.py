"""Losses of the model and of the classifier over known objects, by networks with known answers."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from triform.systems.voxel_gan import system as system_module
from triform.systems.voxel_gan.classifier import (
    ClassifierBatches,
    ClassifierSystem,
)
from triform.systems.voxel_gan.config import ClassifierConfig
from triform.systems.voxel_gan.loss import vae_loss
from triform.systems.voxel_gan.system import System
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.voxel_classifier import classifier_input

from .conftest import preset

NAMES = list(GROUPS)


class Few:
    """Objects of 16^3 in three splits, each with as many full planes as its number says."""

    captions = (
        ("red chair", "a sofa"),
        ("bed",),
        ("desk",),
        ("stool",),
        ("ZX 5",),
        ("lamp",),
        ("mystery",),
        ("bench",),
        ("sofa",),
        ("couch",),
    )
    categories = ("",) * 4 + ("Vehicles",) + ("",) * 5
    splits = ("train",) * 6 + ("val",) * 3 + ("test",)
    shape_index = np.arange(10)

    def rows(self, split):
        return np.asarray([n for n, own in enumerate(self.splits) if own == split])

    def voxels(self, rows):
        found = torch.zeros(len(rows), 1, 16, 16, 16)
        for position, row in enumerate(rows):
            found[position, 0, : int(row) + 1] = 1
        return found


def test_labels_follow_first_captions_and_categories():
    """A chair, a bed, a desk, a stool, a car by its category and a lamp; what is nothing is left
    out, and so are other splits."""
    few = Few()
    train = ClassifierBatches(few, "train", augment=False)
    names = ["chairs", "beds", "tables and desks", "chairs", "vehicles", "lamps"]
    assert [NAMES[label] for label in train.labels.tolist()] == names
    val = ClassifierBatches(few, "val", augment=False)
    assert [NAMES[label] for label in val.labels.tolist()] == ["sofas"] and val.rows.tolist() == [8]
    batch = val([0], torch.Generator())
    assert batch["labels"].tolist() == [NAMES.index("sofas")]
    planes = batch["voxels"][0, 0].flatten(1).mean(1)
    assert torch.equal(planes, (torch.arange(32) < 18).float())  # 9 of 16 become 18 of 32


def test_varied_batches_are_mirrored_along_x_and_moved_along_y():
    class One(Few):
        def voxels(self, rows):
            found = torch.zeros(len(rows), 1, 32, 32, 32)
            found[:, 0, 3, 10, 20] = 1
            return found

    batches = ClassifierBatches(One(), "train", augment=True)
    voxels = batches([0] * 4000, torch.Generator().manual_seed(0))["voxels"]
    positions = voxels[:, 0].nonzero()[:, 1:]
    assert len(positions) == 4000 and set(positions[:, 2].tolist()) == {20}
    for axis, shares in ((0, {3: 1 / 2, 28: 1 / 2}), (1, {9: 1 / 3, 10: 1 / 3, 11: 1 / 3})):
        values, counts = positions[:, axis].unique(return_counts=True)
        assert dict(zip(values.tolist(), (counts / 4000).tolist(), strict=True)) == pytest.approx(
            shares, abs=0.03
        )


@pytest.mark.parametrize("size", [16, 32, 64, 48])
def test_the_classifier_s_input_is_32_voxels_at_any_size(size):
    """Half a grid stays half a grid."""
    grid = torch.zeros(1, 1, size, size, size)
    grid[:, :, : size // 2] = 1
    view = classifier_input(grid)
    assert view.shape == (1, 1, 32, 32, 32)
    assert torch.equal(view[0, 0].flatten(1).mean(1), (torch.arange(32) < 16).float())


class Fixed(torch.nn.Module):
    """Logits that favour one group: 2 for it, 0 for others, times a weight that learns."""

    def __init__(self, group: str):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.row = 2 * torch.eye(len(GROUPS))[NAMES.index(group)]

    def forward(self, voxels):
        return self.scale * self.row.expand(len(voxels), -1)


def cross_entropy(right: bool) -> float:
    return math.log(math.exp(2) + 9) - (2 if right else 0)


def test_the_classifier_s_metrics_by_hand():
    system = ClassifierSystem(ClassifierConfig(device="cpu"), Few())
    system.networks = {"classifier": Fixed("chairs")}
    # Two of six are chairs.
    train = {"loss": (2 * cross_entropy(True) + 4 * cross_entropy(False)) / 6, "accuracy": 1 / 3}
    with torch.no_grad():
        assert system.evaluate("train") == pytest.approx(train)
        assert system.evaluate("val") == pytest.approx(
            {"loss": cross_entropy(False), "accuracy": 0}
        )
    # Six objects over ten groups; groups without any have nothing to weigh.
    counts = {"chairs": 2}
    expected = [6 / (10 * counts.get(name, 1)) for name in NAMES]
    assert system.class_weights.tolist() == pytest.approx(expected)
    # Chair and bed: weighted mean, a tenth of the label on all ten groups alike.
    batch = {
        "voxels": torch.zeros(2, 1, 32, 32, 32),
        "labels": torch.tensor([NAMES.index("chairs"), NAMES.index("beds")]),
    }
    pushed = []
    losses = system.step(batch, pushed.append)
    plain = math.log(math.exp(2) + 9)
    mixed = [0.9 * (plain - output) for output in (2, 0)]
    weights = [0.3, 0.6]
    smooth = 0.1 / 10 * sum(w * (plain - s) for w, s in zip(expected, system_row(), strict=True))
    wanted = (sum(w * m for w, m in zip(weights, mixed, strict=True)) + 2 * smooth) / sum(weights)
    assert losses["loss"].item() == pytest.approx(wanted, rel=1e-5)
    assert pushed == [losses["loss"]] and losses["accuracy"] == 0.5


def system_row() -> list[float]:
    return Fixed("chairs").row.tolist()


class Coder(torch.nn.Module):
    """Says a shape's first planes, one too few, whatever the noise; keeps what it was given."""

    def __init__(self, latent: int):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(()))
        self.latent, self.given = latent, []

    def forward(self, voxels, cond, noise):
        self.given.append((voxels, cond, noise))
        fewer = torch.roll(voxels, -1, 2) * voxels  # the last full plane is lost
        mu = voxels.flatten(1).mean(1, keepdim=True).expand(-1, self.latent)
        logits = 0.4 * (2 * fewer - 1) + self.shift  # below 0.5: a logit is no probability
        return logits, mu, torch.full_like(mu, -0.5), mu + 0 * noise


def tiny(*flags: str) -> System:
    system = System(preset("tiny", *flags), Few())
    system.networks["cvae"] = Coder(system.config.model.latent_dim)
    return system


@pytest.mark.parametrize("batch", [16, 2])
def test_validation_is_a_mean_over_the_shapes_of_the_split(monkeypatch, batch):
    monkeypatch.setattr(system_module, "EVALUATION_BATCH_SIZE", batch)
    system = tiny("--kl_weight", "0.7", "--dice_weight", "0.4", "--kl_warmup_steps", "1000")
    with torch.no_grad():
        numbers = system.evaluate("val")
    rows = (6, 7, 8)
    voxels = Few().voxels(rows)
    logits, mu, logvar, _ = Coder(system.config.model.latent_dim)(
        voxels, None, torch.zeros(3, system.config.model.latent_dim)
    )
    losses = vae_loss(logits, voxels, mu, logvar, kl_weight=0.7, dice_weight=0.4)
    assert numbers["iou"] == pytest.approx(sum(row / (row + 1) for row in rows) / 3)
    for name in ("loss", "bce", "kl"):
        key = "vae" if name == "loss" else name
        assert numbers[name] == pytest.approx(float(losses[key].detach()), rel=1e-5)
    assert set(numbers) == {"loss", "bce", "kl", "iou"}
    assert not any(noise.any() for _, _, noise in system.networks["cvae"].given)
    actual = torch.cat([each for each, _, _ in system.networks["cvae"].given])
    assert torch.equal(actual, voxels)
    with torch.no_grad():
        assert system.evaluate("test")["iou"] == pytest.approx(9 / 10)
        monkeypatch.setattr(system_module, "MAX_TRAINING_SHAPES", 3)
        assert system.evaluate("train")["iou"] == pytest.approx((0 + 1 / 2 + 2 / 3) / 3)


def test_the_losses_of_a_step_are_weighed_and_warmed_up():
    system = tiny(
        "--kl_weight",
        "0.7",
        "--dice_weight",
        "0.4",
        "--recon_weight",
        "2",
        "--kl_warmup_steps",
        "8",
        "--lambda_adv",
        "0.3",
        "--adv_warmup_epochs",
        "4",
    )

    class Counting(torch.nn.Module):
        def forward(self, voxels):
            return 5 * voxels.flatten(1).mean(1, keepdim=True) - 1

    system.networks["discriminator"] = Counting()
    voxels, pushed = Few().voxels((2, 5)), {}
    system.num_steps = 1
    batch = {"voxels": voxels, "cond": torch.zeros(2, system.config.model.cond_dim)}
    losses = system.step(batch, lambda loss, name: pushed.update({name: loss}))
    logits, mu, logvar, _ = Coder(system.config.model.latent_dim)(voxels, None, torch.zeros(2, 1))
    # the second step of eight
    parts = vae_loss(logits, voxels, mu, logvar, kl_weight=0.7 / 4, dice_weight=0.4)
    real, fake = (
        5 * torch.tensor([[3.0], [6.0]]) / 16 - 1,
        5 * torch.tensor([[2.0], [5.0]]) / 16 - 1,
    )
    adversarial = F.softplus(-fake).mean()
    smooth = 0.9 * F.softplus(-real) + 0.1 * F.softplus(real)
    discriminator = (smooth.mean() + F.softplus(fake).mean()) / 2
    share = min(1.0, 2 / (4 * system.num_batches))
    total = 2 * parts["vae"] + 0.3 * share * adversarial
    assert pushed["generator"].item() == pytest.approx(total.item(), rel=1e-5)
    assert pushed["discriminator"].item() == pytest.approx(discriminator.item(), rel=1e-5)
    assert losses["adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-5)
    assert losses["loss"].item() == pytest.approx(parts["vae"].item(), rel=1e-5)
    assert losses["iou"].item() == pytest.approx((2 / 3 + 5 / 6) / 2)
    assert set(system.networks["cvae"].given[0][2].flatten().tolist()) != {0.0}


def test_the_flow_learns_to_lead_from_noise_to_codes():
    """Every code at several times, on the straight line between noise and it."""
    system = tiny("--prior", "flow", "--prior_repeats", "3")
    prior, actual, pushed = system.prior, [], []
    with torch.no_grad():
        prior.latent_mean.fill_(0.5)
        prior.latent_std.fill_(2.0)

    class Still(torch.nn.Module):
        def forward(self, x_t, t, cond):
            actual.append((x_t, t, cond))
            return torch.full_like(x_t, 0.25)

    system.networks["prior"] = Still()
    z = torch.randn(4, system.config.model.latent_dim)
    cond = torch.randn(4, system.config.model.cond_dim)
    torch.manual_seed(0)
    loss = system._prior_step(prior, z, cond, lambda loss, name: pushed.append((loss, name)))
    codes = prior.normalize(z).repeat(3, 1)  # by the mean and deviation that were kept up to date
    torch.manual_seed(0)
    noise, t = torch.randn_like(codes), torch.rand(12)
    ((x_t, times, conditions),) = actual
    assert torch.equal(times, t) and torch.equal(conditions, cond.repeat(3, 1))
    torch.testing.assert_close(x_t, noise + t[:, None] * (codes - noise))
    expected = (0.25 - (codes - noise)).square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert [name for _, name in pushed] == ["prior"]
    stored = 0.5 + 0.01 * (z.mean(0) - 0.5)
    torch.testing.assert_close(prior.latent_mean, stored)
    spread = (z - stored).square().mean(0).sqrt()
    torch.testing.assert_close(prior.latent_std, 2 + 0.01 * (spread - 2))

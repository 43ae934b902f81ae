"""Adversarial losses against torch's, the penalty against a closed form, the watch in its cases."""

import logging

import pytest
import torch
from torch.nn import functional as F

from triform.losses.gan import discriminator_loss, generator_loss, r1_penalty
from triform.losses.gan_watch import PATIENCE, WARNINGS, GanWatch

LOGITS = torch.linspace(-5, 5, 11)


def test_losses_are_cross_entropies_of_being_right():
    ones, zeros = torch.ones_like(LOGITS), torch.zeros_like(LOGITS)
    both = F.binary_cross_entropy_with_logits(LOGITS, ones) + F.binary_cross_entropy_with_logits(
        -LOGITS, zeros
    )
    torch.testing.assert_close(discriminator_loss(LOGITS, -LOGITS), both)
    torch.testing.assert_close(
        generator_loss(LOGITS), F.binary_cross_entropy_with_logits(LOGITS, ones)
    )
    torch.testing.assert_close(
        generator_loss(LOGITS, saturating=True), -F.binary_cross_entropy_with_logits(LOGITS, zeros)
    )


def test_the_saturating_gradient_vanishes_where_the_other_does_not():
    sure = torch.tensor([-20.0], requires_grad=True)
    for saturating, least, most in ((True, 0, 1e-8), (False, 0.99, 1.01)):
        (gradient,) = torch.autograd.grad(generator_loss(sure, saturating=saturating), sure)
        assert least <= gradient.abs() <= most


def test_penalty_of_a_linear_judge_is_half_its_squared_weight():
    weight = torch.randn(12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    real = torch.randn(5, 3, 2, 2, requires_grad=True)
    penalty = r1_penalty(real.flatten(1) @ weight, real)
    torch.testing.assert_close(penalty, weight.square().sum() / 2)
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, weight.detach())


def test_each_failure_is_warned_of_once_and_survives_a_resume(caplog):
    random = torch.Generator().manual_seed(0)
    real, made = torch.randn(2, 16, 4, generator=random).unbind()
    unsure, right = torch.zeros(16), torch.full((16,), 9.0)
    loss, cases = (
        torch.tensor(0.7),
        {
            "right more": (real, made, right, -right, torch.tensor(0.7)),
            "collapse": (real, 0.1 * made, unsure, unsure + 1, torch.tensor(0.7)),
            "unstable": (real, made, unsure, unsure + 1, torch.tensor(30.0)),
        },
    )
    for words, given in cases.items():
        caplog.clear()
        watch = GanWatch()
        with caplog.at_level(logging.WARNING):
            for _ in range(PATIENCE - 1):
                watch.look(*given)
            assert not caplog.records
            again = GanWatch()
            again.load_state_dict(watch.state_dict())
            for _ in range(3):
                again.look(*given)
        assert len(caplog.records) == 1 and words in caplog.text
    watch = GanWatch()
    seen = watch.look(real, made, unsure, unsure + 1, loss)
    assert seen["discriminator_accuracy"] == 0 and 0.5 < seen["diversity"] < 2


def watch_once(watch: GanWatch, **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    """A step in which nothing is wrong, but for the changes."""
    spread = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    given = {
        "real": spread,
        "made": spread,
        "real_logits": torch.zeros(2),
        "made_logits": torch.zeros(2),
        "loss": torch.tensor(0.7),
    }
    return watch.look(**(given | changes))


def test_what_the_watch_measures_by_hand():
    """Deviations sqrt 2 and sqrt 8 over the real samples, half of both over the made ones."""
    seen = watch_once(
        GanWatch(),
        made=torch.tensor([[5.0, 5.0], [6.0, 7.0]]),
        real_logits=torch.tensor([1.0, 0.0, -1.0, 2.0]),
        made_logits=torch.tensor([-1.0, 0.0, 1.0, 2.0]),
    )
    assert float(seen["discriminator_accuracy"]) == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert float(seen["diversity"]) == pytest.approx(0.5)
    flat = watch_once(GanWatch(), real=torch.ones(2, 2))
    assert float(flat["diversity"]) == pytest.approx((2**0.5 + 8**0.5) / 2 / 1e-8)


def test_the_average_loss_begins_with_the_first_and_moves_a_twentieth():
    watch = GanWatch()
    watch_once(watch, loss=torch.tensor(-30.0))
    assert watch.level == 30
    watch_once(watch, loss=torch.tensor(10.0))
    assert watch.level == pytest.approx(29)
    again = GanWatch()
    again.load_state_dict(watch.state_dict())
    watch_once(again, loss=torch.tensor(9.0))
    assert again.level == pytest.approx(28) and again.steps == 3
    old = {name: value for name, value in watch.state_dict().items() if name != "level"}
    again.load_state_dict(old)  # runs of before have no average
    assert again.level == 0


@pytest.mark.parametrize(
    ("name", "least", "bad"),
    [
        # 49 of 50 right on both sides is 98 %; all of the real ones besides is more.
        ("sure", {"real_logits": 49}, {"real_logits": 50}),
        ("alike", {"made": 0.41}, {"made": 0.39}),
        ("wild", {"loss": 4.0}, {"loss": 4.1}),
    ],
)
def test_where_a_failure_begins_and_that_it_has_to_go_on(name, least, bad, caplog):
    """After a step that is well the count starts anew; a failure is told once, with its step."""

    def step(watch: GanWatch, **given: float) -> None:
        changes: dict[str, torch.Tensor] = {"loss": torch.tensor(given.get("loss", 0.7))}
        if "made" in given:
            changes["made"] = torch.tensor([[1.0, 2.0], [3.0, 6.0]]) * given["made"]
        if "real_logits" in given:
            changes["real_logits"] = given["real_logits"] - 0.5 - torch.arange(50)
            changes["made_logits"] = torch.arange(50) - 48.5
        watch_once(watch, **changes)

    watch = GanWatch()
    step(watch, **least)
    assert watch.streaks[name] == 0
    watch = GanWatch()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            step(watch, **bad)
        assert watch.streaks == {**dict.fromkeys(watch.streaks, 0), name: 5}
        watch.level = 0.0
        step(watch)
        assert watch.streaks[name] == 0
        watch.steps, watch.level = 0, 0.0
        for _ in range(PATIENCE - 1):
            step(watch, **bad)
        assert not caplog.records
        step(watch, **bad)
        step(watch, **bad)
    assert [record.args for record in caplog.records] == [(PATIENCE, WARNINGS[name])]

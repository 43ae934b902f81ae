"""Each failure of adversarial training: when it is warned of, and values worked out by hand."""

import logging

import pytest
import torch

from triform.losses.gan_monitor import PATIENCE, WARNINGS, GanMonitor


def test_each_failure_is_warned_of_once_and_survives_a_resume(caplog):
    random = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 16, 4, generator=random).unbind()
    unsure, right = torch.zeros(16), torch.full((16,), 9.0)
    loss, cases = (
        torch.tensor(0.7),
        {
            "right more": (real, fake, right, -right, torch.tensor(0.7)),
            "collapse": (real, 0.1 * fake, unsure, unsure + 1, torch.tensor(0.7)),
            "unstable": (real, fake, unsure, unsure + 1, torch.tensor(30.0)),
        },
    )
    for words, inputs in cases.items():
        caplog.clear()
        monitor = GanMonitor()
        with caplog.at_level(logging.WARNING):
            for _ in range(PATIENCE - 1):
                monitor.update(*inputs)
            assert not caplog.records
            repeated = GanMonitor()
            repeated.load_state_dict(monitor.state_dict())
            for _ in range(3):
                repeated.update(*inputs)
        assert len(caplog.records) == 1 and words in caplog.text
    monitor = GanMonitor()
    metrics = monitor.update(real, fake, unsure, unsure + 1, loss)
    assert metrics["discriminator_accuracy"] == 0 and 0.5 < metrics["diversity"] < 2


def update_once(monitor: GanMonitor, **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    """A step in which nothing is wrong, but for the changes."""
    spread = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    inputs = {
        "real": spread,
        "fake": spread,
        "real_logits": torch.zeros(2),
        "fake_logits": torch.zeros(2),
        "loss": torch.tensor(0.7),
    }
    return monitor.update(**(inputs | changes))


def test_what_the_watch_measures_by_hand():
    """Deviations sqrt 2 and sqrt 8 over the real samples, half of both over the fake ones."""
    metrics = update_once(
        GanMonitor(),
        fake=torch.tensor([[5.0, 5.0], [6.0, 7.0]]),
        real_logits=torch.tensor([1.0, 0.0, -1.0, 2.0]),
        fake_logits=torch.tensor([-1.0, 0.0, 1.0, 2.0]),
    )
    assert float(metrics["discriminator_accuracy"]) == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert float(metrics["diversity"]) == pytest.approx(0.5)
    flat = update_once(GanMonitor(), real=torch.ones(2, 2))
    assert float(flat["diversity"]) == pytest.approx((2**0.5 + 8**0.5) / 2 / 1e-8)


def test_the_average_loss_begins_with_the_first_and_moves_a_twentieth():
    monitor = GanMonitor()
    update_once(monitor, loss=torch.tensor(-30.0))
    assert monitor.mean_loss == 30
    update_once(monitor, loss=torch.tensor(10.0))
    assert monitor.mean_loss == pytest.approx(29)
    repeated = GanMonitor()
    repeated.load_state_dict(monitor.state_dict())
    update_once(repeated, loss=torch.tensor(9.0))
    assert repeated.mean_loss == pytest.approx(28) and repeated.steps == 3


@pytest.mark.parametrize(
    ("name", "least", "bad"),
    [
        # 49 of 50 right on both sides is 98 %; all of the real ones besides is more.
        ("vanishing_gradients", {"real_logits": 49}, {"real_logits": 50}),
        ("mode_collapse", {"fake": 0.41}, {"fake": 0.39}),
        ("instability", {"loss": 4.0}, {"loss": 4.1}),
    ],
)
def test_where_a_failure_begins_and_that_it_has_to_go_on(name, least, bad, caplog):
    """After a step that is well the count starts anew; a failure is told once, with its step."""

    def step(monitor: GanMonitor, **given: float) -> None:
        changes: dict[str, torch.Tensor] = {"loss": torch.tensor(given.get("loss", 0.7))}
        if "fake" in given:
            changes["fake"] = torch.tensor([[1.0, 2.0], [3.0, 6.0]]) * given["fake"]
        if "real_logits" in given:
            changes["real_logits"] = given["real_logits"] - 0.5 - torch.arange(50)
            changes["fake_logits"] = torch.arange(50) - 48.5
        update_once(monitor, **changes)

    monitor = GanMonitor()
    step(monitor, **least)
    assert monitor.streaks[name] == 0
    monitor = GanMonitor()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            step(monitor, **bad)
        assert monitor.streaks == {**dict.fromkeys(monitor.streaks, 0), name: 5}
        monitor.mean_loss = 0.0
        step(monitor)
        assert monitor.streaks[name] == 0
        monitor.steps, monitor.mean_loss = 0, 0.0
        for _ in range(PATIENCE - 1):
            step(monitor, **bad)
        assert not caplog.records
        step(monitor, **bad)
        step(monitor, **bad)
    assert [record.args for record in caplog.records] == [(PATIENCE, WARNINGS[name])]

"""Which networks an epoch trains, and their learning rates, by hand."""

from __future__ import annotations

import pytest

from triform.systems.shap_e.config import Config
from triform.systems.shap_e.stages import stage_rates, trained_networks


def settings(**changes) -> Config:
    """Ten epochs, four of them of encoder and decoder."""
    training = {"epochs": 10, "transmitter_epochs": 4, "lr": 0.1, "transmitter_lr": 0.4}
    scheduler = {"type": changes.pop("type", "CosineAnnealingLR"), "min_lr": 0.0, "step_size": 2}
    joint = changes.pop("joint", True)
    return Config.model_validate(
        {
            "transmitter": {"joint": joint},
            "training": {**training, **changes},
            "scheduler": scheduler,
        }
    )


def test_encoder_and_decoder_first() -> None:
    assert [trained_networks(settings(), epoch) for epoch in (0, 3, 4, 9)] == [
        ("transmitter",),
        ("transmitter",),
        ("prior",),
        ("prior",),
    ]
    assert trained_networks(settings(transmitter_epochs=0), 0) == ("transmitter", "prior")
    assert trained_networks(settings(joint=False), 0) == ("prior",)


def test_each_stage_has_a_cosine_of_its_own() -> None:
    """Five steps an epoch: 20 steps of the first stage, 30 of the second."""
    rates = [stage_rates(settings(), step, step // 5, 5) for step in (0, 10, 20, 35, 50)]
    expected = [
        {"transmitter": 0.4},
        {"transmitter": 0.2},
        {"prior": 0.1},
        {"prior": 0.05},
        {"prior": 0.0},
    ]
    for given, wanted in zip(rates, expected, strict=True):
        assert given == pytest.approx(wanted)


def test_each_stage_warms_up() -> None:
    config = settings(warmup_steps=2, type="none")
    rates = [stage_rates(config, step, step // 5, 5) for step in (0, 1, 20, 21, 22)]
    assert [*rates[0].values()] == pytest.approx([0.2])
    assert [*rates[1].values()] == pytest.approx([0.4])
    assert [rate["prior"] for rate in rates[2:]] == pytest.approx([0.05, 0.1, 0.1])


def test_steps_of_a_schedule_are_counted_within_the_stage() -> None:
    """Half the rate after two epochs of a stage."""
    config = settings(type="StepLR")
    rates = [stage_rates(config, 5 * epoch, epoch, 5) for epoch in (0, 2, 4, 5, 6)]
    assert [*rates[0].values(), *rates[1].values()] == pytest.approx([0.4, 0.2])
    assert [rate["prior"] for rate in rates[2:]] == pytest.approx([0.1, 0.1, 0.05])


def test_a_first_stage_that_is_cut_short_ends_at_a_low_rate() -> None:
    """Two of four epochs: ten steps."""
    config = settings(epochs=2)
    assert stage_rates(config, 10, 1, 5)["transmitter"] == pytest.approx(0)


@pytest.mark.parametrize(
    "changes", [{"transmitter_epochs": 0}, {"joint": False}, {"type": "ReduceLROnPlateau"}]
)
def test_the_schedule_of_the_run_stays(changes) -> None:
    assert stage_rates(settings(**changes), 7, 1, 5) == {}

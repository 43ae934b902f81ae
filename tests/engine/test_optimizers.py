"""The optimizer of most systems has the settings' numbers."""

import torch
from torch import nn
from torch.optim import AdamW

from triform.engine.config import TrainingConfig
from triform.engine.optimizers import adamw


def test_settings_reach_the_optimizer() -> None:
    training = TrainingConfig(lr=0.25, weight_decay=0.125)
    parameters = list(nn.Linear(1, 1).parameters())
    optimizer = adamw(parameters, training)
    assert type(optimizer) is AdamW
    assert optimizer.defaults["lr"] == 0.25 and optimizer.defaults["weight_decay"] == 0.125
    assert optimizer.defaults["fused"] is True
    assert optimizer.param_groups[0]["params"][0] is parameters[0]
    assert adamw(parameters, training, lr=0.5).defaults["lr"] == 0.5
    assert adamw(parameters, training, lr=0.0).defaults["lr"] == 0.0
    other = adamw([{"params": [torch.zeros(1, requires_grad=True)], "lr": 2.0}], training)
    assert other.param_groups[0]["lr"] == 2.0

"""The estimate of memory against what autograd really keeps."""

import pytest
import torch

from triform.systems.shap_e.config import Config
from triform.systems.shap_e.memory import estimate_memory
from triform.systems.shap_e.model import Prior

VECTORS, WIDTH = 62, 64


def kept_bytes(prior: Prior) -> int:
    """Bytes of the tensors that the backward pass of one sample needs, parameters left out."""
    parameters = {p.untyped_storage().data_ptr() for p in prior.parameters()}
    sizes: dict[int, int] = {}
    tensors = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        tensors.append(tensor)  # so that no address is used twice
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        prior(torch.randn(1, VECTORS, 16), torch.tensor([3]), torch.randn(1, 1, 24))
    return sum(sizes.values())


def settings(layers: int, **changes: object) -> Config:
    model = {"prior_width": WIDTH, "prior_layers": layers, "prior_heads": 4}
    transmitter = {"hidden": VECTORS // 2, "generated_layers": 2, "latent_width": 16}
    return Config.model_validate(
        {"model": {**model, **changes}, "transmitter": transmitter, "data": {"batch_size": 1}}
    )


def test_a_block_keeps_sixteen_numbers_per_token_and_channel():
    """Of two more blocks, so that what stands before and after them cancels."""
    kept, estimated = [], []
    for layers in (1, 3):
        config = settings(layers)
        prior = Prior(config.model, VECTORS, 16, 24)
        kept.append(kept_bytes(prior))
        estimated.append(estimate_memory(config, [prior], 1).activations)
    assert kept[1] - kept[0] == pytest.approx(estimated[1] - estimated[0], rel=0.02)


def test_lora_has_hardly_any_moments():
    full, lora = settings(2), settings(2, lora_rank=2)
    estimates = [
        estimate_memory(config, [Prior(config.model, VECTORS, 16, 24)], 1)
        for config in (full, lora)
    ]
    assert estimates[0].trained + 64 == estimates[0].parameters  # clip_mean and clip_std
    assert estimates[1].trained < 0.15 * estimates[1].parameters
    assert estimates[1].optimizer == 12 * estimates[1].trained
    assert "M trained; memory about" in estimates[1].describe()


def test_averages_and_parts_count():
    config = settings(2)
    prior = Prior(config.model, VECTORS, 16, 24)
    changed = config.model_copy(
        update={
            "data": config.data.model_copy(update={"batch_size": 8}),
            "training": config.training.model_copy(
                update={"ema_decay": 0.99, "micro_batch_size": 2}
            ),
        }
    )
    one, other = estimate_memory(config, [prior], 1), estimate_memory(changed, [prior], 1)
    assert other.weights == 2 * one.weights
    assert other.activations == 2 * one.activations
    training = config.training.model_copy(update={"fsdp": True})
    sharded = config.model_copy(update={"training": training})
    half = estimate_memory(sharded, [prior], 1, processes=2)
    assert (half.weights, half.optimizer) == (one.weights // 2, one.optimizer // 2)
    assert (half.parameters, half.activations) == (one.parameters, one.activations)
    assert estimate_memory(sharded, [prior], 1) == one == estimate_memory(config, [prior], 1, 2)

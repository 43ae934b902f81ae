"""What the training itself owes: accumulation, LoRA, checkpointing, phases, fixed validation."""

import copy
import dataclasses

import pytest
import torch

from triform.base.errors import UsageError, UserError
from triform.base.seeding import generator
from triform.engine.checkpoints.checkpoint import export_weights
from triform.engine.fit import fit
from triform.systems.shap_e.config import Config
from triform.systems.shap_e.latent_files import write_latent
from triform.systems.shap_e.memory import estimate_memory
from triform.systems.shap_e.model import Prior
from triform.systems.shap_e.system import System, fixed_draws
from triform.systems.shap_e.trained import Trained, metadata_of


class Recorder:
    """Stands where the engine updates, and keeps the gradients of the prior."""

    def __init__(self, system: System):
        self.system, self.gradients, self.calls = system, [], []

    def __call__(self, loss: torch.Tensor, name: str) -> None:
        self.accumulate(loss, name, method="step")

    def accumulate(self, loss: torch.Tensor, name: str, method: str = "accumulate") -> None:
        parameters = self.system.optimizers[name].param_groups[0]["params"]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        if name == "prior":
            self.calls.append(method)
            before = self.gradients or [torch.zeros_like(p) for p in parameters]
            self.gradients = [a + b for a, b in zip(before, gradients, strict=True)]


def flat(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in network.parameters()])


def step_of(system: System, batch: dict) -> tuple[dict, list[torch.Tensor]]:
    torch.nn.init.normal_(system.prior.transformer.proj_to_clip_embeddings.weight, std=0.1)
    recorder = Recorder(system)
    torch.manual_seed(5)
    losses = system.step(copy.deepcopy(batch), recorder)
    assert recorder.calls[-1] == "step" and set(recorder.calls[:-1]) <= {"accumulate"}
    return losses, recorder.gradients


@pytest.mark.parametrize("flags", [("--micro_batch_size", "1"), ("--gradient_checkpointing",)])
def test_parts_and_checkpointing_give_the_same_gradient(build, flags):
    torch.manual_seed(0)
    whole = build()
    batch = next(iter(whole.batches()))
    changed = build(*flags)
    changed.prior.load_state_dict(whole.prior.state_dict())
    changed.transmitter.load_state_dict(whole.transmitter.state_dict())
    torch.manual_seed(1)
    expected = step_of(whole, batch)
    torch.manual_seed(1)
    torch.nn.init.zeros_(changed.prior.transformer.proj_to_clip_embeddings.weight)
    got = step_of(changed, batch)
    assert float(got[0]["loss"]) == pytest.approx(float(expected[0]["loss"]), rel=1e-5)
    assert any(gradient.any() for gradient in expected[1])
    for a, b in zip(got[1], expected[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_lora_trains_few_parameters_and_begins_as_the_weights_it_is_given(build, tmp_path):
    base = build()
    torch.nn.init.normal_(base.prior.transformer.proj_to_clip_embeddings.weight)
    path = tmp_path / "base.safetensors"
    config = base.config.model_dump(mode="json")
    weights = {"prior": base.prior.state_dict()}
    export_weights(path, weights, config, system="shap_e", metadata=base.metadata())
    tuned = build("--lora_rank", "2", "--initial_weights", str(path))
    tuned.load_initial_weights()
    trained = {name for name, p in tuned.prior.named_parameters() if p.requires_grad}
    assert trained and all(".lora_" in n or "proj_to_clip" in n for n in trained)
    assert len(tuned.optimizers["prior"].param_groups[0]["params"]) == len(trained)
    x, t = torch.randn(2, *base.splits["train"].latent_shape), torch.tensor([3, 700])
    cond = base.conditions.select([0, 1])
    torch.testing.assert_close(tuned.prior(x, t, cond), base.prior(x, t, cond))
    other = build("--initial_weights", str(path), "--prior_layers", "3")
    with pytest.raises(UserError, match="--initial_weights"):
        other.load_initial_weights()


def test_lora_run_is_read_as_it_was_trained(configure, tmp_path):
    flags = ("--lora_rank", "2", "--epochs", "1", "--max_steps", "1", "--sample_every", "0")
    system = System(configure(*flags, "--runs_dir", str(tmp_path)))
    run = fit(system)
    trained = Trained.from_checkpoint(run.weights, "cpu")
    expected = system.prior.state_dict()
    found = trained.prior.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_latents_of_files_are_trained_on(configure, shapes, tmp_path):
    """Without `joint`; objects without a latent are left out and counted."""
    joint = System(configure())
    shape = joint.splits["train"].latent_shape
    for entry in joint.dataset.entries[:8]:
        latent = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
        write_latent(tmp_path / f"{entry.object_id}.npy", latent, "float16")
    flags = ("--no_joint", "--latents_dir", str(tmp_path), "--batch_size", "2")
    system = System(configure(*flags))
    assert len(system.dataset.entries) == 8
    batch = next(iter(system.batches()))
    assert set(batch) == {"cond", "object", "latents"}
    assert batch["latents"].shape == (2, *shape)
    assert torch.equal(batch["latents"][0], batch["latents"][1])
    with pytest.raises(UserError, match="triform shap_e encode"):
        System(configure("--no_joint", "--latents_dir", str(tmp_path / "none")))


def test_images_as_conditions(build):
    system = build(
        *("--model_type", "image300M", "--image_encoder", "random:vit_tiny_patch16_224"),
        *("--condition_views", "2"),
    )
    vectors, dim = system.conditions.shape
    assert (vectors, dim) == (14 * 14, 192)
    assert all(len(rows) == 2 for rows in system.conditions.of_object)
    batch = next(iter(system.batches()))
    assert batch["cond"].shape == (4, 196, 192)
    values, gradients = step_of(system, batch)
    assert torch.isfinite(values["loss"]) and any(gradient.any() for gradient in gradients)


def test_encoder_and_decoder_come_first_and_then_the_prior(build, tmp_path):
    # The measurement of precisions would take steps of its own.
    system = build(
        *("--runs_dir", str(tmp_path), "--epochs", "3", "--sample_every", "0"),
        *("--transmitter_epochs", "1", "--precision", "float32"),
    )
    states, keys, monitors, step = [], [], [], system.step

    def record(batch, update):
        values = step(batch, update)
        networks = {"transmitter": system.transmitter, "prior": system.prior}
        states.append({name: flat(network) for name, network in networks.items()})
        keys.append(("points" in batch, "distance" in values, "mse" in values))
        monitors.append(system.monitor)
        return values

    initial = flat(system.prior)
    system.step = record
    result = fit(system)
    per_epoch = len(states) // 3
    first, boundary, last = states[0], states[per_epoch - 1], states[-1]
    assert not torch.equal(first["transmitter"], boundary["transmitter"])
    assert torch.equal(initial, boundary["prior"])
    assert torch.equal(boundary["transmitter"], last["transmitter"])
    assert not torch.equal(boundary["prior"], last["prior"])
    assert keys[:per_epoch] == [(True, True, False)] * per_epoch
    assert keys[per_epoch:] == [(False, False, True)] * (2 * per_epoch)
    assert monitors[0] == "val/field_error" and monitors[-1] == "val/joint_error"
    assert result.best is not None and result.best["epoch"] > 1


def test_the_prior_learns_of_mirrored_shapes_as_well(build):
    system = build()
    latents = system._encode_all()
    assert latents.shape == (2, len(system.dataset.entries), *system.splits["train"].latent_shape)
    points = system.splits["train"].encoder_points([3])
    points[..., 0] = -points[..., 0]
    random = generator("encode", system.dataset.entries[3].object_id)
    with torch.no_grad():
        torch.testing.assert_close(latents[1, 3:4], system.transmitter(points, [random]))
    torch.testing.assert_close(latents[0, 3:4], system.encode([3]).detach())
    picked = system._stored_latents(torch.tensor([5] * 32))
    sides = {int(torch.equal(latent, latents[1, 5])) for latent in picked}
    assert sides == {0, 1}
    alone = build("--no_mirror")
    assert len(alone._encode_all()) == 1
    assert torch.equal(alone._stored_latents(torch.tensor([5]))[0], alone.encoded[0, 5])


def test_the_penalty_is_on_latents_before_tanh(build):
    """The loss of encoder and decoder grows by the weight times their mean square."""
    losses = []
    for weight in ("0", "0.5"):
        torch.manual_seed(0)
        system = build("--latent_penalty", weight, "--transmitter_epochs", "1")
        batch = next(iter(system.batches()))
        torch.manual_seed(1)
        system.step(batch, lambda loss, name: losses.append(float(loss.detach())))
    seeds = torch.Generator().manual_seed(1)
    drawn = torch.randint(0, 2**62, (len(batch["points"]),), generator=seeds).tolist()
    generators = [torch.Generator().manual_seed(seed) for seed in drawn]
    with torch.no_grad():
        size = float(
            system.transmitter.unbounded(batch["points"], None, generators).square().mean()
        )
    assert losses[1] - losses[0] == pytest.approx(0.5 * size, rel=1e-4)


def test_objects_of_a_part_of_a_split_are_spread(build):
    """A library has one data set after the other: 4 of 10 are rows 0, 2, 5 and 7 of the split."""
    dataset = dataclasses.replace(build().dataset, splits=("val", *["train"] * 10, "val"))
    assert dataset.rows("train") == list(range(1, 11)) == dataset.rows("train", 10)
    assert dataset.rows("train", 4) == [1, 3, 6, 8]
    assert dataset.rows("val", 5) == [0, 11] and dataset.rows("test", 5) == []


def test_distances_are_cut_off_earlier(build):
    """A third of the distance is three times the value, and 1 at most."""
    whole, near = (
        build("--truncation", size).splits["train"].fields([0, 2]) for size in ("3", "1")
    )
    torch.testing.assert_close(near, (3 * whole).clamp(-1, 1))
    assert float(near.max()) == 1 and float(near.min()) == -1


def test_validation_uses_the_same_steps_and_noise(build):
    t, noise = fixed_draws(["a", "b"], 1024, (2, 3, 4))
    again = fixed_draws(["b"], 1024, (1, 3, 4))
    assert int(t[1]) == int(again[0][0]) and torch.equal(noise[1], again[1][0])
    system = build()
    with torch.no_grad():
        torch.manual_seed(0)
        first = system.evaluate("train")
        torch.manual_seed(1)
        assert system.evaluate("train") == first
    assert {"loss", "mse", "vb", "unexplained", "saturated", "iou"} <= first.keys()


def test_dropped_conditions_are_zeros(build):
    system = build("--diffusion.cond_drop_prob", "1")
    seen = []
    forward = system.prior.forward
    system.prior.forward = lambda x, t, cond: seen.append(cond) or forward(x, t, cond)
    step_of(system, next(iter(system.batches())))
    assert seen and not seen[0].any()


def test_sizes_of_the_published_networks():
    """Parameters of text300M and image300M, counted without memory."""
    expected = {"text300M": 315_692_032, "image300M": 315_956_224}
    for kind, conditions in (("text300M", 768), ("image300M", 1024)):
        config = Config.model_validate({"model": {"model_type": kind}})
        with torch.device("meta"):
            prior = Prior(config.model, 1024, 1024, conditions)
        counted = sum(
            p.numel()
            for n, p in prior.named_parameters()
            if "clip_mean" not in n and "clip_std" not in n
        )
        assert counted == expected[kind], (kind, counted)
        memory = estimate_memory(config, [prior], 1 if kind == "text300M" else 256)
        assert memory.weights == 4 * memory.parameters
        assert memory.optimizer == 12 * memory.trained


def test_what_is_missing_is_one_line(configure):
    with pytest.raises(UsageError, match="--data_dir is needed"):
        System(Config())
    with pytest.raises(UserError, match="no shape library"):
        System(configure("--data_dir", "nowhere"))


def test_metadata_is_plain():
    assert metadata_of((256, 1024)) == {"cond_vectors": 256, "cond_dim": 1024}

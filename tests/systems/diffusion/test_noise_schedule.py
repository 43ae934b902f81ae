"""Noise schedule and samplers against diffusers and the equations of the papers."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from triform.systems.diffusion.noise_schedule import NoiseSchedule, cosine_betas, linear_betas
from triform.systems.diffusion.samplers import ddim_step, ddpm_step, sample, sampling_timesteps

T = 1000
OBJECTIVES = {"epsilon": "epsilon", "x0": "sample", "v": "v_prediction"}
SCHEDULES = {
    "linear": (linear_betas(T, 1e-4, 0.02), "linear"),
    "cosine": (cosine_betas(T), "squaredcos_cap_v2"),
}


def schedule_of(kind: str, objective: str = "epsilon") -> NoiseSchedule:
    return NoiseSchedule(SCHEDULES[kind][0], objective)


@pytest.fixture
def x():
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def noise():
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_noise_and_targets_are_those_of_diffusers(kind, objective, x, noise):
    schedule = schedule_of(kind, objective)
    peer = DDPMScheduler(T, beta_schedule=SCHEDULES[kind][1])
    t = torch.tensor([0, 10, 500, 999])
    torch.testing.assert_close(
        schedule.alphas_cumprod.float(), peer.alphas_cumprod, rtol=2e-4, atol=1e-7
    )
    x_t = schedule.add_noise(x, t, noise)
    torch.testing.assert_close(x_t, peer.add_noise(x, noise, t), rtol=1e-4, atol=1e-5)
    target = {"epsilon": noise, "x0": x, "v": peer.get_velocity(x, noise, t)}[objective]
    torch.testing.assert_close(schedule.target(x, t, noise), target, rtol=1e-4, atol=1e-5)
    # The target stands for the image.
    early = t[:3]
    predicted = schedule.predict_x0(schedule.target(x, t, noise)[:3], x_t[:3], early)
    torch.testing.assert_close(predicted, x[:3], rtol=0, atol=1e-4)


@pytest.mark.parametrize("t", [999, 500, 1, 0])
def test_an_ancestral_step_is_that_of_diffusers(t, x, noise):
    schedule, peer = schedule_of("linear"), DDPMScheduler(T, variance_type="fixed_small")
    prediction = 0.1 * noise
    x_0 = schedule.predict_x0(prediction, x, torch.full((4,), t))
    theirs = peer.step(prediction, t, x, generator=torch.Generator().manual_seed(5)).prev_sample
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
    drawn = drawn if t else torch.zeros_like(x)
    ours = ddpm_step(schedule, x, x_0, t, t - 1, drawn)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_a_ddim_step_is_that_of_diffusers(eta, x, noise):
    schedule, peer = schedule_of("linear"), DDIMScheduler(T, timestep_spacing="leading")
    peer.set_timesteps(50)
    prediction = 0.1 * noise
    for t in (980, 500, 20):
        x_0 = schedule.predict_x0(prediction, x, torch.full((4,), t))
        theirs = peer.step(
            prediction, t, x, eta=eta, variance_noise=noise, use_clipped_model_output=True
        ).prev_sample
        ours = ddim_step(schedule, x, x_0, t, t - T // 50, noise, eta)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_ancestral_sampling_is_ddim_with_all_noise_new(x, noise):
    schedule = schedule_of("linear")
    x_0 = schedule.predict_x0(0.1 * noise, x, torch.full((4,), 300))
    torch.testing.assert_close(
        ddpm_step(schedule, x, x_0, 300, 250, noise),
        ddim_step(schedule, x, x_0, 300, 250, noise, 1.0),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_solver_is_that_of_diffusers(kind, steps, noise):
    """The whole way, with a prediction that depends on x and t."""
    schedule = schedule_of(kind, "x0")
    peer = DPMSolverMultistepScheduler(
        T,
        beta_schedule=SCHEDULES[kind][1],
        prediction_type="sample",
        timestep_spacing="linspace",
        final_sigmas_type="zero",
        lower_order_final=True,
    )
    peer.set_timesteps(steps)

    def predict_x0(x_t, t):
        return torch.tanh(x_t * (1 + t.view(-1, 1, 1, 1) / T))

    theirs = noise
    for t in peer.timesteps:
        theirs = peer.step(predict_x0(theirs, t.repeat(4)), t, theirs).prev_sample
    assert sampling_timesteps(schedule, "dpm", steps) == peer.timesteps.tolist()
    *_, ours = sample(
        predict_x0, schedule, noise, sampler="dpm", steps=steps, random=torch.Generator()
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm"])
def test_a_perfect_prediction_gives_its_image_at_any_number_of_steps(sampler, x, noise):
    """No noise is added in the last step."""
    schedule = schedule_of("cosine")
    for steps in (1, 3, 50):
        random = torch.Generator().manual_seed(0)
        *_, end = sample(lambda *_: x, schedule, noise, sampler=sampler, steps=steps, random=random)
        torch.testing.assert_close(end, x, rtol=0, atol=1e-5)


def test_schedules_of_other_lengths_end_in_as_much_noise():
    usual = linear_betas(T, 1e-4, 0.02).sum()
    for steps in (100, 4000):
        assert linear_betas(steps, 1e-4, 0.02).sum() == pytest.approx(float(usual), rel=1e-9)
    assert float(NoiseSchedule(cosine_betas(50), "v").alphas_cumprod[-1]) < 1e-3

import numpy as np
import pytest

from triform.geometry.colors import (
    linear_from_srgb,
    srgb_from_linear,
    texture_means,
    to_bytes,
)


def test_transfer_curves_are_inverse_and_standard():
    values = np.linspace(0, 1, 1001)
    assert np.allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)
    assert srgb_from_linear(np.array([0.2140])) == pytest.approx(0.5, abs=1e-3)


def test_to_bytes_clips_and_survives_nan():
    assert to_bytes(np.array([-1, 0, 0.5, 1, 7, np.nan, np.inf])).tolist() == [
        0,
        0,
        128,
        255,
        255,
        0,
        255,
    ]


def test_texture_means_average_the_area_of_the_face():
    random = np.random.default_rng(0)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 256, axis=0).repeat(3, axis=2)
    uv = random.random((200, 3, 2))
    expected = uv[:, :, 0].mean(axis=1) * 256 - 0.5
    assert np.abs(texture_means(ramp, uv)[:, 0] - expected).max() < 2
    assert np.array_equal(texture_means(ramp, uv), texture_means(ramp, uv + np.array([3, -5])))


def test_the_first_row_is_the_top():
    image = np.array([[[255, 0, 0]], [[0, 0, 255]]], dtype=np.uint8)
    assert texture_means(image, np.full((1, 3, 2), 0.9)).tolist() == [[255, 0, 0]]
    assert texture_means(image, np.full((1, 3, 2), 0.1)).tolist() == [[0, 0, 255]]
    assert texture_means(image, np.full((1, 3, 2), np.nan)).shape == (1, 3)

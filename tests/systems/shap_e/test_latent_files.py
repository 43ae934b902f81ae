"""Latents on disk in three formats, and those of other programs."""

import numpy as np
import pytest
import torch

from triform.base.errors import UserError
from triform.systems.shap_e.latent_files import (
    latent_path,
    read_index,
    read_latent,
    write_index,
    write_latent,
)

SHAPE = (6, 4)


@pytest.mark.parametrize(
    ("number_format", "size", "error"),
    [("float32", 4, 0), ("float16", 2, 2**-11), ("int8", 1, 0.5 / 127 + 1e-6)],
)
def test_written_latents_are_read(tmp_path, number_format, size, error):
    latent = torch.rand(SHAPE) * 2 - 1
    path = tmp_path / "chair.npy"
    write_latent(path, latent, number_format)
    assert np.load(path).dtype.itemsize == size
    assert (read_latent(path, SHAPE) - latent).abs().max() <= error
    assert latent_path(tmp_path, "chair") == path and latent_path(tmp_path, "table") is None


def test_flat_tensors_of_other_programs_are_read(tmp_path):
    latent = torch.rand(SHAPE) * 2 - 1
    torch.save(latent.flatten()[None], tmp_path / "a.pt")
    assert torch.equal(read_latent(tmp_path / "a.pt", SHAPE), latent)


def test_wrong_latents_are_one_line(tmp_path):
    np.save(tmp_path / "size.npy", np.zeros(5, np.float32))
    np.save(tmp_path / "nan.npy", np.full(SHAPE, np.nan, np.float32))
    np.save(tmp_path / "large.npy", np.full(SHAPE, 1.5, np.float32))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("size.npy", "nan.npy", "large.npy", "objects.npy", "list.pt", "missing.npy"):
        with pytest.raises(UserError) as caught:
            read_latent(tmp_path / name, SHAPE)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_index(tmp_path):
    assert read_index(tmp_path) == {}
    write_index(tmp_path, {"encoder": "a", "shape": [6, 4]})
    assert read_index(tmp_path) == {"encoder": "a", "shape": [6, 4]}
    (tmp_path / "latents.json").write_text("[")
    with pytest.raises(UserError, match="JSON"):
        read_index(tmp_path)

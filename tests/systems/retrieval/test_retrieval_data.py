"""From a library to batches."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from triform.base.errors import UserError
from triform.base.seeding import generator
from triform.datasets.library.library import Library
from triform.datasets.split import split_by_id
from triform.systems.retrieval.config import DataConfig
from triform.systems.retrieval.data import (
    Batches,
    CaptionEmbeddings,
    augment_points,
    channel_orders,
)
from triform.systems.retrieval.dataset import read_dataset
from triform.systems.retrieval.model import unit_sphere


@pytest.fixture(scope="module")
def objects(library):
    return read_dataset(library, image_size=32)


def batches(objects, **changes):
    data = DataConfig(points=64, views=2, image_augment=False, **changes)
    return Batches(objects, np.arange(len(objects)), CaptionEmbeddings(objects, None), data)


def test_objects_are_those_of_the_library(library, objects):
    assert objects.ids == tuple(entry.object_id for entry in library.objects)
    assert objects.views.shape == (32, 4, 32, 32, 4) and objects.points.shape == (32, 256, 3)
    assert {"train", "val", "test"} == set(objects.splits)
    assert all(objects.captions)
    stored = np.load(library.store.folder / library.objects[5].points)
    np.testing.assert_array_equal(objects.points[5], stored)


def test_the_second_reading_makes_nothing(library, objects, monkeypatch):
    monkeypatch.setattr("triform.datasets.array_cache._write", None)
    repeated = read_dataset(library, image_size=32)
    assert np.array_equal(repeated.views, objects.views)


def test_a_batch_depends_on_its_generator_alone(objects):
    fetch = batches(objects, virtual_colors=0.5, mirror=True, point_jitter=0.01, color_drop=0.5)
    first, repeated = (fetch([3, 1, 4], generator("batch", 7)) for _ in range(2))
    other = fetch([3, 1, 4], generator("batch", 8))
    for key in first:
        assert torch.equal(first[key], repeated[key])
    assert not torch.equal(first["points"], other["points"])
    assert first["object"].tolist() == [3, 1, 4]


def test_without_augmentation_a_batch_is_what_is_stored(objects):
    fetch = batches(objects, point_scale=1, point_shift=0)
    batch = fetch([2], generator("batch", 0))
    stored = torch.from_numpy(np.array(objects.points[2]))
    near = torch.cdist(batch["points"][0], unit_sphere(stored))
    # 64 of 256 points, centred at their own mean: only about where they were
    assert near.amin(1).max() < 0.25
    assert batch["points"].norm(dim=-1).max() == pytest.approx(1)
    views = fetch.unaugmented_images(np.array([2]))[0]
    for actual in batch["images"][0]:
        assert (views - actual).abs().flatten(1).amax(1).min() == 0


def test_a_mirrored_object_is_mirrored_in_cloud_and_image(objects):
    plain, turned = (
        batches(objects, point_scale=1, point_shift=0, mirror=mirror) for mirror in (False, True)
    )
    for seed in range(20):
        one, other = (fetch([0], generator("m", seed)) for fetch in (plain, turned))
        if not torch.equal(one["points"], other["points"]):
            flipped = one["points"] * torch.tensor([-1.0, 1, 1])
            torch.testing.assert_close(other["points"], flipped)
            assert torch.equal(other["images"], one["images"].flip(-1))
            return
    pytest.fail("never mirrored in twenty tries")


def test_swapped_channels_are_swapped_in_cloud_and_image(objects):
    plain, swapped = (
        batches(objects, point_scale=1, point_shift=0, virtual_colors=share) for share in (0, 1)
    )
    one, other = (fetch([0, 1], generator("c", 3)) for fetch in (plain, swapped))
    for row in range(2):
        orders = [
            list(o)
            for o in torch.cartesian_prod(*[torch.arange(3)] * 3).tolist()
            if len(set(o)) == 3
        ]
        fits = [
            order
            for order in orders
            if torch.equal(other["colors"][row], one["colors"][row][:, order])
            and torch.allclose(other["images"][row], one["images"][row][:, order])
        ]
        assert fits


@given(st.integers(1, 20), st.floats(0, 1))
def test_channel_orders_are_orders(count, share):
    orders = channel_orders(count, share, generator("o", count))
    assert (orders.sort(1).values == torch.arange(3)).all()


def test_augmented_clouds_stay_within_what_was_asked(objects):
    data = DataConfig(point_scale=1.5, point_shift=0.2, point_rotation=180, point_jitter=0.0)
    points = unit_sphere(torch.randn(200, 32, 3, generator=generator("p")))
    moved, colors = augment_points(points, torch.zeros(200, 32, 3), data, generator("a"))
    # turned about the upright axis: heights are stretched and shifted, nothing else
    rise = torch.stack([torch.ones(200, 32), points[..., 1]], -1)
    fit = torch.linalg.lstsq(rise, moved[..., 1, None]).solution[..., 0]
    residual = moved[..., 1] - (rise @ fit[..., None])[..., 0]
    assert residual.abs().max() < 1e-4
    assert fit[:, 1].min() > 1 / 1.5 - 1e-3 and fit[:, 1].max() < 1.5 + 1e-3
    assert fit[:, 0].abs().max() < 0.2 + 1e-3 and not colors.any()


def test_captions_are_drawn_and_numbered(objects):
    from triform.pretrained.text_encoder import load_text_encoder

    texts = CaptionEmbeddings(objects, load_text_encoder("minilm"))
    fetch = Batches(objects, np.arange(32), texts, DataConfig(points=64, views=1))
    batch = fetch([0, 1], generator("t", 0))
    for row in range(2):
        text = texts.texts[batch["caption"][row]]
        assert text in objects.captions[row]
        assert torch.equal(batch["texts"][row], texts.embeddings[batch["caption"][row]])
        assert batch["texts"][row].norm() == pytest.approx(1, abs=1e-5)


def test_unit_sphere_of_a_single_place_is_no_division_by_zero():
    assert torch.equal(unit_sphere(torch.ones(1, 4, 3)), torch.zeros(1, 4, 3))


def test_splits_by_name_are_80_10_10():
    splits = [split_by_id(f"object {n}") for n in range(5000)]
    # three standard errors of a share of 5,000
    assert splits.count("train") / 5000 == pytest.approx(0.8, abs=0.017)
    assert splits.count("val") / 5000 == pytest.approx(0.1, abs=0.013)


def test_a_split_of_ones_own(library, tmp_path):
    path = tmp_path / "split.csv"
    ids = [entry.object_id for entry in library.objects]
    path.write_text(f"model_id,split\n{ids[0]},train\n{ids[1]},validation\n{ids[2]},test\n")
    found = read_dataset(library, image_size=0, split=str(path))
    assert found.ids == tuple(ids[:3]) and found.splits == ("train", "val", "test")


@pytest.fixture
def broken(library, tmp_path):
    """A copy of the library that may be damaged."""
    folder = tmp_path / "broken"
    shutil.copytree(library.store.folder, folder)
    return Library.open(str(folder))


def test_what_is_wrong_is_one_line(broken, tmp_path):
    folder = broken.store.folder
    cloud = folder / broken.objects[3].points
    points = np.load(cloud)
    points[7] = np.nan
    np.save(cloud, points)
    with pytest.raises(UserError, match=rf"{broken.objects[3].object_id}\.npy holds NaN"):
        read_dataset(broken, image_size=0)
    cloud.unlink()
    with pytest.raises(UserError, match=rf"{broken.objects[3].object_id}\.npy cannot be read"):
        read_dataset(broken, image_size=0)
    for text, words in (
        ("a,b\n", "must name model_id and split"),
        ("model_id,split\nx,maybe\n", "line 2: split 'maybe'"),
        ("model_id,split\nx,train\n", "names none of its objects"),
    ):
        (tmp_path / "split.csv").write_text(text)
        with pytest.raises(UserError, match=words):
            read_dataset(broken, image_size=0, split=str(tmp_path / "split.csv"))


def test_a_missing_image_is_one_line(broken):
    (broken.store.folder / broken.objects[2].images[1]).unlink()
    with pytest.raises(UserError, match=r"view2\.png cannot be read"):
        read_dataset(broken, image_size=48)

"""Quality of generated images: real ones are good, noise is bad, copies are found."""

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.seeding import generator
from triform.images import grid
from triform.metrics import image_quality as measured
from triform.metrics.frechet import frechet_distance
from triform.metrics.image_quality import gaussian_images, image_quality, share_of_copies
from triform.metrics.intervals import Z95
from triform.metrics.kernel_distance import kernel_distance
from triform.metrics.precision_recall import precision_recall
from triform.tasks.image_generation.nearest_neighbors import save_nearest_neighbors


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    pixels = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    return torch.from_numpy(pixels)[:, None]


def test_real_images_are_better_than_noise(digits):
    train, real, others = digits[:900], digits[900:1300], digits[1300:]
    noise = torch.randint(256, others.shape, generator=torch.Generator().manual_seed(0))
    good = image_quality(others, real, train)
    bad = image_quality(noise.byte(), real, train)
    for name in ("kernel_distance", "frechet_distance"):
        assert good[name] < 0.2 * bad[name]
    assert good["precision"] > 0.5 > bad["precision"] and good["recall"] > 0.5 > bad["recall"]
    assert good["features"].startswith("fashion-cnn-")
    assert "fid" not in " ".join(good).lower()


def test_copies_are_judged_by_held_out_images_where_others_are_counted_too(digits):
    train, held_out = digits[:900], digits[900:1300]
    both = torch.cat([held_out, train])
    generated = torch.cat([train[:50], digits[1300:1350]])
    assert image_quality(generated, both, train)["copies"] < 0.5  # copies are at a distance of 0
    found = image_quality(generated, both, train, held_out=held_out)["copies"]
    assert found == share_of_copies(generated, held_out, train) >= 0.5


def test_copies_are_counted(digits):
    train, real = digits[:900], digits[900:1300]
    generated = torch.cat([train[:50], digits[1300:1350]])
    assert 0.5 <= share_of_copies(generated, real, train) < 0.6


def test_a_sheet_shows_images_above_their_nearest(digits, tmp_path):
    path = tmp_path / "sheet.png"
    save_nearest_neighbors(digits[:36], digits[:900], path)
    sheet = np.asarray(Image.open(path))
    zoom, cell = 8, 10
    rows = [sheet[row * cell * zoom : (row + 1) * cell * zoom] for row in range(6)]
    for above, below in zip(rows[::2], rows[1::2], strict=True):
        assert np.array_equal(above, below)  # the nearest to a training image is itself


def test_a_copy_is_nearer_than_one_in_a_hundred_real_images():
    """101 real ones 0, 2, ..., 200 steps from the only training image: the limit is 2 steps."""
    train = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
    real = torch.arange(0, 202, 2, dtype=torch.uint8).view(-1, 1, 1, 1)
    generated = torch.tensor([0, 1, 3, 5], dtype=torch.uint8).view(-1, 1, 1, 1)
    assert share_of_copies(generated, real, train) == 0.5
    # Of 0, 1, 3, 5 the limit is 0.03 steps.
    assert share_of_copies(real, generated, train) == pytest.approx(1 / 101)


def test_gaussian_of_one_pixel_by_hand():
    """Four images of mean 20 and standard deviation 10; the component's sign is free."""
    train = torch.tensor([10, 30, 10, 30], dtype=torch.uint8).view(-1, 1, 1, 1)
    noise = torch.randn(50, 1, generator=generator("gaussian images", 0)).view(-1, 1, 1, 1)
    found = gaussian_images(train, 50)
    expected = [(20 + sign * 10 * noise).round().clamp(0, 255).byte() for sign in (1, -1)]
    assert any(found.equal(one) for one in expected)


@pytest.mark.parametrize("value", [0, 255])
def test_gaussian_of_equal_images_is_that_image(value):
    train = torch.full((3, 1, 2, 2), value, dtype=torch.uint8)
    assert gaussian_images(train, 4).equal(train[:1].expand(4, -1, -1, -1))


@pytest.fixture
def pixels_are_features(monkeypatch):
    """Networks that return what they see, so that every number can be had another way."""

    def flat(some):
        return some.flatten(1).float()

    monkeypatch.setattr(measured, "image_features", flat)
    monkeypatch.setattr(measured, "inception_features", lambda network, some: flat(some) + 1)
    monkeypatch.setattr(measured, "load_inception", lambda path: path)
    monkeypatch.setattr(measured, "image_class_probs", flat)
    monkeypatch.setattr(measured, "MANIFOLD_IMAGES", 30)
    return flat


def three_sets(generated: int, real: int, train: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [
        torch.randint(low, 256, (count, 3, 1, 1), generator=random).byte()
        for low, count in ((60, generated), (0, real), (30, train))
    ]


def test_each_number_is_of_the_sets_that_it_names(pixels_are_features, tmp_path):
    generated, real, train = three_sets(40, 50, 90)
    generated[:6] = train[:6]
    numbers = image_quality(generated, real, train, inception_weights=tmp_path)
    # As many training images as generated ones, from the first to the last, evenly.
    rows = [int(89 * number / 39) for number in range(40)]
    a, b, floor, all_of_train = map(pixels_are_features, (generated, real, train[rows], train))
    assert floor[0].equal(all_of_train[0]) and floor[-1].equal(all_of_train[-1])
    distance, deviation = kernel_distance(a, b)
    assert (numbers["kernel_distance"], numbers["kernel_distance_std"]) == (distance, deviation)
    assert numbers["kernel_distance_interval95"] == Z95 * deviation
    assert numbers["kernel_distance_floor"] == kernel_distance(floor, b)[0]
    assert numbers["frechet_distance"] == frechet_distance(a, b)
    assert numbers["frechet_distance_floor"] == frechet_distance(floor, b)
    assert (numbers["precision"], numbers["recall"]) == precision_recall(a[:30], b[:30])
    assert numbers["copies"] == share_of_copies(generated[:30], real[:30], train) >= 6 / 30
    # The largest of three pixels is the class.
    shares = np.bincount(a.argmax(1), minlength=3) / 40
    entropy = -(shares * np.log(shares)).sum()
    assert numbers["classes_entropy"] == pytest.approx(entropy) and entropy > 0.5
    assert (numbers["kid"], numbers["kid_std"]) == kernel_distance(a + 1, b + 1)
    assert numbers["kid_floor"] == kernel_distance(floor + 1, b + 1)[0]
    assert numbers["fid"] == frechet_distance(a + 1, b + 1)
    assert numbers["fid_floor"] == frechet_distance(floor + 1, b + 1)


@pytest.mark.parametrize("short", range(3))
def test_frechet_wants_twice_as_many_images_as_features(short, pixels_are_features, tmp_path):
    """Three features: six of each are enough, five of any are not."""
    counts = [6, 6, 6]
    enough = image_quality(*three_sets(*counts), inception_weights=tmp_path)
    counts[short] = 5
    fewer = image_quality(*three_sets(*counts), inception_weights=tmp_path)
    assert set(enough) - set(fewer) == {
        "frechet_distance",
        "frechet_distance_floor",
        "frechet_distance_gaussian",
        "fid",
        "fid_floor",
    }


def test_entropy_of_classes_that_are_never_made():
    """Half, a quarter, a quarter, none: (2 + 4 + 4 bits) / 4 in nats."""
    classes = torch.eye(4)[[0, 0, 1, 2]]
    assert measured._class_entropy(classes) == pytest.approx(1.5 * np.log(2))


@pytest.mark.parametrize(
    ("count", "shown"), [(5, [*range(5)]), (40, [*range(36)]), (80, [*range(0, 72, 2)])]
)
def test_a_sheet_shows_images_from_all_of_them(count, shown, tmp_path, monkeypatch):
    """At most three rows of twelve, evenly chosen; what is missing in a row is white."""
    saved = []
    monkeypatch.setattr(grid, "save_images", lambda *arguments: saved.append(arguments))
    generated = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    train = torch.arange(0, 240, 3, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    save_nearest_neighbors(generated, train, tmp_path / "sheet.jpg")
    ((images, path, columns),) = saved
    assert (path, columns) == (tmp_path / "sheet.png", 12)
    padded = [*shown, *[255] * (-len(shown) % 12)]
    rows = images[:, 0, 0, 0].reshape(-1, 12).tolist()
    assert [value for row in rows[::2] for value in row] == padded
    nearest = [3 * round(value / 3) if value < 255 else 255 for value in padded]
    assert [value for row in rows[1::2] for value in row] == nearest


def test_limits_that_published_figures_were_measured_with():
    assert (measured.MANIFOLD_IMAGES, measured.COPY_QUANTILE) == (2000, 0.01)
    assert (measured.GAUSSIAN_COMPONENTS, measured.GAUSSIAN_IMAGES) == (64, 10_000)


def test_gaussian_of_many_pixels_by_the_decomposition_written_out():
    """Of 100 pixels 64 components are kept, with the seed 0; the caller's numbers stay."""
    random = torch.Generator().manual_seed(3)
    scales = torch.linspace(1, 40, 100)
    data = (128 + scales * torch.randn(200, 100, generator=random)).clamp(0, 255).byte()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    found = gaussian_images(data.view(200, 1, 10, 10), 30)
    assert torch.equal(before, torch.random.get_rng_state()) and found.shape == (30, 1, 10, 10)
    flat = data.float()
    torch.manual_seed(0)
    _, singular, components = torch.pca_lowrank(flat, 64, niter=4)
    noise = torch.randn(30, 64, generator=generator("gaussian images", 0))
    expected = flat.mean(0) + noise @ (components * (singular / 200**0.5)).T
    assert found.view(30, 100).equal(expected.round().clamp(0, 255).byte())


@pytest.mark.parametrize(("count", "stride"), [(5, 1), (7, 1), (8, 2), (13, 3)])
def test_gaussian_of_an_even_part_of_many_images(count, stride, monkeypatch):
    """At most about so many, evenly taken: of 8 every second, where 4 are wanted."""
    monkeypatch.setattr(measured, "GAUSSIAN_IMAGES", 4)
    values = torch.arange(count, dtype=torch.uint8) ** 2
    found = gaussian_images(values.view(-1, 1, 1, 1), 9).flatten()
    part = values[::stride].double()
    noise = torch.randn(9, 1, generator=generator("gaussian images", 0)).flatten()
    deviation = part.std(correction=0)
    expected = [(part.mean() + sign * deviation * noise).round().clamp(0, 255) for sign in (1, -1)]
    assert any(found.equal(one.byte()) for one in expected)

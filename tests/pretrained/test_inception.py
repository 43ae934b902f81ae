"""Inception's features, on the library's own network with random weights."""

import pickle

import pytest
import torch

from triform.base.checksum import file_sha256
from triform.base.errors import UsageError, UserError
from triform.metrics.image_quality import image_quality
from triform.pretrained import inception

fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file of weights in the published format, and the network that it makes."""
    path = tmp_path_factory.mktemp("inception") / "weights.pth"

    class Empty(fidelity.FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict, strict=True, assign=False):
            """Nothing to load yet."""

    nothing = path.with_name("nothing.pth")
    torch.save({}, nothing)
    torch.manual_seed(0)
    network = Empty("inception", ["2048"], nothing)
    torch.save(network.state_dict(), path)
    return path, network


@pytest.fixture
def trusted(published, monkeypatch):
    monkeypatch.setattr(inception, "SHA256_PREFIX", file_sha256(published[0])[:8])
    return published[0]


def test_features_are_those_of_the_library(published, trusted):
    grey = torch.randint(256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(0)).byte()
    actual = inception.inception_features(inception.load_inception(trusted), grey, batch_size=2)
    with torch.no_grad():
        (theirs,) = published[1](grey.repeat(1, 3, 1, 1))
    assert actual.shape == (3, inception.NUM_FEATURES)
    torch.testing.assert_close(actual, theirs)


def test_only_the_published_file_counts(published, tmp_path):
    for path, words in ((published[0], "not the published file"), (tmp_path / "x", "no file")):
        with pytest.raises(UsageError, match=words):
            inception.load_inception(path)


class Harmful:
    """Would raise if it were unpickled."""

    def __reduce__(self):
        return (eval, ("1 / 0",))


@pytest.mark.parametrize("contents", [pickle.dumps(Harmful(), protocol=2), b"nothing"])
def test_nothing_is_unpickled(contents, tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(contents)
    monkeypatch.setattr(inception, "SHA256_PREFIX", file_sha256(path)[:8])
    with pytest.raises(UserError, match="no weights of Inception"):
        inception.load_inception(path)


def test_fid_is_called_fid_only_with_inception(tmp_path, monkeypatch):
    """Features that stand in for Inception's: eight means of parts of the images."""
    monkeypatch.setattr("triform.metrics.image_quality.load_inception", lambda path: path)
    monkeypatch.setattr(
        "triform.metrics.image_quality.inception_features",
        lambda network, images: images.float().flatten(1).unflatten(1, (8, -1)).mean(2) / 255,
    )
    random = torch.Generator().manual_seed(0)
    real, train, generated = torch.randint(256, (3, 200, 1, 8, 8), generator=random).byte()
    plain = image_quality(generated // 2, real, train)
    output = image_quality(generated // 2, real, train, inception_weights=tmp_path)
    assert set(output) - set(plain) == {"kid", "kid_std", "kid_floor", "fid", "fid_floor"}
    assert output["fid"] > 10 * output["fid_floor"] and output["kid"] > abs(output["kid_floor"])

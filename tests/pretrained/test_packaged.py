"""Files of weights in installed packages: the published ones or none."""

import pytest

from triform.base.errors import UserError
from triform.pretrained.minilm import PACKAGE, WEIGHTS_SHA256
from triform.pretrained.packaged import is_installed, packaged_file


def test_the_file_itself():
    path = packaged_file(PACKAGE, "model", "model.safetensors", WEIGHTS_SHA256, kind="encoder")
    assert path.stat().st_size > 10**7


def test_changed_weights_are_refused():
    with pytest.raises(UserError, match=r"sha256 53aa5117.* is not the published 00000000"):
        packaged_file(PACKAGE, "model", "model.safetensors", "0" * 64, kind="encoder")


def test_missing_package_says_what_to_install():
    assert not is_installed("gt-no-such-package")
    with pytest.raises(UserError, match=r"the encoder needs .*: pip install gt-no-such-package"):
        packaged_file("gt-no-such-package", "model", "a", "", kind="encoder")


def test_missing_file_says_what_to_do():
    with pytest.raises(UserError, match=r"lacks its file other\.bin: pip install --force"):
        packaged_file(PACKAGE, "model", "other.bin", "", kind="encoder")

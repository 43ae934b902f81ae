"""Specifications of images come back from metadata, and damaged ones are refused."""

import json

import pytest

from triform.layers.image_spec import ImageSpec, downsampling


@pytest.mark.parametrize("classes", [(), ("a",), ("t-shirt", "ящик", "ankle\nboot")])
def test_round_trip_through_json(classes):
    spec = ImageSpec(3, 28, classes)
    assert ImageSpec.from_metadata(json.loads(json.dumps(spec.metadata()))) == spec
    assert spec.shape == (3, 28)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", 7),
        ("channels", "1"),
        ("size", 3),
        ("size", 4097),
        ("size", 28.0),
        ("size", [28]),
        ("classes", "ab"),
        ("classes", [1]),
        ("classes", None),
    ],
)
def test_damaged_metadata_is_refused(name, value):
    metadata = ImageSpec(1, 8, ("a",)).metadata()
    with pytest.raises(ValueError, match=r"images of|names of classes"):
        ImageSpec.from_metadata(metadata | {name: value})
    del metadata[name]
    with pytest.raises(KeyError, match=name):
        ImageSpec.from_metadata(metadata)


def test_sizes_are_halved_until_few_pixels_are_left():
    sizes = {8: (1, 4), 28: (2, 7), 31: (2, 8), 32: (3, 4), 64: (4, 4)}
    assert {size: downsampling(size) for size in sizes} == sizes

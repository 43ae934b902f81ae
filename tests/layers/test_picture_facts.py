"""Facts of pictures come back from weights as they were."""

import pytest
import torch
from torch import nn

from triform.layers.picture_facts import PictureFacts, class_names, picture_shape, read_facts


@pytest.mark.parametrize("classes", [(), ("a",), ("t-shirt", "ящик", "ankle boot")])
def test_round_trip(classes):
    network = nn.Module()
    network.facts = PictureFacts(3, 28, classes)
    again = read_facts(network.state_dict())
    assert picture_shape(again) == (3, 28) and class_names(again) == classes


def test_damaged_facts_are_refused():
    good = {f"facts.{name}": value for name, value in PictureFacts(1, 8, "ab").state_dict().items()}
    with pytest.raises(ValueError, match="pictures of 7"):
        read_facts(good | {"facts.shape": torch.tensor([7, 8])})
    with pytest.raises(KeyError):
        read_facts({})

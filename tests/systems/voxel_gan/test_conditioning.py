import pytest
import torch

from triform.base.errors import UserError
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.voxel_gan.conditioning import caption_variants, embed_conditions


def test_variants_follow_the_templates_without_duplicates() -> None:
    assert caption_variants(["oak chair"]) == ("oak chair", "a oak chair", "3d model of oak chair")
    assert caption_variants(["a chair", "a chair"]) == ("a chair",)
    assert caption_variants([]) == ("",)


def test_conditions_are_padded_embeddings_and_zeros_for_no_text() -> None:
    encoder = load_text_encoder("minilm")
    cond = embed_conditions(encoder, ["a chair", "", "a chair"], 400)
    assert cond.shape == (3, 400)
    torch.testing.assert_close(cond[0, :384].norm(), torch.tensor(1.0))
    assert not cond[0, 384:].any() and not cond[1].any()
    assert torch.equal(cond[0], cond[2])
    with pytest.raises(UserError, match=r"--cond_dim 100 is too short.*384"):
        embed_conditions(encoder, ["a chair"], 100)

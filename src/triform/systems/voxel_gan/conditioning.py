"""Texts to conditions: the forms of a caption, and their embeddings padded to `cond_dim`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.pretrained.text_encoder import TextEncoder, embed_texts

TEMPLATES = ("{}", "a {}", "3d model of {}")


def caption_variants(captions: Sequence[str]) -> tuple[str, ...]:
    """Captions in the prompt templates; one empty text without captions."""
    variants = []
    for caption in captions:
        is_phrase = caption.lower().startswith(("a ", "an ", "the ", "3d "))
        templates = ("{}",) if is_phrase else TEMPLATES
        variants += [template.format(caption) for template in templates]
    return tuple(dict.fromkeys(variants)) or ("",)


def embed_conditions(encoder: TextEncoder, texts: Sequence[str], cond_dim: int) -> Tensor:
    """Embed texts as conditions (N, cond_dim), padded by zeros; an empty text is all zeros.

    Raises:
        UserError: The encoder's embeddings are longer than `cond_dim`.
    """
    if encoder.dim > cond_dim:
        raise UserError(
            f"--cond_dim {cond_dim} is too short for text encoder {encoder.name}, "
            f"whose vectors have {encoder.dim} numbers"
        )
    cond = torch.zeros(len(texts), cond_dim)
    embeddings = embed_texts(encoder, list(texts), cache_dir() / "embeddings")
    cond[:, : encoder.dim] = torch.from_numpy(embeddings)
    cond[[row for row, text in enumerate(texts) if not text.strip()]] = 0
    return cond
